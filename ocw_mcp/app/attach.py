"""Finds the served engine of a state directory, or starts a paper engine as a detached process.

A new book gets the live market if Binance answers. An existing book keeps its market.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from ocw_mcp.adapters.control.address import Address, read_address
from ocw_mcp.adapters.files import open_regular
from ocw_mcp.domain.errors import AttachError, BookError, SettingsError

LOG: Final = "engine.log"
LAST_WORDS: Final = 1 << 16
"""Bytes read from the end of an engine's log; its last line has the reason if the engine failed to start."""
PATIENCE_S: Final = 60.0
"""Seconds that the start of an engine may take until clients can use it."""
UNSERVED_S: Final = 5.0
"""Seconds that an engine may hold the directory's lock without an address before it counts as not served."""
STOPPING_S: Final = 20.0
"""Seconds that an engine that has stopped serving may hold the directory's lock."""
LOOK_S: Final = 0.05
"""Seconds between two checks whether the engine has an address."""

AGENT: Final = "rules"
AGENTS: Final = ("attached", "none", "rules")
"""The agents with which an engine may be started for a client."""
NEW_BOOKS_AGENT: Final = "none"
"""The default agent of a new book: no agent decides, and only the client trades."""

AUTO: Final = "auto"
MARKETS: Final = (AUTO, "binance", "sim")
"""The values of `--market` for a client: the live market, the simulated one, or the book's own (see `market_of`)."""
PING_S: Final = 5.0
"""The longest time in seconds that the question may take whether the exchange answers."""
SIMULATED: Final = ("--market", "sim", "--speed", "1")
LIVE: Final = ("--market", "binance")
OWN: Final[Mapping[str, tuple[str, ...]]] = {"binance": LIVE, "sim": SIMULATED}
"""The options of the market of an existing book, by the kind of its market."""
RECORDED: Final = "tape"
"""The kind of the market of a book on recorded candles."""
SERVED: Final = ("--serve", "127.0.0.1:0")

KEPT: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "BINANCE_LOOPBACK"),
    *("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)
"""The environment variables that a started paper engine gets; API keys are not among them."""


class Child(Protocol):
    """A started engine process."""

    def poll(self) -> int | None:
        """Return the exit code of the process, or None while it runs."""
        ...


def spawn_engine(directory: Path, agent: str = AGENT, market: Sequence[str] = SIMULATED) -> Child:
    """Start an engine in real time, in its own POSIX session; `market` are the options of its market.

    Raises BookError and OSError.
    """
    from ocw_mcp.adapters.store.directory import prepare

    prepare(directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    log = os.open(directory / LOG, flags, 0o600)
    try:
        os.fchmod(log, 0o600)
        # -P: Python does not import modules from the directory.
        return subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "ocw_mcp",
                "run",
                *market,
                *SERVED,
                "--agent",
                agent,
                "--state",
                str(directory),
            ],
            cwd=directory,
            env={name: os.environ[name] for name in KEPT if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)


def agent_of(directory: Path, wanted: str | None = AGENT) -> str:
    """Return the agent to start a book with: that of its last run, or `wanted` for a new book. Raises AttachError."""
    from ocw_mcp.adapters.store.reader import read_book
    from ocw_mcp.app.policy_loader import load_policies

    try:
        ran = read_book(directory).summary or {}
    except BookError:
        ran = {}
    if not ran:
        return wanted or NEW_BOOKS_AGENT
    shipped = load_policies(None).hash
    agent, policy = str(ran.get("agent", {}).get("name", AGENT)), ran.get("policies", {})
    same_policy = policy.get("hash", shipped) == shipped
    startable = agent in AGENTS and same_policy
    if not startable or wanted not in (None, agent):
        other = f"agent {wanted or NEW_BOOKS_AGENT}" if same_policy else "the default policy of this version"
        here = f"; or start this client's ocw mcp without --agent, or with --agent {agent}" if startable else ""
        # A tool call must not change the agent or the limits of a book.
        raise AttachError(
            f"the book in {directory} ran with agent {agent} and policy {policy.get('name', '?')}, and a tool call "
            f"cannot change that to {other}; a person must start the engine, with the old options or with new ones, "
            f"such as ocw run {' '.join((*own_market(directory), *SERVED))} --agent {wanted or NEW_BOOKS_AGENT} "
            f"--state {directory}{here}",
            "OTHER_AGENT" if same_policy else "OTHER_LIMITS",
        )
    return agent


def own_market(directory: Path) -> tuple[str, ...]:
    """Return the options that start the book of a directory on its own market. Raises BookError and AttachError."""
    from ocw_mcp.adapters.store.book import peek_book
    from ocw_mcp.domain.time import span_name

    market = peek_book(directory).stamp.market
    if market.kind not in (*OWN, RECORDED):
        raise AttachError(
            f"the book in {directory} trades the market {market.kind[:40]!r}, which this version of ocw does not know; "
            "upgrade ocw, or use another --state",
            "OTHER_MARKET",
        )
    if market.kind == RECORDED:
        raise AttachError(
            f"the book in {directory} trades a recorded market, whose path it does not store; a person must start the "
            f"engine with ocw run --market PATH {' '.join(SERVED)} --state {directory}, or use another --state",
            "OTHER_MARKET",
        )
    asked = ("--product", market.product.value, "--symbols", ",".join(market.symbols))
    return *OWN[market.kind], *asked, "--interval", span_name(market.interval)


def require_market(directory: Path, wanted: str) -> None:
    """Raise AttachError if a directory has a book of another market than `wanted`, one of `MARKETS`."""
    from ocw_mcp.adapters.store.book import peek_book
    from ocw_mcp.adapters.store.directory import has_book

    if wanted == AUTO or not has_book(directory):
        return
    kind = peek_book(directory).stamp.market.kind
    if kind != wanted:
        raise AttachError(
            f"the book in {directory} was created on the market {kind}, which never changes, and --market is {wanted}; "
            f"start this client's ocw mcp without --market, or with another --state directory for a book on {wanted}",
            "OTHER_MARKET",
        )


def require_paper(directory: Path) -> None:
    """Raise AttachError if the engine of a directory would trade an account: only a person starts such an engine.

    A directory that `ocw connect` prepared is meant for a demo or live book, also before its first run.
    """
    from ocw_mcp.adapters.control.keys import connections
    from ocw_mcp.adapters.store.book import peek_book
    from ocw_mcp.adapters.store.directory import has_book
    from ocw_mcp.domain.state import Mode

    if has_book(directory):
        mode = peek_book(directory).stamp.mode
        what, options = f"the book in {directory} is a {mode} book", own_market(directory)
    else:
        known = connections(directory) if directory.is_dir() else ()
        mode = known[0].mode if known else Mode.PAPER
        what, options = f"{directory} has a key for a {mode} book", LIVE
    if mode is not Mode.PAPER:
        raise AttachError(
            f"{what}, and no engine runs on it; a tool call starts engines on paper only; a person must start it with "
            f"ocw run --mode {mode} {' '.join((*options, *SERVED))} --state {directory}",
            "NOT_RUNNING",
        )


async def market_of(directory: Path, wanted: str = AUTO) -> tuple[str, ...]:
    """Return the options of the market to start a book with. Raises AttachError and SettingsError.

    An existing book keeps its market, also while the exchange cannot be reached. A new book gets the market `wanted`,
    one of `MARKETS`; without a choice the live market, if the exchange answers.
    """
    from ocw_mcp.adapters.store.directory import has_book

    require_market(directory, wanted)
    if has_book(directory):
        return own_market(directory)
    if wanted == "sim":
        return SIMULATED
    if why := await _why_unreachable(directory):
        raise AttachError(
            f"Binance cannot be reached ({why}), and no book was created in {directory}; for the simulated market, "
            "start this client's ocw mcp with --market sim",
            "NO_MARKET",
        )
    return LIVE


async def _why_unreachable(directory: Path) -> str:
    """Return why the live market gives no answer to a new book in a directory; empty if it answers."""
    from ocw_mcp.app.live_market import why_unreachable
    from ocw_mcp.app.settings import load_settings

    loopback = load_settings(None, directory, os.environ).binance_loopback
    try:
        return await asyncio.wait_for(asyncio.to_thread(why_unreachable, loopback=loopback), PING_S)
    except TimeoutError:
        return f"it gave no answer within {PING_S:g} s"


class Attachment:
    """Finds or starts the engine of one state directory."""

    def __init__(
        self,
        directory: Path,
        spawn: Callable[[Path], Child] | None = None,
        agent: str | None = AGENT,
        market: str = AUTO,
    ) -> None:
        """`agent` is the agent of an engine that is started here; None means the agent of the book's last run.

        `market` is one of `MARKETS`. Raises SettingsError for an unknown agent or market.
        """
        if agent is not None and agent not in AGENTS:
            raise SettingsError(f"--agent is {agent[:40]!r}; expected one of {', '.join(AGENTS)}")
        if market not in MARKETS:
            raise SettingsError(f"--market is {market[:40]!r}; expected one of {', '.join(MARKETS)}")
        self._directory = directory
        self._spawn = spawn
        self._agent = agent
        self._market = market
        self._turn = asyncio.Lock()

    async def __call__(self, silent: Address | None = None) -> Address:
        """Return the engine's address, but not `silent`, an address that did not answer. Raises AttachError."""
        async with self._turn:
            try:
                return await self._await_engine(silent)
            except (BookError, SettingsError) as error:
                raise AttachError(str(error)) from None
            except OSError as error:
                raise AttachError(f"no engine can be started in {self._directory}: {error.strerror}") from None

    async def _await_engine(self, silent: Address | None) -> Address:
        # `ocw mcp` lists its tools without an engine, and then needs no store.
        from ocw_mcp.adapters.store.directory import is_locked

        child: Child | None = None
        started, waited = False, 0.0
        while waited < PATIENCE_S:
            found = read_address(self._directory)
            if found is not None and found != silent:
                require_market(self._directory, self._market)
                return found
            ended = child is not None and child.poll() is not None
            if is_locked(self._directory):
                # If the child ended, another engine got the lock first; wait for the address of that engine.
                started, child = started or child is not None, None if ended else child
                if not started and silent is None and waited >= UNSERVED_S:
                    text = f"the engine of {self._directory} is not served; a person must start it with --serve"
                    raise AttachError(text, "NOT_SERVED")
                if not started and silent is not None and waited >= STOPPING_S:
                    text = f"the engine of {self._directory} stopped serving, and has not ended in {STOPPING_S:g} s"
                    raise AttachError(f"{text}; try later", "ENGINE_STOPPING")
            elif ended:
                raise AttachError(f"the engine that was started in {self._directory} ended: {self._last_log_line()}")
            elif child is None:
                # No engine has the lock, or the engine that was stopping has released it.
                require_paper(self._directory)
                agent = agent_of(self._directory, self._agent)
                market = await market_of(self._directory, self._market)
                child = (self._spawn or partial(spawn_engine, agent=agent, market=market))(self._directory)
            await asyncio.sleep(LOOK_S)  # noqa: TID251 - waits for another process; no engine runs in this one
            waited += LOOK_S
        raise AttachError(
            f"the engine of {self._directory} was not ready within {PATIENCE_S:g} s; see {LOG} in that directory"
        )

    def _last_log_line(self) -> str:
        try:
            with open_regular(self._directory / LOG) as (file, found):
                file.seek(max(0, found.st_size - LAST_WORDS))
                lines = file.read(LAST_WORDS).decode(errors="replace").splitlines()
        except (OSError, ValueError):
            lines = []
        return next((line.strip()[:400] for line in reversed(lines) if line.strip()), "its log is empty")

"""Finds the served engine of a state directory, or starts one on paper, detached: it outlives whoever started it.

Two that start one at the same time end with one: the directory's lock lets one engine have it, and both attach to that.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from ocw_mcp.adapters.control.address import Address, read_address
from ocw_mcp.adapters.files import open_regular
from ocw_mcp.domain.errors import AttachError, BookError, SettingsError

LOG: Final = "engine.log"
LAST_WORDS: Final = 1 << 16
"""Bytes of it that are looked at when an engine ended at once."""
PATIENCE_S: Final = 60.0
UNSERVED_S: Final = 5.0
"""How long an engine that holds the directory may be without an address before it counts as not served."""
STOPPING_S: Final = 20.0
"""How long one that was served and serves no more may hold on to the directory."""
LOOK_S: Final = 0.05

AGENT: Final = "rules"
AGENTS: Final = ("attached", "none", "rules")
"""Who may decide on a desk that was started for a client."""
NEW_BOOKS_AGENT: Final = "none"
"""A person at a client trades alone on a new book, unless they say otherwise."""
PAPER: Final = ("run", "--market", "sim", "--speed", "1", "--serve", "127.0.0.1:0")

KEPT: Final = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH")
"""What an engine on paper needs of the environment. Keys are not among it, whoever has some there."""


class Child(Protocol):
    """A process that was started."""

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        ...


Spawn = Callable[[Path], Child]


def spawn_engine(directory: Path, agent: str = AGENT) -> Child:
    """Start an engine on the simulated market in real time, in a session of its own, for an agent of `AGENTS`.

    Raises BookError for a directory that cannot hold a book, and OSError.
    """
    from ocw_mcp.adapters.store.directory import prepare

    prepare(directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    log = os.open(directory / LOG, flags, 0o600)
    try:
        os.fchmod(log, 0o600)
        # -P: whatever lies in the directory is no module of ours.
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "ocw_mcp", *PAPER, "--agent", agent, "--state", str(directory)],
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
    """Return the agent that a start gives a book: the one that it ran with, or for a new one `wanted`, or none.

    Raises AttachError for a book that ran with other limits, or for an agent that is not `wanted` or needs a key:
    a tool call would otherwise change them.
    """
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
        here = f"; or this client's ocw mcp leaves out --agent, or has --agent {agent}" if startable else ""
        raise AttachError(
            f"the book in {directory} ran with agent {agent} and policy {policy.get('name', '?')}, and no tool call "
            f"changes that to {other}; a person starts it again as it was, or as it is to run from here on, such as "
            f"with ocw {' '.join(PAPER)} --agent {wanted or NEW_BOOKS_AGENT} --state {directory}{here}",
            "OTHER_AGENT" if same_policy else "OTHER_LIMITS",
        )
    return agent


class Attachment:
    """The engine of one state directory."""

    def __init__(self, directory: Path, spawn: Spawn | None = None, agent: str | None = AGENT) -> None:
        """`agent` decides on an engine that is started here; None: the one that the book ran with.

        Raises SettingsError for an agent that cannot be started.
        """
        if agent is not None and agent not in AGENTS:
            raise SettingsError(f"--agent is {agent[:40]!r}; expected one of {', '.join(AGENTS)}")
        self._directory = directory
        self._spawn = spawn
        self._agent = agent
        self._turn = asyncio.Lock()

    async def __call__(self, silent: Address | None = None) -> Address:
        """Where the engine is; not at `silent`, which was tried and did not answer. Raises AttachError."""
        async with self._turn:
            try:
                found = read_address(self._directory)
                if found is not None and found != silent:
                    return found
                return await self._await_engine(silent)
            except BookError as error:
                raise AttachError(str(error)) from None
            except OSError as error:
                raise AttachError(f"no engine can be started in {self._directory}: {error.strerror}") from None

    async def _await_engine(self, silent: Address | None) -> Address:
        # Only now: a list of tools is answered without the store.
        from ocw_mcp.adapters.store.lock import is_locked

        child: Child | None = None
        started, waited = False, 0.0
        while waited < PATIENCE_S:
            found = read_address(self._directory)
            if found is not None and found != silent:
                return found
            ended = child is not None and child.poll() is not None
            if is_locked(self._directory):
                # One that ended here lost the directory to another that starts, which is waited for in its place.
                started, child = started or child is not None, None if ended else child
                if not started and waited >= (UNSERVED_S if silent is None else STOPPING_S):
                    raise self._unserved(silent)
            elif ended:
                raise AttachError(f"the engine that was started in {self._directory} ended: {self._last_word()}")
            elif child is None:
                # The directory is free, from the beginning or since an engine that was stopping has let go of it.
                agent = agent_of(self._directory, self._agent)
                child = (self._spawn or partial(spawn_engine, agent=agent))(self._directory)
            await asyncio.sleep(LOOK_S)  # noqa: TID251 - waits for another process; no engine runs in this one
            waited += LOOK_S
        raise AttachError(f"the engine of {self._directory} did not come within {PATIENCE_S:g}s; see {LOG} there")

    def _unserved(self, silent: Address | None) -> AttachError:
        if silent is None:
            what = f"the engine of {self._directory} is not served; a person starts it with --serve"
            return AttachError(what, "NOT_SERVED")
        what = (
            f"the engine of {self._directory} stopped serving and has not ended within {STOPPING_S:g}s; ask again later"
        )
        return AttachError(what, "ENGINE_STOPPING")

    def _last_word(self) -> str:
        try:
            with open_regular(self._directory / LOG) as (file, found):
                file.seek(max(0, found.st_size - LAST_WORDS))
                lines = file.read(LAST_WORDS).decode(errors="replace").splitlines()
        except (OSError, ValueError):
            lines = []
        return next((line.strip()[:400] for line in reversed(lines) if line.strip()), "it said nothing")

"""Finds the served engine of a state directory, or starts one on paper as a detached process that goes on by itself.

If two clients start an engine at the same time, the directory's lock lets only one run, and both attach to it.
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
"""Bytes at the end of the log that are searched for the reason when an engine ends at once."""
PATIENCE_S: Final = 60.0
"""How long a start may take until the engine is served."""
UNSERVED_S: Final = 5.0
"""How long an engine may hold the directory's lock without an address before it counts as not served."""
STOPPING_S: Final = 20.0
"""How long an engine that has stopped serving may hold the directory's lock."""
LOOK_S: Final = 0.05
"""Time between two checks."""

AGENT: Final = "rules"
AGENTS: Final = ("attached", "none", "rules")
"""The agents of an engine that is started for a client."""
NEW_BOOKS_AGENT: Final = "none"
"""The default agent of a new book, on which only the client trades."""
PAPER: Final = ("run", "--market", "sim", "--speed", "1", "--serve", "127.0.0.1:0")

KEPT: Final = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH")
"""The environment variables that a paper engine needs. API keys are not passed on."""


class Child(Protocol):
    """A process that was started."""

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""
        ...


Spawn = Callable[[Path], Child]


def spawn_engine(directory: Path, agent: str = AGENT) -> Child:
    """Start an engine with an agent of `AGENTS` on the simulated market in real time, in its own session.

    Raises BookError for a directory that cannot be a book's, and OSError if the process cannot be started.
    """
    from ocw_mcp.adapters.store.directory import prepare

    prepare(directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    log = os.open(directory / LOG, flags, 0o600)
    try:
        os.fchmod(log, 0o600)
        # -P: Python does not import modules from the directory.
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
    """Return the agent with which to start a book: the agent of its last run; for a new book `wanted`, or none.

    Raises AttachError for a book that ran with other limits, with another agent than `wanted`, or with an agent that
    needs a key: a tool call must not change the agent or the limits of a book.
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
        here = f"; or start this client's ocw mcp without --agent, or with --agent {agent}" if startable else ""
        raise AttachError(
            f"the book in {directory} ran with agent {agent} and policy {policy.get('name', '?')}, and a tool call "
            f"cannot change that to {other}; a person must start the engine, with the old options or with new ones, "
            f"such as ocw {' '.join(PAPER)} --agent {wanted or NEW_BOOKS_AGENT} --state {directory}{here}",
            "OTHER_AGENT" if same_policy else "OTHER_LIMITS",
        )
    return agent


class Attachment:
    """The engine of one state directory."""

    def __init__(self, directory: Path, spawn: Spawn | None = None, agent: str | None = AGENT) -> None:
        """`agent` is the agent of an engine that is started here; None is the agent of the book's last run.

        Raises SettingsError for an agent that cannot be started.
        """
        if agent is not None and agent not in AGENTS:
            raise SettingsError(f"--agent is {agent[:40]!r}; expected one of {', '.join(AGENTS)}")
        self._directory = directory
        self._spawn = spawn
        self._agent = agent
        self._turn = asyncio.Lock()

    async def __call__(self, silent: Address | None = None) -> Address:
        """Return the engine's address, but not `silent`, at which no engine answered. Raises AttachError."""
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
        # Imported here, since a list of tools needs no store.
        from ocw_mcp.adapters.store.directory import is_locked

        child: Child | None = None
        started, waited = False, 0.0
        while waited < PATIENCE_S:
            found = read_address(self._directory)
            if found is not None and found != silent:
                return found
            ended = child is not None and child.poll() is not None
            if is_locked(self._directory):
                # If the child ended, another engine got the lock first; wait for that one to be served.
                started, child = started or child is not None, None if ended else child
                if not started and waited >= (UNSERVED_S if silent is None else STOPPING_S):
                    raise self._unserved(silent)
            elif ended:
                raise AttachError(f"the engine that was started in {self._directory} ended: {self._last_log_line()}")
            elif child is None:
                # No engine has the lock, or the engine that was stopping has released it.
                agent = agent_of(self._directory, self._agent)
                child = (self._spawn or partial(spawn_engine, agent=agent))(self._directory)
            await asyncio.sleep(LOOK_S)  # noqa: TID251 - waits for another process; no engine runs in this one
            waited += LOOK_S
        raise AttachError(
            f"the engine of {self._directory} was not ready within {PATIENCE_S:g} s; see {LOG} in that directory"
        )

    def _unserved(self, silent: Address | None) -> AttachError:
        if silent is None:
            text = f"the engine of {self._directory} is not served; a person must start it with --serve"
            return AttachError(text, "NOT_SERVED")
        text = f"the engine of {self._directory} stopped serving, and has not ended in {STOPPING_S:g} s; try later"
        return AttachError(text, "ENGINE_STOPPING")

    def _last_log_line(self) -> str:
        try:
            with open_regular(self._directory / LOG) as (file, found):
                file.seek(max(0, found.st_size - LAST_WORDS))
                lines = file.read(LAST_WORDS).decode(errors="replace").splitlines()
        except (OSError, ValueError):
            lines = []
        return next((line.strip()[:400] for line in reversed(lines) if line.strip()), "its log is empty")

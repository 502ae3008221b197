"""Checks of an installation and of a book: each gives its result and, if that is not ok, an action for the operator."""

import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import msgspec

from ocw_mcp import __version__
from ocw_mcp.adapters.control.commands import HALT, count_refused, count_waiting, halted_by_file
from ocw_mcp.adapters.control.passphrase import is_set, require_sound
from ocw_mcp.adapters.store.database import JOURNAL
from ocw_mcp.adapters.store.directory import is_locked, lock_owner, prepare
from ocw_mcp.adapters.store.reader import ask_book, read_book, verify_book
from ocw_mcp.adapters.store.views.orders import find_positions
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.app.settings import load_settings, require_paper
from ocw_mcp.domain.errors import OcwError
from ocw_mcp.domain.state import Lowered, TradingState
from ocw_mcp.domain.text import printable
from ocw_mcp.domain.time import SECOND, iso
from ocw_mcp.render.text import lowered_text

OLDEST_PYTHON = (3, 11)
LITTLE_SPACE, TOO_LITTLE_SPACE = 1_000_000_000, 100_000_000
"""Bytes."""
BUILT_AFTER = 1_767_225_600
"""2026-01-01, in seconds: this version was made later, so a clock before it is wrong."""
FAR_AWAY = 4_102_444_800
"""2100-01-01, in seconds."""
EXTRAS = {
    "matplotlib": ("plot", "pictures of a run"),
    "polars": ("parquet", "exports as parquet"),
    "backtesting": ("bench", "a peer to measure against"),
}


class CheckVerdict(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Check(msgspec.Struct, frozen=True):
    """One check: its name, its result, a text on what it found, and the action for the operator if there is one."""

    name: str
    verdict: CheckVerdict
    found: str
    todo: str = ""


def examine(state: Path | None, env: Path | None, policies: Path | None, environ: Mapping[str, str]) -> list[Check]:
    """Check the installation, and the book of a state directory if one is given. Changes nothing."""
    checks = [_python(), _package(), *_settings(env, state, environ), _policies(policies), _ta_lib()]
    checks += [check_extra(module, extra, use) for module, (extra, use) in EXTRAS.items()]
    checks += [check_clock(time.time(), state), _disk(state)]  # noqa: TID251 - the check of the system clock itself
    return checks if state is None else [*checks, *_book(state)]


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return Check("python", CheckVerdict.OK, found)
    return Check("python", CheckVerdict.PROBLEM, found, "install Python 3.11 or later, and ocw-mcp with it")


def _package() -> Check:
    try:
        installed = version("ocw-mcp")
    except PackageNotFoundError:
        return Check(
            "ocw-mcp", CheckVerdict.WARNING, f"{__version__}, not installed as a package", "install it: make install"
        )
    if installed == __version__:
        return Check("ocw-mcp", CheckVerdict.OK, installed)
    return Check("ocw-mcp", CheckVerdict.WARNING, f"{__version__}, installed as {installed}", "install it again")


def _settings(env: Path | None, state: Path | None, environ: Mapping[str, str]) -> Iterator[Check]:
    try:
        settings = load_settings(env, state, environ)
        require_paper(settings)
    except OcwError as error:
        yield Check("settings", CheckVerdict.PROBLEM, _line(error))
    else:
        yield Check("settings", CheckVerdict.OK, f"mode {settings.mode}")
    for file in (env, state / ".env" if state is not None else None):
        if file is not None and (check := _env_file(file)) is not None:
            yield check


def _env_file(path: Path) -> Check | None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        # A missing file needs no check of its mode; if the file is required, the check of the settings reports it.
        return None
    if mode & 0o077:
        return Check(
            "settings file",
            CheckVerdict.WARNING,
            f"{path} is open to other users (mode {mode:04o})",
            f"chmod 600 {path}",
        )
    return Check("settings file", CheckVerdict.OK, f"{path} is open to its owner only (mode {mode:04o})")


def _policies(path: Path | None) -> Check:
    try:
        loaded = load_policies(path)
    except OcwError as error:
        return Check("policies", CheckVerdict.PROBLEM, _line(error))
    found = f"{loaded.source_name} is valid, SHA-256 {loaded.hash}"
    if loaded.remarks:
        return Check("policies", CheckVerdict.WARNING, found, "; ".join(loaded.remarks))
    return Check("policies", CheckVerdict.OK, found)


def _ta_lib() -> Check:
    try:
        found = import_module("talib").__version__
    except Exception as error:
        # A library that was built for another machine can raise any exception.
        return Check("ta-lib", CheckVerdict.PROBLEM, f"cannot be imported: {error}", "install ocw-mcp again")
    return Check("ta-lib", CheckVerdict.OK, str(found))


def check_extra(module: str, extra: str, use: str) -> Check:
    if find_spec(module) is None:
        return Check(module, CheckVerdict.OK, f"not installed, and needed only for {use}: ocw-mcp[{extra}]")
    return Check(module, CheckVerdict.OK, f"installed, for {use}")


def check_clock(now: float, state: Path | None) -> Check:
    """Check that the time of the system clock (seconds) is plausible. No time server is asked."""
    todo = "set the clock of this machine, and keep it with NTP"
    shown = iso(int(now) * SECOND) if 0 <= now < FAR_AWAY else f"{now:.0f} seconds after 1970"
    if not BUILT_AFTER <= now < FAR_AWAY:
        return Check("clock", CheckVerdict.PROBLEM, f"{shown} cannot be right", todo)
    try:
        written = (state / JOURNAL).stat().st_mtime if state is not None else now
    except OSError:
        written = now
    if written > now + 60:
        return Check("clock", CheckVerdict.WARNING, f"{shown} is before the last write of the journal", todo)
    return Check("clock", CheckVerdict.OK, f"{shown}, not compared with another clock")


def _disk(state: Path | None) -> Check:
    place = (state or Path()).absolute()
    while not place.is_dir() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{free / 1e9:,.1f} GB free"
    if free < TOO_LITTLE_SPACE:
        return Check(
            "disk",
            CheckVerdict.PROBLEM,
            found,
            "free some space: on a full disk the journal fails and no entry passes",
        )
    if free < LITTLE_SPACE:
        return Check("disk", CheckVerdict.WARNING, found, "free some space soon")
    return Check("disk", CheckVerdict.OK, found)


def _book(state: Path) -> Iterator[Check]:
    if not os.path.lexists(state):
        yield Check("state", CheckVerdict.WARNING, f"{state} does not exist", "check the path; a first run makes it")
        return
    found = _guarded("state", lambda: _directory(state))
    yield found
    if found.verdict is CheckVerdict.PROBLEM and not os.path.lexists(state / JOURNAL):
        # The path is not a book, so an "ok" for its journal and its commands would mislead.
        return
    yield _guarded("engine", lambda: _engine(state))
    yield _guarded("journal", lambda: _journal(state))
    if os.path.lexists(state / JOURNAL):
        yield _guarded("trading state", lambda: _trading_state(state))
        yield _guarded("positions", lambda: _positions(state))
    yield _guarded("commands", lambda: _commands(state))
    yield _guarded("halt file", lambda: _halt_file(state))
    yield _guarded("passphrase", lambda: _passphrase(state))


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """Run a check. A check that fails with an error is itself a problem, and the other checks still run."""
    try:
        return check()
    except OcwError as error:
        return Check(name, CheckVerdict.PROBLEM, _line(error))
    except msgspec.MsgspecError as error:
        return Check(name, CheckVerdict.PROBLEM, f"has invalid data: {_line(error)}", "see ocw journal verify")
    except OSError as error:
        return Check(
            name, CheckVerdict.PROBLEM, f"cannot be read: {error.strerror}", "run this as the user who runs the engine"
        )


def _directory(state: Path) -> Check:
    # The directory exists, so this only checks it.
    prepare(state)
    found = state.stat()
    if found.st_mode & 0o077:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        return Check(
            "state", CheckVerdict.WARNING, f"{state} is open to other users (mode {mode})", f"chmod 700 {state}"
        )
    return Check("state", CheckVerdict.OK, f"{state} is yours and writable")


def _engine(state: Path) -> Check:
    if not is_locked(state):
        return Check("engine", CheckVerdict.OK, "not running")
    owner = lock_owner(state)
    return Check("engine", CheckVerdict.OK, "running" if owner is None else f"running as process {owner}")


def _journal(state: Path) -> Check:
    if not (state / JOURNAL).exists():
        return Check("journal", CheckVerdict.OK, "no book yet; the first run makes one")
    result = verify_book(state)
    if result.ok:
        return Check("journal", CheckVerdict.OK, f"{result.events:,} events are consistent, head {result.head}")
    more = f" (and {len(result.problems) - 1} more)" if len(result.problems) > 1 else ""
    return Check(
        "journal",
        CheckVerdict.PROBLEM,
        result.problems[0] + more,
        "run no engine on it; see ocw journal verify, and restore the directory from a backup",
    )


def _trading_state(state: Path) -> Check:
    """Check the trading state of a book, as of the last summary of its engine."""
    name = "trading state"
    summary = read_book(state).summary
    if not summary:
        return Check(name, CheckVerdict.OK, "no event yet")
    if (now := summary.get("state")) == TradingState.ACTIVE:
        return Check(name, CheckVerdict.OK, f"{now}: entries within every policy pass")
    lowered = summary.get("lowered")
    by = "" if lowered is None else f" {lowered_text(msgspec.convert(lowered, Lowered))}"
    first = f"delete the file {HALT}, then " if halted_by_file(state) else ""
    todo = f"once you know why: {first}ocw resume --state {state}"
    return Check(name, CheckVerdict.WARNING, f"{now}{by}", todo)


def _positions(state: Path) -> Check:
    rows = ask_book(state, lambda db, _book: find_positions(db)).positions
    bare = [printable(row.symbol) for row in rows if not row.protected]
    if not bare:
        return Check("positions", CheckVerdict.OK, f"{len(rows)} open, each with a stop" if rows else "none open")
    which = f"{', '.join(bare)} UNPROTECTED: no stop at the venue"
    if is_locked(state):
        return Check(
            "positions",
            CheckVerdict.WARNING,
            which,
            "the running engine closes it in time; check that with ocw watch",
        )
    todo = "start the engine again with the same options: it places a stop, or closes the position"
    return Check("positions", CheckVerdict.PROBLEM, f"{which}, and no engine runs that would close it", todo)


def _commands(state: Path) -> Check:
    waiting, refused = count_waiting(state), count_refused(state)
    if waiting is None:
        return Check(
            "commands", CheckVerdict.PROBLEM, "cannot be read", "give the folder to the user who runs the engine"
        )
    if refused:
        return Check(
            "commands",
            CheckVerdict.WARNING,
            f"{refused} file(s) in commands/refused were not valid commands",
            "read and delete them",
        )
    if waiting and not is_locked(state):
        todo = f"start one, or delete the files in {state / 'commands'}"
        return Check("commands", CheckVerdict.WARNING, f"{waiting} waiting for an engine", todo)
    return Check("commands", CheckVerdict.OK, f"{waiting} waiting" if waiting else "none waiting")


def _halt_file(state: Path) -> Check:
    if halted_by_file(state):
        return Check(
            "halt file", CheckVerdict.WARNING, f"the file {HALT} halts this book", "delete it, then ocw resume"
        )
    return Check("halt file", CheckVerdict.OK, f"no file {HALT}")


def _passphrase(state: Path) -> Check:
    if not is_set(state):
        return Check(
            "passphrase", CheckVerdict.OK, "not set; needed only to resume without --paper: ocw passphrase set"
        )
    require_sound(state)
    return Check("passphrase", CheckVerdict.OK, "set, readable by its owner only")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())

"""Checks of an installation and of a book: each says how it stands and, where it does not, what to do."""

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
from ocw_mcp.adapters.store.directory import prepare
from ocw_mcp.adapters.store.lock import is_locked, lock_owner
from ocw_mcp.adapters.store.reader import ask_book, read_book, verify_book
from ocw_mcp.adapters.store.views.positions import find_positions
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
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Check(msgspec.Struct, frozen=True):
    """One check: what was looked at, how it stands, and what to do about it where it does not."""

    name: str
    verdict: CheckVerdict
    found: str
    todo: str = ""


def examine(state: Path | None, env: Path | None, policies: Path | None, environ: Mapping[str, str]) -> list[Check]:
    """Check the installation, and the book of a state directory where one is given. Changes nothing."""
    checks = [_python(), _package(), *_settings(env, state, environ), _policies(policies), _ta_lib()]
    checks += [_extra(module, extra, use) for module, (extra, use) in EXTRAS.items()]
    checks += [_clock(time.time(), state), _disk(state)]  # noqa: TID251 - whether the wall's clock is sane is the question
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
        # A file that is missing needs no permissions, and one that should be there is a problem of the settings.
        return None
    if mode & 0o077:
        return Check(
            "settings file",
            CheckVerdict.WARNING,
            f"{path} is open to other users (mode {mode:04o})",
            f"chmod 600 {path}",
        )
    return Check("settings file", CheckVerdict.OK, f"{path} is for its owner alone (mode {mode:04o})")


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
        # A library that was built for another machine can fail in any way.
        return Check("ta-lib", CheckVerdict.PROBLEM, f"cannot be imported: {error}", "install ocw-mcp again")
    return Check("ta-lib", CheckVerdict.OK, str(found))


def _extra(module: str, extra: str, use: str) -> Check:
    if find_spec(module) is None:
        return Check(module, CheckVerdict.OK, f"not installed, and only needed for {use}: ocw-mcp[{extra}]")
    return Check(module, CheckVerdict.OK, f"installed, for {use}")


def _clock(now: float, state: Path | None) -> Check:
    """Whether the wall's clock (seconds) can be right. No server is asked."""
    todo = "set the clock of this machine, and keep it with NTP"
    shown = iso(int(now) * SECOND) if 0 <= now < FAR_AWAY else f"{now:.0f} seconds after 1970"
    if not BUILT_AFTER <= now < FAR_AWAY:
        return Check("clock", CheckVerdict.PROBLEM, f"{shown} cannot be", todo)
    try:
        written = (state / JOURNAL).stat().st_mtime if state is not None else now
    except OSError:
        written = now
    if written > now + 60:
        return Check("clock", CheckVerdict.WARNING, f"{shown} is before the journal was last written", todo)
    return Check("clock", CheckVerdict.OK, f"{shown}, not compared with any other")


def _disk(state: Path | None) -> Check:
    place = (state or Path()).absolute()
    while not place.is_dir() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{free / 1e9:,.1f} GB free"
    if free < TOO_LITTLE_SPACE:
        return Check(
            "disk", CheckVerdict.PROBLEM, found, "make room: without it the journal takes nothing and no entry leaves"
        )
    if free < LITTLE_SPACE:
        return Check("disk", CheckVerdict.WARNING, found, "make room soon")
    return Check("disk", CheckVerdict.OK, found)


def _book(state: Path) -> Iterator[Check]:
    if not os.path.lexists(state):
        yield Check("state", CheckVerdict.WARNING, f"{state} does not exist", "check the path; a first run makes it")
        return
    found = _guarded("state", lambda: _directory(state))
    yield found
    if found.verdict is CheckVerdict.PROBLEM and not os.path.lexists(state / JOURNAL):
        # Whatever it is, it is nobody's book; to call its journal and its commands fine would mislead.
        return
    yield _guarded("engine", lambda: _engine(state))
    yield _guarded("journal", lambda: _journal(state))
    if os.path.lexists(state / JOURNAL):
        yield _guarded("desk", lambda: _desk(state))
        yield _guarded("positions", lambda: _positions(state))
    yield _guarded("commands", lambda: _commands(state))
    yield _guarded("halt file", lambda: _halt_file(state))
    yield _guarded("passphrase", lambda: _passphrase(state))


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """A check that could not be made is a problem by itself, and does not keep the others from being made."""
    try:
        return check()
    except OcwError as error:
        return Check(name, CheckVerdict.PROBLEM, _line(error))
    except msgspec.MsgspecError as error:
        return Check(name, CheckVerdict.PROBLEM, f"makes no sense: {_line(error)}", "see ocw journal verify")
    except OSError as error:
        return Check(
            name, CheckVerdict.PROBLEM, f"cannot be looked at: {error.strerror}", "ask as the user who runs the engine"
        )


def _directory(state: Path) -> Check:
    # It exists, so this only looks.
    prepare(state)
    found = state.stat()
    if found.st_mode & 0o077:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        return Check(
            "state", CheckVerdict.WARNING, f"{state} is open to other users (mode {mode})", f"chmod 700 {state}"
        )
    return Check("state", CheckVerdict.OK, f"{state} is yours and can be written to")


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
        return Check("journal", CheckVerdict.OK, f"{result.events:,} events hold together, head {result.head}")
    more = f" (and {len(result.problems) - 1} more)" if len(result.problems) > 1 else ""
    return Check(
        "journal",
        CheckVerdict.PROBLEM,
        result.problems[0] + more,
        "let no engine trade on it; see ocw journal verify, and restore the directory from a backup",
    )


def _desk(state: Path) -> Check:
    """What the desk may do, as its engine last said."""
    told = read_book(state).summary
    if not told:
        return Check("desk", CheckVerdict.OK, "nothing has happened yet")
    if (now := told.get("state")) == TradingState.ACTIVE:
        return Check("desk", CheckVerdict.OK, f"{now}: entries pass, inside every policy")
    lowered = told.get("lowered")
    by = "" if lowered is None else f" {lowered_text(msgspec.convert(lowered, Lowered))}"
    first = f"delete the file {HALT}, then " if halted_by_file(state) else ""
    todo = f"once you know why: {first}ocw resume --state {state}"
    return Check("desk", CheckVerdict.WARNING, f"{now}{by}", todo)


def _positions(state: Path) -> Check:
    rows = ask_book(state, lambda db, _book: find_positions(db)).positions
    bare = [printable(row.symbol) for row in rows if not row.protected]
    if not bare:
        return Check("positions", CheckVerdict.OK, f"{len(rows)} open, each under a stop" if rows else "none open")
    which = f"{', '.join(bare)} UNPROTECTED: no stop at the venue"
    if is_locked(state):
        return Check(
            "positions",
            CheckVerdict.WARNING,
            which,
            "the running engine closes it in time; ocw watch shows whether it does",
        )
    todo = "start its engine again, as it was run: it gives it a stop, or closes it"
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
            f"{refused} file(s) were none and lie in commands/refused",
            "see and delete",
        )
    if waiting and not is_locked(state):
        todo = f"start one, or delete what lies in {state / 'commands'}"
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
            "passphrase", CheckVerdict.OK, "not set; only needed to resume without --paper: ocw passphrase set"
        )
    require_sound(state)
    return Check("passphrase", CheckVerdict.OK, "set, for its owner alone")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())

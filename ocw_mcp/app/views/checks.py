"""Checks of an installation and of a book: each gives its result and, if that is not ok, an action for the operator."""

import os
import shutil
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from platform import python_version

import msgspec

from ocw_mcp import __version__
from ocw_mcp.adapters.control import mandate
from ocw_mcp.adapters.control.commands import HALT, count_refused, count_waiting, halted_by_file
from ocw_mcp.adapters.control.heartbeat import read_heartbeat
from ocw_mcp.adapters.control.keys import HostClass, connections
from ocw_mcp.adapters.control.passphrase import is_set, require_sound
from ocw_mcp.adapters.store.book import peek_book
from ocw_mcp.adapters.store.database import JOURNAL
from ocw_mcp.adapters.store.directory import has_book, is_locked, lock_owner, prepare
from ocw_mcp.adapters.store.reader import ask_book, read_book, verify_book
from ocw_mcp.adapters.store.views.orders import find_positions
from ocw_mcp.app.markets import BINANCE
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.app.settings import load_settings, mode_of
from ocw_mcp.app.views.expected import (
    BUILT_AFTER,
    EXPECTED,
    FAR_AWAY,
    LITTLE_SPACE,
    OLDEST_SQLITE,
    SLOW_SYNC_MS,
    SOON_DAYS,
    STUCK_AFTER_S,
    TOO_LITTLE_SPACE,
    TOO_SLOW_SYNC_MS,
)
from ocw_mcp.app.views.market_checks import Check, CheckVerdict, market_checks
from ocw_mcp.domain.errors import OcwError
from ocw_mcp.domain.market import MarketIdentity
from ocw_mcp.domain.state import MARKET_DATA, Lowered, Mode, TradingState
from ocw_mcp.domain.text import printable
from ocw_mcp.domain.time import DAY, SECOND, iso
from ocw_mcp.render.text import HASH_SHOWN, lowered_text
from ocw_mcp.runtime.clock import LiveClock

EXTRAS = {
    "matplotlib": ("plot", "pictures of a run"),
    "keyring": ("keyring", "keys in the keyring of the system"),
    "polars": ("parquet", "exports as parquet"),
    "backtesting": ("bench", "a peer to measure against"),
}


_ok = partial(Check, "", CheckVerdict.OK)
_warning = partial(Check, "", CheckVerdict.WARNING)
_problem = partial(Check, "", CheckVerdict.PROBLEM)


def examine(
    state: Path | None,
    env: Path | None,
    policies: Path | None,
    environ: Mapping[str, str],
    *,
    exchange: bool = False,
) -> list[Check]:
    """Check the installation, and the book of a state directory if one is given. Changes nothing.

    The exchange is asked for a book of the live market, and with `exchange` also without one.
    """
    env_files = [file for file in (env, None if state is None else state / ".env") if file is not None]
    checks = [
        _check("python", lambda: _ok(python_version())),
        _check("sqlite", _sqlite),
        _check("ocw-mcp", _package),
        _check("settings", lambda: _settings(env, state, environ)),
        # The check of the settings reports a missing file that is required.
        *(_check("settings file", partial(_env_file, file)) for file in env_files if os.path.exists(file)),
        _check("policies", lambda: _policies(policies)),
        _check("ta-lib", _ta_lib),
        *(_check(module, partial(_extra, module, extra, use)) for module, (extra, use) in EXTRAS.items()),
        _check("clock", lambda: _clock(time.time(), state)),  # noqa: TID251 - the check of the system clock itself
        _check("disk", lambda: _disk(state)),
        _check("disk sync", lambda: _disk_sync(state)),
    ]
    if state is not None:
        checks += _book(state)
    market = None if state is None or not (state / JOURNAL).is_file() else _market_of(state)
    load = partial(load_settings, env, state, environ)
    if market is not None:
        checks += market_checks(market, load)
    if exchange and (market is None or market.kind != BINANCE):
        checks += market_checks(None, load)
    return [msgspec.structs.replace(check, expected=EXPECTED.get(check.name, "")) for check in checks]


def _market_of(state: Path) -> MarketIdentity | None:
    """Return the market of a book; None if the book cannot be read, which another check reports."""
    try:
        return peek_book(state).stamp.market
    except (OcwError, OSError, msgspec.MsgspecError):
        return None


def _check(name: str, find: Callable[[], Check]) -> Check:
    """Run a check, and return a problem if the check fails with an error, so that the other checks still run."""
    try:
        result = find()
    except OcwError as error:
        result = _problem(_line(error))
    except msgspec.MsgspecError as error:
        result = _problem(f"has invalid data: {_line(error)}", "see ocw journal verify")
    except OSError as error:
        result = _problem(f"cannot be read: {error.strerror}", "run this as the user who runs the engine")
    return msgspec.structs.replace(result, name=name)


def _package() -> Check:
    try:
        installed = version("ocw-mcp")
    except PackageNotFoundError:
        return _warning(f"{__version__}, not installed as a package", "install it: make install")
    if installed == __version__:
        return _ok(installed)
    return _warning(f"{__version__}, installed as {installed}", "install it again")


def _settings(env: Path | None, state: Path | None, environ: Mapping[str, str]) -> Check:
    settings = load_settings(env, state, environ)
    mode = mode_of(settings, None)
    allowed = ", live mode is allowed" if settings.live_trading and mode is not Mode.LIVE else ""
    # A book keeps its mode, whatever the settings say.
    book = peek_book(state).stamp.mode if state is not None and has_book(state) else mode
    return _ok(f"mode {mode}{allowed}" + ("" if book is mode else f"; the book here is a {book} one"))


def _env_file(path: Path) -> Check:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return _warning(f"{path} is open to other users (mode {mode:04o})", f"chmod 600 {path}")
    return _ok(f"{path} is open to its owner only (mode {mode:04o})")


def _policies(path: Path | None) -> Check:
    loaded = load_policies(path)
    found = f"{loaded.source_name} is valid, SHA-256 {loaded.hash}"
    return _warning(found, "; ".join(loaded.remarks)) if loaded.remarks else _ok(found)


def _ta_lib() -> Check:
    try:
        return _ok(import_module("talib").__version__)
    except Exception as error:
        # A library that was built for another machine can raise any exception.
        return _problem(f"cannot be imported: {error}", "install ocw-mcp again")


def _extra(module: str, extra: str, use: str) -> Check:
    if find_spec(module) is None:
        return _ok(f"not installed, and needed only for {use}: ocw-mcp[{extra}]")
    return _ok(f"installed, for {use}")


def _clock(now: float, state: Path | None) -> Check:
    """Check that the time of the system clock (seconds) is plausible. No time server is queried."""
    todo = "set the clock of this machine, and keep it with NTP"
    shown = iso(int(now) * SECOND) if 0 <= now < FAR_AWAY else f"{now:.0f} seconds after 1970"
    if not BUILT_AFTER <= now < FAR_AWAY:
        return _problem(f"{shown} cannot be right", todo)
    try:
        written = (state / JOURNAL).stat().st_mtime if state is not None else now
    except OSError:
        written = now
    if written > now + 60:
        return _warning(f"{shown} is before the last write of the journal", todo)
    return _ok(f"{shown}, not compared with another clock")


def _disk(state: Path | None) -> Check:
    place = (state or Path()).absolute()
    while not place.is_dir() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{free / 1e9:,.1f} GB free"
    if free < TOO_LITTLE_SPACE:
        return _problem(found, "free some space: on a full disk the journal fails and no entry passes")
    return _warning(found, "free some space soon") if free < LITTLE_SPACE else _ok(found)


def _sqlite() -> Check:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        return _problem(sqlite3.sqlite_version, "use a Python that was built with a newer SQLite")
    return _ok(sqlite3.sqlite_version)


def _disk_sync(state: Path | None) -> Check:
    """Check how long a small synced write takes in the state directory; the file has no name, or is deleted."""
    if state is None or not state.is_dir():
        return _ok("not measured without a state directory")
    times, clock = [], LiveClock()
    with tempfile.TemporaryFile(dir=state) as file:
        for _ in range(5):
            file.write(b"\0" * 4_096)
            file.flush()
            began = clock.wall_ms()
            os.fsync(file.fileno())
            times.append(clock.wall_ms() - began)
    took = sorted(times)[len(times) // 2]
    found = f"{took:.1f} ms for a small write, the median of {len(times)}"
    todo = "put the state directory on a faster local disk: each order waits until its intent is on the disk"
    if took > TOO_SLOW_SYNC_MS:
        return _problem(found, todo)
    return _warning(found, todo) if took > SLOW_SYNC_MS else _ok(found)


def _book(state: Path) -> Iterator[Check]:
    if not os.path.lexists(state):
        todo = "check the path; a first run makes it"
        yield Check("state", CheckVerdict.WARNING, f"{state} does not exist", todo)
        return
    directory = _check("state", lambda: _directory(state))
    yield directory
    has_journal = os.path.lexists(state / JOURNAL)
    if directory.verdict is CheckVerdict.PROBLEM and not has_journal:
        # The path is not a book, so an "ok" for its journal and its commands would mislead.
        return
    of_a_journal = {"trading state": _trading_state, "positions": _positions} if has_journal else {}
    for name, find in {
        "engine": _engine,
        "heartbeat": _heartbeat,
        "journal": _journal,
        **of_a_journal,
        "commands": _commands,
        "halt file": _halt_file,
        "passphrase": _passphrase,
        "keys": _keys,
        "mandate": _mandate,
    }.items():
        yield _check(name, partial(find, state))


def _directory(state: Path) -> Check:
    # `prepare` makes a missing directory, and checks one that exists, as this one does.
    prepare(state)
    mode = stat.S_IMODE(state.stat().st_mode)
    if mode & 0o077:
        return _warning(f"{state} is open to other users (mode {mode:04o})", f"chmod 700 {state}")
    return _ok(f"{state} is yours and writable")


def _engine(state: Path) -> Check:
    if not is_locked(state):
        return _ok("not running")
    owner = lock_owner(state)
    return _ok("running" if owner is None else f"running as process {owner}")


def _heartbeat(state: Path) -> Check:
    """Check that a running engine has written a heartbeat lately."""
    beat, running = read_heartbeat(state), is_locked(state)
    if beat is None:
        return _ok("none; only a paced or live engine writes one")
    age_s = time.time() - beat.written_at / SECOND  # noqa: TID251 - the age of a file of another process
    shown = f"{max(0.0, age_s):.0f} s ago" if age_s < 120 else f"at {iso(beat.written_at)}"
    if not running or lock_owner(state) not in (None, beat.pid):
        return _ok(f"written {shown} by an engine that has ended")
    if age_s > STUCK_AFTER_S:
        return _problem(f"last written {shown}, though its engine runs", "see its log; stop it, and start it again")
    return _ok(f"written {shown}")


def _journal(state: Path) -> Check:
    if not (state / JOURNAL).exists():
        return _ok("no book yet; the first run makes one")
    result = verify_book(state)
    if result.ok:
        return _ok(f"{result.events:,} events are consistent, head {result.head}")
    more = f" (and {len(result.problems) - 1} more)" if len(result.problems) > 1 else ""
    todo = "run no engine on it; see ocw journal verify, and restore the directory from a backup"
    return _problem(result.problems[0] + more, todo)


def _trading_state(state: Path) -> Check:
    """Check the trading state of a book, as of the last summary of its engine."""
    summary = read_book(state).summary
    if not summary:
        return _ok("no event yet")
    if (now := summary.get("state")) == TradingState.ACTIVE:
        return _ok(f"{now}: entries within every policy pass")
    lowered = summary.get("lowered")
    by = "" if lowered is None else f" {lowered_text(msgspec.convert(lowered, Lowered))}"
    if not halted_by_file(state) and lowered is not None and lowered["by"] == MARKET_DATA:
        return _warning(f"{now}{by}", "wait, or check the network: it ends when the data return")
    first = f"delete the file {HALT}, then " if halted_by_file(state) else ""
    return _warning(f"{now}{by}", f"once you know why: {first}ocw resume --state {state}")


def _positions(state: Path) -> Check:
    rows = ask_book(state, lambda db, _book: find_positions(db)).positions
    bare = [printable(row.symbol) for row in rows if not row.protected]
    if not bare:
        return _ok(f"{len(rows)} open, each with a stop" if rows else "none open")
    which = f"{', '.join(bare)} UNPROTECTED: no stop at the venue"
    if is_locked(state):
        return _warning(which, "the running engine closes it in time; check that with ocw watch")
    todo = "start the engine again with the same options: it places a stop, or closes the position"
    return _problem(f"{which}, and no engine runs that would close it", todo)


def _commands(state: Path) -> Check:
    waiting, refused = count_waiting(state), count_refused(state)
    if waiting is None:
        return _problem("cannot be read", "give the folder to the user who runs the engine")
    if refused:
        return _warning(f"{refused} file(s) in commands/refused were not valid commands", "read and delete them")
    if waiting and not is_locked(state):
        todo = f"start one, or delete the files in {state / 'commands'}"
        return _warning(f"{waiting} waiting for an engine", todo)
    return _ok(f"{waiting} waiting" if waiting else "none waiting")


def _halt_file(state: Path) -> Check:
    if halted_by_file(state):
        return _warning(f"the file {HALT} halts this book", "delete it, then ocw resume")
    return _ok(f"no file {HALT}")


def _passphrase(state: Path) -> Check:
    if not is_set(state):
        return _ok("not set; needed only to resume without --paper: ocw passphrase set")
    require_sound(state)
    return _ok("set, readable by its owner only")


def _keys(state: Path) -> Check:
    """Check the keys of a state directory; their fingerprints are shown, and never the keys."""
    rows = connections(state)
    if not rows:
        return _ok("none; paper needs none, and ocw connect stores one")
    shown = [
        f"{row.mode} {row.product} for {'a sandbox' if row.host is HostClass.LOOPBACK else 'Binance'}: "
        f"{row.fingerprint} in the {row.kept}, account {row.account}, checked at {iso(row.checked_at)}"
        for row in rows
    ]
    return _ok("; ".join(shown))


def _mandate(state: Path) -> Check:
    """Check the mandate of a state directory; without a live book none is needed."""
    found = mandate.read(state)
    if found is None:
        if has_book(state) and peek_book(state).stamp.mode is Mode.LIVE:
            way = f"ocw connect --mode live --mandate --state {state}"
            return _problem("none, and a live book does not start without one", way)
        return _ok("none; only live mode needs one")
    now = time.time_ns() // 1_000_000  # noqa: TID251 - the end of a mandate is a time of the world
    if now >= found.expires_at:
        return _warning(
            f"expired: {found}", f"no entry passes; renew it: ocw connect --mode live --mandate --state {state}"
        )
    left = (found.expires_at - now) / DAY
    text = f"{found} ({left:.1f} days left), for account {found.account} and policies {found.policy[:HASH_SHOWN]}"
    return _warning(text, "renew it soon") if left < SOON_DAYS else _ok(text)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())

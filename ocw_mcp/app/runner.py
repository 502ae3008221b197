"""One run of a book: its directory, its lock, its signals, its report."""

import asyncio
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import structlog

from ocw_mcp import __version__
from ocw_mcp.adapters.control.commands import CommandFiles
from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.adapters.store.directory import StateLock
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.adapters.venues.paper import read_state
from ocw_mcp.app import picture
from ocw_mcp.app.changes import describe_changes
from ocw_mcp.app.compose import WiredRun, decider, require_timeframes, stamp
from ocw_mcp.app.listen import ListenAddress
from ocw_mcp.app.markets import market_end
from ocw_mcp.app.policy_loader import LoadedPolicies, LoadedPrompts
from ocw_mcp.app.progress import TICK_MS, RunMoment, RunProgress
from ocw_mcp.app.strategies import NamedStrategy
from ocw_mcp.core.risk.limits import TAINTED_KEYS
from ocw_mcp.domain.policies import not_stricter
from ocw_mcp.domain.protocols import Clock, Decider, Feed
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.checkpoint import read_checkpoint
from ocw_mcp.engine.report import report
from ocw_mcp.runtime.deciders import StrategyDecider
from ocw_mcp.runtime.recorder import Listener
from ocw_mcp.runtime.run import other_version

if TYPE_CHECKING:
    from ocw_mcp.app.claude import ClaudeSetup

log = structlog.get_logger()

WARNED_OF = 20
"""The most left-out files and rows for which a run gives a warning each."""


class Job(NamedTuple):
    """The inputs of a run."""

    feed: Feed
    agent: str
    policies: LoadedPolicies
    prompts: LoadedPrompts
    for_ms: int | None
    state: Path | None
    speed: float | None = None
    """Simulated time divided by wall time; None is as fast as possible."""
    picture: Path | None = None
    """The file of the picture of the run; None draws none."""
    serve: ListenAddress | None = None
    """The address at which clients can use the engine while it runs; None serves none."""
    claude: "ClaudeSetup | None" = None
    """The model, key and recording, if Claude decides."""
    progress: RunProgress | None = None
    """The display of the run's progress; None shows nothing."""
    strategy: NamedStrategy | None = None
    """The function that decides, if the agent is a trader's strategy; `agent` is then its name."""
    embedded: bool = False
    """Whether a program runs the book as a library: without log and signal handlers, with warnings in the outcome."""


class RunOutcome(NamedTuple):
    """A run's report, and the reason of its end."""

    report: dict[str, Any]
    why: str
    warnings: tuple[str, ...] = ()
    """The warnings of an embedded run, which other runs log."""


def run(job: Job, listener: Listener | None = None) -> RunOutcome:
    """Run a book to its end, and return its report.

    Raises SettingsError, BookError, TapeError or JournalError, each with one sentence for the user. In a run that is
    not paced it also raises the exception of a strategy unchanged, after the run has stopped in good order.
    """
    warnings: list[str] = []
    warn = warnings.append if job.embedded else _warn
    # Invalid options are refused before a directory is changed.
    if job.claude is None and job.strategy is None:
        decider(job.agent, job.policies)
    require_timeframes(job.policies, job.feed.identity.interval)
    if job.picture is not None:
        picture.require(job.picture)
    with ExitStack() as kept, _directory(job.state) as directory, StateLock(directory) as lock:
        commands = CommandFiles(directory, warn)
        identity = job.feed.identity
        made_at = time.time_ns() // 1_000_000  # noqa: TID251 - distinguishes books; it never enters the engine
        store = SqliteStore.open(
            directory,
            stamp(job.feed),
            book_id=_book_id(identity.content),
            created_at=made_at,
            check_lock=lock.require_held,
            accept=partial(_accept, job),
        )
        try:
            strict_remark = not_stricter(job.policies.strict, job.policies.policies, TAINTED_KEYS)
            for remark in (*job.policies.remarks, *([strict_remark] if strict_remark else [])):
                warn(remark)
            if changed := describe_changes(store.last_run(), job.agent, job.policies, job.prompts):
                warn(changed)
            failures: list[Exception] = []

            def failed(error: Exception) -> None:
                failures.append(error)
                if job.speed is None:
                    book.run.stop()
                else:
                    log.error("the strategy failed, and the wake is a HOLD", exc_info=error)

            make_decider = _decider_factory(job, kept, store, failed)
            book = WiredRun(
                job.feed, job.agent, job.policies, job.prompts, store, commands, listener, job.speed, warn, make_decider
            )
            if not job.embedded:
                log.debug("running", market=str(identity), agent=job.agent, book=store.book)
            started, candles_before = book.clock.wall_ms(), book.engine.counters.candles
            why = asyncio.run(_run_to_end(book, job, directory))
            if failures and job.speed is None:
                raise failures[0]
            wall_s = (book.clock.wall_ms() - started) / SECOND
            figures = report(book.engine, store.figures(), book.venue.terms.taker_fee, store.fingerprint)
            if job.picture is not None:
                if job.progress is not None:
                    job.progress.phase("drawing the picture")
                _draw(job.picture, job.feed, store, figures)
            if not job.embedded:
                log.info("stopped", why=why, chain_head=store.chain_head, fingerprint=store.fingerprint)
            if isinstance(job.feed, TapeFeed):
                figures |= _of_the_tape(job.feed, figures["flags"], warn)
            if job.claude is not None and job.claude.recording is not None:
                figures["not_recorded"] = len(job.claude.recording.unanswered_wakes())
                if missing := job.claude.recording.unanswered_text():
                    warn(missing)
            figures = _with_speed(figures, wall_s, book.engine.counters.candles - candles_before)
            return RunOutcome(figures, why, tuple(warnings))
        finally:
            store.close()


def _of_the_tape(feed: TapeFeed, flags: list[str], warn: Callable[[str], None]) -> dict[str, Any]:
    """Return the report's figures on a tape: corrected rows, left-out rows and files, and symbols that ended early.

    Warns of left-out rows and files, and of symbols that ended early.
    """
    left_out, breaks = feed.left_out, feed.discontinuities
    for each in left_out[:WARNED_OF]:
        warn(str(each))
    if len(left_out) > WARNED_OF:
        warn(f"left out: {len(left_out) - WARNED_OF} more; `ocw tape info` and --json list them all")
    found = [
        f"discontinuity: {each}; that is a change of unit, not a gain or loss, so the symbol ends before it"
        for each in breaks
    ]
    for flag in found:
        warn(flag)
    return {
        "flags": [*flags, *found],
        "duplicates": feed.counters.duplicates,
        "disordered": feed.counters.disordered,
        "left_out": msgspec.to_builtins(left_out),
        "discontinuities": msgspec.to_builtins(breaks),
    }


def _accept(job: Job, store: SqliteStore) -> None:
    """Raise BookError for a book of an earlier version that this run cannot continue."""
    describe_changes(store.last_run(), job.agent, job.policies, job.prompts)
    saved = store.checkpoint()
    try:
        if saved is not None:
            read_checkpoint(saved.engine)
            read_state(saved.venue)
    except (msgspec.MsgspecError, ValueError) as error:
        raise other_version(error) from error


def _decider_factory(
    job: Job, kept: ExitStack, store: SqliteStore, failed: Callable[[Exception], None]
) -> Callable[[Clock], Decider] | None:
    """Return a function that makes the decider of Claude or of a strategy; None for a decider made by name."""
    if job.claude is not None:
        return partial(_claude_decider, job, job.claude, kept, store)
    if job.strategy is None:
        return None
    strategy = StrategyDecider(job.strategy.decide, job.strategy.name, failed)
    return lambda clock: strategy


def _claude_decider(job: Job, claude: "ClaudeSetup", kept: ExitStack, store: SqliteStore, clock: Clock) -> Decider:
    from ocw_mcp.agent.recording import RecordingOwner

    return claude.make_decider(job.policies, job.prompts, kept, clock, RecordingOwner(store.book, store.created_at))


def _draw(path: Path, feed: Feed, store: SqliteStore, figures: dict[str, Any]) -> None:
    if not figures["candles"]:
        return
    until, equity = figures["to"], figures["equity_end"]
    prices = asyncio.run(picture.read_prices(feed, until, figures["candles"]))
    picture.draw(path, prices, picture.gather(store.all_events()), (until, equity), picture.title(figures))


def _warn(problem: str) -> None:
    log.warning(problem)


async def _show_progress(book: WiredRun, job: Job, progress: RunProgress) -> None:
    """Show the progress of a run until the task is cancelled."""
    ends_at, engine = market_end(job.feed), book.engine
    if job.for_ms is not None and (began := engine.counters.ran_to or engine.counters.began_at) is not None:
        ends_at = began + job.for_ms
    while True:
        counters, gate = engine.counters, engine.gate.counters
        if ends_at is None and job.for_ms is not None and counters.began_at is not None:
            ends_at = counters.began_at + job.for_ms
        moment = RunMoment(
            at=book.clock.now(),
            ends_at=ends_at,
            catching_up=book.run.catching_up,
            candles=counters.candles,
            evaluations=gate.evaluations,
            wakes=gate.woken,
            next_timer=gate.timer_at,
            equity=engine.account.ledger.equity(),
            prices=engine.market.prices(),
            positions={symbol: each.quantity for symbol, each in engine.account.ledger.positions.items()},
        )
        progress.tick(book.clock.wall_ms(), moment)
        await book.clock.pause(TICK_MS)


async def _run_to_end(book: WiredRun, job: Job, directory: Path) -> str:
    if job.progress is None:
        return await _run(book, job, directory)
    shown = asyncio.create_task(_show_progress(book, job, job.progress))
    try:
        return await _run(book, job, directory)
    finally:
        shown.cancel()


async def _run(book: WiredRun, job: Job, directory: Path) -> str:
    loop = asyncio.get_running_loop()
    for number in () if job.embedded else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Under nohup SIGHUP is ignored, so that the run goes on when its terminal closes.
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, book.run.stop)
    if job.serve is None and job.claude is None:
        return await book.run.run(__version__, job.for_ms)
    # The server is imported only for a run that needs it, since its import takes time.
    from ocw_mcp.app.serve import facade_of, serve_engine

    facade = facade_of(book, directory)
    async with AsyncExitStack() as stack:
        if job.claude is not None:
            await book.run.unless_stopped(job.claude.check_model())
            await stack.enter_async_context(job.claude.connected(book.decider, facade, directory))
        if job.serve is not None:
            await stack.enter_async_context(serve_engine(job.serve, facade, directory))
        return await book.run.run(__version__, job.for_ms)


@contextmanager
def _directory(state: Path | None) -> Iterator[Path]:
    """Yield the state directory, or a new one that is deleted after the run."""
    if state is not None:
        yield state
        return
    with tempfile.TemporaryDirectory(prefix="ocw-") as directory:
        yield Path(directory)


def _book_id(content: str) -> str:
    """Return six characters of the market's identity, so that a simulated book has the same id on every machine."""
    return content[:6]


def _with_speed(figures: dict[str, Any], wall_s: float, candles: int) -> dict[str, Any]:
    """Return the report with the time and memory that this process used for the candles of this run."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    speed = {
        "wall_s": round(wall_s, 3),
        "candles_per_s": round(candles / wall_s) if wall_s > 0 else 0,
        "max_rss_mb": round(kilobytes / 1024, 1),
    }
    names = list(figures)
    head = names[: names.index("to") + 1]
    return {name: figures[name] for name in head} | speed | {n: figures[n] for n in names if n not in head}

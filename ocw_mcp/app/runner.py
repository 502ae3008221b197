"""One run of a book: its directory, lock, signal handlers and report."""

import asyncio
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import structlog

from ocw_mcp import __version__
from ocw_mcp.adapters.control.commands import CommandFiles
from ocw_mcp.adapters.control.heartbeat import Heartbeat, write_heartbeat
from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.adapters.store.book import remove_book
from ocw_mcp.adapters.store.directory import StateLock, has_book
from ocw_mcp.adapters.store.figures import LastRun
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.adapters.venues.paper import read_state
from ocw_mcp.app import picture
from ocw_mcp.app.compose import WiredRun, book_id, decider, require_timeframes, stamp
from ocw_mcp.app.drawing import require_png
from ocw_mcp.app.exchange_access import ExchangeAccess
from ocw_mcp.app.learning.outcomes import imported_outcomes
from ocw_mcp.app.markets import market_end
from ocw_mcp.app.narrator import TICK_MS, RunMoment, RunProgress
from ocw_mcp.app.outside import Outside
from ocw_mcp.app.parsing import ListenAddress
from ocw_mcp.app.policy_loader import LoadedPolicies, LoadedPrompts
from ocw_mcp.app.strategies import NamedStrategy
from ocw_mcp.core.matching.on_candles import TERMS
from ocw_mcp.core.risk.limits import TAINTED_KEYS
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.policies import not_stricter
from ocw_mcp.domain.protocols import Clock, Decider, Feed
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.checkpoint import read_checkpoint
from ocw_mcp.engine.report import report
from ocw_mcp.render.text import HASH_SHOWN
from ocw_mcp.runtime.clock import LiveClock
from ocw_mcp.runtime.deciders import StrategyDecider
from ocw_mcp.runtime.outside import follow_sources
from ocw_mcp.runtime.recorder import Listener
from ocw_mcp.runtime.run import other_version

if TYPE_CHECKING:
    from ocw_mcp.app.claude import ClaudeSetup

log = structlog.get_logger()

BEAT_EVERY_MS = 30 * SECOND
"""Wall time between two heartbeats."""
WARNED_OF = 20
"""The largest number of skipped files and rows of a tape with a warning for each."""


class Job(NamedTuple):
    """The inputs of a run."""

    feed: Feed
    agent: str
    policies: LoadedPolicies
    prompts: LoadedPrompts
    for_ms: int | None
    state: Path | None
    clock: Clock | None = None
    """The clock of a paced or live run; None runs a simulated market as fast as possible."""
    picture: Path | None = None
    serve: ListenAddress | None = None
    claude: "ClaudeSetup | None" = None
    progress: RunProgress | None = None
    strategy: NamedStrategy | None = None
    """The function that decides, if any; `agent` is then the name of this strategy."""
    access: ExchangeAccess | None = None
    """The account of a demo or live run; None for paper."""
    outside: Outside = Outside()
    """The sources outside of the exchange."""
    record_to: Path | None = None
    """The directory of a recording of all inputs; only of a live market."""
    embedded: bool = False
    """Whether a Python program runs the book: without log and signal handlers, and with warnings in the outcome."""


class RunOutcome(NamedTuple):
    """A run's report, and why the run ended."""

    report: dict[str, Any]
    why: str
    warnings: tuple[str, ...] = ()
    """The warnings of an embedded run; a run that is not embedded logs them instead."""


def run(job: Job, listener: Listener | None = None) -> RunOutcome:
    """Run a book to its end, and return its report.

    Raises SettingsError, BookError, TapeError or JournalError, each with one sentence for the user. In an unpaced run,
    an exception of the strategy is raised unchanged after the run has stopped normally.
    """
    warnings: list[str] = []
    warn = warnings.append if job.embedded else log.warning
    # Invalid options are refused before a directory is changed.
    if job.claude is None and job.strategy is None:
        decider(job.agent, job.policies)
    require_timeframes(job.policies, job.feed.identity.interval)
    if job.picture is not None:
        require_png(job.picture)
    with ExitStack() as kept:
        directory = job.state or Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="ocw-")))
        lock = kept.enter_context(StateLock(directory))
        commands = CommandFiles(directory, warn)
        is_new = not has_book(directory)
        created_ns = time.time_ns()  # noqa: TID251 - distinguishes books; it never enters the engine
        store = SqliteStore.open(
            directory,
            stamp(job.feed, job.access),
            book_id=book_id(job.feed, created_ns),
            created_at=created_ns // 1_000_000,
            check_lock=lock.require_held,
            accept=partial(_accept, job),
        )
        if is_new:
            kept.callback(_remove_if_empty, directory, store, lock)
        kept.callback(store.close)
        strict_remark = not_stricter(job.policies.strict, job.policies.policies, TAINTED_KEYS)
        for remark in (*job.policies.remarks, strict_remark, _changes(store.last_run(), job)):
            if remark:
                warn(remark)
        failures: list[Exception] = []

        def failed(error: Exception) -> None:
            failures.append(error)
            if job.clock is None:
                book.run.stop()
            else:
                log.error("the strategy failed, and the wake is a HOLD", exc_info=error)

        # A book that has begun has them in its state.
        imported = imported_outcomes(directory) if store.checkpoint() is None else ()
        if imported and job.policies.policies.learning.mode == "off":
            warn(f"the {len(imported)} imported outcomes are not used, because learning.mode is off")
        make_decider = _decider_factory(job, kept, store, failed)
        book = WiredRun(
            job.feed,
            job.agent,
            job.policies,
            job.prompts,
            store,
            commands,
            listener,
            job.clock,
            warn,
            make_decider,
            job.access,
            job.outside.macro,
            imported,
        )
        if job.record_to is not None:
            # Only a recorded run needs the replay, which this module imports.
            from ocw_mcp.app.recording import record

            record(job.record_to, store, book.stamp, book.config, created_ns // 1_000_000)
        if not job.embedded:
            log.debug("running", market=str(job.feed.identity), agent=job.agent, book=store.book)
        started, candles_before = book.clock.wall_ms(), book.engine.counters.candles
        # The timers of a live feed run as fast as its market.
        make_loop = job.clock.new_loop if isinstance(job.clock, LiveClock) else None
        with asyncio.Runner(loop_factory=make_loop) as runner:
            why = runner.run(_run(book, job, directory))
        if failures and job.clock is None:
            raise failures[0]
        wall_s = (book.clock.wall_ms() - started) / SECOND
        figures = _report(book, store, job, warn)
        if not job.embedded:
            log.info("stopped", why=why, chain_head=store.chain_head, fingerprint=store.fingerprint)
        figures = _with_speed(figures, wall_s, book.engine.counters.candles - candles_before)
        return RunOutcome(figures, why, tuple(warnings))


def _report(book: WiredRun, store: SqliteStore, job: Job, warn: Callable[[str], None]) -> dict[str, Any]:
    """Return the report of a run that ended, and draw its picture if one is wanted."""
    figures = report(book.engine, store.figures(), TERMS[job.feed.identity.product].taker_fee, store.fingerprint)
    if job.picture is not None and figures["candles"]:
        if job.progress is not None:
            job.progress.phase("drawing the picture")
        picture.draw(job.picture, job.feed, picture.gather(store.all_events()), figures)
    if isinstance(job.feed, TapeFeed):
        figures |= _of_the_tape(job.feed, figures["flags"], warn)
    if job.claude is not None and job.claude.recording is not None:
        figures["not_recorded"] = len(job.claude.recording.unanswered_wakes())
        if missing := job.claude.recording.unanswered_text():
            warn(missing)
    return figures


def _remove_if_empty(directory: Path, store: SqliteStore, lock: StateLock) -> None:
    """Delete the new book of a run that never began: the account was refused, or the market gave nothing."""
    if store.is_empty:
        with suppress(BookError, OSError):
            lock.require_held()
            remove_book(directory)


def _of_the_tape(feed: TapeFeed, flags: list[str], warn: Callable[[str], None]) -> dict[str, Any]:
    """Return the report's figures on a tape; warn of skipped rows and files, and of symbols that ended early."""
    left_out, breaks = feed.left_out, feed.discontinuities
    for each in left_out[:WARNED_OF]:
        warn(str(each))
    if len(left_out) > WARNED_OF:
        warn(f"left out: {len(left_out) - WARNED_OF} more; `ocw tape info` and --json list them all")
    why = "that is a change of unit, not a gain or loss, so the symbol ends before it"
    found = [f"discontinuity: {each}; {why}" for each in breaks]
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
    """Raise BookError for a book that this run cannot continue: other options, or a book of another version."""
    _changes(store.last_run(), job)
    saved = store.checkpoint()
    try:
        if saved is not None:
            read_checkpoint(saved.engine)
            if job.access is None:
                read_state(saved.venue)
    except (msgspec.MsgspecError, ValueError) as error:
        raise other_version(error) from error


def _changes(before: LastRun | None, job: Job) -> str:
    """Return a line on the changes since the last run, if any. Raises BookError for changes after a crash."""
    if before is None:
        return ""
    name, policy, prompts, shown = job.policies.policies.name, job.policies.hash, job.prompts.hash, HASH_SHOWN
    changed = [
        (old, new)
        for differs, old, new in (
            (before.agent != job.agent, f"agent {before.agent}", f"agent {job.agent}"),
            (
                before.policy_hash != policy,
                f"policy {before.policy} ({before.policy_hash[:shown]})",
                f"policy {name} ({policy[:shown]})",
            ),
            (before.prompts_hash != prompts, f"prompts {before.prompts_hash[:shown]}", f"prompts {prompts[:shown]}"),
        )
        if differs
    ]
    was, now = ", ".join(old for old, _ in changed), ", ".join(new for _, new in changed)
    # The last step of an interrupted run must be repeated unchanged.
    if was and before.to_be_repeated:
        raise BookError(
            f"the last run of this book was interrupted, and its last step must be repeated unchanged; it ran with "
            f"{was} (ocw {before.version}), and this start has {now}; start it with the old options, stop it with "
            "Ctrl-C, and then start it with the new ones"
        )
    return f"this book ran with {was} until now; from now on with {now}" if was else ""


def _decider_factory(
    job: Job, kept: ExitStack, store: SqliteStore, failed: Callable[[Exception], None]
) -> Callable[[Clock], Decider] | None:
    """Return a function that makes the decider of Claude or of a strategy; None for a decider made by name."""
    if (claude := job.claude) is not None:
        from ocw_mcp.agent.recording import RecordingOwner

        owner = RecordingOwner(store.book, store.created_at)
        return lambda clock: claude.make_decider(job.policies, job.prompts, kept, clock, owner)
    if job.strategy is None:
        return None
    strategy = StrategyDecider(job.strategy.decide, job.strategy.name, failed)
    return lambda clock: strategy


async def _show_progress(book: WiredRun, job: Job, progress: RunProgress) -> None:
    """Show the progress of a run until the task is cancelled."""
    ends_at, engine = market_end(job.feed), book.engine
    while True:
        counters, gate = engine.counters, engine.gate.counters
        if job.for_ms is not None and (began := book.run.time_began) is not None:
            ends_at = began + job.for_ms
        moment = RunMoment(
            at=book.clock.now(),
            ends_at=ends_at,
            catching_up=book.run.catching_up,
            candles=counters.candles,
            evaluations=gate.evaluations,
            wakes=engine.decisions.state().last_wake,
            next_timer=gate.timer_at,
            equity=engine.account.ledger.equity(),
            prices=engine.market.prices(),
            positions={symbol: each.quantity for symbol, each in engine.account.ledger.positions.items()},
        )
        progress.tick(book.clock.wall_ms(), moment)
        await book.clock.pause(TICK_MS)


async def _beat(book: WiredRun, directory: Path, warn: Callable[[str], None]) -> None:
    """Write the heartbeat of a run until the task is cancelled; warn once if it cannot be written."""
    warned = False
    while True:
        now = time.time_ns() // 1_000_000  # noqa: TID251 - for monitors of the machine; it never enters the engine
        beat = Heartbeat(
            at=book.clock.now(),
            written_at=now,
            pid=os.getpid(),
            state=book.engine.account.trading_state,
            data_at=book.engine.data_at,
            last_event=book.store.last_seq,
        )
        try:
            await asyncio.to_thread(write_heartbeat, directory, beat)
            warned, book.heartbeat_at = False, now
        except BookError as error:
            if not warned:
                warn(f"no heartbeat: {error}")
            warned = True
        await book.clock.pause(BEAT_EVERY_MS)


async def _run(book: WiredRun, job: Job, directory: Path) -> str:
    loop = asyncio.get_running_loop()
    for number in () if job.embedded else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Under nohup SIGHUP is ignored, so that the run continues when its terminal closes.
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, book.run.stop)
    async with AsyncExitStack() as stack:
        if job.progress is not None:
            stack.callback(asyncio.create_task(_show_progress(book, job, job.progress)).cancel)
        if job.state is not None and job.clock is not None:
            stack.callback(asyncio.create_task(_beat(book, directory, log.warning)).cancel)
        if job.outside.readers:
            follow = follow_sources(job.outside.readers, book.clock, book.run.shell.inbox.put, log.warning)
            stack.push_async_callback(job.outside.close)
            stack.callback(asyncio.create_task(follow).cancel)
        if job.serve is not None or job.claude is not None:
            # The server is imported only for a run that needs it, since its import takes time.
            from ocw_mcp.app.serve import facade_of, serve_engine

            facade = facade_of(book, directory)
            if job.claude is not None:
                await book.run.unless_stopped(job.claude.check_model())
                await stack.enter_async_context(job.claude.connected(book.decider, facade, directory))
            if job.serve is not None:
                await stack.enter_async_context(serve_engine(job.serve, facade, directory))
        return await book.run.run(__version__, job.for_ms)


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

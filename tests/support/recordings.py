"""Recorded books in tests: the start of a process, and the replay of a recording."""

import asyncio
from decimal import Decimal
from pathlib import Path

import msgspec

from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.adapters.store.recording_files import RecordingIdentity, RecordingReader, RecordingWriter
from ocw_mcp.adapters.store.recording_queue import recorded_entries
from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.adapters.venues.silent import SilentVenue
from ocw_mcp.app import recording
from ocw_mcp.domain.market import MarketIdentity
from ocw_mcp.domain.protocols import ExchangeVenue, SimulatedVenue
from ocw_mcp.domain.recordings import Recorded, RecordedStart
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.runtime.recorded_book import BookReplay, ReplayedBook
from ocw_mcp.runtime.recorder import Listener
from tests.support.exchange_books import BOOK, Plan


def start_of(store: SqliteStore, config: EngineConfig, version: str = "test") -> RecordedStart:
    """Return the start of a process with the options of an engine."""
    market = MarketIdentity("binance", config.product, config.interval, config.symbols, "1ead" * 16)
    stamp = msgspec.structs.replace(store.stamp, mode=config.mode, market=market)
    return recording.start_of(stamp, config, store.book, version)


def record(store: SqliteStore, config: EngineConfig, directory: Path, version: str = "test") -> RecordingWriter:
    """Let a store record its inputs into a directory."""
    writer = RecordingWriter(directory, RecordingIdentity(1, store.book, store.created_at, 0))
    store.record(writer, start_of(store, config, version))
    return writer


def venue_of(start: RecordedStart) -> SimulatedVenue | ExchangeVenue:
    """Return the venue of a replay."""
    if start.mode is Mode.PAPER:
        return PaperVenue(start.market.product, Decimal(10_000), 5 * start.market.interval, live=True)
    return SilentVenue(start.market.product)


def entries(directory: Path, book: Path | None = None) -> list[Recorded]:
    """Return the entries of a recording, and those that wait in the journal of its book."""
    return list(recorded_entries(RecordingReader(directory), book))


def replayed(directory: Path, book: Path | None = None, listener: Listener | None = None) -> ReplayedBook:
    """Replay a recording."""
    return asyncio.run(replay(directory, book, listener))


async def replay(directory: Path, book: Path | None = None, listener: Listener | None = None) -> ReplayedBook:
    """Replay a recording in the running event loop."""
    return await BookReplay(venue_of, "test", listener).run(lambda: entries(directory, book))


def start_of_plan(plan: Plan, mode: Mode) -> RecordedStart:
    """Return the start of a process of a planned book on the sandbox exchange."""
    market = plan.market
    return RecordedStart(
        version="test",
        book=BOOK,
        mode=mode,
        venue="paper" if mode is Mode.PAPER else "binance",
        account="main",
        market=MarketIdentity("binance", market.product, MINUTE, market.symbols, "1ead" * 16),
        agent="test",
        policies=plan.policy.model_dump_json(),
        strict=None,
        policy_hash="policy",
        prompts_hash="prompts",
        start_equity=Decimal(10_000),
        fallback=False,
    )

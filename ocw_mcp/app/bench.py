"""Measurements on this machine. Absolute figures are the machine's; the ratios are what to compare."""

import asyncio
import statistics
import tempfile
from pathlib import Path
from typing import Any

from ocw_mcp.adapters.control.commands import CommandFiles
from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.app.compose import Book, stamp
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.core.gate.gate import Gate
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.domain.unknown import Reading, Unknown
from ocw_mcp.runtime.clock import SimulatedClock

SHORT_DAYS, LONG_DAYS, PAIRS = 7, 28, 5
LOOKS = 50_000


def measure() -> dict[str, Any]:
    """Replay speed with rules trading, its growth with history, and the cost of one look of the gate."""
    _replay(2)  # warms caches and imports up
    pairs = [(_replay(SHORT_DAYS), _replay(LONG_DAYS)) for _ in range(PAIRS)]
    short = statistics.median(pair[0] for pair in pairs)
    long = statistics.median(pair[1] for pair in pairs)
    return {
        "replay": {
            "symbols": 1,
            "candles": LONG_DAYS * 1440,
            "candles_per_s": round(1e6 / long),
            "us_per_candle": round(long, 2),
        },
        "history": {
            "candles_short": SHORT_DAYS * 1440,
            "candles_long": LONG_DAYS * 1440,
            "us_per_candle_short": round(short, 2),
            "us_per_candle_long": round(long, 2),
            "ratio": round(statistics.median(pair[1] / pair[0] for pair in pairs), 3),
            "pairs": PAIRS,
        },
        "gate": {"looks": LOOKS, "us_per_look": round(_gate(), 3)},
    }


def _replay(days: int) -> float:
    """Microseconds per candle of a run on the simulated market, journal and checkpoints included."""
    policies, prompts = load_policies(None), load_prompts(None)
    feed = SimulatedFeed(seed=1, symbols=("BTCUSDT",), days=days, warmup_days=0)
    with tempfile.TemporaryDirectory(prefix="ocw-bench-") as name:
        directory = Path(name)
        store = SqliteStore.open(directory, stamp(feed), book_id="bench0", created_at=0)
        try:
            book = Book(feed, "rules", policies, prompts, store, CommandFiles(directory))
            started = book.clock.wall_ms()
            asyncio.run(book.run.run("bench"))
            return (book.clock.wall_ms() - started) * 1_000 / book.engine.tally.candles
        finally:
            store.close()


def _nothing(symbol: str, metric: str) -> Reading:
    return Unknown("not asked here")


def _gate() -> float:
    """Microseconds per look of the gate at a quiet market that still moves."""
    clock = SimulatedClock()
    gate = Gate(load_policies(None).policies.gate, MINUTE, ("BTCUSDT",))
    closes = [100.0 + (index * 7919 % 101) / 1_000 for index in range(LOOKS)]
    started = clock.wall_ms()
    for index, close in enumerate(closes):
        gate.look("BTCUSDT", close, (MINUTE,), at=index * MINUTE, read=_nothing, after_hole=False, in_position=False)
        gate.wake(index * MINUTE, busy=False)
    return (clock.wall_ms() - started) * 1_000 / LOOKS

"""The speed of a replay with journal and checkpoints, and its dependence on the length of the history."""

import asyncio
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ocw_mcp.adapters.control.commands import CommandFiles
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.app.bench import peer
from ocw_mcp.app.bench.recorded import FramesInMemory, record
from ocw_mcp.app.compose import WiredRun, stamp
from ocw_mcp.app.policy_loader import LoadedPolicies, load_policies, load_prompts

CANDLES: Final = 40_000
RUNS: Final = 5
SHORT: Final = 10_000
LONG: Final = 200_000
WINDOW: Final = 20_000
PAIRS: Final = 7


def measure() -> dict[str, Any]:
    """Return the candles per second with the rules trading, and with a wake that reads all indicators every 15 minutes.

    Both are medians of `RUNS` alternating runs on the same candles. If backtesting.py is installed, it runs a strategy
    with a few indicators on them, and `ratio` is the speed of OCW over its speed.
    """
    market, default = record(CANDLES), load_policies(None)
    reading = _reading_all(default)
    _us_per_candle(market.first(2_000), default)  # warms up caches and imports
    runs = [(_us_per_candle(market, default), _us_per_candle(market, reading)) for _ in range(RUNS)]
    trading, all_read = (statistics.median(run[place] for run in runs) for place in (0, 1))
    result: dict[str, Any] = {
        "symbols": 1,
        "candles": CANDLES,
        "candles_per_s": round(1e6 / trading),
        "us_per_candle": round(trading, 2),
        "candles_per_s_reading_all": round(1e6 / all_read),
        "runs": RUNS,
    }
    if peer.installed():
        pairs = [(_us_per_candle(market, default), peer.us_per_candle(market)) for _ in range(RUNS)]
        result["backtesting_py"] = {
            "candles_per_s": round(1e6 / statistics.median(pair[1] for pair in pairs)),
            "ratio": round(statistics.median(pair[1] / pair[0] for pair in pairs), 3),
        }
    return result


def measure_history() -> dict[str, Any]:
    """Return the time per candle after a long history over the time for the same candles after a short one.

    Two books process the same last `WINDOW` candles, one after `LONG` earlier candles and one after the last `SHORT` of
    these. The ratio is the median of alternating pairs.
    """
    default = load_policies(None)
    long_market = record(LONG + WINDOW)
    short_market = long_market.last(SHORT + WINDOW)
    _us_per_candle(short_market, default)
    pairs = [(_us_at_the_end(short_market, default), _us_at_the_end(long_market, default)) for _ in range(PAIRS)]
    return {
        "candles_before_short": SHORT,
        "candles_before_long": LONG,
        "candles": WINDOW,
        "us_per_candle_short": round(statistics.median(pair[0] for pair in pairs), 2),
        "us_per_candle_long": round(statistics.median(pair[1] for pair in pairs), 2),
        "ratio": round(statistics.median(pair[1] / pair[0] for pair in pairs), 3),
        "pairs": PAIRS,
    }


def _reading_all(default: LoadedPolicies) -> LoadedPolicies:
    """Return policies under which each close of 15m, 1h and 4h is a wake, whose snapshot reads every indicator."""
    gate = default.policies.gate.model_copy(update={"close_wakes": ("15m", "1h", "4h"), "cooldown_s": 0})
    return replace(default, policies=default.policies.model_copy(update={"gate": gate}))


def _us_per_candle(market: FramesInMemory, policies: LoadedPolicies) -> float:
    """Return the microseconds per candle of one run in a new book."""
    return _run(market, policies, len(market.recorded))


def _us_at_the_end(market: FramesInMemory, policies: LoadedPolicies) -> float:
    """Return the microseconds per candle of the last `WINDOW` candles of a run."""
    return _run(market, policies, WINDOW)


def _run(market: FramesInMemory, policies: LoadedPolicies, timed: int) -> float:
    with tempfile.TemporaryDirectory(prefix="ocw-bench-") as name:
        directory = Path(name)
        store = SqliteStore.open(directory, stamp(market), book_id="bench0", created_at=0)
        try:
            book = WiredRun(market, "rules", policies, load_prompts(None), store, CommandFiles(directory))
            market.timed(timed, book.clock.wall_ms)
            asyncio.run(book.run.run("bench"))
            return (book.clock.wall_ms() - market.started) * 1_000 / market.candles
        finally:
            store.close()

"""Whole runs: the speed of a replay, its dependence on the length of the history, and the memory of a long run."""

import asyncio
import json
import statistics
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import talib

from ocw_mcp.app.bench.fixtures import FramesInMemory, open_book, record
from ocw_mcp.app.policy_loader import LoadedPolicies, load_policies
from ocw_mcp.runtime.clock import SimulatedClock

CANDLES: Final = 40_000
RUNS: Final = 5
SHORT: Final = 10_000
LONG: Final = 200_000
WINDOW: Final = 20_000
PAIRS: Final = 7
SPAN: Final = "730d"
MARKETS: Final = (1, 3, 30)
MINUTES: Final = 5_760
TURNS: Final = 3
SYMBOLS: Final = "BTCUSDT,ETHUSDT,SOLUSDT"
_ADX_OF_A_TREND: Final = 20


def measure_replay() -> dict[str, Any]:
    """Return the candles per second with the rules trading, and with a wake that reads all indicators every 15 minutes.

    Both speeds are medians of `RUNS` alternating runs on the same candles, with journal and checkpoints. If
    backtesting.py is installed, it runs a strategy with a few indicators on these candles; `ratio` is OCW's speed
    divided by that of backtesting.py. `by_symbols` has the time per candle of a symbol in markets of several sizes.
    """
    market, default = record(CANDLES), load_policies(None)
    # Each close of 15m, 1h and 4h is a wake, whose snapshot reads every indicator.
    gate = default.policies.gate.model_copy(update={"close_wakes": ("15m", "1h", "4h"), "cooldown_s": 0})
    reading = replace(default, policies=default.policies.model_copy(update={"gate": gate}))
    # The first run warms up caches and imports.
    _us_per_candle(FramesInMemory(market.identity, market.recorded[:2_000]), default)
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
    result["by_symbols"] = _by_symbols(default)
    if find_spec("backtesting") is not None:
        pairs = [(_us_per_candle(market, default), _us_of_backtesting_py(market)) for _ in range(RUNS)]
        result["backtesting_py"] = {
            "candles_per_s": round(1e6 / statistics.median(pair[1] for pair in pairs)),
            "ratio": round(statistics.median(pair[1] / pair[0] for pair in pairs), 3),
        }
    return result


def measure_history() -> dict[str, Any]:
    """Return the time per candle after a long history, divided by the time for the same candles after a short one.

    Two books process the same last `WINDOW` candles: one after `LONG` earlier candles, the other after only the last
    `SHORT` of the earlier candles. `ratio` is the median over alternating pairs of runs.
    """
    default = load_policies(None)
    long = record(LONG + WINDOW)
    short = FramesInMemory(long.identity, long.recorded[-SHORT - WINDOW :])
    _us_per_candle(short, default)
    pairs = [(_us_per_candle(short, default, WINDOW), _us_per_candle(long, default, WINDOW)) for _ in range(PAIRS)]
    return {
        "candles_before_short": SHORT,
        "candles_before_long": LONG,
        "candles": WINDOW,
        "us_per_candle_short": round(statistics.median(pair[0] for pair in pairs), 2),
        "us_per_candle_long": round(statistics.median(pair[1] for pair in pairs), 2),
        "ratio": round(statistics.median(pair[1] / pair[0] for pair in pairs), 3),
        "pairs": PAIRS,
    }


def measure_memory() -> dict[str, Any]:
    """Return memory and speed of a process that runs the rules over two years of minute candles of three symbols."""
    arguments = ["-m", "ocw_mcp", "run", "--market", "sim", "--symbols", SYMBOLS, "--for", SPAN, "--json"]
    done = subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE)
    report = json.loads(done.stdout)
    figures = ("candles", "candles_per_s", "wall_s", "max_rss_mb", "wakes", "orders")
    return {name: len(report[name]) if name == "wakes" else report[name] for name in figures} | {"span": SPAN}


def _by_symbols(policies: LoadedPolicies) -> dict[str, Any]:
    """Return the microseconds per candle of a symbol in markets of one, three and thirty symbols of equal length.

    The numbers are medians of alternating runs; `ratio_30_to_1` is the median of the ratios of each turn.
    """
    names = tuple(f"S{place:02d}USDT" for place in range(max(MARKETS)))
    markets = {count: record(count * MINUTES, names[:count]) for count in MARKETS}
    turns = [{count: _us_per_candle(market, policies) for count, market in markets.items()} for _ in range(TURNS)]
    return {
        "minutes": MINUTES,
        "us_per_candle": {str(count): round(statistics.median(turn[count] for turn in turns), 2) for count in MARKETS},
        "ratio_30_to_1": round(statistics.median(turn[30] / turn[1] for turn in turns), 3),
        "turns": TURNS,
    }


def _us_per_candle(market: FramesInMemory, policies: LoadedPolicies, last: int | None = None) -> float:
    """Return the microseconds per candle of one run in a new book, over all frames or over the `last` ones."""
    with open_book(market, policies) as (book, _):
        candles = market.timed(last or len(market.recorded), book.clock.wall_ms)
        asyncio.run(book.run.run("bench"))
        return (book.clock.wall_ms() - market.started) * 1_000 / candles


def _us_of_backtesting_py(market: FramesInMemory) -> float:
    """Return the microseconds per candle of one backtest of backtesting.py, as a reference for speed.

    backtesting.py computes indicators on whole arrays before the run, and has no journal, gate, policies or protective
    stops.
    """
    backtesting, pandas = import_module("backtesting"), import_module("pandas")

    class Averages(backtesting.Strategy):  # type: ignore[misc, name-defined]
        """Buys if fast > middle > slow average in a trend, and closes when the fast average is below the middle one."""

        def init(self) -> None:
            close, high, low = (
                np.asarray(column, float) for column in (self.data.Close, self.data.High, self.data.Low)
            )
            self.fast, self.middle, self.slow = (self.I(talib.EMA, close, each) for each in (9, 21, 50))
            self.rsi = self.I(talib.RSI, close, 14)
            self.atr = self.I(talib.ATR, high, low, close, 14)
            self.adx = self.I(talib.ADX, high, low, close, 14)

        def next(self) -> None:
            fast, middle = self.fast[-1], self.middle[-1]
            if self.position:
                if fast < middle:
                    self.position.close()
            elif fast > middle > self.slow[-1] and self.adx[-1] > _ADX_OF_A_TREND and self.rsi[-1] < 75:
                self.buy(size=0.1, sl=self.data.Close[-1] - 3 * self.atr[-1])

    candles = [candle for frame in market.recorded for candle in frame.closed]
    columns = {
        name.capitalize(): [getattr(candle, name) for candle in candles]
        for name in ("open", "high", "low", "close", "volume")
    }
    times = pandas.to_datetime([candle.open_time for candle in candles], unit="ms")
    test = backtesting.Backtest(pandas.DataFrame(columns, index=times), Averages, cash=1e7)
    clock = SimulatedClock()
    started = clock.wall_ms()
    test.run()
    return (clock.wall_ms() - started) * 1_000 / len(candles)

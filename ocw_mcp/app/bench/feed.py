"""The live feed with engine and gate: speed beside a bare loop, a burst, latency, and a day of faults in virtual time.

Times are CPU times of this process; the messages come from another one. Speed and latency have the bounds of the
project beside them.
"""

import math
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

import msgspec

from ocw_mcp.adapters.feeds.binance.feed import WARMUP_DAYS
from ocw_mcp.app.bench.feed_bare import BareRun, run_bare
from ocw_mcp.app.bench.feed_book import BookRun, run_book
from ocw_mcp.app.bench.feed_day import BookDay
from ocw_mcp.app.bench.feed_generator import Sent, running_generator
from ocw_mcp.app.bench.feed_traffic import TrafficSpec
from ocw_mcp.app.bench.live_day import START
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.market import SandboxMarket

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
BEGIN: Final = START + 8 * HOUR - 2 * MINUTE
"""The begin of the messages: two minutes before a close of four hours, with a wake and a funding."""
RATE: Final = 50_000
"""Messages a second. A minute of the generator's market has as many, so that it runs 60 times as fast."""
MOST_TIMES_BARE: Final = 2.5
SLOW_RATE: Final = 1_000
MOST_P99_MS: Final = 5.0
HOURS: Final = 24
MOST_MEMORY_RATIO: Final = 1.02
_WRITES_A_SECOND: Final = 200
_SLOW_TICK_MS: Final = 5 * SECOND
"""The time (ms) between two prices in the run for latency, whose market is 400 times as fast as real time."""


class Load(msgspec.Struct, frozen=True):
    """The sizes of a measurement."""

    minutes: int = 6
    """Minutes of the generator's market in a run for speed."""
    runs: int = 3
    """Pairs of runs."""
    per_minute: int = RATE
    """Messages in each of them."""
    rate: int = RATE
    """Messages a second."""
    burst: int = 100_000
    slow_minutes: int = 80
    """Minutes of the generator's market in a run for latency."""
    slow_per_minute: int = 150
    """Messages in each of them."""
    malformed: int = 0
    """After so many messages, one malformed message is added; 0 adds none."""
    warmup_days: int = WARMUP_DAYS


class FeedBench:
    """The measurements over one exchange in process, which answers the requests of all runs."""

    def __init__(self, load: Load) -> None:
        self._load = load
        market = SandboxMarket.simulated(7, SYMBOLS, Product.UM, START)
        self._exchange = Exchange(market)
        trades = {symbol: market.last_trade(symbol, BEGIN) for symbol in SYMBOLS}
        self._prices = {symbol: trade.price for symbol, trade in trades.items() if trade is not None}

    def speed(self) -> dict[str, Any]:
        """Return the CPU time of a message in a live book and in the bare loop, of alternating runs."""
        load = self._load
        spec = self._spec(load.minutes, load.per_minute, max(1, load.rate // _WRITES_A_SECOND))
        pairs = list[tuple[BookRun, BareRun]]()
        with running_generator(spec) as generator:
            count = spec.messages
            for _ in range(load.runs):
                book = run_book(generator, self._exchange, spec, load.rate, load.warmup_days)
                bare = run_bare(generator, count + book.sent.malformed, load.rate)
                generator.sent()
                pairs.append((book, bare))
        books = [book for book, _ in pairs]
        return {
            "rate_per_s": load.rate,
            "symbols": len(SYMBOLS),
            "runs": load.runs,
            "cpu_us_per_message": _rounded(median(_us(book.cpu_s, count) for book in books)),
            "bare_cpu_us_per_message": _rounded(median(_us(bare.cpu_s, count) for _, bare in pairs)),
            "times_bare": _rounded(median(book.cpu_s / bare.cpu_s for book, bare in pairs)),
            "times_bare_at_most": MOST_TIMES_BARE,
            "messages_per_cpu_s": round(median(count / book.cpu_s for book in books)),
            "messages_per_cpu_s_at_least": RATE,
            "reached_per_s": round(median(count / book.wall_s for book in books)),
            **_complete(books),
        }

    def burst(self) -> dict[str, Any]:
        """Return what became of a burst in the last second before a close; it is written without a pause."""
        load = self._load
        spec = self._spec(2, load.per_minute, max(1, load.rate // _WRITES_A_SECOND), burst=load.burst)
        with running_generator(spec) as generator:
            book = run_book(generator, self._exchange, spec, load.rate, load.warmup_days)
        return {
            "burst": spec.burst,
            "seconds": _rounded(book.ended_s - book.sent.burst_at),
            **_complete([book]),
        }

    def latency(self) -> dict[str, Any]:
        """Return the time from the write of a minute's candles to the end of their processing, gate included."""
        load = self._load
        spec = self._spec(load.slow_minutes, load.slow_per_minute, 1)
        own, on_core, bare, books = list[float](), list[float](), list[float](), list[BookRun]()
        with running_generator(spec) as generator:
            for _ in range(load.runs):
                book = run_book(generator, self._exchange, spec, SLOW_RATE, load.warmup_days, _SLOW_TICK_MS)
                reference = run_bare(generator, spec.messages + book.sent.malformed, SLOW_RATE)
                own += _delays_ms(book.taken, book.sent)
                on_core += _delays_ms(
                    {at: taken - book.waited.get(at, 0.0) for at, taken in book.taken.items()}, book.sent
                )
                bare += _delays_ms(reference.taken, generator.sent())
                books.append(book)
        return {
            "rate_per_s": SLOW_RATE,
            "runs": load.runs,
            "verdicts": sum(book.evaluations for book in books),
            "p50_ms": _rounded(_percentile(own, 50)),
            "p99_ms": _rounded(_percentile(own, 99)),
            "p99_ms_at_most": MOST_P99_MS,
            "p99_ms_without_waits_for_a_core": _rounded(_percentile(on_core, 99)),
            "bare_p50_ms": _rounded(_percentile(bare, 50)),
            "bare_p99_ms": _rounded(_percentile(bare, 99)),
            **_complete(books),
        }

    def _spec(self, minutes: int, per_minute: int, per_write: int, burst: int = 0) -> TrafficSpec:
        return TrafficSpec(self._prices, BEGIN, minutes, per_minute, per_write, burst, self._load.malformed)


def measure() -> dict[str, Any]:
    """Return the measurements of the live feed; see docs/benchmarks.md."""
    bench = FeedBench(Load())
    return {"speed": bench.speed(), "burst": bench.burst(), "latency": bench.latency(), "day": measure_day()}


def measure_day() -> dict[str, Any]:
    """Return what a day of faults left of the candles, and the memory at the end of its second and of its last hour."""
    command = [sys.executable, "-m", "ocw_mcp.app.bench.feed_day", str(HOURS)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return day_figures(msgspec.json.decode(done.stdout, type=BookDay))


def day_figures(found: BookDay) -> dict[str, Any]:
    """Return the figures of a day of a live book."""
    day, memory, own = found.day, found.process_bytes, found.own_bytes
    # The candle in which the book begins is not evaluated, and nothing is decided on a late one.
    evaluated = len(own) * HOUR // MINUTE * len(SYMBOLS) - len(SYMBOLS) - day.late
    return {
        "hours": len(own),
        "seconds": _rounded(day.seconds),
        "messages": day.messages,
        "candles": day.expected,
        "candles_missing": day.missing,
        "candles_repeated": day.repeated,
        "candles_different": day.different,
        "late": day.late,
        "verdicts": found.evaluations,
        "verdicts_missing": evaluated - found.evaluations,
        "wakes": found.wakes,
        "incidents": day.incidents,
        "memory_mb_second_hour": _rounded(memory[1] / 2**20),
        "memory_mb_last_hour": _rounded(memory[-1] / 2**20),
        "memory_ratio": _rounded(memory[-1] / memory[1]),
        "memory_ratio_at_most": MOST_MEMORY_RATIO,
        "own_kb_second_hour": round(own[1] / 1_024),
        "own_kb_last_hour": round(own[-1] / 1_024),
        "own_kb_largest": round(max(own) / 1_024),
    }


def _complete(runs: Sequence[BookRun]) -> dict[str, Any]:
    """Return what was lost in runs over the same messages. The sums are over the runs; each should be 0."""
    sent = runs[0].sent
    known = {(each.symbol, each.open_time): each for each in sent.candles}
    counts: dict[str, Any] = {"messages": sent.messages, "lost": 0, "candles": len(known)}
    counts |= {"candles_missing": 0, "candles_repeated": 0, "candles_different": 0, "verdicts_missing": 0}
    counts |= {"late": 0, "malformed_sent": sent.malformed}
    incidents: Counter[str] = Counter()
    # The candle in which a new book begins is not evaluated: a part of it is before the book.
    evaluated = len(known) - len({each.symbol for each in sent.candles})
    for run in runs:
        given = [(each.symbol, each.open_time) for each in run.closed]
        counts["lost"] += sent.messages - run.stored
        counts["candles_missing"] += len(known.keys() - set(given))
        counts["candles_repeated"] += len(given) - len(set(given))
        counts["candles_different"] += sum(known.get((each.symbol, each.open_time)) != each for each in run.closed)
        counts["verdicts_missing"] += evaluated - run.evaluations
        counts["late"] += run.late
        incidents.update(run.incidents)
    return counts | {"incidents": dict(incidents)}


def _delays_ms(taken: dict[int, float], sent: Sent) -> list[float]:
    return [(taken[at] - since) * 1_000 for at, since in sent.closes.items() if at in taken]


def _percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that is not below `percent` of all."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def _us(seconds: float, messages: int) -> float:
    return seconds * 1e6 / messages


def _rounded(value: float) -> float:
    return round(value, 3)

"""The simulated market as a feed: frames in time order, with history for warm-up before the start."""

import hashlib
import math
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ocw_mcp.adapters.feeds.simulated import parameters as p
from ocw_mcp.adapters.feeds.simulated.candles import (
    Columns,
    DerivativesDay,
    funding_of,
    metrics_of,
    simulate_candles,
    simulate_derivatives,
)
from ocw_mcp.adapters.feeds.simulated.paths import (
    Floats,
    Memory,
    PricePath,
    RegimePath,
    generator,
    simulate_path,
    simulate_regimes,
)
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Candle, Frame, Funding, MarketIdentity, Metrics, Opening, OrderBook, Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND, span_name

MODEL = "sim-2"
"""Change this name with any change to the simulated data: a book stores it and accepts no other model."""
START = 1_767_225_600_000
"""Default start of a simulated market (ms): 2026-01-01T00:00:00Z."""
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
OLDEST_DAYS = 14
"""Days before the start at which the market itself begins: the longest possible history."""
WARMUP_DAYS = 11
"""Days of history before the start: more than sixty candles of four hours."""
SHORTEST, LONGEST = 5 * SECOND, HOUR


class SymbolDay(NamedTuple):
    """One symbol's day."""

    model: p.SymbolModel
    path: PricePath
    columns: Columns
    metrics: list[Metrics]
    funding: list[Funding]

    def quotes(self, step: int) -> tuple[Floats, Floats, Floats]:
        """Return best bid, best ask and depth per side at the close of each candle of `step` (ms).

        The close lies between bid and ask, or is the bid if they are one tick apart. The spread is modelled and not
        measured: it grows with volatility, and is at least one tick.
        """
        model, path = self.model, self.path
        unit, lots = 10.0**model.decimals, 10.0**model.lot_decimals
        prices = np.exp(path.level + np.cumsum(path.returns) - path.returns)
        volatility = np.exp(p.SPREAD_ON_VOLATILITY * path.unusual)
        spreads = np.maximum(np.round(prices * model.spread * volatility * unit), 1.0)
        closes = np.arange(1, self.columns.close.size + 1) * step
        ticks = spreads[(closes - 1) // MINUTE]
        bids = np.maximum(np.round(self.columns.close * unit) - np.floor(ticks / 2), 1.0)
        depths = np.round(self.columns.volume * (p.DEPTH * MINUTE / step) * lots) / lots
        return np.round(bids / unit, model.decimals), np.round((bids + ticks) / unit, model.decimals), depths


class DayTerms(NamedTuple):
    """The length of a candle (ms) of a day, and whether the day has metrics and funding."""

    step: int
    derivatives: bool


class SimulatedFeed:
    """A simulated market, endless unless `days` is set; its prices do not depend on other symbols or on `step`."""

    def __init__(
        self,
        seed: int,
        symbols: Sequence[str] = SYMBOLS,
        product: Product = Product.UM,
        start: int = START,
        days: int | None = None,
        step: int = MINUTE,
        warmup_days: int = WARMUP_DAYS,
    ) -> None:
        """`start` is a UTC midnight in ms, `step` the length of a candle in ms. Spot has no metrics or funding.

        Raises SettingsError for invalid arguments.
        """
        if seed < 0:
            raise SettingsError(f"the seed of the simulated market is {seed}; expected 0 or more; use one such as 1")
        if start < OLDEST_DAYS * DAY or start % DAY or (days is not None and days < 1) or not symbols:
            raise SettingsError(
                f"the simulated market has start {start}, days {days} and {len(symbols)} symbols; "
                "expected a start at a UTC midnight in ms, a day or more and a symbol; correct them"
            )
        if not SHORTEST <= step <= LONGEST or (MINUTE % step and (step % MINUTE or DAY % step)):
            raise SettingsError(
                f"the simulated market has no candles of {span_name(step)}; expected 5s to 1h, either a fraction of a "
                "minute or minutes that divide a day; choose one such as 1m"
            )
        if not 0 <= warmup_days <= OLDEST_DAYS:
            raise SettingsError(f"{warmup_days} days of history were requested; expected 0 to {OLDEST_DAYS}")
        self.symbols = tuple(sorted(set(symbols)))
        self.interval = step
        self.product = product
        self._seed, self._start, self._days = seed, start, days
        self._frame_step = math.gcd(step, p.METRICS_EVERY) if product is Product.UM else step
        self._genesis = start - OLDEST_DAYS * DAY
        self._market = seed, self._genesis, self.symbols
        self._terms = DayTerms(step, product is Product.UM)
        self._first_frame = start - warmup_days * DAY
        self._next = 0
        """The number of the day after the latest one."""

    @property
    def identity(self) -> MarketIdentity:
        content = hashlib.sha256(f"{MODEL} seed={self._seed} start={self._start}".encode()).hexdigest()
        return MarketIdentity("sim", self.product, self.interval, self.symbols, content)

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """Yield all frames, or those later than `after` (ms); each day before the start is one frame of history."""
        since = self._first_frame - 1 if after is None else max(after, self._first_frame - 1)
        number = (max(since, self._first_frame) - self._genesis) // DAY
        begin = (self._start - self._genesis) // DAY
        for frame in chain(self._history(number, begin), self._frames_from(max(number, begin), begin)):
            if frame.at > since:
                yield frame

    def _history(self, number: int, begin: int) -> Iterator[Frame]:
        """Yield the days from `number` up to `begin`, one frame each, after a first frame that has only openings."""
        for each in range(number, begin):
            midnight, (metrics, funding) = self._genesis + each * DAY, _derivatives(self._day(each))
            candles = candles_of_day(*self._market, self._terms, each)
            if each == number:
                opened = tuple(Opening(own[0].symbol, midnight, own[0].open) for own in candles)
                yield Frame(midnight, opened=opened, history=True)
            until = min(midnight + DAY, self._start - self._frame_step)
            yield Frame(
                until,
                tuple(candle for row in zip(*candles, strict=True) for candle in row if candle.close_time <= until),
                metrics=tuple(row for at, rows in metrics.items() for row in rows if at <= until),
                funding=tuple(row for at, rows in funding.items() for row in rows if at <= until),
                history=True,
            )

    def _frames_from(self, number: int, begin: int) -> Iterator[Frame]:
        """Yield the frames of the market from day `number` on; `begin` is the day of the start.

        The first frame closes the last candles of the history; without one, or on a later day, it has only openings.
        """
        end = None if self._days is None else begin + self._days
        open_candles: tuple[Candle, ...] = ()
        next_books: tuple[OrderBook, ...] = ()
        metrics: dict[int, tuple[Metrics, ...]] = {}
        funding: dict[int, tuple[Funding, ...]] = {}
        if number == begin and self._first_frame < self._start:
            metrics, funding = _derivatives(self._day(number - 1))
            open_candles, next_books = deque(self._rows(number - 1), maxlen=1).pop()
        while end is None or number < end:
            midnight, day = self._genesis + number * DAY, self._day(number)
            rows = self._rows(number)
            for at in range(midnight, midnight + DAY, self._frame_step):
                closed: tuple[Candle, ...] = ()
                opened: tuple[Opening, ...] = ()
                books: tuple[OrderBook, ...] = ()
                if at % self.interval == 0:
                    closed, books = open_candles, next_books
                    open_candles, next_books = next(rows)
                    opened = tuple(Opening(each.symbol, at, each.open) for each in open_candles)
                if opened or at in metrics or at in funding:
                    known = metrics.get(at, ()), funding.get(at, ())
                    yield Frame(at, closed, opened, *known, books=books)
                if at == midnight:
                    # Rows of the midnight that ends a day belong to that day, so its tables are replaced only after
                    # the frame of that midnight.
                    metrics, funding = _derivatives(day)
            number += 1
        if open_candles:
            at = self._genesis + number * DAY
            yield Frame(at, open_candles, (), metrics.get(at, ()), funding.get(at, ()), books=next_books)

    def _rows(self, number: int) -> Iterator[tuple[tuple[Candle, ...], tuple[OrderBook, ...]]]:
        """Return a day's candles by open time, each with the order book at its close."""
        day = (*self._market, self._terms, number)
        return zip(zip(*candles_of_day(*day), strict=True), zip(*books_of_day(*day), strict=True), strict=True)

    def _day(self, number: int) -> list[SymbolDay]:
        """Return the day `number` (from 0) of each symbol's market; a jump ahead by a year takes about a second."""
        # In this order each outline finds the one before it in the cache.
        for each in range(self._next if self._next <= number else 0, number):
            outline_day(*self._market, each)
        self._next = number + 1
        return simulate_day(*self._market, self._terms, number)


def _derivatives(day: list[SymbolDay]) -> tuple[dict[int, tuple[Metrics, ...]], dict[int, tuple[Funding, ...]]]:
    """Return the metrics and the funding rates of all symbols on a day, by time (ms)."""
    metrics = {rows[0].at: rows for rows in zip(*(each.metrics for each in day), strict=True)}
    funding = {rates[0].at: rates for rates in zip(*(each.funding for each in day), strict=True)}
    return metrics, funding


class Outline(NamedTuple):
    """The part of a day on which the next day depends; no candle is simulated for it."""

    market: RegimePath
    symbols: list[tuple[p.SymbolModel, PricePath, DerivativesDay]]
    memories: dict[str, Memory]
    """The last values of the day: of the market (named "") and of each symbol."""


@lru_cache(maxsize=24)
def outline_day(seed: int, genesis: int, symbols: tuple[str, ...], number: int) -> Outline:
    """Return the outline of day `number` since `genesis` (UTC, ms). Feeds of one market share the cached days."""
    earlier = outline_day(seed, genesis, symbols, number - 1).memories if number else {}
    memories = {name: dict(earlier.get(name, {})) for name in ("", *symbols)}
    weekday = (genesis // DAY + number + 3) % 7  # 1970 began on a Thursday
    # The purpose of a generator is part of its seed: another word here would make another market.
    market = simulate_regimes(generator(seed, number, "weather"), weekday, memories[""])
    outlines = []
    for symbol in symbols:
        draw, model = generator(seed, number, f"path {symbol}"), p.symbol_model(symbol)
        path = simulate_path(draw, model, market, memories[symbol])
        outlines.append((model, path, simulate_derivatives(draw, model, path, memories[symbol])))
    return Outline(market, outlines, memories)


# Two feeds of one market, as of a run and of its repetition, share the last days.
@lru_cache(maxsize=2)
def simulate_day(seed: int, genesis: int, symbols: tuple[str, ...], terms: DayTerms, number: int) -> list[SymbolDay]:
    """Return day `number` of each symbol's market since `genesis` (UTC, ms). The cached outlines make it fast."""
    outline = outline_day(seed, genesis, symbols, number)
    midnight, days = genesis + number * DAY, []
    for symbol, (model, path, derivatives) in zip(symbols, outline.symbols, strict=True):
        draw = generator(seed, number, f"candles {symbol}")
        columns, minutes = simulate_candles(draw, model, outline.market, path, terms.step)
        metrics, funding = list[Metrics](), list[Funding]()
        if terms.derivatives:
            metrics = metrics_of(symbol, model, derivatives, minutes, midnight)
            funding = funding_of(symbol, derivatives, midnight)
        days.append(SymbolDay(model, path, columns, metrics, funding))
    return days


@lru_cache(maxsize=2)
def candles_of_day(
    seed: int, genesis: int, symbols: tuple[str, ...], terms: DayTerms, number: int
) -> list[list[Candle]]:
    """Return each symbol's candles of a day."""
    midnight, step = genesis + number * DAY, terms.step
    times = range(midnight, midnight + DAY, step)
    return [
        [Candle(symbol, at, step, *row) for at, row in zip(times, _rows_of(each.columns), strict=True)]
        for symbol, each in zip(symbols, simulate_day(seed, genesis, symbols, terms, number), strict=True)
    ]


@lru_cache(maxsize=2)
def books_of_day(
    seed: int, genesis: int, symbols: tuple[str, ...], terms: DayTerms, number: int
) -> list[list[OrderBook]]:
    """Return the order book of each symbol at the close of each candle of a day; both sides are equally deep."""
    midnight, step = genesis + number * DAY, terms.step
    closes = range(midnight + step, midnight + DAY + step, step)
    return [
        [
            OrderBook(symbol, at, bid, ask, depth, depth)
            for at, (bid, ask, depth) in zip(closes, _rows_of(each.quotes(step)), strict=True)
        ]
        for symbol, each in zip(symbols, simulate_day(seed, genesis, symbols, terms, number), strict=True)
    ]


def _rows_of(columns: tuple[Floats, ...]) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)

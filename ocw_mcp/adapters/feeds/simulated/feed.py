"""The simulated market as a feed: its days as frames in time order, with history to warm up on before the beginning."""

import hashlib
import math
from collections.abc import AsyncGenerator, Iterator, Sequence

from ocw_mcp.adapters.feeds.simulated.market import MarketDay, SimulatedMarket
from ocw_mcp.adapters.feeds.simulated.parameters import METRICS_EVERY
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Candle, Frame, Funding, MarketIdentity, Metrics, Opening, OrderBook, Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND, span_name

MODEL = "sim-2"
"""Changes with anything that changes a price or what is told beside it: a book of another model refuses this one."""
START = 1_767_225_600_000
"""2026-01-01T00:00:00Z, ms: where a book begins."""
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
OLDEST_DAYS = 14
"""Days before the start at which the market itself begins: as much history as there can be."""
WARMUP_DAYS = 11
"""Days of history that are shown: with them there are more than sixty candles of four hours."""
SHORTEST, LONGEST = 5 * SECOND, HOUR


class SimulatedFeed:
    """An endless market, or one of `days` days. The same seed gives the same frames."""

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
        """`start` is a UTC midnight in ms, `step` the length of a candle in ms. Spot has no derivatives.

        Raises SettingsError for a market that cannot be made.
        """
        if seed < 0:
            raise SettingsError(f"the seed of the simulated market is {seed}; expected 0 or more; give one such as 1")
        if start < OLDEST_DAYS * DAY or start % DAY or (days is not None and days < 1) or not symbols:
            raise SettingsError(
                f"no market can be simulated of start {start}, days {days} and {len(symbols)} symbols; "
                "expected a start at a UTC midnight in ms, a day or more and a symbol; mend that"
            )
        if not SHORTEST <= step <= LONGEST or (MINUTE % step and (step % MINUTE or DAY % step)):
            raise SettingsError(
                f"the simulated market has no candles of {span_name(step)}; expected 5s to 1h, as a part of a minute "
                "or as minutes that fill a day; choose one such as 1m"
            )
        if not 0 <= warmup_days <= OLDEST_DAYS:
            raise SettingsError(f"there are {warmup_days} days of history asked for; expected 0 to {OLDEST_DAYS}")
        self.symbols = tuple(sorted(set(symbols)))
        self.interval = step
        self.product = product
        self._seed, self._start, self._days = seed, start, days
        self._genesis = start - OLDEST_DAYS * DAY
        self._shown_from = start - warmup_days * DAY
        self._market = SimulatedMarket(seed, self.symbols, self._genesis, step)

    @property
    def identity(self) -> MarketIdentity:
        content = hashlib.sha256(f"{MODEL} seed={self._seed} start={self._start}".encode()).hexdigest()
        return MarketIdentity("sim", self.product, self.interval, self.symbols, content)

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """All frames later than `after` (ms), or all there are; those before the start are history."""
        since = self._shown_from - 1 if after is None else max(after, self._shown_from - 1)
        for frame in self._days_from(max(since, self._shown_from)):
            if frame.at > since:
                yield frame

    def _days_from(self, moment: int) -> Iterator[Frame]:
        """All frames from the midnight before a moment on. That of the midnight itself lacks what closes at it."""
        number = (moment - self._genesis) // DAY
        end = None if self._days is None else (self._start - self._genesis) // DAY + self._days
        open_candles: tuple[Candle, ...] = ()
        coming: tuple[OrderBook, ...] = ()
        told = _Told()
        while end is None or number < end:
            day = self._market.day(number)
            rows = zip(
                _candles(self.symbols, day, self.interval), _books(self.symbols, day, self.interval), strict=True
            )
            for at in range(day.midnight, day.midnight + DAY, self._grid):
                closed: tuple[Candle, ...] = ()
                opened: tuple[Opening, ...] = ()
                books: tuple[OrderBook, ...] = ()
                if at % self.interval == 0:
                    closed, books = open_candles, coming
                    open_candles, coming = next(rows)
                    opened = tuple(Opening(each.symbol, at, each.open) for each in open_candles)
                metrics, funding = told.at(at)
                if opened or metrics or funding:
                    yield Frame(at, closed, opened, metrics, funding, at < self._start, books)
                if at == day.midnight and self.product is Product.UM:
                    # What is known at the midnight that ends a day is the day's, so the day before must have told it.
                    told.take(day)
            number += 1
        if open_candles:
            at = self._genesis + number * DAY
            metrics, funding = told.at(at)
            yield Frame(at, open_candles, (), metrics, funding, books=coming)

    @property
    def _grid(self) -> int:
        """Steps (ms) in which anything can happen: those of candles, and those of metrics where they are shorter."""
        return self.interval if self.product is Product.SPOT else math.gcd(self.interval, METRICS_EVERY)

    def spread(self, symbol: str, at: int) -> float:
        """Best ask less best bid in the minute of `at` (ms), in quote currency and whole ticks.

        A model and no measure: wider where it is livelier, never below one tick. Raises KeyError for another symbol.
        """
        if symbol not in self.symbols:
            raise KeyError(symbol)
        day = self._market.day((at - self._genesis) // DAY)
        return float(day.spreads(self.symbols.index(symbol))[(at - day.midnight) // MINUTE])


class _Told:
    """Metrics and funding of a day by the moment at which they are known."""

    def __init__(self) -> None:
        self._metrics: dict[int, tuple[Metrics, ...]] = {}
        self._funding: dict[int, tuple[Funding, ...]] = {}

    def take(self, day: MarketDay) -> None:
        """Forget the day before, and know this one's."""
        self._metrics = {rows[0].at: rows for rows in zip(*day.metrics, strict=True)}
        self._funding = {rows[0].at: rows for rows in zip(*day.funding, strict=True)}

    def at(self, moment: int) -> tuple[tuple[Metrics, ...], tuple[Funding, ...]]:
        """What becomes known at a moment."""
        return self._metrics.get(moment, ()), self._funding.get(moment, ())


def _candles(symbols: tuple[str, ...], day: MarketDay, step: int) -> Iterator[tuple[Candle, ...]]:
    """A day's candles, those of one moment together."""
    times = range(day.midnight, day.midnight + DAY, step)
    series = [
        [
            Candle(symbol, at, step, *row)
            for at, row in zip(times, zip(*(column.tolist() for column in columns), strict=True), strict=True)
        ]
        for symbol, columns in zip(symbols, day.columns, strict=True)
    ]
    return iter(zip(*series, strict=True))


def _books(symbols: tuple[str, ...], day: MarketDay, step: int) -> Iterator[tuple[OrderBook, ...]]:
    """What stands in the books as a day's candles close, those of one moment together; both sides are equally deep."""
    times = range(day.midnight + step, day.midnight + DAY + step, step)
    series = [
        [
            OrderBook(symbol, at, bid, ask, depth, depth)
            for at, bid, ask, depth in zip(times, *(column.tolist() for column in day.books(place, step)), strict=True)
        ]
        for place, symbol in enumerate(symbols)
    ]
    return iter(zip(*series, strict=True))

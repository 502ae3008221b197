"""The simulated market as a feed: frames in time order, with history for warm-up before the start."""

import hashlib
import math
from collections.abc import AsyncGenerator, Iterator, Sequence

from ocw_mcp.adapters.feeds.simulated.market import MarketDay, SimulatedMarket
from ocw_mcp.adapters.feeds.simulated.parameters import METRICS_EVERY
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Candle, Frame, Funding, MarketIdentity, Metrics, Opening, OrderBook, Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND, span_name

MODEL = "sim-2"
"""Raise it with any change to prices, volumes, quotes or derivatives: a book of another model refuses this one."""
START = 1_767_225_600_000
"""2026-01-01T00:00:00Z, ms: the start of a book."""
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
OLDEST_DAYS = 14
"""Days before the start at which the market itself begins: the longest possible history."""
WARMUP_DAYS = 11
"""Days of history in the frames: they hold more than sixty candles of four hours."""
SHORTEST, LONGEST = 5 * SECOND, HOUR


class SimulatedFeed:
    """A market without end, or of `days` days. The same seed gives the same frames."""

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

        Raises SettingsError for arguments that describe no market.
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
        self._genesis = start - OLDEST_DAYS * DAY
        self._first_frame = start - warmup_days * DAY
        self._market = SimulatedMarket(seed, self.symbols, self._genesis, step)

    @property
    def identity(self) -> MarketIdentity:
        content = hashlib.sha256(f"{MODEL} seed={self._seed} start={self._start}".encode()).hexdigest()
        return MarketIdentity("sim", self.product, self.interval, self.symbols, content)

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """Yield all frames later than `after` (ms), or all of them; frames before the start are history."""
        since = self._first_frame - 1 if after is None else max(after, self._first_frame - 1)
        for frame in self._frames_from(max(since, self._first_frame)):
            if frame.at > since:
                yield frame

    def _frames_from(self, at: int) -> Iterator[Frame]:
        """Yield all frames from the midnight before `at` (ms) on.

        The frame of that midnight lacks the candles, metrics and funding of the day before.
        """
        number = (at - self._genesis) // DAY
        end = None if self._days is None else (self._start - self._genesis) // DAY + self._days
        open_candles: tuple[Candle, ...] = ()
        next_books: tuple[OrderBook, ...] = ()
        metrics: dict[int, tuple[Metrics, ...]] = {}
        funding: dict[int, tuple[Funding, ...]] = {}
        while end is None or number < end:
            day = self._market.day(number)
            rows = zip(
                _candles(self.symbols, day, self.interval), _books(self.symbols, day, self.interval), strict=True
            )
            for at in range(day.midnight, day.midnight + DAY, self._frame_step):
                closed: tuple[Candle, ...] = ()
                opened: tuple[Opening, ...] = ()
                books: tuple[OrderBook, ...] = ()
                if at % self.interval == 0:
                    closed, books = open_candles, next_books
                    open_candles, next_books = next(rows)
                    opened = tuple(Opening(each.symbol, at, each.open) for each in open_candles)
                if opened or at in metrics or at in funding:
                    known = metrics.get(at, ()), funding.get(at, ())
                    yield Frame(at, closed, opened, *known, history=at < self._start, books=books)
                if at == day.midnight and self.product is Product.UM:
                    # Rows stamped with the midnight that ends a day belong to that day, so its tables are replaced
                    # only after the frame of that midnight.
                    metrics = {row[0].at: row for row in zip(*day.metrics, strict=True)}
                    funding = {row[0].at: row for row in zip(*day.funding, strict=True)}
            number += 1
        if open_candles:
            at = self._genesis + number * DAY
            yield Frame(at, open_candles, (), metrics.get(at, ()), funding.get(at, ()), books=next_books)

    @property
    def _frame_step(self) -> int:
        """The time (ms) between possible frames: a candle, or a common divisor of candle and metrics interval."""
        return self.interval if self.product is Product.SPOT else math.gcd(self.interval, METRICS_EVERY)


def _candles(symbols: tuple[str, ...], day: MarketDay, step: int) -> Iterator[tuple[Candle, ...]]:
    """Return a day's candles, those of one time together."""
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
    """Return the order books as a day's candles close, those of one time together; both sides are equally deep."""
    times = range(day.midnight + step, day.midnight + DAY + step, step)
    series = [
        [
            OrderBook(symbol, at, bid, ask, depth, depth)
            for at, bid, ask, depth in zip(times, *(column.tolist() for column in day.quotes(place, step)), strict=True)
        ]
        for place, symbol in enumerate(symbols)
    ]
    return iter(zip(*series, strict=True))

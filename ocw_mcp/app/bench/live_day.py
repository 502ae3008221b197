"""A day of the live feed on the sandbox exchange in virtual time, with faults of all kinds: which candles it gave."""

import time
from array import array
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from itertools import count
from typing import Any, Final

import msgspec

from ocw_mcp.adapters.feeds.binance import BinanceFeed
from ocw_mcp.domain.market import Candle, FeedNotice, Frame, MarketIdentity, Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.fault_kinds import FORMS
from ocw_mcp.sandbox.binance.faults import Fault
from ocw_mcp.sandbox.binance.faulty import FaultyExchange
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time

START: Final = 1_767_225_600_000
"""The beginning of the day: 2026-01-01T00:00:00Z."""
BEFORE_MS: Final = DAY
"""The length of the history before the day."""
BEGINS_LATE_MS: Final = 30 * SECOND
"""The time (ms) from START to the beginning of the feed."""
_LAST_FRAMES_MS: Final = 5 * SECOND


class LiveDay(msgspec.Struct, frozen=True):
    """The candles of a run of the live feed, compared with those of the exchange's source."""

    expected: int
    """The candles of the source, history included."""
    given: int
    repeated: int
    missing: int
    different: int
    """Candles that the source has with other values, or not at all."""
    late: int
    """Candles on which nothing is decided, because they came too late."""
    messages: int
    """The valid messages that were stored."""
    seconds: float
    """The real time of the run."""
    incidents: dict[str, int]
    notices: tuple[FeedNotice, ...]

    @property
    def exact(self) -> bool:
        """Whether the feed gave exactly the source's candles, each once."""
        return self.repeated == self.missing == self.different == 0


class SandboxFeed:
    """The live feed on a sandbox exchange in process, as a feed that ends; it needs a loop in virtual time."""

    def __init__(
        self,
        market: SandboxMarket,
        start: int,
        until: int,
        *,
        faults: Sequence[Fault] = (),
        thin: int = 10,
        warmup_days: int = BEFORE_MS // DAY,
        observe: Callable[[BinanceFeed], None] = lambda feed: None,
    ) -> None:
        """The exchange's time begins at `start` and ends at `until` (ms); the times of faults count from START.

        Of quotes and marks, one in `thin` is sent. `observe` gets the feed before each frame.
        """
        self._market, self._start, self._until, self._faults = market, start, until, faults
        self._thin, self._warmup_days, self._observe = thin, warmup_days, observe
        self.feed: BinanceFeed | None = None
        """The live feed; None before `frames` is called."""

    @property
    def identity(self) -> MarketIdentity:
        return MarketIdentity("binance", self._market.product, MINUTE, self._market.symbols, "of a sandbox")

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """Yield the frames until the end."""
        exchange = FaultyExchange(Exchange(self._market), START, self._faults, self._thin)
        transport = InProcessTransport(exchange, self._start, grain_ms=500)
        numbers = count()
        feed = self.feed = BinanceFeed(
            self._market.product,
            self._market.symbols,
            transport,
            jitter=lambda: next(numbers) * 0.37 % 1,
            warmup_days=self._warmup_days,
            tick_ms=10 * SECOND,
        )
        frames = feed.frames(after)
        try:
            async for frame in frames:
                if transport.exchange_ms() >= self._until:
                    return
                self._observe(feed)
                yield frame
        finally:
            await frames.aclose()


class RecordedFeed(SandboxFeed):
    """A SandboxFeed that a live book can run on, and that compares its candles with those of the source."""

    def __init__(self, source: Mapping[str, Mapping[int, Candle]], *args: Any, **kwargs: Any) -> None:
        """`source` has the candles by symbol and open time (ms); the other arguments are those of SandboxFeed."""
        super().__init__(*args, **kwargs)
        self._source = source
        self.opened: dict[str, array[int]] = {symbol: array("q") for symbol in source}
        """The open times (ms) of the candles that were given, by symbol."""
        self.different = 0
        self.notices: list[FeedNotice] = []
        self.late = self.messages = 0
        self.incidents: dict[str, int] = {}

    def watch(self, levels: Mapping[str, tuple[float, float]]) -> None:
        """Set the levels at which a price is yielded at once."""
        if self.feed is not None:
            self.feed.watch(levels)

    def resume_at(self, known: Mapping[str, int]) -> None:
        """Do nothing: the book of a day is new."""

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """Yield the frames until the end."""
        async with aclosing(super().frames(after)) as frames:
            async for frame in frames:
                assert self.feed is not None
                if (session := self.feed.session) is not None:
                    self.messages = session.dispatcher.messages
                    self.incidents.update(session.notices.counts)
                self.notices += frame.notices
                self.late += len(frame.closed) if frame.late else 0
                for candle in frame.closed:
                    self.opened[candle.symbol].append(candle.open_time)
                    self.different += self._source[candle.symbol].get(candle.open_time) != candle
                yield frame


def drain(feed: RecordedFeed) -> None:
    """Read all frames in virtual time, and drop them."""

    async def read() -> None:
        async for _ in feed.frames():
            pass

    run_in_virtual_time(read())


def run_live_day(
    product: Product = Product.UM,
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "SOLUSDT"),
    *,
    seed: int = 7,
    hours: int = 24,
    faults: Sequence[Fault] | None = None,
    thin: int = 8,
    warmup_days: int = BEFORE_MS // DAY,
    consume: Callable[[RecordedFeed], None] = drain,
    observe: Callable[[BinanceFeed], None] = lambda feed: None,
) -> LiveDay:
    """Run the live feed for some hours, with the faults of `faults_of_a_day` unless others are given.

    `consume` reads the frames in virtual time; `observe` gets the feed before each frame.
    """
    market = SandboxMarket.simulated(seed, symbols, product, START)
    until = START + hours * HOUR
    since = START - warmup_days * DAY
    source = {
        symbol: {each.open_time: each for each in source_candles(market, symbol, since, until)} for symbol in symbols
    }
    feed = RecordedFeed(
        source,
        market,
        START + BEGINS_LATE_MS,
        until + _LAST_FRAMES_MS,
        faults=faults_of_a_day() if faults is None else faults,
        thin=thin,
        warmup_days=warmup_days,
        observe=observe,
    )
    began = time.perf_counter()  # noqa: TID251 - the real time of a benchmark
    consume(feed)
    seconds = time.perf_counter() - began  # noqa: TID251 - the real time of a benchmark
    totals: Counter[str] = Counter()
    for symbol, opened in feed.opened.items():
        totals["expected"] += len(source[symbol])
        totals["given"] += len(opened)
        totals["repeated"] += len(opened) - len(set(opened)) + (list(opened) != sorted(opened))
        totals["missing"] += len(source[symbol].keys() - set(opened))
    return LiveDay(
        expected=totals["expected"],
        given=totals["given"],
        repeated=totals["repeated"],
        missing=totals["missing"],
        different=feed.different,
        late=feed.late,
        messages=feed.messages,
        seconds=seconds,
        incidents=feed.incidents,
        notices=tuple(feed.notices),
    )


def source_candles(market: SandboxMarket, symbol: str, since: int, until: int) -> list[Candle]:
    """Return the source's candles that open from `since` to before `until` (ms)."""
    found = []
    for kline in market.klines(symbol, "1m", since, until - 1, (until - since) // MINUTE, until + DAY):
        prices = (kline.open, kline.high, kline.low, kline.close)
        found.append(Candle(symbol, kline.open_time, MINUTE, *prices, kline.volume, kline.taker_volume))
    return found


def faults_of_a_day() -> list[Fault]:
    """Return faults of all kinds, spread over 24 hours."""
    invalid = [
        Fault("garbage", 10 * HOUR + number * 10 * MINUTE, 5 * MINUTE, form=form, nth=5, replaces=number % 2 == 1)
        for number, form in enumerate(FORMS)
    ]
    return [
        Fault("drop", 20 * MINUTE, every=3 * HOUR + 7 * MINUTE),
        Fault("close", 2 * HOUR + MINUTE, every=5 * HOUR),
        Fault("refuse", 4 * HOUR + 30 * SECOND, 3 * MINUTE),
        Fault("mute", 5 * HOUR + 10 * MINUTE, 9 * MINUTE, stream="btcusdt@*"),
        Fault("mute", 6 * HOUR, 6 * MINUTE),
        Fault("delay", 7 * HOUR, 20 * MINUTE, by=15 * SECOND, stream="*kline*"),
        Fault("duplicate", 8 * HOUR, 20 * MINUTE, times=3),
        Fault("reorder", 8 * HOUR + 30 * MINUTE, 20 * MINUTE),
        Fault("refuse", 9 * HOUR + 30 * SECOND, 7 * MINUTE, rest=True),
        *invalid,
        Fault("error", 12 * HOUR, 5 * MINUTE),
        Fault("limit", 13 * HOUR, 2 * MINUTE),
        Fault("mute", 14 * HOUR, 8 * MINUTE, stream="ethusdt@*"),
        Fault("ban", 14 * HOUR + 30 * SECOND, 5 * MINUTE),
        Fault("skew", 16 * HOUR, 10 * MINUTE, by=5 * SECOND),
        Fault("skew", 17 * HOUR, 10 * MINUTE, by=-HOUR),
        Fault("filters", 18 * HOUR, symbol="BTCUSDT", tick="0.5"),
    ]

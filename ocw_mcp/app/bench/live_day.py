"""A day of the live feed on the sandbox exchange in virtual time, with faults of all kinds: which candles it gave."""

import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import count
from typing import Final

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
_BEGINS_LATE_MS: Final = 30 * SECOND
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
        observe: Callable[[BinanceFeed], None] = lambda feed: None,
    ) -> None:
        """The exchange's time begins at `start` and ends at `until` (ms); the times of faults count from START.

        Of quotes and marks, one in `thin` is sent. `observe` gets the feed before each frame.
        """
        self._market, self._start, self._until, self._faults = market, start, until, faults
        self._thin, self._observe = thin, observe

    @property
    def identity(self) -> MarketIdentity:
        return MarketIdentity("binance", self._market.product, MINUTE, self._market.symbols, "of a sandbox")

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """Yield the frames until the end."""
        exchange = FaultyExchange(Exchange(self._market), START, self._faults, self._thin)
        transport = InProcessTransport(exchange, self._start, grain_ms=500)
        numbers = count()
        feed = BinanceFeed(
            self._market.product,
            self._market.symbols,
            transport,
            jitter=lambda: next(numbers) * 0.37 % 1,
            warmup_days=BEFORE_MS // DAY,
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


def run_live_day(
    product: Product = Product.UM,
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "SOLUSDT"),
    *,
    seed: int = 7,
    hours: int = 24,
    faults: Sequence[Fault] | None = None,
    thin: int = 8,
) -> LiveDay:
    """Run the live feed for some hours, with the faults of `faults_of_a_day` unless others are given."""
    market = SandboxMarket.simulated(seed, symbols, product, START)
    until = START + hours * HOUR
    given = {symbol: list[Candle]() for symbol in symbols}
    notices, incidents = list[FeedNotice](), dict[str, int]()
    late = messages = 0

    def observe(feed: BinanceFeed) -> None:
        nonlocal messages
        assert feed.session is not None
        messages = feed.session.dispatcher.messages
        incidents.update(feed.session.notices.counts)

    feed = SandboxFeed(
        market,
        START + _BEGINS_LATE_MS,
        until + _LAST_FRAMES_MS,
        faults=faults_of_a_day() if faults is None else faults,
        thin=thin,
        observe=observe,
    )

    async def run() -> None:
        nonlocal late
        async for frame in feed.frames():
            notices.extend(frame.notices)
            late += len(frame.closed) if frame.late else 0
            for candle in frame.closed:
                given[candle.symbol].append(candle)

    began = time.perf_counter()  # noqa: TID251 - the real time of a benchmark
    run_in_virtual_time(run())
    seconds = time.perf_counter() - began  # noqa: TID251 - the real time of a benchmark
    totals: Counter[str] = Counter()
    for symbol in symbols:
        source = {each.open_time: each for each in source_candles(market, symbol, START - BEFORE_MS, until)}
        opened = [each.open_time for each in given[symbol]]
        totals["expected"] += len(source)
        totals["given"] += len(opened)
        totals["repeated"] += len(opened) - len(set(opened)) + (opened != sorted(opened))
        totals["missing"] += len(source.keys() - set(opened))
        totals["different"] += sum(source.get(each.open_time) != each for each in given[symbol])
    return LiveDay(
        expected=totals["expected"],
        given=totals["given"],
        repeated=totals["repeated"],
        missing=totals["missing"],
        different=totals["different"],
        late=late,
        messages=messages,
        seconds=seconds,
        incidents=incidents,
        notices=tuple(notices),
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

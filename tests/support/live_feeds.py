"""Runs of the live feed in virtual time."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Any

import msgspec

from ocw_mcp.adapters.binance.transport import RestResponse, Transport
from ocw_mcp.adapters.feeds.binance import BinanceFeed
from ocw_mcp.adapters.feeds.binance.session import Session
from ocw_mcp.domain.market import Candle, FeedNotice, Frame, Product
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.scripted_market import SYMBOLS, ScriptedMarket, source_candle

SETTLE_MS = 5_000
"""How long a run goes on, so that it ends after what belongs to its last close."""
Script = Mapping[int, Callable[[], Any]]
"""What happens, by the exchange's time (ms)."""


def jitter() -> Callable[[], float]:
    """Return a sequence of numbers from 0 to below 1 that is the same in each run."""
    numbers = count()
    return lambda: next(numbers) * 0.37 % 1


def live_feed(
    transport: Transport, symbols: Sequence[str], product: Product = Product.UM, **options: Any
) -> BinanceFeed:
    """Return a feed with a day of history."""
    return BinanceFeed(product, symbols, transport, jitter=jitter(), **{"warmup_days": 1, **options})


def feed_on(market: ScriptedMarket, **options: Any) -> Callable[[], BinanceFeed]:
    """Return a maker of feeds on a scripted exchange."""
    return lambda: live_feed(market, market.symbols, **options)


def source(symbol: str, since: int, until: int) -> list[Candle]:
    """Return the scripted exchange's candles that open from `since` to before `until` (ms)."""
    return [source_candle(symbol, at) for at in range(since, until, MINUTE)]


def rows_answer(*rows: list[object]) -> RestResponse:
    """Return the answer of REST that has these rows."""
    return RestResponse(200, msgspec.json.encode(list(rows)), {})


class Run:
    """The frames of one run, and what the feed counted."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.seen_at: list[int] = []
        """The exchange's time (ms) at which each frame was yielded."""
        self.counts: dict[str, int] = {}

    @property
    def live(self) -> list[Frame]:
        """The frames after the history."""
        return [frame for frame in self.frames if not frame.history]

    @property
    def candles(self) -> list[Candle]:
        """All closed candles in the order in which they were yielded."""
        return [candle for frame in self.frames for candle in frame.closed]

    def candles_of(self, symbol: str, *, live: bool = False) -> list[Candle]:
        """Return the closed candles of a symbol."""
        return [
            each for frame in (self.live if live else self.frames) for each in frame.closed if each.symbol == symbol
        ]

    @property
    def notices(self) -> list[FeedNotice]:
        """All notices, in order."""
        return [notice for frame in self.frames for notice in frame.notices]

    def told(self, kind: str, subject: str | None = None) -> list[str]:
        """Return the details of the notices of a kind and a subject."""
        return [each.detail for each in self.notices if each.kind == kind and subject in (None, each.subject)]


def run_feed(
    make: Callable[[], BinanceFeed],
    until: int,
    *,
    after: int | None = None,
    script: Script | None = None,
    keep: Callable[[Frame], bool] = lambda frame: True,
    consume: Callable[[Frame, BinanceFeed], Awaitable[None] | None] | None = None,
) -> Run:
    """Run a feed until the exchange's time `until` (ms), with the actions of a script; keep the frames that match."""
    waiting = sorted((script or {}).items())

    async def collect() -> Run:
        run, feed = Run(), make()
        frames = feed.frames(after)
        session: Session | None = None
        try:
            async for frame in frames:
                session = feed.session
                assert session is not None
                now = session.clock.now_ms()
                while waiting and waiting[0][0] <= now:
                    waiting.pop(0)[1]()
                if keep(frame):
                    run.frames.append(frame)
                    run.seen_at.append(now)
                if consume is not None:
                    busy = consume(frame, feed)
                    if busy is not None:
                        await busy
                if now >= until + SETTLE_MS:
                    break
        finally:
            await frames.aclose()
        if session is not None:
            run.counts = dict(session.notices.counts)
        return run

    return run_in_virtual_time(collect())


def assert_all_once(run: Run, since: int, until: int, symbols: Sequence[str] = SYMBOLS) -> None:
    """Assert that each symbol's candles are exactly those of the scripted exchange in a time (ms)."""
    for symbol in symbols:
        assert run.candles_of(symbol) == source(symbol, since, until)

"""Small markets with given candles."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence

from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Candle, Frame, Funding, MarketIdentity, Metrics, Opening, OrderBook, Product
from ocw_mcp.domain.time import MINUTE

START = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""


def candle(
    index: int,
    close: float,
    *,
    open_: float | None = None,
    high: float | None = None,
    low: float | None = None,
    symbol: str = "BTCUSDT",
    interval: int = MINUTE,
    volume: float = 1e6,
) -> Candle:
    """Return the candle that opens `index` intervals after START; high and low span open and close unless given.

    The default volume is large enough for every order.
    """
    opening = close if open_ is None else open_
    return Candle(
        symbol=symbol,
        open_time=START + index * interval,
        interval=interval,
        open=opening,
        high=max(opening, close) if high is None else high,
        low=min(opening, close) if low is None else low,
        close=close,
        volume=volume,
    )


def path(closes: Sequence[float], symbol: str = "BTCUSDT") -> list[Candle]:
    """Return minute candles, each of which opens at the previous close."""
    return [
        candle(index, close, open_=closes[index - 1] if index else close, symbol=symbol)
        for index, close in enumerate(closes)
    ]


class ListFeed:
    """A feed of listed candles of any symbols, with derivatives metrics, funding and order books."""

    def __init__(
        self,
        candles: Sequence[Candle],
        *,
        metrics: Sequence[Metrics] = (),
        funding: Sequence[Funding] = (),
        books: Sequence[OrderBook] = (),
        product: Product = Product.UM,
        breaks_at: int | None = None,
    ) -> None:
        self._candles = list(candles)
        self._books = books
        self._metrics = metrics
        self._funding = funding
        self._breaks_at = breaks_at
        self.symbols = tuple(sorted({each.symbol for each in candles}))
        self.interval = candles[0].interval
        self.product = product

    @property
    def identity(self) -> MarketIdentity:
        return MarketIdentity("list", self.product, self.interval, self.symbols, "c0ffee" * 8)

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        closed: dict[int, list[Candle]] = defaultdict(list)
        opened: dict[int, list[Opening]] = defaultdict(list)
        for each in sorted(self._candles, key=lambda each: each.symbol):
            closed[each.close_time].append(each)
            opened[each.open_time].append(Opening(each.symbol, each.open_time, each.open))
        others = {*(each.at for each in self._metrics), *(each.at for each in self._funding)}
        for at in sorted({*closed, *opened, *others, *(each.at for each in self._books)}):
            if after is not None and at <= after:
                continue
            if at == self._breaks_at:
                raise TapeError("list.csv line 7 is torn; expected a whole line; fetch it again")
            yield Frame(
                at,
                tuple(closed.get(at, ())),
                tuple(opened.get(at, ())),
                tuple(each for each in self._metrics if each.at == at),
                tuple(each for each in self._funding if each.at == at),
                books=tuple(each for each in self._books if each.at == at),
            )


class HandFed(ListFeed):
    """A feed that yields its frames when the test allows it."""

    def __init__(self, candles: Sequence[Candle], *, breaks_at: int | None = None) -> None:
        super().__init__(candles, breaks_at=breaks_at)
        self.allowed = asyncio.Semaphore(0)

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        async for frame in super().frames(after):
            await self.allowed.acquire()
            yield frame

    def give(self, count: int) -> None:
        for _ in range(count):
            self.allowed.release()

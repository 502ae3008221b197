"""A live market of listed frames, whose clock shows the time of the frame at hand."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from ocw_mcp.domain.market import Candle, Frame, Instrument, Mark, MarketIdentity, OrderBook, Product
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.runtime.clock import LiveClock
from tests.support.markets import START, candle

if TYPE_CHECKING:
    from tests.support.runs import Run


class FrameClock(LiveClock):
    """A live clock that a feed sets to the time of each frame."""

    def __init__(self, at: int = START) -> None:
        super().__init__()
        self.at = at

    def present(self) -> int:
        return self.at


class ListedLive:
    """A live feed that yields listed frames, and then ends."""

    def __init__(self, frames: Iterable[Frame], symbols: Sequence[str] = ("BTCUSDT",), since: int = -1) -> None:
        """Frames up to `since` (ms) are left out, as a feed has no marks of the past."""
        self._frames = [frame for frame in frames if frame.at > since]
        self._symbols = tuple(symbols)
        self.clock = FrameClock(max(since, START))
        self.levels: Mapping[str, tuple[float, float]] = {}
        self.asked_after: int | None = None

    @property
    def identity(self) -> MarketIdentity:
        return MarketIdentity("binance", Product.UM, MINUTE, self._symbols, "1ead" * 16)

    def watch(self, levels: Mapping[str, tuple[float, float]]) -> None:
        self.levels = levels

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        self.asked_after = after
        for frame in self._frames:
            for _ in range(9):
                # Decisions on the frame before are taken at its time.
                await self.clock.pause(0)
            self.clock.at = max(self.clock.at, frame.at)
            yield frame


class Silent(ListedLive):
    """A live feed without data after the listed frames; time goes on by a second at a time up to `until` (ms)."""

    def __init__(self, frames: Sequence[Frame], until: int) -> None:
        super().__init__(frames)
        self._until = until

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        async for frame in super().frames(after):
            yield frame
        while self.clock.at < self._until:
            self.clock.at += SECOND
            yield Frame(self.clock.at)


class Held(ListedLive):
    """A live feed that waits before its end, or fails then."""

    def __init__(self, frames: Iterable[Frame], error: Exception | None = None) -> None:
        super().__init__(frames)
        self.through = asyncio.Event()
        self.ends = asyncio.Event()
        self._error = error

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        async for frame in super().frames(after):
            yield frame
        self.through.set()
        await self.ends.wait()
        if self._error is not None:
            raise self._error


async def kill_after(run: "Run", feed: Held) -> None:
    """Run a book until it has taken every frame of its feed, commit, and end it without a clean stop."""
    going = asyncio.ensure_future(run.go())
    async with asyncio.timeout(5):
        await feed.through.wait()
        await feed.clock.pause(0)
    run.simulation.shell.commit()
    going.cancel()
    await asyncio.wait({going})


def live_frames(
    closes: Sequence[float], symbol: str = "BTCUSDT", every_s: int = 20, instruments: Sequence[Instrument] = ()
) -> list[Frame]:
    """Return a frame at each minute's close, and between two of them marks and quotes on the way to the next close."""
    frames = [Frame(START - MINUTE, (candle(-2, closes[0], symbol=symbol),), history=True)]
    before = closes[0]
    for index, close in enumerate(closes):
        opened = START + index * MINUTE
        steps = range(every_s, 60, every_s)
        for second in steps:
            at, price = opened + second * SECOND, before + (close - before) * second / 60
            frames.append(quoted(symbol, at, price))
        body: Candle = candle(index, close, open_=before, symbol=symbol)
        frames.append(Frame(opened + MINUTE, (body,)))
        frames.append(quoted(symbol, opened + MINUTE + SECOND, close))
        before = close
    first = next(index for index, frame in enumerate(frames) if not frame.history)
    frames[first] = msgspec.structs.replace(frames[first], instruments=tuple(instruments))
    return frames


def quoted(symbol: str, at: int, price: float, spread: float = 0.02, quantity: float = 1_000.0) -> Frame:
    """Return a frame with a mark price and the best prices around it."""
    bid, ask = round(price - spread / 2, 2), round(price + spread / 2, 2)
    book = OrderBook(symbol, at, bid, ask, None, None, quantity, quantity)
    return Frame(at, marks=(Mark(symbol, at, round(price, 2), round(price, 2)),), books=(book,))

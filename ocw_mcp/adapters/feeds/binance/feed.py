"""The live market of Binance as a feed: history, what was missed since the last run, then the present."""

import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Final

from ocw_mcp.adapters.binance.transport import Transport
from ocw_mcp.adapters.binance.weights import Weights
from ocw_mcp.adapters.feeds.binance.health import health_of
from ocw_mcp.adapters.feeds.binance.session import Plan, Session
from ocw_mcp.domain.errors import FeedError, MarketUnreachable
from ocw_mcp.domain.health import FeedHealth
from ocw_mcp.domain.margin import Brackets
from ocw_mcp.domain.market import Frame, MarketIdentity, Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND, span_name

KIND: Final = "binance"
WARMUP_DAYS: Final = 11
"""Days of history of a new book: more than sixty candles of four hours."""
INTERVALS: Final = (MINUTE, 3 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR)
"""The intervals (ms) of candles that the exchange has and the engine can read."""
_MOST_SYMBOLS: Final = 200


def _no_brackets(_symbol: str) -> Brackets | None:
    return None


def _no_progress(_done: float) -> None:
    pass


class BinanceFeed:
    """Candles, mark prices, quotes and fundings of some symbols from the exchange's public streams, without a key."""

    def __init__(
        self,
        product: Product,
        symbols: Sequence[str],
        transport: Transport,
        *,
        jitter: Callable[[], float],
        interval: int = MINUTE,
        warmup_days: int = WARMUP_DAYS,
        tick_ms: int = SECOND,
        brackets: Callable[[str], Brackets | None] = _no_brackets,
        progress: Callable[[float], None] = _no_progress,
        derivatives: bool = True,
        weights: Weights | None = None,
    ) -> None:
        """`jitter` returns a number from 0 to below 1, and `brackets` the margin brackets of a symbol, if known.

        `progress` gets the fetched part of the history, 0 to 1. Prices are yielded once every `tick_ms`; see `watch`.
        `derivatives` says whether a futures market is also asked for open interest, ratios and index prices.
        `weights` is the budget of the host if others use it as well.
        Raises FeedError for invalid arguments.
        """
        wrong = [each for each in symbols if not (each.isascii() and each.isalnum() and each == each.upper())]
        if wrong or not 0 < len(set(symbols)) <= _MOST_SYMBOLS:
            text = ", ".join(map(repr, wrong[:5])) or f"{len(set(symbols))} symbols"
            raise FeedError(f"the live market was asked for {text}; expected 1 to {_MOST_SYMBOLS} such as BTCUSDT")
        if interval not in INTERVALS:
            known = ", ".join(map(span_name, INTERVALS))
            raise FeedError(f"the live market has no candles of {span_name(interval)}; expected one of {known}")
        self.product, self.interval = product, interval
        self.symbols = tuple(sorted(set(symbols)))
        self._transport, self._weights = transport, weights
        warmup_ms = warmup_days * DAY
        self._plan = Plan(product, self.symbols, interval, warmup_ms, tick_ms, brackets, jitter, progress, derivatives)
        self._levels: Mapping[str, tuple[float, float]] = {}
        self._known: Mapping[str, int] = {}
        self._days_of: str | None = None
        self.session: Session | None = None
        """The parts of the running call of `frames`, for their counters; None while there is none."""

    @property
    def identity(self) -> MarketIdentity:
        content = hashlib.sha256(f"{KIND} {self.product} {self._transport.host_class}".encode()).hexdigest()
        return MarketIdentity(KIND, self.product, self.interval, self.symbols, content)

    def exchange_ms(self) -> int | None:
        """Return the exchange's time (ms); None while `frames` does not run or has not measured it yet."""
        return self.session.clock.now_ms() if self.session is not None and self.session.clock.measured else None

    def watch(self, levels: Mapping[str, tuple[float, float]]) -> None:
        """Set the levels (low, high; quote) of each symbol at which a price is yielded at once, between two ticks.

        A symbol that is not in `levels` has none.
        """
        self._levels = dict(levels)
        if self.session is not None:
            self.session.board.watch(self._levels)
            self.session.wake()

    def health(self) -> FeedHealth | None:
        """Return the present health; None while `frames` does not run. The caller is on the same event loop."""
        return None if self.session is None else health_of(self.session)

    def resume_at(self, known: Mapping[str, int]) -> None:
        """Set the close time (ms) of each symbol's last known candle, if that differs from `after` of `frames`.

        A symbol that lagged behind when the book was saved then misses no candle.
        """
        self._known = dict(known)

    def read_days_of(self, symbol: str) -> None:
        """Set the symbol whose earlier daily candles the first frame of a new book has."""
        self._days_of = symbol if symbol in self.symbols else None

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """Yield the frames of a new book, with its history first; or those after a time (ms), the missed ones `late`.

        Raises MarketUnreachable if a new book receives nothing, and FeedError for a symbol that is not traded. An
        existing book waits for the exchange, and reports that in notices.
        """
        session = self.session = Session(self._plan, self._transport, self._weights)
        session.board.watch(self._levels)
        try:
            async for frame in session.frames(after, self._known, self._days_of):
                yield frame
        except MarketUnreachable as error:
            raise MarketUnreachable(
                f"the live market of Binance cannot be reached: {error}; check the network, or use a simulated market"
            ) from error
        finally:
            self.session = None
            await session.close()
            await self._transport.close()

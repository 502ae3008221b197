"""The market of the sandbox exchange: each value is a function of the source and a time."""

from pathlib import Path
from typing import Self

from ocw_mcp.domain.market import Funding, Metrics, Product
from ocw_mcp.domain.protocols import Feed
from ocw_mcp.sandbox.binance.values import Kline, Liquidation, MarkPrice, Quote, Trade

Levels = list[tuple[float, float]]
"""Prices (quote) and quantities (base asset) of one side of the order book, the best price first."""


class SandboxMarket:
    """The market of a source of minute candles: trades, klines, quotes, mark prices and derivatives.

    A minute's trades go from its open through its extremes to its close, and sum to its volumes. The first trade of a
    minute is at its first millisecond. Memory is bounded; data are read when they are needed.
    """

    product: Product
    symbols: tuple[str, ...]
    begins_at: int
    """The time (ms) of the first candle that can be read."""
    start: int
    """The time (ms) at which a clock should start, with history before it."""

    def __init__(self, feed: Feed, start: int) -> None:
        raise NotImplementedError

    @classmethod
    def simulated(cls, seed: int, symbols: tuple[str, ...] = (), product: Product = Product.UM, start: int = 0) -> Self:
        """Return the simulated market of a seed, from the midnight `start` (ms) on; 0 and () mean the defaults."""
        raise NotImplementedError

    @classmethod
    def recorded(
        cls, path: Path, product: Product | None = None, symbols: tuple[str, ...] = (), start: int | None = None
    ) -> Self:
        """Return the market of a tape with minute candles. Raises TapeError or SettingsError for an unfit one."""
        raise NotImplementedError

    def ends_at(self, now: int) -> int | None:
        """Return the close time (ms) of the source's last candle if the source ends before `now`, else None."""
        raise NotImplementedError

    def kline(self, symbol: str, interval_ms: int, open_time: int, now: int) -> Kline | None:
        """Return the kline that opens at `open_time`, forming while `now` is before its end; None without data."""
        raise NotImplementedError

    def klines(self, symbol: str, interval: str, since: int, until: int, limit: int, now: int) -> list[Kline]:
        """Return at most `limit` klines of an interval such as `15m` with open times from `since` to `until` (ms)."""
        raise NotImplementedError

    def trades(self, symbol: str, since: int, until: int) -> list[Trade]:
        """Return the trades with since < time <= until, in order."""
        raise NotImplementedError

    def trades_from(self, symbol: str, first: int, limit: int, now: int) -> list[Trade]:
        """Return at most `limit` trades from the id `first` on that happened by `now`."""
        raise NotImplementedError

    def last_trade(self, symbol: str, at: int) -> Trade | None:
        """Return the latest trade by `at` (ms); None before the first."""
        raise NotImplementedError

    def quote(self, symbol: str, at: int) -> Quote | None:
        """Return the best bid and ask at a time (ms); None before the first trade."""
        raise NotImplementedError

    def quotes(self, symbol: str, since: int, until: int) -> list[tuple[int, Quote]]:
        """Return each new state of the best prices with its time, for since < time <= until."""
        raise NotImplementedError

    def depth(self, symbol: str, at: int, limit: int) -> tuple[Levels, Levels, int]:
        """Return `limit` levels of bids and of asks at a time (ms), and the order book's update id."""
        raise NotImplementedError

    def mark(self, symbol: str, at: int) -> MarkPrice | None:
        """Return mark price, index price and funding at a time (ms); None before the first trade, and on spot."""
        raise NotImplementedError

    def liquidations(self, symbol: str, since: int, until: int) -> list[Liquidation]:
        """Return the forced orders with since < time <= until, in order; none on spot."""
        raise NotImplementedError

    def funding(self, symbol: str, since: int, until: int) -> list[Funding]:
        """Return the funding rates settled at since < time <= until, in order; none on spot."""
        raise NotImplementedError

    def metrics(self, symbol: str, since: int, until: int) -> list[Metrics]:
        """Return the five-minute metrics known at since < time <= until, in order; none if the source has none."""
        raise NotImplementedError

    def price_text(self, symbol: str, price: float) -> str:
        """Return a price as the exchange writes it."""
        raise NotImplementedError

    def quantity_text(self, symbol: str, quantity: float) -> str:
        """Return a quantity of the base asset as the exchange writes it."""
        raise NotImplementedError

    def quote_text(self, symbol: str, amount: float) -> str:
        """Return an amount of quote currency as the exchange writes it."""
        raise NotImplementedError

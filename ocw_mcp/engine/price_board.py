"""The price of every symbol with its age, the venue's filters, the order books, and the metrics of the market."""

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from ocw_mcp.core.market.market import Market
from ocw_mcp.domain.market import Instrument, OrderBook
from ocw_mcp.domain.metrics import DERIVATIVES, INDICATORS, RETURNS, no_metric
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.orders import Side
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.time import SECOND, span_ms, span_name
from ocw_mcp.domain.unknown import Reading, Unknown
from ocw_mcp.engine.config import EngineConfig


class Quote(msgspec.Struct, frozen=True):
    """A symbol's mark price in quote currency, or its last price on a market without mark prices."""

    price: Decimal
    age_ms: int
    instrument: Instrument


class Liquidity(msgspec.Struct, frozen=True):
    """The liquidity of an order book: spread as a share of the mid price, and the known depths in the base asset."""

    spread: Decimal
    bid_depth: Decimal | None
    ask_depth: Decimal | None


class Filters:
    """The venue's current filters of every symbol that has a price."""

    def __init__(self, config: EngineConfig, market: Market) -> None:
        self._ask = config.instruments
        self._symbols = market.symbols

    def get(self, symbol: str) -> Instrument | None:
        """Return the filters of a symbol; None if the symbol is unknown or has no price."""
        candles = self._symbols.get(symbol)
        return None if candles is None or isinstance(candles.last, Unknown) else self._ask(symbol, candles.last)

    def __getitem__(self, symbol: str) -> Instrument:
        found = self.get(symbol)
        if found is None:
            raise KeyError(symbol)
        return found


class PriceBoard(Stateful[dict[str, OrderBook]]):
    """The prices that the engine may use, with the latest valid order book of each symbol as its state.

    Filters are read from the venue at each use, because they may change. An order book that is too old counts as
    unknown; entries are then checked against candles alone, as on a market without order books.
    """

    def __init__(self, config: EngineConfig, market: Market) -> None:
        super().__init__({})
        self._market = market
        self.age_limit_ms = (0 if config.live else config.interval) + config.policies.data.slack_s * SECOND
        """The feed's cadence plus slack: a live feed has prices all the time. An entry needs a price that is not older.
        """
        self.degraded: Mapping[str, str] = {}
        """The symbols whose market data cannot be relied on, each with the reason; no entry of these passes."""
        self.instruments = Filters(config, market)

    def get(self, symbol: str, now: int) -> Quote | None:
        """Return the quote of a symbol; None if the symbol is unknown or has no price."""
        candles = self._market.symbols.get(symbol)
        known_at = candles.known_at if candles else None
        if candles is None or known_at is None or isinstance(candles.last, Unknown):
            return None
        return Quote(exact(candles.last), max(0, now - known_at), self.instruments[symbol])

    def take_books(self, books: Iterable[OrderBook]) -> None:
        """Store the order books that are valid and not older than the stored ones."""
        for book in books:
            self.take_book(book)

    def take_book(self, book: OrderBook) -> None:
        """Store an order book if it is valid and not older than the stored one."""
        bids, asks, symbol = book.bid_depth, book.ask_depth, book.symbol
        # A comparison with NaN is never true.
        valid = (
            0 < book.bid < book.ask < math.inf
            and (bids is None or 0 <= bids < math.inf)
            and (asks is None or 0 <= asks < math.inf)
        )
        known = self._state.get(symbol)
        if valid and symbol in self._market.symbols and (known is None or known.at <= book.at):
            self._state[symbol] = book

    def best(self, symbol: str, side: Side, now: int) -> Decimal | None:
        """Return the best price (quote) of a side: the bid for a buy, the ask for a sell; None without a recent one."""
        book = self._recent(symbol, now)
        return None if book is None else exact(book.bid if side is Side.BUY else book.ask)

    def _recent(self, symbol: str, now: int) -> OrderBook | None:
        book = self._state.get(symbol)
        return book if book is not None and 0 <= now - book.at <= self.age_limit_ms else None

    def book(self, symbol: str, now: int) -> Liquidity | None:
        """Return the liquidity of a symbol's order book; None if no recent one is known."""
        book = self._recent(symbol, now)
        if book is None:
            return None
        bid, ask = exact(book.bid), exact(book.ask)
        depths = (None if each is None else exact(each) for each in (book.bid_depth, book.ask_depth))
        return Liquidity(2 * (ask - bid) / (ask + bid), *depths)


def read_metric(market: Market, symbol: str, metric: str) -> Reading:
    """Return a metric such as `price`, `funding_8h` or `rsi_14@1h` as of the last closed candle, or Unknown."""
    candles = market.symbols.get(symbol)
    if candles is None:
        return Unknown(f"UNKNOWN_SYMBOL: {symbol[:20]!r} is not followed here; expected {', '.join(market.symbols)}")
    if metric == "price":
        return candles.last
    if metric in RETURNS:
        return candles.change_over(span_ms(metric.removeprefix("return_")))
    if metric in DERIVATIVES:
        known_at = candles.known_at
        return Unknown("no candle yet") if known_at is None else candles.derivatives_value(metric, known_at)
    name, _, timeframe = metric.partition("@")
    if name in INDICATORS:
        for each in candles.indicators():
            if span_name(each.interval) == timeframe:
                return each.close if name == "close" else each.values[name]
    return no_metric(metric, [span_name(each.interval) for each in candles.indicators()])

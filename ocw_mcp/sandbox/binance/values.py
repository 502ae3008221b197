"""The values of the sandbox market: trades, quotes, mark prices, klines, liquidations."""

import msgspec


class Trade(msgspec.Struct, frozen=True, gc=False):
    """An aggregate trade: price in quote currency, quantity in the base asset, time in ms."""

    id: int
    """The number of the trade: each trade of a symbol has the next one, without holes."""
    price: float
    quantity: float
    at: int
    buyer_is_maker: bool


class Quote(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask of a symbol, with their quantities (base asset)."""

    bid: float
    bid_quantity: float
    ask: float
    ask_quantity: float
    update_id: int
    """The number of the state of the order book: it grows with each trade."""


class MarkPrice(msgspec.Struct, frozen=True, gc=False):
    """The mark price and the index price of a perpetual (quote), with the rate that the next funding would have."""

    mark: float
    index: float
    rate: float
    next_funding_at: int


class Kline(msgspec.Struct, frozen=True, gc=False):
    """A candle of the exchange: forming until its last millisecond has passed, then closed."""

    symbol: str
    interval_ms: int
    """The length (ms); that of the calendar month for a month."""
    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: int
    taker_volume: float
    taker_quote_volume: float
    first_trade: int
    """The id of the first trade; -1 without a trade."""
    last_trade: int
    """The id of the last trade; -1 without a trade."""
    closed: bool

    @property
    def close_time(self) -> int:
        """The last millisecond of the candle."""
        return self.open_time + self.interval_ms - 1


class Liquidation(msgspec.Struct, frozen=True, gc=False):
    """A forced order that closed a position: a sell closes a long position, a buy a short one."""

    at: int
    is_sell: bool
    price: float
    """The limit of the forced order (quote)."""
    average_price: float
    """The price at which the order was filled (quote)."""
    quantity: float

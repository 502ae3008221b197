"""Market data: candles, derivatives metrics, order books, the frames of a feed, and the filters of instruments."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from ocw_mcp.domain.margin import CAUTIOUS, Brackets
from ocw_mcp.domain.money import plain


class Product(StrEnum):
    """The product traded: spot, or USD-M perpetual futures."""

    SPOT = "spot"
    UM = "um"


class Candle(msgspec.Struct, frozen=True, gc=False):
    """One closed candle: prices (quote) and volume (base asset) as floats, for analytics; times in ms."""

    symbol: str
    open_time: int
    interval: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    taker_volume: float | None = None
    """The part of the volume that takers bought (base asset); None if the source does not report it."""

    @property
    def close_time(self) -> int:
        """The time (ms) from which the candle is known: the open time of the next one."""
        return self.open_time + self.interval


class Opening(msgspec.Struct, frozen=True, gc=False):
    """The first price (quote) of a new candle, at its open time (ms). Waiting market orders fill at this price."""

    symbol: str
    at: int
    price: float


class Metrics(msgspec.Struct, frozen=True, gc=False):
    """The derivatives metrics that the exchange reports for a symbol every five minutes. An empty field is None.

    `at` (ms) is the end of the five minutes: a row is known at this time at the earliest, and on a live market at the
    time of its frame. In the exchange's archive, the time stamp of a row is this end until 2026-06-25 00:00 UTC, and
    the beginning of the five minutes after that date. A later row of the same `at` adds the fields that were empty.
    """

    symbol: str
    at: int
    open_interest: float | None = None
    """The open interest in the base asset."""
    open_interest_value: float | None = None
    """The open interest in quote currency."""
    top_accounts_ratio: float | None = None
    """Accounts with a long position over those with a short one, among the top traders."""
    top_positions_ratio: float | None = None
    """Long over short positions of the top traders."""
    accounts_ratio: float | None = None
    """Accounts with a long position over those with a short one, among all traders."""
    taker_ratio: float | None = None
    """Taker buy volume over taker sell volume."""
    perp_price: float | None = None
    """The price of the perpetual (quote): its mark price, or its last price in the history of a live market."""
    index_price: float | None = None
    """The price of the spot index of the perpetual (quote), at the time of `perp_price`."""
    is_interim: bool = False
    """Whether the values are those of the moment `at`, between two five-minute rows; only open interest and prices are
    reported then."""


class Funding(msgspec.Struct, frozen=True, gc=False):
    """A funding rate settled at `at` (ms): longs pay `rate` × notional to shorts, for the `interval_hours` before."""

    symbol: str
    at: int
    rate: float
    interval_hours: int


class Liquidations(msgspec.Struct, frozen=True, gc=False):
    """The positions of a symbol that the exchange closed by force in the candle that closed at `at` (ms).

    Quantities are in the base asset. The exchange reports at most one liquidation a second, so they are lower bounds.
    """

    symbol: str
    at: int
    longs: float
    shorts: float


class OrderBook(msgspec.Struct, frozen=True, gc=False):
    """The best prices of both sides (quote) with their quantities, and the depth within 0.2% of the mid price.

    Quantities and depth are in the base asset.
    """

    symbol: str
    at: int
    bid: float
    ask: float
    bid_depth: float | None = None
    """The quantity that buyers bid for; None if the source does not report it."""
    ask_depth: float | None = None
    """The quantity that sellers offer; None if the source does not report it."""
    bid_quantity: float | None = None
    """The quantity at the best bid alone; None if the source does not report it."""
    ask_quantity: float | None = None
    """The quantity at the best ask alone; None if the source does not report it."""


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A symbol's mark price at `at` (ms), in quote currency; on a market without mark prices, its last price."""

    symbol: str
    at: int
    price: float
    last: float | None = None
    """The price of the last trade (quote); None if the source does not report it."""
    funding_rate: float | None = None
    """The rate that the next funding would have now; None on spot."""
    next_funding_at: int | None = None
    """The time (ms) of the next funding; None on spot."""


class FeedNoticeKind(StrEnum):
    """The kinds of notices of a live feed."""

    DEGRADED = "degraded"
    """The data of the subject cannot be relied on: no entry passes until it is restored. Sent again for another reason.
    """
    RESTORED = "restored"
    """The data of the subject can be relied on again."""
    INCIDENT = "incident"
    """A fault that was handled, such as a gap that REST filled, or invalid messages that were dropped."""


class FeedNotice(msgspec.Struct, frozen=True, gc=False):
    """What a live feed reports about its own data at `at` (ms)."""

    at: int
    kind: FeedNoticeKind
    subject: str
    """A symbol, `clock`, or `market` for all symbols."""
    detail: str
    """One clause for the operator, such as "kline_1m is silent for 121 s, and REST answers 418"."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """All market data of one time `at` (ms).

    The engine first processes the candles, metrics and funding, then the decisions and timers that are due at `at`. The
    engine processes openings last, so that an order decided at the close of candle n fills at the open of candle n+1.
    """

    at: int
    closed: tuple[Candle, ...] = ()
    opened: tuple[Opening, ...] = ()
    metrics: tuple[Metrics, ...] = ()
    funding: tuple[Funding, ...] = ()
    history: bool = False
    """Whether the frame is before the book's beginning: it only warms up the indicators.

    A frame of history may hold all candles of a longer time up to `at`, in order of time, and the metrics and funding.
    """
    books: tuple[OrderBook, ...] = ()
    """The order books at `at`, sorted by symbol, if the source reports them."""
    ended: tuple[str, ...] = ()
    """Symbols whose last candle closes at `at`, while other symbols continue."""
    marks: tuple[Mark, ...] = ()
    """Mark prices of a live market, sorted by symbol; at most one a symbol."""
    late: bool = False
    """Whether the candles closed too long ago to decide on them: they fill a gap of a live market."""
    notices: tuple[FeedNotice, ...] = ()
    """The notices of a live feed about its own data."""
    instruments: tuple["Instrument", ...] = ()
    """The filters of a live market's symbols: all of them in the first frame, later those that changed."""
    days: tuple[Candle, ...] = ()
    """In the first frame of a book or of its history, earlier daily candles in order of time, for the regime."""
    liquidations: tuple[Liquidations, ...] = ()
    """The forced liquidations in candles of `closed`, sorted by symbol. Those of a candle without a row are unknown."""


class PriceBand(msgspec.Struct, frozen=True):
    """The lowest and the highest price of a limit order, as multiples of the mark price; on spot, of an average price.

    None means that the venue has no bound on this side.
    """

    down: Decimal | None = None
    up: Decimal | None = None

    def contains(self, limit: Decimal, price: Decimal) -> bool:
        """Return whether a limit price is within the band around a price (quote)."""
        low, high = self.down is not None and limit < price * self.down, self.up is not None and limit > price * self.up
        return not (low or high)

    def text(self, price: Decimal) -> str:
        """Return the band around a price (quote) as text."""
        low, high = ("any" if each is None else plain(price * each) for each in (self.down, self.up))
        return f"{low} to {high}"


class Instrument(msgspec.Struct, frozen=True):
    """A symbol's filters at the venue, and the brackets of its maintenance margin; spot has no brackets."""

    symbol: str
    product: Product
    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    min_notional: Decimal
    """The smallest notional of an order, in quote currency."""
    brackets: Brackets | None = None
    max_quantity: Decimal | None = None
    """The largest quantity of a limit order; None if it is not known."""
    market_max_quantity: Decimal | None = None
    """The largest quantity of a market order, also of one that a stop triggers; None if it is not known."""
    max_notional: Decimal | None = None
    """The largest notional of a limit order, in quote currency; None if there is no bound, or it is not known."""
    bid_band: PriceBand | None = None
    """The prices that the venue accepts for a limit order that buys; None if they are not known."""
    ask_band: PriceBand | None = None
    """The same for a limit order that sells."""

    @property
    def margin_brackets(self) -> Brackets | None:
        """The brackets that apply to a position: `CAUTIOUS` if the venue reports none; None on spot."""
        return None if self.product is Product.SPOT else self.brackets or CAUTIOUS


class MarketIdentity(msgspec.Struct, frozen=True):
    """The identity of a market, without a path or a host. A book accepts no market of another identity."""

    kind: str
    product: Product
    interval: int
    symbols: tuple[str, ...]
    content: str
    """Fingerprint of the source: names and sizes of a tape's files, or seed and model of a simulated market."""

    def __str__(self) -> str:
        return f"{self.kind} {self.product} {','.join(self.symbols)} {self.interval // 1000}s #{self.content[:12]}"

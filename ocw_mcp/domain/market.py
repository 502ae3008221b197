"""Candles, the frames in which a feed hands them over, and what an instrument's filters allow."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from ocw_mcp.domain.margin import CAUTIOUS, Brackets


class Product(StrEnum):
    """Spot and USD-M perpetual futures are different products with different rules."""

    SPOT = "spot"
    UM = "um"


class Candle(msgspec.Struct, frozen=True, gc=False):
    """One closed candle. Prices in quote currency, volume in the base asset, times in ms.

    Prices are floats since analytics read them; `money.exact` gives back the text they were written as.
    """

    symbol: str
    open_time: int
    interval: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    taker_volume: float | None = None
    """The part of the volume that buyers took from the book; None where the source does not tell."""

    @property
    def close_time(self) -> int:
        """The moment the candle is known: the open of the next one (the exchange's own stamp is 1 ms less)."""
        return self.open_time + self.interval


class Opening(msgspec.Struct, frozen=True, gc=False):
    """The first price of a new candle, at the moment it opens: what an order waiting for a price is filled at."""

    symbol: str
    at: int
    price: float


class Metrics(msgspec.Struct, frozen=True, gc=False):
    """What the exchange tells of a symbol's derivatives every five minutes. A field it left empty is None.

    `at` (ms) is the end of the five minutes that a row describes, and the row is known from then on, never earlier. The
    archive stamped that moment until 2026-06-25 00:00 UTC, and stamps the beginning since.
    """

    symbol: str
    at: int
    open_interest: float | None = None
    """Base asset."""
    open_interest_value: float | None = None
    """Quote currency."""
    top_accounts_ratio: float | None = None
    """Long accounts over short ones, among the top traders."""
    top_positions_ratio: float | None = None
    """Long over short positions of the top traders."""
    accounts_ratio: float | None = None
    """Long accounts over short ones, among all."""
    taker_ratio: float | None = None
    """Taker buy volume over taker sell volume."""


class Funding(msgspec.Struct, frozen=True, gc=False):
    """A funding rate that was settled at `at` (ms): longs pay `rate` × notional to shorts, for the hours before it."""

    symbol: str
    at: int
    rate: float
    interval_hours: int


class OrderBook(msgspec.Struct, frozen=True, gc=False):
    """The best prices on both sides (quote), and what is offered (base asset) within `BOOK_BAND` of their middle."""

    symbol: str
    at: int
    bid: float
    ask: float
    bid_depth: float | None = None
    """What could be sold there; None where the source does not tell."""
    ask_depth: float | None = None
    """What could be bought there."""


BOOK_BAND = 0.002


class Frame(msgspec.Struct, frozen=True, gc=False):
    """All that a feed knows at one moment, in the order in which it counts.

    First come the candles that close at `at`, with the metrics and funding known from `at` on, each sorted by symbol;
    they are what may be decided on. Then whatever is due at `at` happens: decisions, timers. Only then come the
    openings, so that an order decided on the close of candle n meets the open of n+1 and never a price of n.
    """

    at: int
    closed: tuple[Candle, ...] = ()
    opened: tuple[Opening, ...] = ()
    metrics: tuple[Metrics, ...] = ()
    funding: tuple[Funding, ...] = ()
    history: bool = False
    """From before the book's beginning: indicators warm up on it, and nothing else happens."""
    books: tuple[OrderBook, ...] = ()
    """What stood in the order books at `at`, where the source tells; sorted by symbol."""
    ended: tuple[str, ...] = ()
    """Symbols whose last candle closes at `at`, while others go on."""


class Instrument(msgspec.Struct, frozen=True):
    """A symbol's filters at the venue: price tick, quantity step, smallest quantity and smallest notional (quote).

    `brackets` are those of its maintenance margin; spot has none.
    """

    symbol: str
    product: Product
    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    min_notional: Decimal
    brackets: Brackets | None = None

    @property
    def margin_brackets(self) -> Brackets | None:
        """The brackets that a position is held to: cautious ones where the venue tells none; None on spot."""
        return None if self.product is Product.SPOT else self.brackets or CAUTIOUS


class MarketIdentity(msgspec.Struct, frozen=True):
    """Names a market so that a book can refuse any other: no path, no host, only what the candles are."""

    kind: str
    product: Product
    interval: int
    symbols: tuple[str, ...]
    content: str
    """Fingerprint of the source: names and sizes of a tape's files, or the seed and model of a simulated market."""

    def __str__(self) -> str:
        return f"{self.kind} {self.product} {','.join(self.symbols)} {self.interval // 1000}s #{self.content[:12]}"

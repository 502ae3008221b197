"""What every symbol costs now, how old that is, and what its filters are."""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from ocw_mcp.core.market.market import Market
from ocw_mcp.domain.market import Instrument, OrderBook
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.time import SECOND
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.config import EngineConfig


class Quote(msgspec.Struct, frozen=True):
    """A symbol's mark price in quote currency; on a market that has no mark it is the last price."""

    price: Decimal
    age_ms: int
    instrument: Instrument


class Liquidity(msgspec.Struct, frozen=True):
    """What an order book offers: the spread as a share of the middle, and depths in the base asset where told."""

    spread: Decimal
    bid_depth: Decimal | None
    ask_depth: Decimal | None


class Filters(Mapping[str, Instrument]):
    """The venue's filters of every symbol that has a price, as the venue has them at that moment."""

    def __init__(self, config: EngineConfig, market: Market) -> None:
        self._ask = config.instruments
        self._symbols = market.symbols

    def __getitem__(self, symbol: str) -> Instrument:
        last = self._symbols[symbol].last
        if isinstance(last, Unknown):
            raise KeyError(symbol)
        return self._ask(symbol, last)

    def __iter__(self) -> Iterator[str]:
        return (symbol for symbol, candles in self._symbols.items() if not isinstance(candles.last, Unknown))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class PriceBoard:
    """Prices as the engine may use them. The venue is asked for filters whenever they are used, since they may change.

    A book that makes no sense is not taken, and the one before it stays. One that is older than a price may be counts
    as not told: entries are then held to what candles tell, as they are where no market tells of books at all.
    """

    def __init__(self, config: EngineConfig, market: Market) -> None:
        self._config = config
        self._market = market
        self.age_limit_ms = config.interval + config.policies.data.slack_s * SECOND
        """The feed's cadence plus slack: an entry needs a price that is not older."""
        self.instruments = Filters(config, market)
        self._books: dict[str, OrderBook] = {}
        """The latest of each symbol that makes sense."""

    def state(self) -> dict[str, OrderBook]:
        """Return the latest order book of each symbol."""
        return self._books

    def restore(self, state: dict[str, OrderBook], /) -> None:
        """Take back what `state` returned."""
        self._books = state

    def get(self, symbol: str, now: int) -> Quote | None:
        """The quote of a symbol, or None where there is no price or no such symbol."""
        candles = self._market.symbols.get(symbol)
        known_at = candles.known_at if candles else None
        if candles is None or known_at is None or isinstance(candles.last, Unknown):
            return None
        return Quote(exact(candles.last), now - known_at, self.instruments[symbol])

    def tell(self, book: OrderBook) -> None:
        """Take in an order book, if it can be believed."""
        known = self._books.get(book.symbol)
        if book.symbol in self._market.symbols and _believable(book) and (known is None or known.at <= book.at):
            self._books[book.symbol] = book

    def book(self, symbol: str, now: int) -> Liquidity | None:
        """What the order book of a symbol offers; None where nobody told of late."""
        book = self._books.get(symbol)
        if book is None or not 0 <= now - book.at <= self.age_limit_ms:
            return None
        bid, ask = exact(book.bid), exact(book.ask)
        depths = (None if each is None else exact(each) for each in (book.bid_depth, book.ask_depth))
        return Liquidity(2 * (ask - bid) / (ask + bid), *depths)


def _believable(book: OrderBook) -> bool:
    """Whether a book has two prices, the lower one bid, and depths that are amounts."""
    bid_depth, ask_depth = book.bid_depth, book.ask_depth
    # A comparison with NaN is never true.
    return (
        0 < book.bid < book.ask < math.inf
        and (bid_depth is None or 0 <= bid_depth < math.inf)
        and (ask_depth is None or 0 <= ask_depth < math.inf)
    )

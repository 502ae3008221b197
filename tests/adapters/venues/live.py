"""A paper venue on a live market for tests: quotes and mark prices at seconds after T0."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.core.matching.on_candles import FillTerms
from ocw_mcp.domain.market import Candle, Mark, OrderBook, Product
from ocw_mcp.domain.orders import Filled, Purpose, Side, VenueReport
from ocw_mcp.domain.time import MINUTE, SECOND
from tests.adapters.venues.papers import ETH, T0, cleared_order, send

D = Decimal
TERMS = FillTerms(D("0.0005"), D("0.0001"), D("0.0004"), D("0.0002"), latency_ms=250)


class LiveMarket:
    """A venue, the reports that it made, and its market, which a test moves."""

    def __init__(self, product: Product = Product.UM, wallet: int = 100_000) -> None:
        self.product, self._wallet = product, wallet
        self.venue = self._new()

    def _new(self) -> PaperVenue:
        return PaperVenue(self.product, D(self._wallet), 5 * MINUTE, TERMS, live=True)

    def restart(self) -> None:
        """Restart the venue from its saved state."""
        state, self.venue = self.venue.state(), self._new()
        self.venue.restore(state)

    def quotes(
        self, second: float, bid: float, ask: float, bids: float | None = 1e6, offers: float | None = 1e6
    ) -> list[VenueReport]:
        at = T0 + int(second * SECOND)
        return list(self.venue.on_books([OrderBook(ETH, at, bid, ask, None, None, bids, offers)], at))

    def marks(self, second: float, price: float, last: float | None = None, **more: Any) -> list[VenueReport]:
        at = T0 + int(second * SECOND)
        return list(self.venue.on_marks([Mark(ETH, at, price, price if last is None else last, **more)], at))

    def due(self, second: float) -> list[VenueReport]:
        return list(self.venue.due(T0 + int(second * SECOND)))

    def closes(
        self, minute: int, first: float, low: float, high: float, close: float, *, second: float | None = None
    ) -> list[VenueReport]:
        """Report the closed candle of a minute, at its close or at a later second."""
        candle = Candle(ETH, T0 + minute * MINUTE, MINUTE, first, high, low, close, 1e6)
        return list(self.venue.on_candle(candle, candle.close_time if second is None else T0 + int(second * SECOND)))

    async def send(
        self, second: float, side: Side, quantity: str, purpose: Purpose = Purpose.ENTRY, **more: Any
    ) -> list[VenueReport]:
        now = T0 + int(second * SECOND)
        return await send(self.venue, cleared_order(side, quantity, purpose, now=now, product=self.product, **more))

    @property
    def held(self) -> Decimal:
        return self.venue.account.ledger.quantity(ETH)


async def live_position(
    side: Side = Side.BUY, quantity: str = "2", product: Product = Product.UM, **more: Any
) -> LiveMarket:
    """Return a market at 1,000 with a position, opened in its first second."""
    market = LiveMarket(product)
    market.quotes(0, 999.5, 1_000.5)
    market.marks(0, 1_000.0)
    await market.send(0, side, quantity, n=900, **more)
    assert len(fills(market.due(1))) == 1
    market.marks(1, 1_000.0)
    return market


def fills(reports: Iterable[VenueReport]) -> list[Filled]:
    return [each for each in reports if isinstance(each, Filled)]


def paid(reports: Iterable[VenueReport]) -> list[tuple[Decimal, Decimal]]:
    """Return quantity and price of each fill."""
    return [(each.quantity, each.price) for each in fills(reports)]

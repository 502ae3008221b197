"""What every venue must do, whatever it is: checks against the Venue protocol, and what a venue brings to be checked.

A stage is a venue together with its market. A new venue writes one, and adds it to the stages that
`test_venue_conformance.py` runs through.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, Protocol

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain.market import Candle, Opening, Product
from ocw_mcp.domain.orders import Filled, Purpose, Side, VenueReport
from ocw_mcp.domain.protocols import Venue
from ocw_mcp.domain.time import MINUTE
from tests.adapters.venues.test_paper_venue import ETH, T0, approval


class Stage(Protocol):
    """A venue whose market a test moves. Every test begins with a last price of 1,000."""

    product: Product

    @property
    def venue(self) -> Venue: ...

    @property
    def now(self) -> int: ...

    def moves(self, price: float) -> list[VenueReport]:
        """A minute passes, and the market trades at this price; what the venue tells of it."""
        ...

    def position(self) -> Decimal:
        """What the venue itself says is held."""
        ...

    def restart(self) -> None:
        """The process ends and comes back."""
        ...


class PaperStage:
    """Paper, on one product."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.now = T0
        self.venue = self._new()
        self.moves(1_000.0)

    def moves(self, price: float) -> list[VenueReport]:
        reports = list(self.venue.on_opening(Opening(ETH, self.now, price), self.now))
        candle = Candle(ETH, self.now, MINUTE, price, price, price, price, 1e6)
        self.now += MINUTE
        return reports + list(self.venue.on_candle(candle, self.now))

    def position(self) -> Decimal:
        return self.venue.account.ledger.quantity(ETH)

    def restart(self) -> None:
        state = self.venue.state()
        self.venue = self._new()
        self.venue.restore(state)

    def _new(self) -> PaperVenue:
        return PaperVenue(self.product, Decimal(100_000), 5 * MINUTE)


STAGES: dict[str, Callable[[], Stage]] = {f"paper {product}": partial(PaperStage, product) for product in Product}


async def send(stage: Stage, side: Side, quantity: str, purpose: Purpose = Purpose.ENTRY, **more: Any) -> VenueReport:
    """Send an order now; the venue's answer, of which there is one."""
    approved = approval(side, quantity, purpose, now=stage.now, product=stage.product, **more)
    (answer,) = await stage.venue.submit(approved, stage.now)
    return answer


async def hold(stage: Stage, quantity: str = "2") -> None:
    """Buy, so that there is something to reduce."""
    await send(stage, Side.BUY, quantity, n=900)
    assert traded(stage.moves(1_000.0)) == Decimal(quantity) == stage.position()


def traded(reports: list[VenueReport]) -> Decimal:
    """How much was filled."""
    return sum((each.quantity for each in reports if isinstance(each, Filled)), Decimal(0))

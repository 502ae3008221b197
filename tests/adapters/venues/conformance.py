"""What every venue must do, whatever it is: checks against the Venue protocol, and what a venue brings to be checked.

A stage is a venue together with its market. A new venue writes one, and adds it to the stages that
`test_venue_conformance.py` and `test_venue_conformance_money.py` run through.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any, Protocol

import pytest

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain.market import Candle, Funding, Opening, Product
from ocw_mcp.domain.money import floor_to, plain
from ocw_mcp.domain.orders import Accepted, Filled, OutsideFill, Purpose, Rejected, Side, VenueReport
from ocw_mcp.domain.protocols import Venue
from ocw_mcp.domain.time import HOUR, MINUTE
from tests.adapters.venues.papers import ETH, T0, approval


class Stage(Protocol):
    """A venue whose market a test moves. Every test begins with a last price of 1,000 and 100,000 in the wallet."""

    product: Product

    @property
    def venue(self) -> Venue: ...

    @property
    def now(self) -> int: ...

    def moves(self, price: float) -> list[VenueReport]:
        """A minute passes, and the market trades at this price; what the venue tells of it."""
        ...

    def spans(self, low: float, high: float, close: float) -> list[VenueReport]:
        """A minute passes that begins where the one before ended, and reaches two prices before it closes."""
        ...

    def settles(self, rate: float) -> list[VenueReport]:
        """Funding is settled at this rate; what the venue tells of it."""
        ...

    def position(self) -> Decimal:
        """What the venue itself says is held."""
        ...

    def wallet(self) -> Decimal:
        """What the venue itself says is there in quote currency, with what it holds as margin (on spot: paid for)."""
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
        self._last = 1_000.0
        self.moves(1_000.0)

    def moves(self, price: float) -> list[VenueReport]:
        return self._minute(price, price, price, price)

    def spans(self, low: float, high: float, close: float) -> list[VenueReport]:
        return self._minute(self._last, low, high, close)

    def settles(self, rate: float) -> list[VenueReport]:
        return list(self.venue.settle_funding(self.now, [Funding(ETH, self.now // HOUR * HOUR + 1, rate, 8)]))

    def position(self) -> Decimal:
        return self.venue.account.ledger.quantity(ETH)

    def wallet(self) -> Decimal:
        return self.venue.account.ledger.wallet

    def restart(self) -> None:
        state = self.venue.state()
        self.venue = self._new()
        self.venue.restore(state)

    def _minute(self, first: float, low: float, high: float, close: float) -> list[VenueReport]:
        reports = list(self.venue.on_opening(Opening(ETH, self.now, first), self.now))
        candle = Candle(ETH, self.now, MINUTE, first, max(first, high), min(first, low), close, 1e6)
        self.now += MINUTE
        self._last = close
        return reports + list(self.venue.on_candle(candle, self.now))

    def _new(self) -> PaperVenue:
        return PaperVenue(self.product, Decimal(100_000), 5 * MINUTE)


STAGES: dict[str, Callable[[], Stage]] = {f"paper {product}": partial(PaperStage, product) for product in Product}


async def send(stage: Stage, side: Side, quantity: str, purpose: Purpose = Purpose.ENTRY, **more: Any) -> VenueReport:
    """Send an order now; the venue's answer, of which there is one."""
    cleared = approval(side, quantity, purpose, now=stage.now, product=stage.product, **more)
    (answer,) = await stage.venue.submit(cleared, stage.now)
    return answer


async def refusal(stage: Stage, side: Side, quantity: str, purpose: Purpose = Purpose.ENTRY, **more: Any) -> str:
    """Send an order that the venue must not take, now or when it would trade; the code it is refused with."""
    answer = await send(stage, side, quantity, purpose, **more)
    if isinstance(answer, Accepted):
        (answer,) = stage.moves(1_000.0)
    assert isinstance(answer, Rejected), answer
    return answer.code


async def hold(stage: Stage, quantity: str = "2", side: Side = Side.BUY, leverage: int = 1) -> str:
    """Enter, so that there is something to reduce; what of it can be sold, which on spot is what the fee left."""
    await send(stage, side, quantity, n=900, leverage=leverage)
    got = booked(stage.moves(1_000.0)) * side.sign
    assert got == stage.position()
    return plain(floor_to(abs(got), stage.venue.instrument(ETH, 1_000.0).step))


def traded(reports: Iterable[VenueReport]) -> Decimal:
    """How much was filled."""
    return sum((each.quantity for each in reports if isinstance(each, Filled)), Decimal(0))


def booked(reports: Iterable[VenueReport]) -> Decimal:
    """The same less what was kept of it as a fee."""
    return sum((each.quantity - each.base_fee for each in reports if isinstance(each, Filled)), Decimal(0))


def outside(reports: Iterable[VenueReport]) -> list[OutsideFill]:
    """What was traded without an order."""
    return [each for each in reports if isinstance(each, OutsideFill)]


def only(product: Product) -> pytest.MarkDecorator:
    """Stages of one product: for what the other does not know."""
    names = [name for name in STAGES if name.endswith(f" {product}")]
    return pytest.mark.parametrize("make_stage", [STAGES[name] for name in names], ids=names)

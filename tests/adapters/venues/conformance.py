"""Stages for the conformance suite of venues: what a venue must provide to be tested, and helpers of the tests.

A stage is a venue together with its market. For a new venue, write one and add it to STAGES;
`test_venue_conformance.py` and `test_venue_conformance_money.py` run on each of them.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

import msgspec
import pytest

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.margin import Brackets
from ocw_mcp.domain.market import Candle, Funding, Mark, Opening, OrderBook, Product
from ocw_mcp.domain.money import floor_to, plain
from ocw_mcp.domain.orders import (
    Accepted,
    Filled,
    FundingPaid,
    OrderRef,
    OutsideFill,
    Purpose,
    Rejected,
    RejectReason,
    Side,
    Triggered,
    VenueReport,
)
from ocw_mcp.domain.protocols import Venue
from ocw_mcp.domain.time import HOUR, MINUTE
from tests.adapters.venues.exchange_stage import ExchangeStage, between, binance_venue
from tests.adapters.venues.papers import ETH, T0, cancelled, cleared_order, submitted


class Stage(Protocol):
    """A venue whose market a test moves. It begins with a last price of 1,000 and a wallet of 100,000.

    Reports are those of orders and money: what a venue says about its connection or the whole account is left out, and
    so is a fill that it reports again.
    """

    product: Product

    @property
    def venue(self) -> Venue: ...

    @property
    def now(self) -> int: ...

    @property
    def brackets(self) -> Brackets:
        """The margin brackets of the symbol at the venue."""
        ...

    async def begin(self) -> None:
        """Open the venue, and let the market trade at 1,000."""
        ...

    async def end(self) -> None:
        """Close the venue."""
        ...

    async def moves(self, price: float) -> list[VenueReport]:
        """Let a minute pass in which the market trades at this price; return the venue's reports."""
        ...

    async def spans(self, low: float, high: float, close: float) -> list[VenueReport]:
        """Let a minute pass from the last close over `low` and `high` to `close`; return the venue's reports."""
        ...

    async def settles(self, rate: float) -> list[VenueReport]:
        """Let time pass at the last price until funding is settled at this rate; return the venue's reports."""
        ...

    async def submit(self, cleared: ClearedOrder, now: int) -> list[VenueReport]:
        """Submit an order, and return what the venue says at once."""
        ...

    async def cancel(self, ref: OrderRef) -> list[VenueReport]:
        """Ask for a cancel now, and return what the venue says at once."""
        ...

    def position(self) -> Decimal:
        """Return the position by the venue's own account."""
        ...

    def wallet(self) -> Decimal:
        """Return the venue's wallet in quote currency, margin included; on spot without the assets bought."""
        ...

    async def restart(self) -> None:
        """Restart the venue: from its saved state, or, for an exchange, with the orders that may be live there."""
        ...


class PaperStage:
    """The paper venue, on one product."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.now = T0
        self.venue = self._new()
        self._last = 1_000.0

    @property
    def brackets(self) -> Brackets:
        found = self.venue.instrument(ETH, 1_000.0).brackets
        assert found is not None
        return found

    async def begin(self) -> None:
        await self.moves(1_000.0)

    async def end(self) -> None:
        pass

    async def submit(self, cleared: ClearedOrder, now: int) -> list[VenueReport]:
        return await submitted(self.venue, cleared, now)

    async def cancel(self, ref: OrderRef) -> list[VenueReport]:
        return await cancelled(self.venue, ref, self.now)

    async def moves(self, price: float) -> list[VenueReport]:
        return self._minute(price, price, price, price)

    async def spans(self, low: float, high: float, close: float) -> list[VenueReport]:
        return self._minute(self._last, low, high, close)

    async def settles(self, rate: float) -> list[VenueReport]:
        for _ in range(70):
            await self.moves(self._last)
        return list(self.venue.settle_funding(self.now, [Funding(ETH, self.now // HOUR * HOUR + 1, rate, 8)]))

    def position(self) -> Decimal:
        return self.venue.account.ledger.quantity(ETH)

    def wallet(self) -> Decimal:
        return self.venue.account.ledger.wallet

    async def restart(self) -> None:
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


class LivePaperStage(PaperStage):
    """The paper venue on a live market: a best bid and ask half a tick from each price, and a mark price at it."""

    async def moves(self, price: float) -> list[VenueReport]:
        return self._along([price] * 20, price)

    async def spans(self, low: float, high: float, close: float) -> list[VenueReport]:
        corners = (self._last, low, high, close)
        path = [price for begin, end in pairwise(corners) for price in (*between(begin, end), end)]
        return self._along(path, close)

    def _along(self, path: list[float], close: float) -> list[VenueReport]:
        """Let a minute pass in which the prices of a path come at equal distances."""
        began, reports = self.now, list[VenueReport]()
        for number, price in enumerate(path):
            at = began + number * MINUTE // len(path)
            if number:
                reports += self.venue.due(at)
            book = OrderBook(ETH, at, price - 0.005, price + 0.005, bid_quantity=1e6, ask_quantity=1e6)
            reports += self.venue.on_books([book], at)
            reports += self.venue.on_marks([Mark(ETH, at, price, price)], at)
        self.now = began + MINUTE
        self._last = close
        seen = [*path, close]
        candle = Candle(ETH, began, MINUTE, path[0], max(seen), min(seen), close, 1e6)
        return reports + list(self.venue.on_candle(candle, self.now))

    def _new(self) -> PaperVenue:
        return PaperVenue(self.product, Decimal(100_000), 5 * MINUTE, live=True)


STAGES: dict[str, Callable[[], Stage]] = {f"paper {product}": partial(PaperStage, product) for product in Product}
STAGES |= {f"live paper {product}": partial(LivePaperStage, product) for product in Product}
STAGES |= {f"sandbox {product}": partial(ExchangeStage, product, binance_venue) for product in Product}


async def send(stage: Stage, side: Side, quantity: str, purpose: Purpose = Purpose.ENTRY, **more: Any) -> VenueReport:
    """Send an order now; return the venue's only report."""
    cleared = cleared_order(side, quantity, purpose, now=stage.now, product=stage.product, **more)
    (answer,) = await stage.submit(cleared, stage.now)
    return answer


async def refusal(
    stage: Stage, side: Side, quantity: str, purpose: Purpose = Purpose.ENTRY, **more: Any
) -> RejectReason:
    """Send an order that the venue must refuse, now or when it would trade; return the reason of the refusal."""
    answer = await send(stage, side, quantity, purpose, **more)
    if isinstance(answer, Accepted):
        (answer,) = await stage.moves(1_000.0)
    assert isinstance(answer, Rejected), answer
    return answer.reason


async def hold(stage: Stage, quantity: str = "2", side: Side = Side.BUY, leverage: int = 1) -> str:
    """Open a position to reduce; return the quantity that can be sold, which on spot is reduced by the fee."""
    await send(stage, side, quantity, n=900, leverage=leverage)
    received = booked(await stage.moves(1_000.0)) * side.sign
    assert received == stage.position()
    return plain(floor_to(abs(received), stage.venue.instrument(ETH, 1_000.0).step))


def traded(reports: Iterable[VenueReport]) -> Decimal:
    """Return the filled quantity."""
    return sum((each.quantity for each in reports if isinstance(each, Filled)), Decimal(0))


def booked(reports: Iterable[VenueReport]) -> Decimal:
    """Return the filled quantity minus the fees deducted from it."""
    return sum((each.quantity - each.base_fee for each in reports if isinstance(each, Filled)), Decimal(0))


def outside(reports: Iterable[VenueReport]) -> list[OutsideFill]:
    """Return the fills without an order."""
    return [each for each in reports if isinstance(each, OutsideFill)]


def undated(reports: Iterable[VenueReport]) -> list[VenueReport]:
    """Return the reports without their times: a restart of an exchange's venue takes time."""
    found: list[VenueReport] = []
    for each in reports:
        match each:
            case Filled():
                found.append(msgspec.structs.replace(each, traded_at=0))
            case OutsideFill() | FundingPaid() | Accepted() | Triggered():
                found.append(msgspec.structs.replace(each, at=0))
            case _:
                found.append(each)
    return found


def only(*words: str) -> pytest.MarkDecorator:
    """Run a test only on the stages whose names have all of these words: a product, or `paper`."""
    names = [name for name in STAGES if set(words) <= {*name.split()}]
    return pytest.mark.parametrize("make_stage", [STAGES[name] for name in names], ids=names)

"""Funding on the paper venue: at its stamps, on what is held then, at the told rates or at an assumed one."""

from decimal import Decimal

import pytest

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.adapters.venues.paper_account import NEVER
from ocw_mcp.domain.market import Candle, Funding, Opening, Product
from ocw_mcp.domain.orders import FundingPaid, Side, VenueReport
from ocw_mcp.domain.time import HOUR, MINUTE
from tests.adapters.venues.papers import BUY, ETH, SELL, T0, approval, opens, venue_with

D = Decimal
STAMP = 8 * HOUR


async def holding(side: Side, quantity: str = "2", at: int = T0) -> PaperVenue:
    """A venue with a position, and a last price of 1,000."""
    venue = venue_with()
    venue.settle_funding(at)
    await venue.submit(approval(side, quantity, now=at), at)
    venue.on_opening(Opening(ETH, at, 1_000.0), at)
    venue.on_candle(Candle(ETH, at, MINUTE, 1_000.0, 1_000.0, 1_000.0, 1_000.0, 1.0), at + MINUTE)
    return venue


def told(rate: float, at: int, hours: int = 8) -> list[Funding]:
    return [Funding(ETH, at, rate, hours)]


@pytest.mark.requirement("X05")
@pytest.mark.parametrize("hours", [1, 4, 8])
@pytest.mark.parametrize(("side", "sign"), [(BUY, -1), (SELL, 1)])
async def test_funding_falls_at_whichever_interval_the_market_tells(hours: int, side: Side, sign: int) -> None:
    venue = await holding(side)
    paid: list[VenueReport] = []
    for hour in range(1, 25):
        at = T0 + hour * HOUR
        rates = told(0.0002, at, hours) if hour % hours == 0 else []
        paid += venue.settle_funding(at, rates)
    quantity = D(2) if side is BUY else D(-2)
    assert paid == [
        FundingPaid(ETH, sign * D("0.4"), D("0.0002"), quantity, D(1_000), T0 + hour * HOUR)
        for hour in range(hours, 25, hours)
    ]


@pytest.mark.parametrize("side", [BUY, SELL])
async def test_where_nothing_is_told_either_side_pays_every_eight_hours(side: Side) -> None:
    venue = await holding(side)
    assert venue.next_funding == T0 + STAMP
    assert venue.settle_funding(T0 + STAMP - 1) == []
    (first,) = venue.settle_funding(T0 + STAMP)
    assert isinstance(first, FundingPaid)
    assert (first.amount, first.assumed, first.at) == (D("-0.2"), True, T0 + STAMP)
    assert venue.settle_funding(T0 + STAMP) == []


async def test_stamps_in_a_hole_are_paid_one_by_one() -> None:
    venue = await holding(BUY)
    paid = venue.settle_funding(T0 + 3 * STAMP + MINUTE)
    assert [each.at for each in paid if isinstance(each, FundingPaid)] == [T0 + n * STAMP for n in (1, 2, 3)]


async def test_a_symbol_of_which_rates_are_told_pays_nothing_assumed_and_nothing_twice() -> None:
    venue = await holding(BUY)
    assert len(venue.settle_funding(T0 + 4 * HOUR, told(0.0001, T0 + 4 * HOUR))) == 1
    assert venue.settle_funding(T0 + 4 * HOUR, told(0.0001, T0 + 4 * HOUR)) == []
    assert venue.settle_funding(T0 + STAMP) == []


async def test_a_flat_account_pays_nothing_however_long_it_waited() -> None:
    venue = venue_with()
    assert venue.settle_funding(T0 + STAMP, told(0.01, T0 + STAMP)) == []
    assert venue.settle_funding(T0 + 90 * STAMP) == []
    assert venue.next_funding == T0 + 91 * STAMP


async def test_a_restart_between_stamps_pays_each_once() -> None:
    venue = await holding(BUY)
    venue.settle_funding(T0 + STAMP)
    again = venue_with()
    again.restore(venue.state())
    assert again.settle_funding(T0 + STAMP) == []
    assert again.settle_funding(T0 + 2 * STAMP) == venue.settle_funding(T0 + 2 * STAMP) != []


async def test_spot_has_no_funding() -> None:
    venue = venue_with(product=Product.SPOT)
    await venue.submit(approval(BUY, "2", product=Product.SPOT), T0)
    opens(venue, 1_000.0)
    assert venue.next_funding == NEVER
    assert venue.settle_funding(T0 + 9 * STAMP, told(0.01, T0 + STAMP)) == []

"""Funding on the paper venue: at its stamps, on what is held then, at the told rates or at an assumed one."""

from decimal import Decimal

import pytest

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.adapters.venues.paper_funding import NEVER
from ocw_mcp.domain.market import Candle, Funding, Opening, Product
from ocw_mcp.domain.orders import FundingPaid, Purpose, Side, VenueReport
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


async def test_an_interval_with_a_known_rate_pays_nothing_assumed_and_nothing_twice() -> None:
    venue = await holding(BUY)
    assert len(venue.settle_funding(T0 + 4 * HOUR, told(0.0001, T0 + 4 * HOUR))) == 1
    assert venue.settle_funding(T0 + 4 * HOUR, told(0.0001, T0 + 4 * HOUR)) == []
    assert venue.settle_funding(T0 + STAMP) == []
    (assumed,) = venue.settle_funding(T0 + 2 * STAMP)
    assert isinstance(assumed, FundingPaid)
    assert (assumed.at, assumed.assumed) == (T0 + 2 * STAMP, True)


@pytest.mark.parametrize("late", [0, 3, 900])
@pytest.mark.parametrize("told_first", [True, False])
async def test_a_stamp_is_settled_once_in_whichever_order_rates_come(told_first: bool, late: int) -> None:
    venue = await holding(BUY)
    rate = told(0.0003, T0 + STAMP + late)
    calls = [(T0 + STAMP + late, rate), (T0 + STAMP + late, [])]
    paid = [
        each
        for until, rates in (calls if told_first else reversed(calls))
        for each in venue.settle_funding(until, rates)
    ]
    (only,) = paid
    assert isinstance(only, FundingPaid)
    assert (only.at, only.assumed, only.amount) == (T0 + STAMP, not told_first, D("-0.6") if told_first else D("-0.2"))
    assert venue.settle_funding(T0 + STAMP + MINUTE, rate) == []


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(("side", "sign"), [(BUY, -1), (SELL, 1)])
async def test_a_late_stamp_settles_what_was_held_before_the_opening_of_its_hour(
    side: Side, sign: int, restarts: bool
) -> None:
    leaving, entering = await holding(side), venue_with()
    stamp, rate = T0 + 4 * HOUR, told(0.001, T0 + 4 * HOUR + 3, 4)
    for venue, order in (
        (leaving, approval(side.opposite, "2", Purpose.EXIT, now=stamp)),
        (entering, approval(side, "2", now=stamp)),
    ):
        await venue.submit(order, stamp)
        venue.on_opening(Opening(ETH, stamp, 1_100.0), stamp)
    if restarts:
        states = leaving.state(), entering.state()
        leaving, entering = venue_with(), venue_with()
        leaving.restore(states[0])
        entering.restore(states[1])
    (paid,) = leaving.settle_funding(stamp + 3, rate)
    assert paid == FundingPaid(ETH, sign * D(2), D("0.001"), D(2) * side.sign, D(1_000), stamp)
    assert entering.settle_funding(stamp + 3, rate) == []
    assert leaving.settle_funding(stamp + HOUR, rate) == entering.settle_funding(stamp + HOUR, rate) == []


async def test_rates_of_a_symbol_that_does_not_go_on_are_kept_until_it_does() -> None:
    venue = await holding(BUY)
    assert venue.settle_funding(T0 + STAMP, told(0.0003, T0 + STAMP), ()) == []
    assert venue.next_funding == T0 + STAMP
    paid = venue.settle_funding(T0 + 2 * STAMP - 1, (), {ETH})
    assert [(each.at, each.assumed) for each in paid if isinstance(each, FundingPaid)] == [(T0 + STAMP, False)]


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

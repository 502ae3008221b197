"""Funding on the paper venue: at its times, on the position at that time, at known rates or an assumed one."""

from decimal import Decimal

import pytest

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.adapters.venues.paper_account import NEVER
from ocw_mcp.domain.market import Candle, Funding, Opening, Product
from ocw_mcp.domain.orders import FundingPaid, Purpose, Side, VenueReport
from ocw_mcp.domain.time import HOUR, MINUTE
from tests.adapters.venues.papers import BUY, ETH, SELL, T0, cleared_order, opens, submitted, venue_with

D = Decimal
PERIOD = 8 * HOUR


async def holding(side: Side, quantity: str = "2", at: int = T0) -> PaperVenue:
    """Return a venue with a position and a last price of 1,000."""
    venue = venue_with()
    venue.settle_funding(at)
    await submitted(venue, cleared_order(side, quantity, now=at), at)
    venue.on_opening(Opening(ETH, at, 1_000.0), at)
    venue.on_candle(Candle(ETH, at, MINUTE, 1_000.0, 1_000.0, 1_000.0, 1_000.0, 1.0), at + MINUTE)
    return venue


def known(rate: float, at: int, hours: int = 8) -> list[Funding]:
    return [Funding(ETH, at, rate, hours)]


@pytest.mark.requirement("X05")
@pytest.mark.parametrize("hours", [1, 4, 8])
@pytest.mark.parametrize(("side", "sign"), [(BUY, -1), (SELL, 1)])
async def test_funding_is_paid_at_the_interval_of_the_rates(hours: int, side: Side, sign: int) -> None:
    venue = await holding(side)
    paid: list[VenueReport] = []
    for hour in range(1, 25):
        at = T0 + hour * HOUR
        rates = known(0.0002, at, hours) if hour % hours == 0 else []
        paid += venue.settle_funding(at, rates)
    quantity = D(2) if side is BUY else D(-2)
    assert paid == [
        FundingPaid(ETH, sign * D("0.4"), D("0.0002"), quantity, D(1_000), T0 + hour * HOUR)
        for hour in range(hours, 25, hours)
    ]


@pytest.mark.parametrize("side", [BUY, SELL])
async def test_without_rates_both_sides_pay_every_eight_hours(side: Side) -> None:
    venue = await holding(side)
    assert venue.next_funding == T0 + PERIOD
    assert venue.settle_funding(T0 + PERIOD - 1) == []
    (first,) = venue.settle_funding(T0 + PERIOD)
    assert isinstance(first, FundingPaid)
    assert (first.amount, first.assumed, first.at) == (D("-0.2"), True, T0 + PERIOD)
    assert venue.settle_funding(T0 + PERIOD) == []


async def test_funding_is_paid_for_each_funding_time_in_a_data_gap() -> None:
    venue = await holding(BUY)
    paid = venue.settle_funding(T0 + 3 * PERIOD + MINUTE)
    assert [each.at for each in paid if isinstance(each, FundingPaid)] == [T0 + n * PERIOD for n in (1, 2, 3)]


async def test_known_funding_rate_replaces_assumed_ones_of_its_interval() -> None:
    venue = await holding(BUY)
    assert len(venue.settle_funding(T0 + 4 * HOUR, known(0.0001, T0 + 4 * HOUR))) == 1
    assert venue.settle_funding(T0 + 4 * HOUR, known(0.0001, T0 + 4 * HOUR)) == []
    assert venue.settle_funding(T0 + PERIOD) == []
    (assumed,) = venue.settle_funding(T0 + 2 * PERIOD)
    assert isinstance(assumed, FundingPaid)
    assert (assumed.at, assumed.assumed) == (T0 + 2 * PERIOD, True)


@pytest.mark.parametrize("late", [0, 3, 900])
@pytest.mark.parametrize("rate_first", [True, False])
async def test_funding_is_settled_once_for_rates_in_any_order(rate_first: bool, late: int) -> None:
    venue = await holding(BUY)
    rate = known(0.0003, T0 + PERIOD + late)
    calls = [(T0 + PERIOD + late, rate), (T0 + PERIOD + late, [])]
    paid = [
        each
        for until, rates in (calls if rate_first else reversed(calls))
        for each in venue.settle_funding(until, rates)
    ]
    (only,) = paid
    assert isinstance(only, FundingPaid)
    assert (only.at, only.assumed, only.amount) == (
        T0 + PERIOD,
        not rate_first,
        D("-0.6") if rate_first else D("-0.2"),
    )
    assert venue.settle_funding(T0 + PERIOD + MINUTE, rate) == []


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(("side", "sign"), [(BUY, -1), (SELL, 1)])
async def test_late_funding_rate_is_paid_on_the_position_before_the_hour(side: Side, sign: int, restarts: bool) -> None:
    leaving, entering = await holding(side), venue_with()
    funded_at, rate = T0 + 4 * HOUR, known(0.001, T0 + 4 * HOUR + 3, 4)
    for venue, order in (
        (leaving, cleared_order(side.opposite, "2", Purpose.EXIT, now=funded_at)),
        (entering, cleared_order(side, "2", now=funded_at)),
    ):
        await submitted(venue, order, funded_at)
        venue.on_opening(Opening(ETH, funded_at, 1_100.0), funded_at)
    if restarts:
        states = leaving.state(), entering.state()
        leaving, entering = venue_with(), venue_with()
        leaving.restore(states[0])
        entering.restore(states[1])
    (paid,) = leaving.settle_funding(funded_at + 3, rate)
    assert paid == FundingPaid(ETH, sign * D(2), D("0.001"), D(2) * side.sign, D(1_000), funded_at)
    assert entering.settle_funding(funded_at + 3, rate) == []
    assert leaving.settle_funding(funded_at + HOUR, rate) == entering.settle_funding(funded_at + HOUR, rate) == []


async def test_funding_rates_of_other_symbols_are_kept_for_later() -> None:
    venue = await holding(BUY)
    assert venue.settle_funding(T0 + PERIOD, known(0.0003, T0 + PERIOD), ()) == []
    assert venue.next_funding == T0 + PERIOD
    paid = venue.settle_funding(T0 + 2 * PERIOD - 1, (), {ETH})
    assert [(each.at, each.assumed) for each in paid if isinstance(each, FundingPaid)] == [(T0 + PERIOD, False)]


async def test_flat_account_pays_no_funding() -> None:
    venue = venue_with()
    assert venue.settle_funding(T0 + PERIOD, known(0.01, T0 + PERIOD)) == []
    assert venue.settle_funding(T0 + 90 * PERIOD) == []
    assert venue.next_funding == T0 + 91 * PERIOD


async def test_restart_between_funding_times_pays_each_funding_once() -> None:
    venue = await holding(BUY)
    venue.settle_funding(T0 + PERIOD)
    again = venue_with()
    again.restore(venue.state())
    assert again.settle_funding(T0 + PERIOD) == []
    assert again.settle_funding(T0 + 2 * PERIOD) == venue.settle_funding(T0 + 2 * PERIOD) != []


async def test_spot_has_no_funding() -> None:
    venue = venue_with(product=Product.SPOT)
    await submitted(venue, cleared_order(BUY, "2", product=Product.SPOT), T0)
    opens(venue, 1_000.0)
    assert venue.next_funding == NEVER
    assert venue.settle_funding(T0 + 9 * PERIOD, known(0.01, T0 + PERIOD)) == []

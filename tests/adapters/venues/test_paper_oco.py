"""OCO orders on spot: a stop and a take-profit price under one reference; the first one reached fills the whole."""

from decimal import Decimal

import pytest

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Accepted, Purpose, Rejected
from ocw_mcp.domain.reject_reasons import RejectReason
from tests.adapters.venues.papers import BUY, SELL, T0, cleared_order, fill_of, opens, send, trades, venue_with

D = Decimal


async def guarded(at: int = T0) -> PaperVenue:
    """Return a spot position bought at 1,000, with a stop at 950 and a take-profit price of 1,050."""
    venue = venue_with(product=Product.SPOT)
    await send(venue, cleared_order(BUY, "2", product=Product.SPOT))
    opens(venue, 1_000.0)
    oco = cleared_order(SELL, "1.9", Purpose.STOP, trigger="950", take_at="1050", product=Product.SPOT, now=at)
    assert isinstance((await send(venue, oco))[0], Accepted)
    return venue


async def test_opening_beyond_the_target_fills_at_the_target() -> None:
    venue = await guarded()
    trades(venue, 990.0, 1_010.0, 1_000.0)
    fill = fill_of(opens(venue, 1_060.0, 1))
    assert (fill.price, fill.maker, fill.fee) == (D(1_050), True, D("1.9") * 1_050 * D("0.001"))
    assert venue.orders == []


async def test_gap_beyond_the_target_fills_at_the_target() -> None:
    venue = await guarded()
    trades(venue, 990.0, 1_010.0, 1_000.0)
    assert fill_of(opens(venue, 1_060.0, 9)).price == 1_050


async def test_opening_beyond_the_stop_fills_at_the_opening() -> None:
    venue = await guarded()
    fill = fill_of(opens(venue, 900.0, 1))
    assert fill.price == D("899.55")
    assert not fill.maker


async def test_oco_order_ignores_prices_before_it_was_sent() -> None:
    venue = await guarded(at=T0 + 30_000)
    assert trades(venue, 900.0, 1_100.0, 1_000.0) == []
    opens(venue, 1_000.0, 1)
    assert fill_of(trades(venue, 1_000.0, 1_051.0, 1_040.0, 1)).price == 1_050


async def test_target_fills_whole_in_a_thin_market() -> None:
    venue = await guarded()
    assert fill_of(trades(venue, 1_000.0, 1_051.0, 1_040.0, volume=0.1)).quantity == D("1.9")


async def test_oco_locks_its_quantity_once_for_stop_and_target() -> None:
    venue = await guarded()
    (answer,) = await send(venue, cleared_order(SELL, "0.1", Purpose.EXIT, product=Product.SPOT))
    assert isinstance(answer, Rejected)
    assert answer.reason is RejectReason.INSUFFICIENT_BALANCE
    (answer,) = await send(venue, cleared_order(SELL, "0.098", Purpose.EXIT, product=Product.SPOT))
    assert isinstance(answer, Accepted)


async def test_oco_target_that_is_no_multiple_of_the_tick_is_rejected() -> None:
    venue = venue_with(product=Product.SPOT)
    await send(venue, cleared_order(BUY, "2", product=Product.SPOT))
    opens(venue, 1_000.0)
    oco = cleared_order(SELL, "1", Purpose.STOP, trigger="950", take_at="1050.001", product=Product.SPOT)
    (answer,) = await send(venue, oco)
    assert isinstance(answer, Rejected)
    assert answer.reason is RejectReason.FILTER


@pytest.mark.parametrize("step", range(4))
async def test_restart_at_any_point_gives_the_same_reports(step: int) -> None:
    venue, twin = await guarded(), await guarded()
    prices = ((990.0, 1_000.0), (980.0, 1_050.0), (970.0, 1_050.01), (900.0, 1_000.0))
    for minute, (low, high) in enumerate(prices):
        if minute == step:
            state = twin.state()
            twin = venue_with(wallet=1, product=Product.SPOT)
            twin.restore(state)
        for place in (venue, twin):
            opens(place, 1_000.0, minute)
        assert trades(venue, low, high, 1_000.0, minute) == trades(twin, low, high, 1_000.0, minute)
    assert venue.orders == twin.orders == []

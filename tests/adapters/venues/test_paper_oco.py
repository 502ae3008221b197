"""Stop and profit under one name on spot: whichever is reached first fills the whole."""

from decimal import Decimal

import pytest

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Accepted, Purpose, Rejected
from tests.adapters.venues.papers import BUY, SELL, T0, approval, fill_of, opens, send, trades, venue_with

D = Decimal


async def guarded(at: int = T0) -> PaperVenue:
    """Spot bought at 1,000, with a stop at 950 that takes a profit at 1,050."""
    venue = venue_with(product=Product.SPOT)
    await send(venue, approval(BUY, "2", product=Product.SPOT))
    opens(venue, 1_000.0)
    oco = approval(SELL, "1.9", Purpose.STOP, trigger="950", take_at="1050", product=Product.SPOT, now=at)
    assert isinstance((await send(venue, oco))[0], Accepted)
    return venue


async def test_the_profit_is_taken_at_its_own_price_at_an_opening_beyond_it() -> None:
    venue = await guarded()
    trades(venue, 990.0, 1_010.0, 1_000.0)
    fill = fill_of(opens(venue, 1_060.0, 1))
    assert (fill.price, fill.maker, fill.fee) == (D(1_050), True, D("1.9") * 1_050 * D("0.001"))
    assert venue.orders == []


async def test_after_a_hole_the_profit_was_taken_while_nobody_looked() -> None:
    venue = await guarded()
    trades(venue, 990.0, 1_010.0, 1_000.0)
    assert fill_of(opens(venue, 1_060.0, 9)).price == 1_050


async def test_an_opening_beyond_the_stop_is_not_forgiven() -> None:
    venue = await guarded()
    fill = fill_of(opens(venue, 900.0, 1))
    assert fill.price == D("899.55")
    assert not fill.maker


async def test_neither_side_looks_at_a_range_from_before_it_came() -> None:
    venue = await guarded(at=T0 + 30_000)
    assert trades(venue, 900.0, 1_100.0, 1_000.0) == []
    opens(venue, 1_000.0, 1)
    assert fill_of(trades(venue, 1_000.0, 1_051.0, 1_040.0, 1)).price == 1_050


async def test_the_profit_is_taken_whole_however_thin_the_market() -> None:
    venue = await guarded()
    assert fill_of(trades(venue, 1_000.0, 1_051.0, 1_040.0, volume=0.1)).quantity == D("1.9")


async def test_it_locks_what_it_sells_once() -> None:
    venue = await guarded()
    (told,) = await send(venue, approval(SELL, "0.1", Purpose.EXIT, product=Product.SPOT))
    assert isinstance(told, Rejected)
    assert told.code == "-2010"
    (told,) = await send(venue, approval(SELL, "0.098", Purpose.EXIT, product=Product.SPOT))
    assert isinstance(told, Accepted)


async def test_a_profit_off_the_tick_is_rejected() -> None:
    venue = venue_with(product=Product.SPOT)
    await send(venue, approval(BUY, "2", product=Product.SPOT))
    opens(venue, 1_000.0)
    oco = approval(SELL, "1", Purpose.STOP, trigger="950", take_at="1050.001", product=Product.SPOT)
    (told,) = await send(venue, oco)
    assert isinstance(told, Rejected)
    assert told.code == "-1013"


@pytest.mark.parametrize("step", range(4))
async def test_a_restart_at_any_point_gives_the_same_reports(step: int) -> None:
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

"""Stops on paper that close the whole position, and orders that are larger than the exchange takes."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain.market import PriceBand
from ocw_mcp.domain.orders import Accepted, Canceled, Filled, OrderRef, Purpose, Rejected, Side, VenueReport
from ocw_mcp.domain.reject_reasons import RejectReason
from tests.adapters.venues.papers import (
    BUY,
    ETH,
    SELL,
    T0,
    cancelled,
    cleared_order,
    fill_of,
    holding,
    opens,
    rest,
    submitted,
    trades,
    venue_with,
)

D = Decimal
BOTH = pytest.mark.parametrize(("held", "closing", "way"), [(BUY, SELL, 1), (SELL, BUY, -1)], ids=["long", "short"])


async def whole(
    venue: PaperVenue, side: Side, trigger: int, quantity: str = "2", revision: int = 0
) -> list[VenueReport]:
    """Send a stop that closes the whole position."""
    wide = cleared_order(
        side, quantity, Purpose.STOP, trigger=str(trigger), revision=revision, close_position=True, now=T0
    )
    return await submitted(venue, wide, T0)


def reason(reports: list[VenueReport]) -> RejectReason:
    (rejected,) = reports
    assert isinstance(rejected, Rejected)
    return rejected.reason


async def test_a_whole_stop_is_rejected_while_flat() -> None:
    venue = venue_with()
    opens(venue, 1_000.0)
    assert reason(await whole(venue, SELL, 950)) is RejectReason.NO_POSITION


@BOTH
async def test_one_whole_stop_rests_with_stops_of_a_quantity_beside_it(held: Side, closing: Side, way: int) -> None:
    venue = await holding(held, "2")
    assert isinstance((await whole(venue, closing, 1_000 - 50 * way))[0], Accepted)
    assert reason(await whole(venue, closing, 1_000 - 40 * way, revision=1)) is RejectReason.STOP_EXISTS
    beside = cleared_order(closing, "2", Purpose.STOP, trigger=str(1_000 - 40 * way), revision=2)
    assert isinstance((await submitted(venue, beside, T0))[0], Accepted)


@BOTH
async def test_a_whole_stop_closes_an_addition_too_and_less_after_a_reduction(
    held: Side, closing: Side, way: int
) -> None:
    venue = await holding(held, "2")
    await whole(venue, closing, 1_000 - 50 * way)
    await submitted(venue, cleared_order(held, "3", n=2), T0)
    opens(venue, 1_000.0, 1)
    (stop,) = venue.orders
    assert stop.quantity == 5
    await submitted(venue, cleared_order(closing, "1", Purpose.EXIT), T0)
    opens(venue, 1_000.0, 2)
    fill = fill_of(trades(venue, min(1_000.0, 1_000 - 51.0 * way), max(1_000.0, 1_000 - 51.0 * way), 1_000.0, 2))
    assert (fill.ref.leg, fill.quantity) == (Purpose.STOP, D(4))
    assert venue.orders == []
    assert venue.account.ledger.positions == {}


@BOTH
async def test_a_whole_stop_ends_with_its_position(held: Side, closing: Side, way: int) -> None:
    venue = await holding(held, "2")
    (accepted,) = await whole(venue, closing, 1_000 - 50 * way)
    assert isinstance(accepted, Accepted)
    await submitted(venue, cleared_order(closing, "2", Purpose.EXIT), T0)
    fill, ended = opens(venue, 1_000.0, 1)
    assert isinstance(fill, Filled)
    assert ended == Canceled(accepted.ref, "expired: its position has ended", D(0))
    assert venue.orders == []
    assert reason(await whole(venue, closing, 1_000 - 50 * way, revision=1)) is RejectReason.NO_POSITION


@BOTH
async def test_an_opening_beyond_both_stops_fills_one_of_them(held: Side, closing: Side, way: int) -> None:
    venue = await holding(held, "2")
    await whole(venue, closing, 1_000 - 50 * way)
    tight = cleared_order(closing, "2", Purpose.STOP, trigger=str(1_000 - 20 * way), revision=1)
    await submitted(venue, tight, T0)
    # A resting entry the same way fills at the same opening: the ended stop does not close it.
    await submitted(venue, cleared_order(held, "1", n=2, limit=str(1_000 - 40 * way)), T0)
    reports = opens(venue, 1_000.0 - 80 * way, 1)
    fills = [each.ref for each in reports if isinstance(each, Filled)]
    assert fills == [OrderRef(1, Purpose.STOP, 1), OrderRef(2, Purpose.ENTRY)]
    assert abs(venue.account.ledger.quantity(ETH)) == 1


async def test_a_whole_stop_is_cancelled_and_kept_over_a_restart() -> None:
    venue = await holding(BUY, "2")
    (accepted,) = await whole(venue, SELL, 950)
    assert isinstance(accepted, Accepted)
    again = venue_with()
    again.restore(venue.state())
    assert again.orders == venue.orders
    assert await cancelled(again, accepted.ref, T0) == [Canceled(accepted.ref, "on request", D(0))]


async def test_orders_above_the_largest_quantity_are_rejected_but_not_a_whole_stop() -> None:
    venue = await holding(BUY, "2")
    bounded = replace(venue.instrument(ETH, 1_000.0), max_quantity=D("1.5"), market_max_quantity=D(1))
    venue.set_instruments([bounded])
    assert reason(await submitted(venue, cleared_order(SELL, "1.2", Purpose.EXIT), T0)) is RejectReason.FILTER
    assert reason(await submitted(venue, cleared_order(BUY, "1.6", n=2, limit="900"), T0)) is RejectReason.FILTER
    stop = cleared_order(SELL, "2", Purpose.STOP, trigger="960")
    assert reason(await submitted(venue, stop, T0)) is RejectReason.FILTER
    assert isinstance((await whole(venue, SELL, 950, revision=1))[0], Accepted)


async def test_a_limit_outside_the_price_band_is_rejected() -> None:
    venue = await holding(BUY, "1")
    band = PriceBand(D("0.95"), D("1.05"))
    venue.set_instruments([replace(venue.instrument(ETH, 1_000.0), bid_band=band)])
    assert reason(await submitted(venue, cleared_order(BUY, "1", n=2, limit="940"), T0)) is RejectReason.FILTER
    assert isinstance((await submitted(venue, cleared_order(BUY, "1", n=3, limit="950"), T0))[0], Accepted)
    assert isinstance(await rest(venue, SELL, "1", Purpose.STOP, "900"), OrderRef)

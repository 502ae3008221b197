"""Partial fills: an order takes a share of the volume and its rest trades later; a triggered order trades whole."""

from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain.orders import Canceled, Filled, OrderRef, Purpose, Rejected, VenueReport
from ocw_mcp.domain.time import MINUTE
from tests.adapters.venues.papers import (
    BUY,
    SELL,
    T0,
    cancelled,
    cleared_order,
    fill_of,
    opens,
    rest,
    send,
    trades,
    venue_with,
)

D = Decimal
ENTRY = OrderRef(1, Purpose.ENTRY)


def minute(venue: PaperVenue, number: int, volume: float, low: float = 999.0, high: float = 1_001.0) -> None:
    """Report a minute at 1,000 that only sets the volume."""
    assert trades(venue, low, high, 1_000.0, number, volume) == []


def amounts(reports: list[VenueReport]) -> list[Decimal]:
    return [report.quantity for report in reports if isinstance(report, Filled)]


async def test_unfilled_part_of_a_market_order_fills_at_next_openings() -> None:
    venue = venue_with()
    minute(venue, 0, 10.0)
    await send(venue, cleared_order(BUY, "2.5"))
    reports = []
    for number in range(1, 5):
        reports += opens(venue, 1_000.0, number)
        minute(venue, number, 10.0)
    fills = [report for report in reports if isinstance(report, Filled)]
    assert [(fill.quantity, fill.price) for fill in fills] == [
        (D(1), D("1000.5")),
        (D(1), D("1000.67")),  # 0.01 % + 0.04 % × √2
        (D("0.5"), D("1000.74")),  # 0.01 % + 0.04 % × √2.5
    ]
    assert [fill.fill_id for fill in fills] == ["paper-1-1", "paper-1-2", "paper-1-3"]
    assert venue.orders == []


async def test_fill_is_limited_by_the_last_closed_candle_volume() -> None:
    venue = venue_with()
    minute(venue, 0, 10.0)
    minute(venue, 1, 30.0)
    await send(venue, cleared_order(BUY, "9"))
    assert amounts(opens(venue, 1_000.0, 2)) == [D(3)]


async def test_entry_that_waits_for_volume_too_long_expires() -> None:
    venue = venue_with(patience_ms=5 * MINUTE)
    minute(venue, 0, 10.0)
    await send(venue, cleared_order(BUY, "1.5"))
    assert amounts(opens(venue, 1_000.0, 1)) == [D(1)]
    minute(venue, 1, 0.0)
    assert opens(venue, 1_000.0, 6) == []
    (gone,) = opens(venue, 1_000.0, 7)
    assert isinstance(gone, Canceled)


async def test_exit_fills_until_flat_and_never_reverses_the_position() -> None:
    venue = venue_with()
    await send(venue, cleared_order(BUY, "3"))
    opens(venue, 1_000.0)
    minute(venue, 0, 10.0)
    await send(venue, cleared_order(SELL, "3", Purpose.EXIT, now=T0 + MINUTE))
    assert amounts(opens(venue, 1_000.0, 1)) == [D(1)]
    stop = await rest(venue, SELL, "3", Purpose.STOP, "950", at=T0 + MINUTE)
    stopped, canceled = trades(venue, 940.0, 1_000.0, 945.0, 1, 10.0)
    assert isinstance(stopped, Filled)
    assert (stopped.ref, stopped.quantity) == (stop, D(2))
    assert isinstance(canceled, Canceled)
    (nothing,) = opens(venue, 945.0, 2)
    assert isinstance(nothing, Canceled)
    assert venue.account.ledger.positions == {}


@pytest.mark.parametrize(("volume", "paid"), [(1e6, "949.52"), (20.0, "949.24"), (0.0, "920.47")])
async def test_stop_trades_whole_at_a_worse_price_in_a_thin_market(volume: float, paid: str) -> None:
    venue = venue_with()
    await send(venue, cleared_order(BUY, "6"))
    opens(venue, 1_000.0)
    await rest(venue, SELL, "6", Purpose.STOP, "950")
    fill = fill_of(trades(venue, 940.0, 1_000.0, 945.0, 0, volume))
    assert (fill.quantity, fill.price) == (D(6), D(paid))


async def test_limit_order_fills_at_most_a_volume_share_per_candle() -> None:
    venue = venue_with()
    opens(venue, 1_000.0)
    await send(venue, cleared_order(BUY, "2.5", limit="990"))
    assert amounts(trades(venue, 985.0, 1_000.0, 995.0, 0, 10.0)) == [D(1)]
    assert amounts(trades(venue, 990.0, 1_000.0, 995.0, 1, 10.0)) == []
    assert amounts(opens(venue, 989.0, 2)) == [D(1)]
    assert amounts(trades(venue, 985.0, 1_000.0, 995.0, 2, 70.0)) == [D("0.5")]
    assert venue.orders == []


async def test_partly_filled_limit_order_can_be_cancelled() -> None:
    venue = venue_with()
    opens(venue, 1_000.0)
    await send(venue, cleared_order(BUY, "2.5", limit="990"))
    trades(venue, 985.0, 1_000.0, 995.0, 0, 10.0)
    assert await cancelled(venue, ENTRY, T0 + MINUTE) == [Canceled(ENTRY, "on request", D(1))]
    assert venue.account.ledger.quantity("ETHUSDT") == 1


async def test_partly_filled_order_is_cancelled_if_its_rest_is_unaffordable() -> None:
    venue = venue_with(wallet=1_000)
    opens(venue, 1_000.0)
    await send(venue, cleared_order(BUY, "1.99", limit="1000", leverage=2))
    minute(venue, 0, 10.0, low=1_000.0)
    assert amounts(opens(venue, 999.0, 1)) == [D(1)]
    minute(venue, 1, 90.0, low=1_000.0)
    venue.account.ledger.wallet -= 500
    (gone,) = opens(venue, 999.0, 2)
    assert isinstance(gone, Canceled)


@settings(max_examples=60, deadline=None)
@example(D("1.001"), [(0.0, 900.0)] * 7, None)
@given(
    st.decimals("0.01", "30", places=3),
    st.lists(st.tuples(st.floats(0, 100), st.floats(900, 1_100)), min_size=1, max_size=12),
    st.sampled_from([None, "950", "1000", "1050"]),
)
async def test_fills_stay_within_quantity_volume_share_and_limit_price(
    quantity: Decimal, minutes: list[tuple[float, float]], limit: str | None
) -> None:
    venue = venue_with(wallet=10**6)
    minute(venue, 0, 10.0)
    cleared = cleared_order(BUY, str(quantity), limit=limit)
    (answer,) = await send(venue, cleared)
    volume, total, ended = 10.0, D(0), isinstance(answer, Rejected)
    for number, (next_volume, price) in enumerate(minutes, 1):
        reports = opens(venue, round(price, 2), number)
        assert sum(amounts(reports), D(0)) <= D(repr(volume)) / 10
        inside = trades(venue, round(price, 2) - 10, round(price, 2) + 10, round(price, 2), number, next_volume)
        assert sum(amounts(inside), D(0)) <= D(repr(next_volume)) / 10
        for report in (*reports, *inside):
            if isinstance(report, Filled):
                total += report.quantity
                assert limit is None or report.price <= D(limit)
            ended = ended or isinstance(report, Canceled | Rejected)
        volume = next_volume
    assert total <= cleared.order.quantity
    assert (total == cleared.order.quantity or ended) == (not venue.orders)

"""Stops and targets on paper: reached within candles, over gaps, and both in one candle."""

from decimal import Decimal

import pytest

from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    OrderRef,
    Purpose,
    Rejected,
    Side,
)
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.time import MINUTE
from tests.adapters.venues.papers import (
    BUY,
    SELL,
    T0,
    cleared_order,
    fill_of,
    holding,
    opens,
    rest,
    submitted,
    trades,
)

D = Decimal


@pytest.mark.parametrize(
    ("held", "closing", "trigger", "gap", "paid"),
    [(BUY, SELL, "950", 900.0, "899.55"), (SELL, BUY, "1050", 1_100.0, "1100.55")],
)
async def test_gap_through_the_stop_fills_at_the_opening(
    held: Side, closing: Side, trigger: str, gap: float, paid: str
) -> None:
    venue = await holding(held, "2")
    stop = await rest(venue, closing, "2", Purpose.STOP, trigger)
    assert trades(venue, 999.0, 1_001.0, 1_000.0, 0) == []
    fill = fill_of(opens(venue, gap, 1))
    assert (fill.ref, fill.quantity, fill.price, fill.traded_at) == (stop, D(2), D(paid), T0 + MINUTE)


@pytest.mark.parametrize(
    ("held", "closing", "trigger", "low", "high", "paid"),
    [(BUY, SELL, "950", 950.0, 1_000.0, "949.52"), (SELL, BUY, "1050", 1_000.0, 1_050.0, "1050.53")],
)
async def test_stop_reached_in_a_candle_fills_worse_than_its_trigger(
    held: Side, closing: Side, trigger: str, low: float, high: float, paid: str
) -> None:
    venue = await holding(held, "2")
    await rest(venue, closing, "2", Purpose.STOP, trigger)
    assert trades(venue, 951.0, 1_049.0, 1_000.0, 0) == []
    opens(venue, 1_000.0, 1)
    fill = fill_of(trades(venue, low, high, 1_000.0, 1))
    assert (fill.price, fill.traded_at) == (D(paid), T0 + 2 * MINUTE)


@pytest.mark.parametrize(
    ("held", "closing", "stop_at", "target_at"), [(BUY, SELL, "950", "1050"), (SELL, BUY, "1050", "950")]
)
async def test_stop_comes_before_the_target_in_one_candle(
    held: Side, closing: Side, stop_at: str, target_at: str
) -> None:
    venue = await holding(held, "2")
    target = await rest(venue, closing, "2", Purpose.TARGET, target_at)
    stop = await rest(venue, closing, "2", Purpose.STOP, stop_at)
    reports = trades(venue, 900.0, 1_100.0, 1_000.0, 0)
    filled, canceled = reports
    assert fill_of(reports) == filled
    assert filled.ref == stop
    assert isinstance(canceled, Canceled)
    assert canceled.ref == target
    assert opens(venue, 1_200.0, 1) == opens(venue, 800.0, 2) == []


async def test_target_fills_worse_than_its_trigger() -> None:
    venue = await holding(BUY, "2")
    await rest(venue, SELL, "2", Purpose.TARGET, "1050")
    assert fill_of(trades(venue, 990.0, 1_060.0, 1_055.0, 0)).price == D("1049.47")


@pytest.mark.parametrize(
    ("closing", "purpose", "trigger", "crossed"),
    [
        (SELL, Purpose.STOP, "1000", True),
        (SELL, Purpose.STOP, "999.99", False),
        (BUY, Purpose.STOP, "1000", True),
        (BUY, Purpose.STOP, "1000.01", False),
        (SELL, Purpose.TARGET, "1000", True),
        (SELL, Purpose.TARGET, "1000.01", False),
        (BUY, Purpose.TARGET, "1000.01", True),
    ],
)
async def test_conditional_order_past_its_trigger_when_sent_is_rejected(
    closing: Side, purpose: Purpose, trigger: str, crossed: bool
) -> None:
    venue = await holding(closing.opposite, "2", leverage=1)
    (report,) = await submitted(venue, cleared_order(closing, "2", purpose, trigger=trigger), T0)
    if crossed:
        assert report == Rejected(
            OrderRef(1, purpose), RejectReason.WOULD_TRIGGER_IMMEDIATELY, "Order would immediately trigger."
        )
        assert trades(venue, 500.0, 1_500.0, 1_000.0, 0) == []
    else:
        assert isinstance(report, Accepted)


async def test_stop_sent_during_a_candle_ignores_its_earlier_prices() -> None:
    venue = await holding(BUY, "2")
    await rest(venue, SELL, "2", Purpose.STOP, "950", at=T0 + 30_000)
    assert trades(venue, 900.0, 1_000.0, 960.0, 0) == []
    opens(venue, 960.0, 1)
    assert fill_of(trades(venue, 940.0, 960.0, 955.0, 1)).price == D("949.52")


async def test_stop_sent_during_a_candle_triggers_at_its_close() -> None:
    venue = await holding(BUY, "2")
    await rest(venue, SELL, "2", Purpose.STOP, "950", at=T0 + 30_000)
    assert fill_of(trades(venue, 900.0, 1_000.0, 940.0, 0)).price == D("939.53")

"""The paper venue: fills at the next opening, and an account that checks every order itself."""

from decimal import Decimal

import pytest

from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    CancelRefused,
    Filled,
    OrderRef,
    Purpose,
    Rejected,
    Side,
    VenueReport,
)
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.time import MINUTE
from tests.adapters.venues.papers import (
    BUY,
    SELL,
    T0,
    cancelled,
    cleared_order,
    fill_of,
    holding,
    opens,
    rest,
    send,
    submitted,
    trades,
    venue_with,
)

D = Decimal


async def test_market_order_fills_only_at_the_next_opening() -> None:
    venue = venue_with()
    opens(venue, 900.0, 0)
    trades(venue, 800.0, 1_200.0, 950.0, 0)
    assert await submitted(venue, cleared_order(BUY, "2"), T0 + 1_000) == [
        Accepted(OrderRef(1, Purpose.ENTRY), "paper-1")
    ]
    assert trades(venue, 800.0, 1_200.0, 950.0, 0) == []
    (report,) = opens(venue, 1_000.0, 1)
    assert report == Filled(
        OrderRef(1, Purpose.ENTRY), "paper-1-1", D(2), D("1000.5"), D(2) * D("1000.5") * D("0.001"), T0 + MINUTE
    )


@pytest.mark.parametrize(
    ("side", "opening", "paid"),
    [(BUY, 1_000.0, "1000.5"), (SELL, 1_000.0, "999.5"), (BUY, 33.33, "33.35"), (SELL, 33.33, "33.31")],
)
async def test_fill_price_includes_slippage_rounded_against_the_trader(side: Side, opening: float, paid: str) -> None:
    venue = venue_with()
    await submitted(venue, cleared_order(side, "1"), T0)
    assert fill_of(opens(venue, opening)).price == D(paid)


async def test_opening_of_another_symbol_fills_nothing() -> None:
    venue = venue_with()
    await submitted(venue, cleared_order(BUY, "1"), T0)
    assert opens(venue, 1_000.0, symbol="BTCUSDT") == []
    assert fill_of(opens(venue, 1_000.0, 1)).traded_at == T0 + MINUTE


async def test_reduce_only_order_is_cut_to_the_position() -> None:
    venue = await holding(BUY, "2")
    await submitted(venue, cleared_order(SELL, "5", Purpose.EXIT), T0)
    filled, rest_of_it = opens(venue, 1_000.0, 1)
    assert isinstance(filled, Filled)
    assert filled.quantity == 2
    assert isinstance(rest_of_it, Canceled)
    await submitted(venue, cleared_order(SELL, "1", Purpose.EXIT, revision=1), T0)
    (nothing,) = opens(venue, 1_000.0, 2)
    assert isinstance(nothing, Canceled)
    assert "no position" in nothing.why


async def test_reduce_only_order_does_not_enlarge_a_position() -> None:
    venue = await holding(BUY, "2")
    await submitted(venue, cleared_order(BUY, "1", Purpose.EXIT), T0)
    assert isinstance(opens(venue, 1_000.0, 1)[0], Canceled)


async def test_in_a_candle_gap_an_entry_expires_and_an_exit_waits() -> None:
    venue = await holding(BUY, "2")
    await send(venue, cleared_order(BUY, "1", n=2, now=T0 + MINUTE))
    await send(venue, cleared_order(SELL, "2", Purpose.EXIT, now=T0 + MINUTE))
    expired, closed = opens(venue, 1_000.0, 7)
    assert isinstance(expired, Canceled)
    assert expired.ref == OrderRef(2, Purpose.ENTRY)
    assert "expired" in expired.why
    assert isinstance(closed, Filled)
    assert closed.quantity == 2


async def test_market_entry_fills_if_a_candle_opens_before_it_expires() -> None:
    venue = venue_with(patience_ms=5 * MINUTE)
    await submitted(venue, cleared_order(BUY, "1"), T0)
    assert fill_of(opens(venue, 1_000.0, 5)).quantity == 1


@pytest.mark.parametrize(
    ("product", "quantity", "code"),
    [
        (Product.UM, "20", RejectReason.INSUFFICIENT_MARGIN),
        (Product.UM, "19.9", None),
        (Product.SPOT, "10", RejectReason.INSUFFICIENT_BALANCE),
        (Product.SPOT, "9.99", None),
    ],
)
async def test_unaffordable_market_order_is_rejected_at_the_opening(
    product: Product, quantity: str, code: RejectReason | None
) -> None:
    venue = venue_with(product=product)
    await submitted(venue, cleared_order(BUY, quantity, product=product, leverage=2), T0)
    (report,) = opens(venue, 1_000.0)
    if code is None:
        assert isinstance(report, Filled)
    else:
        assert isinstance(report, Rejected)
        assert report.reason is code


async def test_margin_is_free_again_after_the_position_is_closed() -> None:
    venue = await holding(BUY, "15")
    (reports,) = await submitted(venue, cleared_order(BUY, "6", n=2), T0)
    assert isinstance(reports, Rejected)
    assert reports.reason is RejectReason.INSUFFICIENT_MARGIN
    await send(venue, cleared_order(BUY, "4", n=3))
    fill_of(opens(venue, 1_000.0, 2))
    await send(venue, cleared_order(SELL, "19", Purpose.EXIT))
    fill_of(opens(venue, 1_000.0, 3))
    await send(venue, cleared_order(BUY, "19", n=4, leverage=2))
    fill_of(opens(venue, 1_000.0, 4))


async def test_exit_is_never_refused_for_lack_of_money() -> None:
    venue = await holding(BUY, "19")
    await submitted(venue, cleared_order(SELL, "19", Purpose.EXIT), T0)
    assert fill_of(opens(venue, 510.0, 1)).quantity == 19


async def test_cancelled_order_never_trades() -> None:
    venue = await holding(BUY, "2")
    stop = await rest(venue, SELL, "2", Purpose.STOP, "950")
    entry = cleared_order(BUY, "1", n=2)
    await submitted(venue, entry, T0)
    for ref in (stop, entry.order.ref):
        assert await cancelled(venue, ref, T0) == [Canceled(ref, "on request", D(0))]
        assert [type(each) for each in await cancelled(venue, ref, T0)] == [CancelRefused]
    assert opens(venue, 900.0, 1) == []
    assert trades(venue, 800.0, 900.0, 850.0, 1) == []


async def test_order_is_refused_if_its_clearance_is_reused_or_expired() -> None:
    venue = venue_with()
    cleared = cleared_order(BUY, "1")
    await submitted(venue, cleared, T0)
    with pytest.raises(InvariantError, match="used twice"):
        await submitted(venue, cleared, T0)
    with pytest.raises(InvariantError, match="was cleared until"):
        await submitted(venue, cleared_order(BUY, "1", n=2), T0 + 5_001)
    assert len(opens(venue, 1_000.0, 1)) == 1


@pytest.mark.parametrize("restarted_after", range(8))
async def test_restart_at_any_point_gives_the_same_reports(restarted_after: int) -> None:
    async def story(restarts: bool) -> list[VenueReport]:
        venue = venue_with()
        reports: list[VenueReport] = []
        for step in range(8):
            match step:
                case 0:
                    reports += await send(venue, cleared_order(BUY, "3"))
                case 1:
                    reports += opens(venue, 1_000.0, 1)
                case 2:
                    reports += await send(venue, cleared_order(SELL, "3", Purpose.STOP, trigger="950", now=T0 + MINUTE))
                case 3:
                    reports += await send(
                        venue, cleared_order(SELL, "3", Purpose.TARGET, trigger="1050.5", now=T0 + MINUTE)
                    )
                case 4:
                    reports += await send(venue, cleared_order(SELL, "1", Purpose.EXIT, now=T0 + MINUTE))
                case 5:
                    reports += trades(venue, 951.0, 1_050.0, 1_000.0, 1)
                case 6:
                    reports += opens(venue, 990.0, 2)
                case 7:
                    reports += trades(venue, 940.0, 1_000.0, 945.0, 2)
            if restarts and step == restarted_after:
                state = venue.state()
                venue = venue_with(wallet=1)
                venue.restore(state)
                assert venue.state() == state
        return reports

    reports = await story(restarts=True)
    assert reports == await story(restarts=False)
    assert [type(report) for report in reports] == [
        Accepted,
        Filled,
        Accepted,
        Accepted,
        Accepted,
        Filled,
        Filled,
        Canceled,
    ]

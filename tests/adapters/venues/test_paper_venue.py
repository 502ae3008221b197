"""The paper venue: fills at the next opening, and an account that believes nobody."""

from decimal import Decimal

import pytest

from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    Filled,
    OrderRef,
    Purpose,
    Rejected,
    Side,
    VenueReport,
)
from ocw_mcp.domain.time import MINUTE
from tests.adapters.venues.papers import (
    BUY,
    SELL,
    T0,
    approval,
    fill_of,
    holding,
    opens,
    rest,
    send,
    trades,
    venue_with,
)

D = Decimal


async def test_a_market_order_fills_at_the_next_opening_and_never_on_the_candle_it_was_decided_on() -> None:
    venue = venue_with()
    opens(venue, 900.0, 0)
    trades(venue, 800.0, 1_200.0, 950.0, 0)
    assert await venue.submit(approval(BUY, "2"), T0 + 1_000) == [Accepted(OrderRef(1, Purpose.ENTRY), "paper-1")]
    assert trades(venue, 800.0, 1_200.0, 950.0, 0) == []
    (report,) = opens(venue, 1_000.0, 1)
    assert report == Filled(
        OrderRef(1, Purpose.ENTRY), "paper-1-1", D(2), D("1000.5"), D(2) * D("1000.5") * D("0.001"), T0 + MINUTE
    )


@pytest.mark.parametrize(
    ("side", "opening", "paid"),
    [(BUY, 1_000.0, "1000.5"), (SELL, 1_000.0, "999.5"), (BUY, 33.33, "33.35"), (SELL, 33.33, "33.31")],
)
async def test_a_price_is_worsened_and_rounded_against_the_trader(side: Side, opening: float, paid: str) -> None:
    venue = venue_with()
    await venue.submit(approval(side, "1"), T0)
    assert fill_of(opens(venue, opening)).price == D(paid)


async def test_an_opening_of_another_symbol_fills_nothing() -> None:
    venue = venue_with()
    await venue.submit(approval(BUY, "1"), T0)
    assert opens(venue, 1_000.0, symbol="BTCUSDT") == []
    assert fill_of(opens(venue, 1_000.0, 1)).traded_at == T0 + MINUTE


async def test_reduce_only_is_cut_down_to_the_position_and_never_flips_it() -> None:
    venue = await holding(BUY, "2")
    await venue.submit(approval(SELL, "5", Purpose.EXIT), T0)
    filled, rest_of_it = opens(venue, 1_000.0, 1)
    assert isinstance(filled, Filled)
    assert filled.quantity == 2
    assert isinstance(rest_of_it, Canceled)
    await venue.submit(approval(SELL, "1", Purpose.EXIT, revision=1), T0)
    (nothing,) = opens(venue, 1_000.0, 2)
    assert isinstance(nothing, Canceled)
    assert "no position" in nothing.why


async def test_reduce_only_on_the_side_of_the_position_does_not_enlarge_it() -> None:
    venue = await holding(BUY, "2")
    await venue.submit(approval(BUY, "1", Purpose.EXIT), T0)
    assert isinstance(opens(venue, 1_000.0, 1)[0], Canceled)


async def test_an_entry_that_waited_over_a_hole_expires_and_an_exit_waits_on() -> None:
    venue = await holding(BUY, "2")
    await send(venue, approval(BUY, "1", n=2, now=T0 + MINUTE))
    await send(venue, approval(SELL, "2", Purpose.EXIT, now=T0 + MINUTE))
    expired, closed = opens(venue, 1_000.0, 7)
    assert isinstance(expired, Canceled)
    assert expired.ref == OrderRef(2, Purpose.ENTRY)
    assert "expired" in expired.why
    assert isinstance(closed, Filled)
    assert closed.quantity == 2


async def test_an_entry_waits_as_long_as_its_patience() -> None:
    venue = venue_with(patience_ms=5 * MINUTE)
    await venue.submit(approval(BUY, "1"), T0)
    assert fill_of(opens(venue, 1_000.0, 5)).quantity == 1


@pytest.mark.parametrize(
    ("product", "quantity", "code"),
    [
        (Product.UM, "20", "-2019"),
        (Product.UM, "19.9", None),
        (Product.SPOT, "10", "-2010"),
        (Product.SPOT, "9.99", None),
    ],
)
async def test_what_the_money_cannot_carry_is_rejected_when_it_would_trade(
    product: Product, quantity: str, code: str | None
) -> None:
    venue = venue_with(product=product)
    await venue.submit(approval(BUY, quantity, product=product, leverage=2), T0)
    (report,) = opens(venue, 1_000.0)
    if code is None:
        assert isinstance(report, Filled)
    else:
        assert isinstance(report, Rejected)
        assert report.code == code


async def test_money_that_is_tied_up_cannot_be_spent_again_and_is_free_when_its_position_is_gone() -> None:
    venue = await holding(BUY, "15")
    (told,) = await venue.submit(approval(BUY, "6", n=2), T0)
    assert isinstance(told, Rejected)
    assert told.code == "-2019"
    await send(venue, approval(BUY, "4", n=3))
    fill_of(opens(venue, 1_000.0, 2))
    await send(venue, approval(SELL, "19", Purpose.EXIT))
    fill_of(opens(venue, 1_000.0, 3))
    await send(venue, approval(BUY, "19", n=4, leverage=2))
    fill_of(opens(venue, 1_000.0, 4))


async def test_an_exit_is_never_refused_for_want_of_money() -> None:
    venue = await holding(BUY, "19")
    await venue.submit(approval(SELL, "19", Purpose.EXIT), T0)
    assert fill_of(opens(venue, 510.0, 1)).quantity == 19


async def test_a_cancelled_order_neither_fills_nor_triggers_and_a_second_cancel_finds_nothing() -> None:
    venue = await holding(BUY, "2")
    stop = await rest(venue, SELL, "2", Purpose.STOP, "950")
    entry = approval(BUY, "1", n=2)
    await venue.submit(entry, T0)
    for ref in (stop, entry.order.ref):
        assert await venue.cancel(ref, T0) == [Canceled(ref, "on request")]
        assert await venue.cancel(ref, T0) == []
    assert opens(venue, 900.0, 1) == []
    assert trades(venue, 800.0, 900.0, 850.0, 1) == []


async def test_an_approval_is_used_once_and_in_time() -> None:
    venue = venue_with()
    cleared = approval(BUY, "1")
    await venue.submit(cleared, T0)
    with pytest.raises(InvariantError, match="used twice"):
        await venue.submit(cleared, T0)
    with pytest.raises(InvariantError, match="expired"):
        await venue.submit(approval(BUY, "1", n=2), T0 + 5_001)
    assert len(opens(venue, 1_000.0, 1)) == 1


@pytest.mark.parametrize("restarted_after", range(8))
async def test_a_restart_at_any_point_gives_the_same_reports(restarted_after: int) -> None:
    async def story(restarts: bool) -> list[VenueReport]:
        venue = venue_with()
        told: list[VenueReport] = []
        for step in range(8):
            match step:
                case 0:
                    told += await send(venue, approval(BUY, "3"))
                case 1:
                    told += opens(venue, 1_000.0, 1)
                case 2:
                    told += await send(venue, approval(SELL, "3", Purpose.STOP, trigger="950", now=T0 + MINUTE))
                case 3:
                    told += await send(venue, approval(SELL, "3", Purpose.TARGET, trigger="1050.5", now=T0 + MINUTE))
                case 4:
                    told += await send(venue, approval(SELL, "1", Purpose.EXIT, now=T0 + MINUTE))
                case 5:
                    told += trades(venue, 951.0, 1_050.0, 1_000.0, 1)
                case 6:
                    told += opens(venue, 990.0, 2)
                case 7:
                    told += trades(venue, 940.0, 1_000.0, 945.0, 2)
            if restarts and step == restarted_after:
                state = venue.state()
                venue = venue_with(wallet=1)
                venue.restore(state)
                assert venue.state() == state
        return told

    told = await story(restarts=True)
    assert told == await story(restarts=False)
    assert [type(report) for report in told] == [
        Accepted,
        Filled,
        Accepted,
        Accepted,
        Accepted,
        Filled,
        Filled,
        Canceled,
    ]

"""The paper venue: fills at the next opening, stops within candles, and an account that believes nobody."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.core.matching.on_candles import Terms
from ocw_mcp.core.risk.officer import APPROVAL_MS, RiskOfficer
from ocw_mcp.domain.approved import ApprovedOrder
from ocw_mcp.domain.errors import HouseRuleError
from ocw_mcp.domain.market import Candle, Instrument, Opening, Product
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    Filled,
    OrderIntent,
    OrderRef,
    OrderType,
    Purpose,
    Rejected,
    Side,
    VenueReport,
)
from ocw_mcp.domain.time import MINUTE
from tests.support.accounts import CALM
from tests.support.runs import policies

D = Decimal
T0 = 1_767_225_600_000
ETH = "ETHUSDT"
BUY, SELL = Side.BUY, Side.SELL
COSTS = Terms(taker_fee=D("0.001"), half_spread=D("0.0001"), slippage=D("0.0004"), latency_ms=0)
OFFICER = RiskOfficer(
    policies(
        order={"max_notional": 10**9, "price_allowance": 0},
        position={"max_share": 1},
        exposure={"max_gross": 20},
        stop={"max_distance": "0.5"},
    )
)
FINE = D("0.0000001")
TYPES = {Purpose.STOP: OrderType.STOP_MARKET, Purpose.TARGET: OrderType.TAKE_PROFIT_MARKET}


def approval(
    side: Side,
    quantity: str,
    purpose: Purpose = Purpose.ENTRY,
    *,
    n: int = 1,
    revision: int = 0,
    trigger: str | None = None,
    now: int = T0,
    symbol: str = ETH,
    product: Product = Product.UM,
    limit: str | None = None,
    post_only: bool = False,
    leverage: int = 1,
    take_at: str | None = None,
) -> ApprovedOrder:
    """An approval from the risk officer, who is told whatever lets the order pass: the venue has to look for itself.

    Leverage and the other side of an OCO are put in behind the officer's back.
    """
    price, size = D(1_000), D(quantity)
    account = msgspec.structs.replace(
        CALM,
        product=product,
        instrument=Instrument(symbol, product, FINE, FINE, FINE, D(0)),
        equity=D(10**9),
        day_opening=D(10**9),
        free_margin=D(10**9),
        quantity=D(0) if purpose is Purpose.ENTRY else -side.sign * size,
    )
    intent = OrderIntent(
        idempotency_key="k",
        principal="test",
        symbol=symbol,
        side=side,
        type=OrderType.LIMIT if limit else TYPES.get(purpose, OrderType.MARKET),
        purpose=purpose,
        quantity=size,
        trigger_price=None if trigger is None else D(trigger),
        protect_at=(D(limit) if limit else price) * (1 - side.sign * D("0.2")),
        limit_price=None if limit is None else D(limit),
        post_only=post_only,
    )
    ask = OFFICER.approve_reduction if purpose.reduces else OFFICER.check_entry
    answer = ask(intent, account, OrderRef(n, purpose, revision), now)
    assert isinstance(answer, ApprovedOrder), str(answer)
    answer._order = msgspec.structs.replace(
        answer.order, leverage=leverage, take_at=None if take_at is None else D(take_at)
    )
    return answer


async def send(venue: PaperVenue, approved: ApprovedOrder) -> list[VenueReport]:
    """Submit an order at the moment of its approval."""
    return list(await venue.submit(approved, approved.expires_at - APPROVAL_MS))


def venue_with(wallet: int = 10_000, product: Product = Product.UM, patience_ms: int = 5 * MINUTE) -> PaperVenue:
    return PaperVenue(product, D(wallet), patience_ms, COSTS)


def opens(venue: PaperVenue, price: float, minute: int = 0, symbol: str = ETH) -> list[VenueReport]:
    at = T0 + minute * MINUTE
    return list(venue.on_opening(Opening(symbol, at, price), at))


def trades(
    venue: PaperVenue, low: float, high: float, close: float, minute: int = 0, volume: float = 1e6
) -> list[VenueReport]:
    """The candle that opened at `minute` closes; its first price has been told before, by an opening."""
    at = T0 + minute * MINUTE
    return list(venue.on_candle(Candle(ETH, at, MINUTE, close, high, low, close, volume), at + MINUTE))


def fill_of(reports: Sequence[VenueReport]) -> Filled:
    fills = [report for report in reports if isinstance(report, Filled)]
    assert len(fills) == 1, reports
    return fills[0]


async def holding(
    side: Side, quantity: str, price: float = 1_000.0, wallet: int = 10_000, leverage: int = 2
) -> PaperVenue:
    """A venue with a position, opened at T0."""
    venue = venue_with(wallet)
    await venue.submit(approval(side, quantity, leverage=leverage), T0)
    assert fill_of(opens(venue, price)).quantity == D(quantity)
    return venue


async def rest(venue: PaperVenue, side: Side, quantity: str, purpose: Purpose, trigger: str, at: int = T0) -> OrderRef:
    """Lay a stop or a target; its name."""
    approved = approval(side, quantity, purpose, trigger=trigger, now=at)
    assert isinstance((await venue.submit(approved, at))[0], Accepted)
    return approved.order.ref


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


@pytest.mark.parametrize(
    ("held", "closing", "trigger", "gap", "paid"),
    [(BUY, SELL, "950", 900.0, "899.55"), (SELL, BUY, "1050", 1_100.0, "1100.55")],
)
async def test_a_gap_through_the_stop_fills_at_the_opening(
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
async def test_a_stop_that_a_candle_reaches_fills_at_its_price_worsened(
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
async def test_where_a_candle_reaches_both_the_stop_comes_first_and_the_target_finds_nothing(
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


async def test_a_target_alone_fills_at_its_price_worsened() -> None:
    venue = await holding(BUY, "2")
    await rest(venue, SELL, "2", Purpose.TARGET, "1050")
    assert fill_of(trades(venue, 990.0, 1_060.0, 1_055.0, 0)).price == D("1049.47")


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
async def test_a_conditional_order_that_is_crossed_already_is_rejected(
    closing: Side, purpose: Purpose, trigger: str, crossed: bool
) -> None:
    venue = await holding(closing.opposite, "2", leverage=1)
    (report,) = await venue.submit(approval(closing, "2", purpose, trigger=trigger), T0)
    if crossed:
        assert report == Rejected(OrderRef(1, purpose), "-2021", "Order would immediately trigger.")
        assert trades(venue, 500.0, 1_500.0, 1_000.0, 0) == []
    else:
        assert isinstance(report, Accepted)


async def test_an_order_that_came_within_a_candle_is_not_triggered_by_the_range_before_it() -> None:
    venue = await holding(BUY, "2")
    await rest(venue, SELL, "2", Purpose.STOP, "950", at=T0 + 30_000)
    assert trades(venue, 900.0, 1_000.0, 960.0, 0) == []
    opens(venue, 960.0, 1)
    assert fill_of(trades(venue, 940.0, 960.0, 955.0, 1)).price == D("949.52")


async def test_an_order_that_came_within_a_candle_is_triggered_by_its_close_at_the_close() -> None:
    venue = await holding(BUY, "2")
    await rest(venue, SELL, "2", Purpose.STOP, "950", at=T0 + 30_000)
    assert fill_of(trades(venue, 900.0, 1_000.0, 940.0, 0)).price == D("939.53")


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
    approved = approval(BUY, "1")
    await venue.submit(approved, T0)
    with pytest.raises(HouseRuleError, match="used twice"):
        await venue.submit(approved, T0)
    with pytest.raises(HouseRuleError, match="expired"):
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

"""Every venue takes only cleared orders, each reference once, reverses no position, and applies the filters."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.core.risk.officer import CLEARED_MS
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
)
from ocw_mcp.domain.reject_reasons import RejectReason
from tests.adapters.venues.conformance import Stage, booked, hold, only, outside, refusal, send, traded, undated
from tests.adapters.venues.exchange_stage import ExchangeStage
from tests.adapters.venues.papers import ETH, cleared_order

D = Decimal
BUY, SELL = Side.BUY, Side.SELL


async def test_order_without_risk_clearance_is_not_accepted(stage: Stage) -> None:
    order = cleared_order(BUY, "1", product=stage.product).order
    with pytest.raises(AttributeError):
        await stage.submit(order, stage.now)  # type: ignore[arg-type]
    assert traded(await stage.moves(1_000.0)) == 0


async def test_order_is_refused_if_its_clearance_is_reused_or_expired(stage: Stage) -> None:
    cleared = cleared_order(BUY, "1", now=stage.now, product=stage.product)
    await stage.submit(cleared, stage.now)
    late = cleared_order(BUY, "1", n=2, now=stage.now, product=stage.product)
    for used, now in ((cleared, stage.now), (late, stage.now + CLEARED_MS + 1)):
        with pytest.raises(InvariantError):
            await stage.submit(used, now)
    assert traded(await stage.moves(1_000.0)) == 1


@pytest.mark.parametrize("more", [{}, {"limit": "990"}])
async def test_accepted_order_has_a_unique_venue_id(stage: Stage, more: dict[str, Any]) -> None:
    answers = [await send(stage, BUY, "1", n=n, **more) for n in range(1, 6)]
    ids = {answer.venue_order_id for answer in answers if isinstance(answer, Accepted)}
    assert len(ids) == 5


@pytest.mark.parametrize("limit", [None, "990"])
async def test_order_sent_twice_with_one_reference_is_placed_once(stage: Stage, limit: str | None) -> None:
    assert isinstance(await send(stage, BUY, "1", limit=limit), Accepted)
    again = cleared_order(BUY, "1", limit=limit, now=stage.now, product=stage.product)
    assert not any(isinstance(each, Rejected) for each in await stage.submit(again, stage.now))
    reports = await stage.moves(980.0)
    assert traded(reports) == 1
    assert booked(reports) == stage.position()


async def test_market_order_fills_near_the_price_with_taker_fee(stage: Stage) -> None:
    await send(stage, BUY, "2")
    (fill,) = await stage.moves(1_000.0)
    assert isinstance(fill, Filled)
    assert fill.quantity == 2
    assert D(1_000) <= fill.price < D(1_002)
    assert not fill.maker
    assert fill.fee > 0
    rate = fill.fee / (fill.quantity * fill.price)
    assert rate == (D("0.001") if stage.product is Product.SPOT else D("0.0005"))


async def test_limit_order_fills_at_its_price_as_a_maker(stage: Stage) -> None:
    await send(stage, BUY, "2", limit="990")
    assert await stage.spans(990.0, 1_000.0, 995.0) == []
    (fill,) = await stage.spans(989.0, 1_000.0, 995.0)
    assert isinstance(fill, Filled)
    assert (fill.quantity, fill.price, fill.maker) == (D(2), D(990), True)


async def test_ioc_order_fills_at_the_next_price_or_expires(stage: Stage) -> None:
    await send(stage, BUY, "2", limit="1005", immediate=True)
    (fill,) = await stage.moves(1_000.0)
    assert isinstance(fill, Filled)
    assert (fill.quantity, fill.maker) == (D(2), False)
    assert D(1_000) < fill.price <= 1_005
    await stage.moves(1_010.0)
    await send(stage, BUY, "2", n=2, limit="1005", immediate=True)
    (gone,) = await stage.moves(1_010.0)
    assert isinstance(gone, Canceled)
    assert gone.ref == OrderRef(2, Purpose.ENTRY)
    assert await stage.moves(900.0) == []
    assert booked([fill]) == stage.position()


@only(Product.UM)
async def test_ioc_short_entry_sells_at_its_limit_or_better(stage: Stage) -> None:
    await send(stage, SELL, "2", limit="995", immediate=True)
    (fill,) = await stage.moves(1_000.0)
    assert isinstance(fill, Filled)
    assert D(995) <= fill.price < 1_000
    await stage.moves(990.0)
    await send(stage, SELL, "2", n=2, limit="995", immediate=True)
    (gone,) = await stage.moves(990.0)
    assert isinstance(gone, Canceled)
    assert stage.position() == -2


@only("paper")
@pytest.mark.parametrize("more", [{}, {"limit": "1005", "immediate": True}], ids=["market", "immediate"])
async def test_taker_can_be_cancelled_before_the_next_price(stage: Stage, more: dict[str, Any]) -> None:
    await send(stage, BUY, "2", **more)
    (canceled,) = await stage.cancel(OrderRef(1, Purpose.ENTRY))
    assert isinstance(canceled, Canceled)
    assert await stage.moves(1_000.0) == []


async def test_price_beyond_a_resting_limit_order_fills_it_at_its_limit(stage: Stage) -> None:
    await send(stage, BUY, "2", limit="990")
    await stage.moves(1_000.0)
    (fill,) = await stage.moves(980.0)
    assert isinstance(fill, Filled)
    assert (fill.price, fill.maker) == (D(990), True)


@pytest.mark.parametrize(
    ("purpose", "trigger", "low", "high"),
    [(Purpose.STOP, "950", 949.0, 1_000.0), (Purpose.TARGET, "1050", 1_000.0, 1_051.0)],
)
async def test_stop_and_target_trigger_at_their_price(
    stage: Stage, purpose: Purpose, trigger: str, low: float, high: float
) -> None:
    held = await hold(stage)
    await send(stage, SELL, held, purpose, trigger=trigger)
    assert await stage.spans(951.0, 1_049.0, 1_000.0) == []
    (fill,) = await stage.spans(low, high, 1_000.0)
    assert isinstance(fill, Filled)
    assert fill.quantity == D(held)
    assert not fill.maker
    assert D(trigger) * D("0.998") < fill.price <= D(trigger)
    assert await stage.moves(900.0) == []


async def test_cancel_of_an_order_that_is_not_live_changes_nothing(stage: Stage) -> None:
    await hold(stage)
    before = stage.position()
    for ref in (OrderRef(1, Purpose.ENTRY), OrderRef(900, Purpose.ENTRY)):
        assert [each.ref for each in await stage.cancel(ref) if isinstance(each, CancelRefused)] in ([], [ref])
    assert await stage.moves(1_000.0) == []
    assert stage.position() == before


async def test_cancelled_order_is_reported_once_and_never_trades(stage: Stage) -> None:
    held = await hold(stage)
    await send(stage, BUY, "1", n=3, limit="990")
    await send(stage, SELL, held, Purpose.STOP, n=4, trigger="950")
    before = stage.position()
    for ref in (OrderRef(3, Purpose.ENTRY), OrderRef(4, Purpose.STOP)):
        (canceled,) = await stage.cancel(ref)
        assert isinstance(canceled, Canceled)
        assert not any(isinstance(each, Canceled) for each in await stage.cancel(ref))
    assert await stage.moves(900.0) == []
    assert stage.position() == before


@only(Product.UM)
@pytest.mark.parametrize(
    ("purpose", "more"), [(Purpose.EXIT, {}), (Purpose.STOP, {"trigger": "950"}), (Purpose.TARGET, {"trigger": "1050"})]
)
async def test_reduce_only_order_never_reverses_a_position(
    stage: Stage, purpose: Purpose, more: dict[str, Any]
) -> None:
    await hold(stage)
    reports = [await send(stage, SELL, "3", purpose, revision=revision, **more) for revision in range(2)]
    reports += await stage.moves(1_100.0 if purpose is Purpose.TARGET else 900.0)
    assert traded(reports) == 2
    assert stage.position() == 0
    assert {each.ref.revision for each in reports if isinstance(each, Canceled | Rejected)} == {0, 1}


@only(Product.SPOT)
@pytest.mark.parametrize(
    ("purpose", "more"), [(Purpose.EXIT, {}), (Purpose.STOP, {"trigger": "950"}), (Purpose.TARGET, {"trigger": "1050"})]
)
async def test_spot_sells_only_free_assets(stage: Stage, purpose: Purpose, more: dict[str, Any]) -> None:
    held = await hold(stage)
    assert await refusal(stage, SELL, "2", purpose, **more) is RejectReason.INSUFFICIENT_BALANCE
    await send(stage, SELL, held, Purpose.STOP, n=5, trigger="940")
    assert await refusal(stage, SELL, held, purpose, n=2, **more) is RejectReason.INSUFFICIENT_BALANCE
    await stage.cancel(OrderRef(5, Purpose.STOP))
    assert isinstance(await send(stage, SELL, held, purpose, n=3, **more), Accepted)


async def test_reduce_only_order_without_a_position_trades_nothing(stage: Stage) -> None:
    await send(stage, SELL, "1", Purpose.EXIT)
    assert traded(await stage.moves(1_000.0)) == stage.position() == 0


@pytest.mark.parametrize(
    ("purpose", "trigger"), [(Purpose.STOP, "1000"), (Purpose.STOP, "1001"), (Purpose.TARGET, "999")]
)
async def test_conditional_order_past_its_trigger_when_sent_is_rejected(
    stage: Stage, purpose: Purpose, trigger: str
) -> None:
    held = await hold(stage)
    answer = await send(stage, SELL, held, purpose, trigger=trigger)
    assert isinstance(answer, Rejected)
    assert answer.reason is RejectReason.WOULD_TRIGGER_IMMEDIATELY
    assert traded(await stage.moves(1_000.0)) == 0


async def test_post_only_order_that_would_take_is_rejected(stage: Stage) -> None:
    answer = await send(stage, BUY, "1", limit="1001", post_only=True)
    assert isinstance(answer, Rejected)
    assert answer.reason is RejectReason.WOULD_TAKE


@pytest.mark.parametrize(
    ("quantity", "limit", "reason"),
    [
        ("0.00001", None, RejectReason.FILTER),
        ("1.00005", None, RejectReason.FILTER),
        ("1", "990.005", RejectReason.FILTER),
        ("0.001", None, RejectReason.MIN_NOTIONAL),
        ("0.001", "990", RejectReason.MIN_NOTIONAL),
    ],
    ids=["smallest quantity", "step", "tick", "notional at the market", "notional at a limit"],
)
async def test_order_that_fails_a_filter_is_rejected_with_its_reason(
    stage: Stage, quantity: str, limit: str | None, reason: RejectReason
) -> None:
    answer = await send(stage, BUY, quantity, limit=limit)
    assert isinstance(answer, Rejected)
    assert answer.reason is reason
    assert traded(await stage.moves(900.0)) == 0


@only("paper")
async def test_stop_that_is_no_multiple_of_the_tick_is_rejected(stage: Stage) -> None:
    held = await hold(stage)
    tick = stage.venue.instrument(ETH, 1_000.0).tick
    answer = await send(stage, SELL, held, Purpose.STOP, trigger=str(D(950) + tick / 2))
    assert isinstance(answer, Rejected)
    assert answer.reason is RejectReason.FILTER


async def test_reduce_only_order_below_the_smallest_notional_is_accepted(stage: Stage) -> None:
    await hold(stage)
    least = stage.venue.instrument(ETH, 1_000.0).min_quantity
    answer = await send(stage, SELL, str(max(least, D("0.001"))), Purpose.EXIT)
    if isinstance(stage, ExchangeStage) and stage.product is Product.SPOT:
        # The exchange makes no exception for sales on spot: the guard states such a rest as dust.
        assert isinstance(answer, Rejected)
        assert answer.reason is RejectReason.MIN_NOTIONAL
        return
    assert isinstance(answer, Accepted)
    assert traded(await stage.moves(1_000.0)) > 0


async def test_reports_are_the_same_after_a_restart(make_stage: Callable[[], Stage]) -> None:
    stage, other = make_stage(), make_stage()
    reports: list[list[object]] = [[], []]
    for place, each in enumerate((stage, other)):
        await each.begin()
        for price in (1_000.0, 1_005.0, 985.0, 1_000.0, 940.0, 990.0):
            n = len(reports[place]) + 1
            reports[place].append(undated([await send(each, BUY, "1", n=n, leverage=20)]))
            reports[place].append(undated([await send(each, BUY, "1", n=100 + n, limit="991", leverage=20)]))
            reports[place].append(undated([await send(each, SELL, "0.9", Purpose.STOP, n=n, trigger="930")]))
            if place:
                await each.restart()
            reports[place].append(undated(await each.moves(price)))
        reports[place].append(undated(await each.moves(700.0)))
        await each.end()
    assert reports[0] == reports[1]
    assert stage.position() == other.position()
    assert bool(outside(reports[0][-1])) == (stage.product is Product.UM)  # type: ignore[arg-type]

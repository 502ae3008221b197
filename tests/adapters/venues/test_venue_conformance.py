"""Every venue keeps to the Venue protocol: one door, one name an order, nothing reversed, nothing off the filters."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.core.risk.officer import APPROVAL_MS
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
)
from tests.adapters.venues.conformance import Stage, booked, hold, only, outside, refusal, send, traded
from tests.adapters.venues.papers import ETH, approval

D = Decimal
BUY, SELL = Side.BUY, Side.SELL


async def test_nothing_but_an_approved_order_is_taken(stage: Stage) -> None:
    order = approval(BUY, "1", product=stage.product).order
    with pytest.raises(AttributeError):
        await stage.venue.submit(order, stage.now)  # type: ignore[arg-type]
    assert traded(stage.moves(1_000.0)) == 0


async def test_an_approval_is_good_for_one_order_and_for_its_time(stage: Stage) -> None:
    cleared = approval(BUY, "1", now=stage.now, product=stage.product)
    await stage.venue.submit(cleared, stage.now)
    late = approval(BUY, "1", n=2, now=stage.now, product=stage.product)
    for used, now in ((cleared, stage.now), (late, stage.now + APPROVAL_MS + 1)):
        with pytest.raises(InvariantError):
            await stage.venue.submit(used, now)
    assert traded(stage.moves(1_000.0)) == 1


@pytest.mark.parametrize("more", [{}, {"limit": "990"}])
async def test_an_accepted_order_has_an_id_of_the_venue_that_no_other_has(stage: Stage, more: dict[str, Any]) -> None:
    answers = [await send(stage, BUY, "1", n=n, **more) for n in range(1, 6)]
    ids = {answer.venue_order_id for answer in answers if isinstance(answer, Accepted)}
    assert len(ids) == 5


@pytest.mark.parametrize("limit", [None, "990"])
async def test_a_name_that_is_there_is_not_taken_twice_and_not_said_to_be_missing(
    stage: Stage, limit: str | None
) -> None:
    first = await send(stage, BUY, "1", limit=limit)
    second = await send(stage, BUY, "1", limit=limit)
    assert first == second
    assert isinstance(second, Accepted)
    told = stage.moves(980.0)
    assert traded(told) == 1
    assert booked(told) == stage.position()


async def test_a_market_order_trades_near_the_price_and_pays_the_takers_fee(stage: Stage) -> None:
    await send(stage, BUY, "2")
    (fill,) = stage.moves(1_000.0)
    assert isinstance(fill, Filled)
    assert fill.quantity == 2
    assert D(1_000) <= fill.price < D(1_002)
    assert not fill.maker
    assert fill.fee > 0
    rate = fill.fee / (fill.quantity * fill.price)
    assert rate == (D("0.001") if stage.product is Product.SPOT else D("0.0005"))


async def test_a_limit_trades_at_its_price_where_the_market_went_through_it_and_is_a_maker(stage: Stage) -> None:
    await send(stage, BUY, "2", limit="990")
    assert stage.spans(990.0, 1_000.0, 995.0) == []
    (fill,) = stage.spans(989.0, 1_000.0, 995.0)
    assert isinstance(fill, Filled)
    assert (fill.quantity, fill.price, fill.maker) == (D(2), D(990), True)


async def test_an_immediate_order_takes_at_the_next_price_within_its_limit_and_never_rests(stage: Stage) -> None:
    await send(stage, BUY, "2", limit="1005", immediate=True)
    (fill,) = stage.moves(1_000.0)
    assert isinstance(fill, Filled)
    assert (fill.quantity, fill.maker) == (D(2), False)
    assert D(1_000) < fill.price <= 1_005
    await send(stage, BUY, "2", n=2, limit="1005", immediate=True)
    (gone,) = stage.moves(1_010.0)
    assert isinstance(gone, Canceled)
    assert gone.ref == OrderRef(2, Purpose.ENTRY)
    assert stage.moves(900.0) == []
    assert booked([fill]) == stage.position()


@only(Product.UM)
async def test_an_immediate_short_sells_for_no_less_than_its_limit(stage: Stage) -> None:
    await send(stage, SELL, "2", limit="995", immediate=True)
    (fill,) = stage.moves(1_000.0)
    assert isinstance(fill, Filled)
    assert D(995) <= fill.price < 1_000
    await send(stage, SELL, "2", n=2, limit="995", immediate=True)
    (gone,) = stage.moves(990.0)
    assert isinstance(gone, Canceled)
    assert stage.position() == -2


async def test_an_immediate_order_can_be_cancelled_before_a_price_came(stage: Stage) -> None:
    await send(stage, BUY, "2", limit="1005", immediate=True)
    (canceled,) = await stage.venue.cancel(OrderRef(1, Purpose.ENTRY), stage.now)
    assert isinstance(canceled, Canceled)
    assert stage.moves(1_000.0) == []


async def test_a_limit_that_rested_trades_at_its_own_price_at_a_price_beyond_it(stage: Stage) -> None:
    await send(stage, BUY, "2", limit="990")
    stage.moves(1_000.0)
    (fill,) = stage.moves(980.0)
    assert isinstance(fill, Filled)
    assert (fill.price, fill.maker) == (D(990), True)


@pytest.mark.parametrize(
    ("purpose", "trigger", "low", "high"),
    [(Purpose.STOP, "950", 949.0, 1_000.0), (Purpose.TARGET, "1050", 1_000.0, 1_051.0)],
)
async def test_a_stop_and_a_target_trigger_where_the_price_comes_to_them(
    stage: Stage, purpose: Purpose, trigger: str, low: float, high: float
) -> None:
    held = await hold(stage)
    await send(stage, SELL, held, purpose, trigger=trigger)
    assert stage.spans(951.0, 1_049.0, 1_000.0) == []
    (fill,) = stage.spans(low, high, 1_000.0)
    assert isinstance(fill, Filled)
    assert fill.quantity == D(held)
    assert not fill.maker
    assert D(trigger) * D("0.998") < fill.price <= D(trigger)
    assert stage.moves(900.0) == []


async def test_cancelling_what_is_not_there_answers_nothing(stage: Stage) -> None:
    assert await stage.venue.cancel(OrderRef(7, Purpose.ENTRY), stage.now) == []
    await hold(stage)
    assert await stage.venue.cancel(OrderRef(900, Purpose.ENTRY), stage.now) == []


async def test_a_cancelled_order_is_told_once_and_never_trades(stage: Stage) -> None:
    held = await hold(stage)
    await send(stage, BUY, "1", n=2)
    await send(stage, BUY, "1", n=3, limit="990")
    await send(stage, SELL, held, Purpose.STOP, n=4, trigger="950")
    before = stage.position()
    for ref in (OrderRef(2, Purpose.ENTRY), OrderRef(3, Purpose.ENTRY), OrderRef(4, Purpose.STOP)):
        (canceled,) = await stage.venue.cancel(ref, stage.now)
        assert isinstance(canceled, Canceled)
        assert await stage.venue.cancel(ref, stage.now) == []
    assert stage.moves(900.0) == []
    assert stage.position() == before


@only(Product.UM)
@pytest.mark.parametrize(
    ("purpose", "more"), [(Purpose.EXIT, {}), (Purpose.STOP, {"trigger": "950"}), (Purpose.TARGET, {"trigger": "1050"})]
)
async def test_reduce_only_never_reverses_a_position(stage: Stage, purpose: Purpose, more: dict[str, Any]) -> None:
    await hold(stage)
    for revision in range(2):
        await send(stage, SELL, "3", purpose, revision=revision, **more)
    told = stage.moves(1_100.0 if purpose is Purpose.TARGET else 900.0)
    assert traded(told) == 2
    assert stage.position() == 0
    assert {each.ref.revision for each in told if isinstance(each, Canceled)} == {0, 1}


@only(Product.SPOT)
@pytest.mark.parametrize(
    ("purpose", "more"), [(Purpose.EXIT, {}), (Purpose.STOP, {"trigger": "950"}), (Purpose.TARGET, {"trigger": "1050"})]
)
async def test_on_spot_nothing_is_sold_that_is_not_owned_or_that_another_order_would_sell(
    stage: Stage, purpose: Purpose, more: dict[str, Any]
) -> None:
    held = await hold(stage)
    assert await refusal(stage, SELL, "2", purpose, **more) == "-2010"
    await send(stage, SELL, held, Purpose.STOP, n=5, trigger="940")
    assert await refusal(stage, SELL, held, purpose, **more) == "-2010"
    await stage.venue.cancel(OrderRef(5, Purpose.STOP), stage.now)
    assert isinstance(await send(stage, SELL, held, purpose, **more), Accepted)


async def test_reduce_only_without_a_position_trades_nothing(stage: Stage) -> None:
    await send(stage, SELL, "1", Purpose.EXIT)
    assert traded(stage.moves(1_000.0)) == stage.position() == 0


@pytest.mark.parametrize(
    ("purpose", "trigger"), [(Purpose.STOP, "1000"), (Purpose.STOP, "1001"), (Purpose.TARGET, "999")]
)
async def test_a_conditional_order_that_would_trigger_at_once_is_rejected(
    stage: Stage, purpose: Purpose, trigger: str
) -> None:
    held = await hold(stage)
    told = await send(stage, SELL, held, purpose, trigger=trigger)
    assert isinstance(told, Rejected)
    assert told.code == "-2021"
    assert traded(stage.moves(1_000.0)) == 0


async def test_a_post_only_that_would_take_is_rejected(stage: Stage) -> None:
    told = await send(stage, BUY, "1", limit="1001", post_only=True)
    assert isinstance(told, Rejected)
    assert told.code == ("-2010" if stage.product is Product.SPOT else "-5022")


@pytest.mark.parametrize(
    ("quantity", "limit", "um", "spot"),
    [
        ("0.00001", None, "-4003", "-1013"),
        ("1.00005", None, "-1111", "-1013"),
        ("1", "990.005", "-4014", "-1013"),
        ("0.001", None, "-4164", "-1013"),
        ("0.001", "990", "-4164", "-1013"),
    ],
    ids=["smallest quantity", "step", "tick", "notional at the market", "notional at a limit"],
)
async def test_an_order_off_a_filter_is_rejected_with_the_exchanges_code(
    stage: Stage, quantity: str, limit: str | None, um: str, spot: str
) -> None:
    told = await send(stage, BUY, quantity, limit=limit)
    assert isinstance(told, Rejected)
    assert told.code == (spot if stage.product is Product.SPOT else um)
    assert traded(stage.moves(900.0)) == 0


async def test_a_stop_off_the_tick_is_rejected(stage: Stage) -> None:
    held = await hold(stage)
    tick = stage.venue.instrument(ETH, 1_000.0).tick
    told = await send(stage, SELL, held, Purpose.STOP, trigger=str(D(950) + tick / 2))
    assert isinstance(told, Rejected)
    assert told.code == ("-1013" if stage.product is Product.SPOT else "-4014")


async def test_what_reduces_is_never_too_small(stage: Stage) -> None:
    await hold(stage)
    least = stage.venue.instrument(ETH, 1_000.0).min_quantity
    assert isinstance(await send(stage, SELL, str(max(least, D("0.001"))), Purpose.EXIT), Accepted)
    assert traded(stage.moves(1_000.0)) > 0


async def test_a_restart_changes_no_answer(make_stage: Callable[[], Stage]) -> None:
    stage, other = make_stage(), make_stage()
    told: list[list[object]] = [[], []]
    for place, each in enumerate((stage, other)):
        for price in (1_000.0, 1_005.0, 985.0, 1_000.0, 940.0, 990.0):
            n = len(told[place]) + 1
            told[place].append(await send(each, BUY, "1", n=n, leverage=20))
            told[place].append(await send(each, BUY, "1", n=100 + n, limit="991", leverage=20))
            told[place].append(await send(each, SELL, "0.9", Purpose.STOP, n=n, trigger="930"))
            if place:
                each.restart()
            told[place].append(each.moves(price))
        told[place].append(each.moves(700.0))
    assert told[0] == told[1]
    assert stage.position() == other.position()
    assert bool(outside(told[0][-1])) == (stage.product is Product.UM)  # type: ignore[arg-type]

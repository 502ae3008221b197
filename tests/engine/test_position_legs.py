"""Legs that manage a position: REDUCE, PROTECT and CANCEL, and fields that an action does not use."""

from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import CallerRequest, LegRequest, ProtectionRequest, request_key
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.steps import Asked
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.engine.summary import summary
from tests.support.deciders import Scripted
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Run, policies

D = Decimal
SYMBOL = "BTCUSDT"
NOW = START + 9 * MINUTE
POLICY = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


def entry(action: Action = Action.BUY, **fields: Any) -> Leg:
    stop = "97" if action is Action.BUY else "103"
    return Leg(SYMBOL, action, **{"size": "0.1", "stop": stop} | fields)


async def ran(prices: list[float], script: dict[int, Leg], product: Product = Product.UM) -> Run:
    """Run one decision per wake (one wake a minute)."""
    feed = ListFeed(path(prices))
    feed.product = product
    decisions = {wake: Decision((leg,)) for wake, leg in script.items()}
    return await Run(feed, Scripted(decisions), policy=POLICY).go()


def quantity(run: Run) -> Decimal:
    return run.engine.account.ledger.quantity(SYMBOL)


def stops(run: Run) -> list[Decimal | None]:
    live = run.engine.orders.live(SYMBOL, Purpose.STOP)
    # The newest is the tightest; the first stop of a futures position stays beside it.
    return [each.order.trigger_price for each in live if not each.cancel_requested][-1:]


def refusals(run: Run) -> list[Refusal]:
    return [each.refusal for each in run.events(events.OrderRefused)]


async def ask(run: Run, request: CallerRequest) -> Answer:
    run.clock.advance(NOW)
    await run.simulation.shell.take(Asked(request, NOW))
    answer = run.engine.answer(request)
    assert answer is not None
    return answer


@pytest.mark.parametrize("product", [Product.UM, Product.SPOT])
async def test_reduce_closes_a_share_and_resizes_the_stop(product: Product) -> None:
    run = await ran([100.0] * 8, {1: entry(), 4: Leg(SYMBOL, "REDUCE", share="0.25")}, product)
    bought = sum(each.quantity for each in run.events(events.OrderFilled) if each.side == "buy")
    sold = sum(each.quantity for each in run.events(events.OrderFilled) if each.side == "sell")
    assert abs(sold - bought / 4) <= D("0.01"), "a quarter, on the step"
    (stop,) = run.engine.orders.live(SYMBOL, Purpose.STOP)
    assert D(0) <= quantity(run) - stop.remaining < D("0.01")
    assert summary(run.engine)["positions"][0]["protected"] is True


async def test_reduce_of_a_short_buys_its_share_back() -> None:
    run = await ran([100.0] * 6, {1: entry(Action.SHORT), 3: Leg(SYMBOL, "REDUCE", share="0.5")})
    sold = sum(each.quantity for each in run.events(events.OrderFilled) if each.side == "sell")
    assert abs(quantity(run) + sold / 2) <= D("0.01")


async def test_reduce_closes_all_if_the_rest_could_not_be_sold() -> None:
    run = await ran([100.0] * 6, {1: entry()})
    request = LegRequest("k1", "anna", Leg(SYMBOL, "REDUCE", share="0.999"))
    assert isinstance(await ask(run, request), OrderRef)
    taken = run.engine.executor.answers.taken(request_key(request))
    assert taken is not None
    assert taken.changed == ("the whole position is closed: a smaller rest could not be sold",)
    assert taken.share == 1


@pytest.mark.parametrize(
    ("leg", "expected"),
    [
        (Leg(SYMBOL, "REDUCE"), RefusalCode.MISSING_FIELD),
        (Leg(SYMBOL, "REDUCE", share="0"), RefusalCode.BAD_SHARE),
        (Leg(SYMBOL, "REDUCE", share="1.01"), RefusalCode.BAD_SHARE),
        (Leg(SYMBOL, "REDUCE", share="0.0001"), RefusalCode.BELOW_MINIMUM),
        (Leg(SYMBOL, "PROTECT"), RefusalCode.MISSING_FIELD),
        (Leg(SYMBOL, "PROTECT", stop="96"), RefusalCode.LOOSER_STOP),
        (Leg(SYMBOL, "PROTECT", stop="100"), RefusalCode.STOP_REQUIRED),
        (Leg(SYMBOL, "PROTECT", target="99"), RefusalCode.BAD_TARGET),
        (Leg(SYMBOL, "PROTECT", trail="0"), RefusalCode.BAD_TRAIL),
        (Leg(SYMBOL, "PROTECT", trail="1"), RefusalCode.BAD_TRAIL),
        (Leg(SYMBOL, "PROTECT", trail="0.0001"), RefusalCode.BAD_TRAIL),
        (Leg(SYMBOL, "CANCEL"), RefusalCode.NO_ORDER),
        (Leg(SYMBOL, "SELL", size="0.5"), RefusalCode.UNUSED_FIELD),
        (Leg(SYMBOL, "HOLD", stop="98"), RefusalCode.UNUSED_FIELD),
        (Leg(SYMBOL, "REDUCE", share="0.5", stop="98"), RefusalCode.UNUSED_FIELD),
        (Leg(SYMBOL, "PROTECT", stop="98", size="0.1"), RefusalCode.UNUSED_FIELD),
        (Leg(SYMBOL, "CANCEL", leverage=3), RefusalCode.UNUSED_FIELD),
        (Leg(SYMBOL, "ADD", size="0.1", share="0.5"), RefusalCode.UNUSED_FIELD),
        (Leg(SYMBOL, "ADD", size="0.1", post_only=True), RefusalCode.UNUSED_FIELD),
        (Leg(SYMBOL, "ADD", size="0.1", limit_expires_s=60), RefusalCode.UNUSED_FIELD),
        (Leg(SYMBOL, "ADD", size="0.1", risk="0.01"), RefusalCode.BAD_SIZE),
    ],
)
async def test_leg_that_cannot_be_carried_out_is_refused_by_name(leg: Leg, expected: RefusalCode) -> None:
    run = await ran([100.0] * 8, {1: entry(), 4: leg})
    assert [each.code for each in refusals(run)] == [expected]
    assert (quantity(run), stops(run)) == (D("9.98"), [D(97)])


async def test_refusal_of_an_unused_field_names_the_field_and_those_in_use() -> None:
    run = await ran([100.0] * 5, {1: entry(), 3: Leg(SYMBOL, "HOLD", stop="98", leverage=2)})
    (refusal,) = refusals(run)
    assert (refusal.limit, refusal.actual) == ("HOLD uses symbol", "stop=98, leverage=2")


@pytest.mark.parametrize("product", [Product.UM, Product.SPOT])
async def test_protect_tightens_the_stop_and_moves_the_target(product: Product) -> None:
    legs = {1: entry(), 3: Leg(SYMBOL, "PROTECT", stop="98", target="110"), 5: Leg(SYMBOL, "PROTECT", target="105")}
    run = await ran([100.0] * 8, legs, product)
    assert stops(run) == [D(98)]
    assert run.engine.guard.protections[SYMBOL].target == D(105)
    moved = [(each.stop, each.target, each.by) for each in run.events(events.ProtectionSet)]
    assert moved == [(D(98), D(110), "scripted"), (D(98), D(105), "scripted")]
    assert refusals(run) == []


async def test_protect_on_spot_leaves_no_position_without_stop_for_longer_than_the_deadline() -> None:
    legs = {1: entry(), 3: Leg(SYMBOL, "PROTECT", stop="98")}
    run = await ran([100.0] * 8, legs, Product.SPOT)
    gaps = run.events(events.PositionUnprotected)
    assert len(gaps) == 2, "the opening, and the change of the OCO order"
    assert len(run.events(events.PositionProtected)) == 2


async def test_trailing_stop_follows_the_best_close_and_never_loosens() -> None:
    prices = [100.0, 100.0, 100.0, 100.0, 101.0, 103.0, 102.0, 104.0, 103.5]
    run = await ran(prices, {1: entry(), 3: Leg(SYMBOL, "PROTECT", trail="0.02")})
    triggers = [each.trigger_price for each in run.events(events.PositionProtected)]
    assert triggers == [D(97), D(98), D("99.0"), D("101.0"), D("102.0")]
    assert stops(run) == [D("102.0")]


async def test_trailing_stop_of_a_short_follows_the_price_down() -> None:
    prices = [100.0, 100.0, 100.0, 100.0, 99.0, 97.0, 98.0]
    run = await ran(prices, {1: entry(Action.SHORT), 3: Leg(SYMBOL, "PROTECT", trail="0.02")})
    assert stops(run) == [D("98.9")], "97 x 1.02 = 98.94, on the tick towards the price"


async def test_trailing_stop_moves_only_by_a_tenth_of_its_distance() -> None:
    prices = [100.0, 100.0, 100.0, 100.0, 100.1, 100.15, 100.3]
    run = await ran(prices, {1: entry(), 3: Leg(SYMBOL, "PROTECT", trail="0.02")})
    triggers = [each.trigger_price for each in run.events(events.PositionProtected)]
    assert triggers == [D(97), D(98), D("98.3")]


async def test_trailing_stop_survives_a_restart() -> None:
    prices = [100.0, 100.0, 100.0, 100.0, 101.0]
    run = await ran(prices, {1: entry(), 3: Leg(SYMBOL, "PROTECT", trail="0.02")})
    saved = run.engine.state()
    run.engine.restore(saved)
    protection = run.engine.guard.protections[SYMBOL]
    assert (protection.trail, protection.best, protection.trigger) == (D("0.02"), D(101), D("99.0"))


async def test_cancel_withdraws_a_resting_entry_and_keeps_the_position() -> None:
    legs = {1: entry(limit="90", stop="88"), 3: Leg(SYMBOL, "CANCEL")}
    run = await ran([100.0] * 6, legs)
    assert list(run.engine.orders.live()) == []
    (canceled,) = run.events(events.OrderCancelRequested)
    assert canceled.why == "cancelled by scripted"


async def test_same_request_over_mcp_and_in_a_decision_gets_the_same_refusal() -> None:
    run = await ran([100.0] * 5, {1: entry(), 3: Leg(SYMBOL, "PROTECT", stop="96")})
    answer = await ask(run, ProtectionRequest("k1", "anna", SYMBOL, stop=D(96)))
    (refusal, again) = refusals(run)
    assert answer == again == refusal


async def test_entry_by_risk_loses_that_share_of_equity_at_its_stop() -> None:
    run = await ran([100.0] * 4, {1: entry(size=None, risk="0.005")})
    policy, (bought,) = run.engine.config.policies, run.events(events.OrderFilled)
    worst = 100 * (1 + policy.order.price_allowance)
    lost = bought.quantity * (worst - 97 + worst * policy.risk.gap_allowance)
    assert D("49.8") < lost <= 50, "of 10,000"


async def test_refusal_of_an_entry_by_risk_names_the_largest_risk() -> None:
    run = await ran([100.0] * 4, {1: entry(size=None, risk="0.5")})
    (refusal,) = refusals(run)
    assert str(refusal).endswith(f" largest risk={refusal.largest_in_unit.normalize():f}")
    passing = await ran([100.0] * 4, {1: entry(size=None, risk=str(refusal.largest_in_unit))})
    assert refusals(passing) == []

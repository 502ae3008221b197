"""A target keeps to the tick, lies on the winning side, and covers the whole position."""

from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action, Decision
from ocw_mcp.domain.orders import Accepted, Canceled, Order, Purpose
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.time import MINUTE
from tests.support.deciders import Scripted
from tests.support.legs import add, buy, short
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Run, policies
from tests.support.wire import Wire

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


def aimed(decision: Decision, target: str) -> Decision:
    """The decision with a target."""
    return Decision((msgspec.structs.replace(decision.legs[0], target=Decimal(target)),))


@pytest.mark.parametrize(
    ("decision", "kept"),
    [
        (aimed(buy("97"), "103.19999"), "103.1"),
        (aimed(buy("97"), "103.1000000000000001"), "103.1"),
        (aimed(short("103"), "96.80001"), "96.9"),
        (aimed(short("103"), "0.00001"), "0.1"),
    ],
)
async def test_a_target_is_rounded_to_the_tick_towards_the_price(decision: Decision, kept: str) -> None:
    run = await Run(ListFeed(path([100.0] * 4)), Scripted({1: decision}), policy=WAKES).go()
    (target,) = run.engine.orders.live("BTCUSDT", Purpose.TARGET)
    assert target.order.trigger_price == Decimal(kept)


async def test_an_additions_target_replaces_the_positions_target() -> None:
    script = Scripted({1: buy("97", target="104"), 2: aimed(add("97"), "103.19999"), 3: add("98")})
    run = await Run(ListFeed(path([100.0] * 6)), script, policy=WAKES).go()
    (target,) = run.engine.orders.live("BTCUSDT", Purpose.TARGET)
    assert target.order.trigger_price == Decimal("103.1")
    assert target.order.quantity == run.engine.account.ledger.quantity("BTCUSDT")


@pytest.mark.parametrize("target", ["99", "100", "0", "-1", "NaN", "Infinity", "-Infinity"])
async def test_a_long_with_an_invalid_target_is_refused(target: str) -> None:
    run = await Run(ListFeed(path([100.0] * 4)), Scripted({1: aimed(buy("97"), target)}), policy=WAKES).go()
    (refused,) = run.events(events.OrderRefused)
    assert refused.refusal.code is RefusalCode.BAD_TARGET
    assert run.events(events.OrderIntended) == []


@pytest.mark.parametrize("target", ["101", "100", "0", "-1", "NaN", "Infinity", "-Infinity"])
async def test_a_short_with_an_invalid_target_is_refused(target: str) -> None:
    run = await Run(ListFeed(path([100.0] * 4)), Scripted({1: aimed(short("103"), target)}), policy=WAKES).go()
    (refused,) = run.events(events.OrderRefused)
    assert refused.refusal.code is RefusalCode.BAD_TARGET
    assert run.events(events.OrderIntended) == []


@pytest.mark.parametrize(("first", "target"), [(buy("97"), "99"), (short("103"), "101")])
async def test_an_addition_with_a_target_on_the_wrong_side_is_refused(first: Decision, target: str) -> None:
    run = await Run(ListFeed(path([100.0] * 5)), Scripted({1: first, 2: aimed(add(), target)}), policy=WAKES).go()
    (refused,) = run.events(events.OrderRefused)
    assert refused.refusal.code is RefusalCode.BAD_TARGET


async def test_a_target_cancelled_at_the_venue_is_placed_again() -> None:
    run = Run(ListFeed(path([100.0] * 4)), Scripted({1: buy("97", target="120")}), policy=WAKES)
    await run.go()
    (target,) = run.engine.orders.live("BTCUSDT", Purpose.TARGET)
    run.clock.advance(START + 10 * MINUTE)
    await run.venue.cancel(target.ref, run.clock.now())
    for report in run.venue.collect():
        await run.simulation.shell.take(report)
    (again,) = run.engine.orders.live("BTCUSDT", Purpose.TARGET)
    assert again.ref != target.ref
    assert again.order.trigger_price == target.order.trigger_price


def aimed_wire(action: Action = Action.BUY) -> Wire:
    """An engine with a position of 10 whose stop and target are accepted."""
    wire = Wire()
    entry = wire.enter(action, target=Decimal(120 if action is Action.BUY else 80))
    assert isinstance(entry, Order)
    wire.fill(entry)
    accept(wire, Purpose.STOP, Purpose.TARGET)
    return wire


def accept(wire: Wire, *purposes: Purpose) -> None:
    """The venue accepts the last order of each purpose."""
    for purpose in purposes:
        wire.give(Accepted(wire.last(purpose).ref, "v"))


def targets(wire: Wire) -> list[Decimal]:
    """The open quantity of each target that no cancel was requested for."""
    live = wire.engine.orders.live("BTCUSDT", Purpose.TARGET)
    return [each.remaining for each in live if not each.cancel_requested]


@pytest.mark.parametrize("action", [Action.BUY, Action.SHORT])
def test_an_addition_after_a_partly_filled_target_gets_a_full_target(action: Action) -> None:
    wire = aimed_wire(action)
    wire.fill(wire.last(Purpose.TARGET), "4")
    addition = wire.enter(Action.ADD, "4")
    assert isinstance(addition, Order)
    wire.fill(addition)
    accept(wire, Purpose.STOP)
    assert abs(wire.held()) == sum(targets(wire)) == 10


@pytest.mark.parametrize("action", [Action.BUY, Action.SHORT])
def test_a_target_cancelled_twice_in_a_second_is_placed_later(action: Action) -> None:
    wire = aimed_wire(action)
    for _ in range(2):
        wire.give(Canceled(wire.last(Purpose.TARGET).ref, "by the exchange"))
    assert targets(wire) == []
    wire.fire()
    assert targets(wire) == [abs(wire.held())] == [10]


@pytest.mark.parametrize("action", [Action.BUY, Action.SHORT])
def test_a_resume_replaces_a_target_whose_cancel_is_unanswered(action: Action) -> None:
    wire = aimed_wire(action)
    canceled = wire.last(Purpose.TARGET)
    wire.command("flatten")
    wire.give(Canceled(wire.last(Purpose.EXIT).ref, "no liquidity"))
    wire.command("resume")
    wire.give(Canceled(canceled.ref, "requested"))
    assert targets(wire) == [abs(wire.held())] == [10]

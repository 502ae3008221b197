"""A target keeps to the tick and lies on the winning side."""

from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.time import MINUTE
from tests.support.deciders import Scripted
from tests.support.legs import add, buy, short
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Run, policies

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


async def test_an_additions_rounded_target_replaces_the_first() -> None:
    script = Scripted({1: buy("97", target="104"), 2: aimed(add("97"), "103.19999"), 3: add("98")})
    run = await Run(ListFeed(path([100.0] * 6)), script, policy=WAKES).go()
    (target,) = run.engine.orders.live("BTCUSDT", Purpose.TARGET)
    assert target.order.trigger_price == Decimal("103.1")
    assert target.order.quantity == run.engine.account.ledger.quantity("BTCUSDT")


@pytest.mark.parametrize("target", ["99", "100", "0", "-1", "NaN", "Infinity", "-Infinity"])
async def test_a_long_with_a_target_that_is_none_is_refused(target: str) -> None:
    run = await Run(ListFeed(path([100.0] * 4)), Scripted({1: aimed(buy("97"), target)}), policy=WAKES).go()
    (refused,) = run.events(events.OrderRefused)
    assert refused.refusal.code is RefusalCode.BAD_TARGET
    assert run.events(events.OrderIntended) == []


@pytest.mark.parametrize("target", ["101", "100", "0", "-1", "NaN", "Infinity", "-Infinity"])
async def test_a_short_with_a_target_that_is_none_is_refused(target: str) -> None:
    run = await Run(ListFeed(path([100.0] * 4)), Scripted({1: aimed(short("103"), target)}), policy=WAKES).go()
    (refused,) = run.events(events.OrderRefused)
    assert refused.refusal.code is RefusalCode.BAD_TARGET
    assert run.events(events.OrderIntended) == []


@pytest.mark.parametrize(("first", "target"), [(buy("97"), "99"), (short("103"), "101")])
async def test_an_addition_is_held_to_the_side_of_its_position(first: Decision, target: str) -> None:
    run = await Run(ListFeed(path([100.0] * 5)), Scripted({1: first, 2: aimed(add(), target)}), policy=WAKES).go()
    (refused,) = run.events(events.OrderRefused)
    assert refused.refusal.code is RefusalCode.BAD_TARGET


async def test_a_target_cancelled_at_the_venue_is_placed_again() -> None:
    run = Run(ListFeed(path([100.0] * 4)), Scripted({1: buy("97", target="120")}), policy=WAKES)
    await run.go()
    (target,) = run.engine.orders.live("BTCUSDT", Purpose.TARGET)
    run.clock.advance(START + 10 * MINUTE)
    for report in await run.venue.cancel(target.ref, run.clock.now()):
        await run.simulation.shell.take(report)
    (again,) = run.engine.orders.live("BTCUSDT", Purpose.TARGET)
    assert again.ref != target.ref
    assert again.order.trigger_price == target.order.trigger_price

"""A snapshot has what happened since the last wake that the decider answered, and what stands."""

from typing import Any

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import CloseRequest, ProtectionRequest
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Frame, Funding, Opening, Product
from ocw_mcp.domain.orders import Accepted, Order, OrderRef, OutsideCause, OutsideFill, Purpose, Side
from ocw_mcp.domain.steps import Asked, Command, Verb
from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from tests.support.deciders import Scripted
from tests.support.legs import buy, sell
from tests.support.markets import START, ListFeed, candle, path
from tests.support.runs import Commands, Run, policies
from tests.support.since import D, K, kinds, minutely, one, seen
from tests.support.wire import Wire

ENTRY = OrderRef(1, Purpose.ENTRY)
OTHER = OutsideCause.OTHER_TRADER


def next_frame(index: int) -> Frame:
    at = START + (index + 1) * MINUTE
    return Frame(at, (candle(index, 100.0),), (Opening("BTCUSDT", at, 100.0),))


async def test_a_filled_entry_and_a_filled_stop_are_shown_once() -> None:
    snapshots = await seen({1: buy("98")}, [100, 100, 100, 97, 97, 97])
    assert [kinds(each) for each in snapshots] == [[], [K.FILLED], [], [K.CLOSED], [], []]
    filled, closed = one(snapshots[1], K.FILLED), one(snapshots[3], K.CLOSED)
    assert (filled.symbol, filled.by, filled.order) == ("BTCUSDT", "scripted", ENTRY)
    assert filled.quantity is not None
    assert (closed.cause, closed.by, closed.quantity, closed.previous) == (
        "stop",
        "guard",
        -filled.quantity,
        filled.price,
    )
    assert closed.price is not None
    assert closed.price <= 98
    (trade,) = snapshots[3].trades
    assert (closed.amount, closed.began_at, closed.at) == (trade.pnl, trade.opened_at, trade.closed_at)
    assert [each.since_wake for each in snapshots] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("closes", "target", "cause"),
    [([100, 100, 105, 105, 105], "104", "target"), ([100, 100, 100, 100, 100], None, "leg")],
)
async def test_a_close_names_what_closed_the_position(closes: list[float], target: str | None, cause: str) -> None:
    script = {1: buy("97", target=target)} | ({3: sell()} if target is None else {})
    snapshots = await seen(script, closes)
    assert [one(each, K.CLOSED).cause for each in snapshots if K.CLOSED in kinds(each)] == [cause]


async def test_a_close_by_an_exit_rule_names_the_rule() -> None:
    policy = minutely().model_copy(update={"exits": policies(exits={"max_loss": "0.01"}).exits})
    snapshots = await seen({1: buy("96")}, [100, 100, 98.5, 98.5, 98.5], policy=policy)
    (closed,) = [one(each, K.CLOSED) for each in snapshots if K.CLOSED in kinds(each)]
    assert (closed.cause, closed.by) == ("max_loss", "guard")


@pytest.mark.parametrize("fallback", [False, True])
async def test_a_wake_that_the_agent_failed_leaves_its_happenings(fallback: bool) -> None:
    options: dict[str, Any] = {"agent": "scripted", "fallback": fallback}
    snapshots = await seen({1: buy("98")}, [100, 100, 100, 97, 97, 97], failing={2, 4}, **options)
    assert [kinds(each) for each in snapshots] == [[], [K.FILLED], [K.FILLED], [K.CLOSED], [K.CLOSED], []]
    assert [each.since_wake for each in snapshots] == [0, 1, 1, 3, 3, 5]


async def test_what_happens_while_the_agent_thinks_is_in_the_next_wake() -> None:
    snapshots = await seen({1: buy("98")}, [100, 100, 100, 100, 100, 97, 97, 97, 97], thinking_ms=90 * SECOND)
    at = [[each.at - START for each in snapshot.since if each.kind is K.CLOSED] for snapshot in snapshots]
    woken = [(snapshot.at - START) // MINUTE for snapshot in snapshots]
    shown = [(minute, times) for minute, times in zip(woken, at, strict=True) if times]
    ((minute, (closed_at,)),) = shown
    assert minute == 7
    assert closed_at == 6 * MINUTE
    assert 5 in woken  # a wake whose snapshot was made before the stop filled


async def test_refused_legs_are_shown_and_stay_with_the_note() -> None:
    wrong = Decision((Leg("BTCUSDT", Action.BUY, size=D("0.1"), stop=D(50)),), note="bought the dip")
    snapshots = await seen({1: wrong, 2: Decision()}, [100.0] * 5)
    refused = one(snapshots[1], K.REFUSED)
    assert (refused.cause, refused.symbol, refused.code, refused.by) == ("BUY", "BTCUSDT", "STOP_REQUIRED", "scripted")
    assert [kinds(each) for each in snapshots[2:]] == [[], [], []]
    for each in snapshots[1:]:
        assert each.note is not None
        assert [(leg.cause, leg.symbol, leg.code) for leg in each.note_refused] == [("BUY", "BTCUSDT", "STOP_REQUIRED")]


async def test_order_that_needs_an_approval_is_resting_and_not_refused() -> None:
    gate = {"close_wakes": ["1m"], "close_wakes_in_position": ["1m"], "cooldown_s": 0}
    approval = {"above_notional": 500, "modes": [], "answer_s": 3_600}
    snapshots = await seen({1: buy("97")}, [100.0] * 4, policy=policies(gate=gate, approval=approval))
    assert kinds(snapshots[1]) == []
    assert [each.approval for each in snapshots[1].resting] == ["a1"]


async def test_a_note_without_refused_legs_replaces_them() -> None:
    wrong = Decision((Leg("BTCUSDT", Action.BUY, size=D("0.1"), stop=D(50)),), note="bought the dip")
    snapshots = await seen({1: wrong, 2: Decision(note="nothing yet")}, [100.0] * 4)
    assert [len(each.note_refused) for each in snapshots] == [0, 1, 0, 0]


async def test_the_thesis_of_a_position_is_of_the_carried_out_leg() -> None:
    fine = Leg("BTCUSDT", Action.BUY, size=D("0.1"), stop=D(97), reasoning="a breakout")
    later = Leg("BTCUSDT", Action.ADD, size=D(1), stop=D(50), reasoning="all in")
    snapshots = await seen({1: Decision((fine,)), 3: Decision((later,))}, [100.0] * 5)
    theses = [each.positions["BTCUSDT"].thesis for each in snapshots if each.positions]
    assert {each.text for each in theses if each} == {"a breakout"}
    assert None not in theses


async def test_resting_orders_have_age_and_expiry() -> None:
    snapshots = await seen({1: buy("96", limit="98", expires_s=180)}, [100.0] * 5)
    assert [len(each.resting) for each in snapshots] == [0, 1, 1, 1, 0]
    resting = snapshots[2].resting[0]
    assert (resting.sent_at, resting.expires_at) == (START + MINUTE, START + 4 * MINUTE)
    assert (resting.limit, resting.stop, resting.by, resting.filled) == (D(98), D(96), "scripted", D(0))


async def test_a_position_has_the_prices_and_times_of_its_exits() -> None:
    exits = {"max_loss": "0.05", "take_profit": "0.2", "trail_from": "0.04", "trail_gives_back": "0.5", "max_hold_h": 2}
    policy = minutely().model_copy(update={"exits": policies(exits=exits).exits})
    snapshots = await seen({1: buy("96", target="130")}, [100, 100, 103, 110, 110], policy=policy)
    before, after = (snapshots[place].positions["BTCUSDT"] for place in (2, 4))
    assert before.guard is not None
    assert after.guard is not None
    average = float(before.average_price)
    assert before.guard.max_loss_at == pytest.approx(0.95 * average)
    assert before.guard.take_profit_at == pytest.approx(1.2 * average)
    assert before.guard.trail_from == pytest.approx(1.04 * average)
    assert before.guard.trail_at is None
    assert after.guard.trail_at == pytest.approx(average + (110 - average) / 2)
    assert (before.guard.max_hold_until, before.target) == (before.opened_at + 2 * HOUR, D(130))
    assert before.guard.deadline is None


async def test_funding_is_summed_by_symbol() -> None:
    rates = [Funding("BTCUSDT", START + minute * MINUTE, 0.001, 8) for minute in (3, 4)]
    snapshots = await seen({1: buy("97")}, [100.0] * 6, failing={2, 3, 4}, funding=rates)
    funded = [one(each, K.FUNDING) for each in snapshots if K.FUNDING in kinds(each)]
    assert max(each.times for each in funded) == 2
    assert all(each.amount is not None and each.amount < 0 for each in funded)


async def test_commands_and_states_are_shown() -> None:
    box = Commands([Command("c1", Verb.HALT, "ann")])
    snapshots = await seen({}, [100.0] * 3, commands=box)
    first = snapshots[0]
    assert [(each.kind, each.by, each.cause) for each in first.since] == [
        (K.COMMAND, "ann", "halt"),
        (K.STATE, "", "HALTED"),
    ]
    assert kinds(snapshots[1]) == []


async def test_a_stop_moved_by_a_client_names_it() -> None:
    run = await Run(ListFeed(path([100.0] * 4)), Scripted({1: buy("97")}), policy=minutely()).go()
    now = START + 4 * MINUTE
    run.clock.advance(now)
    for key, stop in (("k1", "98"), ("k2", "98.5")):
        await run.simulation.shell.take(Asked(ProtectionRequest(key, "anna", "BTCUSDT", D(stop)), now))
    moved = one(run.engine.snapshot(now), K.STOP_MOVED)
    assert (moved.previous, moved.price, moved.by, moved.times) == (D(97), D("98.5"), "anna", 2)
    await run.simulation.shell.take(Asked(ProtectionRequest("k3", "anna", "BTCUSDT", target=D(120)), now))
    target = one(run.engine.snapshot(now), K.TARGET_MOVED)
    assert (target.previous, target.price, target.by) == (None, D(120), "anna")


async def test_a_position_closed_by_a_client_is_shown_under_its_name() -> None:
    run = await Run(ListFeed(path([100.0] * 4)), Scripted({1: buy("97")}), policy=minutely()).go()
    now = START + 4 * MINUTE
    run.clock.advance(now)
    await run.simulation.shell.take(Asked(CloseRequest("k1", "anna", "BTCUSDT"), now))
    await run.simulation.take_frame(next_frame(4))
    closed = one(run.engine.snapshot(now), K.CLOSED)
    assert (closed.cause, closed.by) == ("client", "anna")


async def test_happenings_of_a_symbol_under_manual_control_wait_for_its_return() -> None:
    candles = [*path([100.0] * 3 + [97.0] * 6), *path([50.0] * 9, symbol="ETHUSDT")]
    decider = Scripted({1: buy("98")})
    run = Run(ListFeed(candles), decider, policy=minutely())
    await run.go(2 * MINUTE)
    await run.simulation.shell.take(Command("c1", Verb.TAKE_OVER, "ann", subject="BTCUSDT"))
    await run.go(5 * MINUTE)
    taken_over = [each.snapshot for each in decider.asked if each.snapshot.at > START + 2 * MINUTE]
    assert taken_over
    assert {kind for each in taken_over for kind in kinds(each)} == {K.COMMAND}
    await run.simulation.shell.take(Command("c2", Verb.GO_ON, "ann", subject="BTCUSDT"))
    await run.go(8 * MINUTE)
    returned = next(each.snapshot for each in decider.asked if K.CLOSED in kinds(each.snapshot))
    assert one(returned, K.CLOSED).symbol == "BTCUSDT"
    assert run.store.events(events.PositionClosed)


async def test_an_oco_that_takes_the_profit_on_spot_is_a_target() -> None:
    feed = ListFeed(path([100.0, 100.0, 105.0, 105.0]), product=Product.SPOT)
    decider = Scripted({1: buy("97", target="104")})
    await Run(feed, decider, policy=minutely()).go()
    closed = next(each.snapshot for each in decider.asked if K.CLOSED in kinds(each.snapshot))
    assert one(closed, K.CLOSED).cause == "target"


def test_a_liquidation_is_a_close_of_the_venue() -> None:
    wire = Wire()
    order = wire.enter(quantity="10")
    assert isinstance(order, Order)
    wire.fill(order)
    outside = OutsideFill("x1", "BTCUSDT", Side.SELL, D(10), D(50), D(0), wire.now, OutsideCause.LIQUIDATION)
    wire.give(outside)
    wire.restart()
    closed = one(wire.engine.snapshot(wire.now), K.CLOSED)
    assert (closed.cause, closed.by) == ("liquidation", "")
    assert (closed.price, closed.previous, closed.quantity) == (D(50), D(100), D(-10))
    assert K.STATE in kinds(wire.engine.snapshot(wire.now))


def test_outside_trades_of_two_positions_are_not_one_fill() -> None:
    wire = Wire()
    trades = [(Side.BUY, 1, 100), (Side.SELL, 1, 110), (Side.SELL, 1, 111), (Side.SELL, 2, 114), (Side.BUY, 4, 115)]
    for number, (side, quantity, price) in enumerate(trades):
        outside = OutsideFill(f"x{number}", "BTCUSDT", side, D(quantity), D(price), D(0), wire.now, OTHER)
        wire.give(outside)
    since = [each for each in wire.engine.snapshot(wire.now).since if each.kind in (K.FILLED, K.REDUCED, K.CLOSED)]
    facts = [(each.kind, each.quantity, each.price) for each in since]
    assert facts == [
        (K.FILLED, D(1), D(100)),
        (K.CLOSED, D(-1), D(110)),
        (K.FILLED, D(-3), D(113)),
        (K.CLOSED, D(3), D(115)),
        (K.FILLED, D(1), D(115)),
    ]


def test_parts_of_a_stop_are_one_close_with_their_average_price() -> None:
    wire = Wire()
    order = wire.enter(quantity="10")
    assert isinstance(order, Order)
    wire.fill(order, "4")
    wire.fill(order, "6", "101")
    stop = wire.last(Purpose.STOP)
    wire.give(Accepted(stop.ref, "v1"))
    wire.fill(stop, "5", "97")
    reduced = one(wire.engine.snapshot(wire.now), K.REDUCED)
    assert (reduced.quantity, reduced.price, reduced.previous) == (D(-5), D(97), D("100.6"))
    wire.restart()
    wire.fill(stop, "5", "95")
    closed = one(wire.engine.snapshot(wire.now), K.CLOSED)
    assert (closed.quantity, closed.price, closed.previous, closed.cause) == (D(-10), D(96), D("100.6"), "stop")
    filled = one(wire.engine.snapshot(wire.now), K.FILLED)
    assert (filled.quantity, filled.price) == (D(10), D("100.6"))


async def test_many_happenings_are_dropped_oldest_first_with_their_number() -> None:
    box = Commands([Command(f"c{n}", Verb.HALT if n % 2 else Verb.RESUME, f"ann{n}") for n in range(80)])
    snapshots = await seen({}, [100.0] * 2, commands=box)
    first = snapshots[0]
    assert len(first.since) == 64
    assert first.since_dropped > 0
    assert snapshots[1].since_dropped == 0

"""Happenings of attached clients and of corrected or tainted decisions, and the wakes that they cause."""

from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import SubmitRequest
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.happenings import HappeningKind
from ocw_mcp.domain.orders import Accepted, Order, Purpose
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.steps import Asked
from tests.support.runs import policies
from tests.support.wakes import texts
from tests.support.wire import Wire

D = Decimal
K = HappeningKind
BTC = "BTCUSDT"
WAKES = policies(gate={"close_wakes": ["1m"], "close_wakes_in_position": ["1m"], "cooldown_s": 0})
QUIET = policies(gate={"close_wakes": [], "close_wakes_in_position": [], "cooldown_s": 0, "timer_max_s": 86_400})


def entry(stop: str, reasoning: str = "") -> Leg:
    return Leg(BTC, Action.BUY, size=D("0.1"), stop=D(stop), reasoning=reasoning)


def shown(wire: Wire) -> Snapshot:
    return wire.engine.snapshot(wire.now)


def submit(wire: Wire, *legs: Leg, note: str = "", tainted: bool = False) -> None:
    """Answer the last wake with a decision, or correct the answer."""
    wake_id = [each for each in wire.journal if isinstance(each, events.WakeRaised)][-1].wake_id
    key = f"{len(wire.journal)}"
    wire.give(Asked(SubmitRequest(key, "anna", wake_id, Decision(legs, note=note), tainted)))


def holding() -> Wire:
    """An attached client that holds a long under an accepted stop."""
    wire = Wire(policy=QUIET)
    order = wire.enter(quantity="10")
    assert isinstance(order, Order)
    wire.fill(order)
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v1"))
    return wire


def reasons(wire: Wire) -> list[str]:
    """The reasons of the wakes after one more candle."""
    wire.tick({BTC: 100.0})
    raised = [each for each in wire.journal if isinstance(each, events.WakeRaised)]
    return [text for event in raised for wake in event.reasons for text in texts(wake)]


def test_close_ordered_by_the_attached_client_does_not_wake_it() -> None:
    wire = holding()
    order = wire.close()
    assert isinstance(order, Order)
    wire.fill(order, price="101")
    (closed,) = [each for each in shown(wire).since if each.kind is K.CLOSED]
    assert (closed.cause, closed.by) == ("client", "anna")
    assert reasons(wire) == []


@pytest.mark.parametrize("restarts", [False, True])
def test_filled_stop_wakes_the_attached_client(restarts: bool) -> None:
    wire = holding()
    wire.fill(wire.last(Purpose.STOP), price="97")
    if restarts:
        wire.restart()
    assert reasons(wire) == ["position_closed:stop -30.98"]


def test_corrected_leg_is_no_longer_shown_as_refused() -> None:
    wire = Wire(policy=WAKES)
    submit(wire, entry("50", "all in"), note="bought")
    assert [each.kind for each in shown(wire).since] == [K.REFUSED]
    assert [each.code for each in shown(wire).note_refused] == ["STOP_REQUIRED"]
    submit(wire, entry("97", "a breakout"))
    order = wire.last(Purpose.ENTRY)
    wire.fill(order)
    assert [each.kind for each in shown(wire).since] == [K.FILLED]
    assert shown(wire).note_refused == ()
    thesis = shown(wire).positions[BTC].thesis
    assert thesis is not None
    assert (thesis.text, thesis.by) == ("a breakout", "anna")


def test_leg_refused_again_is_shown_with_its_last_code() -> None:
    wire = Wire(policy=WAKES)
    submit(wire, entry("50"), note="bought")
    submit(wire, Leg(BTC, Action.SELL))
    assert [(each.cause, each.code) for each in shown(wire).since] == [("SELL", "NO_POSITION")]
    assert [(each.cause, each.code) for each in shown(wire).note_refused] == [("SELL", "NO_POSITION")]


def test_thesis_of_a_tainted_decision_is_not_shown() -> None:
    wire = Wire(policy=WAKES)
    submit(wire, entry("97", "a stranger's words"), tainted=True)
    wire.fill(wire.last(Purpose.ENTRY))
    assert shown(wire).positions[BTC].thesis is None


def test_thesis_ends_with_its_position() -> None:
    wire = Wire(policy=WAKES)
    submit(wire, entry("97", "a breakout"))
    wire.fill(wire.last(Purpose.ENTRY))
    wire.restart()
    assert shown(wire).positions[BTC].thesis is not None
    wire.fill(wire.last(Purpose.STOP), price="97")
    again = wire.enter(quantity="10")
    assert isinstance(again, Order)
    wire.fill(again)
    assert shown(wire).positions[BTC].thesis is None


def test_stop_moved_by_a_leg_names_its_author() -> None:
    wire = Wire(policy=WAKES)
    submit(wire, entry("97"))
    wire.fill(wire.last(Purpose.ENTRY))
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v1"))
    wire.tick({BTC: 101.0})
    submit(wire, Leg(BTC, Action.PROTECT, stop=D("99"), target=D(120)))
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v2"))
    wire.give(Accepted(wire.last(Purpose.TARGET).ref, "v3"))
    moved = {each.kind: each for each in shown(wire).since if each.kind in (K.STOP_MOVED, K.TARGET_MOVED)}
    assert (moved[K.STOP_MOVED].previous, moved[K.STOP_MOVED].price, moved[K.STOP_MOVED].by) == (D(97), D(99), "anna")
    target = moved[K.TARGET_MOVED]
    assert (target.previous, target.price, target.by) == (None, D(120), "anna")


def test_reduced_share_is_a_reduction_by_its_author() -> None:
    wire = Wire(policy=WAKES)
    submit(wire, entry("97"))
    wire.fill(wire.last(Purpose.ENTRY))
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v1"))
    wire.tick({BTC: 102.0})
    submit(wire, Leg(BTC, Action.REDUCE, share=D("0.5")))
    half = wire.last(Purpose.EXIT)
    wire.fill(half, price="102")
    (reduced,) = [each for each in shown(wire).since if each.kind is K.REDUCED]
    assert (reduced.quantity, reduced.price, reduced.by, reduced.cause) == (-half.quantity, D(102), "anna", "leg")
    assert shown(wire).positions[BTC].quantity == half.quantity


def test_refused_legs_of_one_symbol_keep_their_actions() -> None:
    wire = Wire(policy=WAKES)
    submit(wire, Leg(BTC, Action.REDUCE, share=D("0.5")), Leg(BTC, Action.PROTECT, stop=D(97)), Leg(BTC, Action.CANCEL))
    assert {each.cause for each in shown(wire).since} == {"REDUCE", "PROTECT", "CANCEL"}


def waiting() -> Wire:
    """An attached client whose entry awaits an approval."""
    anything = {"amount": 1_000_000, "symbols": ["*"], "expires": "2100-01-01T00:00:00Z"}
    approved = {"above_notional": 500, "modes": [], "answer_s": 600}
    gate = {"close_wakes": ["1m"], "close_wakes_in_position": ["1m"], "cooldown_s": 0}
    wire = Wire(policy=policies(gate=gate, approval=approved, mandate=anything))
    submit(wire, entry("97", "a breakout"))
    wire.tick({BTC: 100.0})
    return wire


@pytest.mark.parametrize("restarts", [False, True])
def test_entry_approved_after_a_later_decision_keeps_its_thesis(restarts: bool) -> None:
    wire = waiting()
    submit(wire)
    if restarts:
        wire.restart()
    wire.command("approve", "a1")
    wire.fill(wire.last(Purpose.ENTRY))
    thesis = shown(wire).positions[BTC].thesis
    assert thesis is not None
    assert (thesis.text, thesis.by) == ("a breakout", "anna")


def test_cancel_withdraws_an_entry_that_awaits_an_approval() -> None:
    wire = waiting()
    (resting,) = shown(wire).resting
    submit(wire, Leg(BTC, Action.CANCEL))
    assert [(each.kind, each.code) for each in shown(wire).since] == [(K.REFUSED, "NOT_APPROVED")]
    wire.command("approve", "a1")
    assert (resting.approval, shown(wire).resting, wire.sent) == ("a1", (), [])
    (ended,) = [each for each in wire.journal if isinstance(each, events.ApprovalEnded)]
    assert (ended.outcome, ended.by) == ("cancelled", "anna")


def test_cancel_ends_live_entries_and_waiting_ones_of_its_symbol() -> None:
    wire = waiting()
    live = wire.enter(quantity="1", limit=D(99))
    assert isinstance(live, Order)
    submit(wire, Leg(BTC, Action.CANCEL))
    assert wire.canceled == [live.ref]
    assert [(each.approval, each.cancelling) for each in shown(wire).resting] == [("", True)]
    submit(wire, Leg(BTC, Action.CANCEL))
    assert wire.canceled == [live.ref]

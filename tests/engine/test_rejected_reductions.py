"""Each reason for which a venue rejects a stop or an exit has its own answer, and the deadline holds in every case."""

from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import ProtectionRequest
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.orders import Accepted, Canceled, Order, OutcomeUnknown, Purpose, Rejected
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.steps import Asked, Command, Timer, TimerFired, TimerKind
from ocw_mcp.engine.protection import LONGEST_PAUSE_MS, protection_timer, retry_timer
from tests.support.wire import Wire

D = Decimal
BTC = "BTCUSDT"
CHECK = protection_timer(BTC)


def held(target: str | None = None) -> Wire:
    """A long of ten units whose first stop was sent, and not yet answered."""
    wire = Wire()
    entry = wire.enter(target=None if target is None else D(target))
    assert isinstance(entry, Order)
    wire.fill(entry)
    return wire


def protected(target: str | None = None) -> Wire:
    wire = held(target)
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v"))
    return wire


def reject(wire: Wire, order: Order, reason: RejectReason) -> None:
    wire.give(Rejected(order.ref, reason, "no"))


def sent(wire: Wire, purpose: Purpose) -> list[Order]:
    return [each for each in wire.sent if each.ref.leg is purpose]


def is_protected(wire: Wire) -> bool:
    return wire.engine.guard.protections[BTC].protected


def retry(wire: Wire) -> None:
    wire.give(TimerFired(retry_timer(BTC)))


def tightened(wire: Wire, stop: str) -> Order:
    wire.give(Asked(ProtectionRequest(f"t{stop}", "anna", BTC, stop=D(stop))))
    return wire.last(Purpose.STOP)


def test_the_first_stop_closes_the_position_and_a_tighter_one_has_a_quantity() -> None:
    wire = protected()
    wide = wire.last(Purpose.STOP)
    assert (wide.close_position, wide.trigger_price) == (True, D(97))
    tight = tightened(wire, "98")
    assert (tight.close_position, tight.trigger_price, tight.quantity) == (False, D(98), D(10))
    wire.give(Accepted(tight.ref, "v2"))
    tighter = tightened(wire, "99")
    wire.give(Accepted(tighter.ref, "v3"))
    assert wire.canceled == [tight.ref], "the tighter stops replace each other, and the wide one stays"


@pytest.mark.parametrize("reason", [RejectReason.RATE_LIMITED, RejectReason.OVERLOADED])
def test_a_stop_that_the_venue_is_too_busy_for_is_sent_again_without_end(reason: RejectReason) -> None:
    wire = held()
    pauses = []
    for attempt in range(1, 12):
        reject(wire, wire.last(Purpose.STOP), reason)
        pauses.append(wire.engine.timers[retry_timer(BTC)] - wire.now)
        assert CHECK in wire.engine.timers, "the deadline holds"
        retry(wire)
        assert len(sent(wire, Purpose.STOP)) == attempt + 1
    assert pauses[:4] == [250, 500, 1_000, 2_000]
    assert pauses[-1] == LONGEST_PAUSE_MS
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v"))
    assert is_protected(wire)
    retry(wire)
    assert len(sent(wire, Purpose.STOP)) == 12


def test_an_exit_at_the_deadline_is_sent_again_while_the_venue_is_busy() -> None:
    wire = held()
    reject(wire, wire.last(Purpose.STOP), RejectReason.TOO_MANY_STOPS)
    reject(wire, wire.last(Purpose.STOP), RejectReason.TOO_MANY_STOPS)
    assert not is_protected(wire)
    wire.tick({BTC: 100.0})
    wire.give(TimerFired(CHECK))
    for attempt in range(1, 5):
        assert len(sent(wire, Purpose.EXIT)) == attempt
        reject(wire, wire.last(Purpose.EXIT), RejectReason.OVERLOADED)
        retry(wire)
    wire.fill(wire.last(Purpose.EXIT))
    assert wire.held() == 0


PASSING = [RejectReason.CLOCK, RejectReason.FILTER, RejectReason.NOT_TRADING, RejectReason.ONLY_REDUCTIONS]
"""Reasons of rejections that may be over before the deadline: a wrong clock, a price band, a pause of the market."""


@pytest.mark.parametrize("reason", PASSING)
def test_a_stop_rejected_twice_at_once_is_placed_again_before_the_deadline(reason: RejectReason) -> None:
    wire = held()
    reject(wire, wire.last(Purpose.STOP), reason)
    reject(wire, wire.last(Purpose.STOP), reason)
    assert len(sent(wire, Purpose.STOP)) == 2
    assert wire.engine.timers[retry_timer(BTC)] == wire.now + 250 < wire.engine.timers[CHECK]
    retry(wire)
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v"))
    assert is_protected(wire)
    assert sent(wire, Purpose.EXIT) == []


@pytest.mark.parametrize("reason", PASSING)
def test_an_exit_rejected_beyond_the_deadline_does_not_wait_for_another(reason: RejectReason) -> None:
    wire = held()
    reject(wire, wire.last(Purpose.STOP), RejectReason.TOO_MANY_STOPS)
    reject(wire, wire.last(Purpose.STOP), RejectReason.TOO_MANY_STOPS)
    wire.tick({BTC: 100.0})
    wire.give(TimerFired(CHECK))
    for attempt in range(1, 9):
        assert len(sent(wire, Purpose.EXIT)) == attempt
        reject(wire, wire.last(Purpose.EXIT), reason)
        assert wire.engine.timers[retry_timer(BTC)] - wire.now <= LONGEST_PAUSE_MS
        retry(wire)


def test_a_flatten_that_is_rejected_is_tried_again_soon() -> None:
    wire = protected()
    wire.give(Command("c", "flatten", "anna"))
    reject(wire, wire.last(Purpose.EXIT), RejectReason.FILTER)
    assert wire.engine.timers[retry_timer(BTC)] - wire.now <= LONGEST_PAUSE_MS
    retry(wire)
    assert len(sent(wire, Purpose.EXIT)) == 2


def test_a_venue_that_has_another_stop_of_the_whole_position_gets_one_with_a_quantity() -> None:
    wire = held()
    reject(wire, wire.last(Purpose.STOP), RejectReason.STOP_EXISTS)
    beside = wire.last(Purpose.STOP)
    assert (beside.close_position, beside.quantity, beside.trigger_price) == (False, D(10), D(97))
    assert not is_protected(wire)
    wire.give(Accepted(beside.ref, "v"))
    assert is_protected(wire)
    assert "not in the book" in next(each.text for each in wire.journal if isinstance(each, events.Incident))


def test_a_stop_of_a_position_that_the_venue_does_not_have_waits_for_its_deadline() -> None:
    wire = held()
    reject(wire, wire.last(Purpose.STOP), RejectReason.NO_POSITION)
    assert len(sent(wire, Purpose.STOP)) == 1
    assert CHECK in wire.engine.timers
    wire.give(TimerFired(CHECK))
    assert len(sent(wire, Purpose.EXIT)) == 1


def test_a_stop_that_the_price_has_passed_closes_the_position() -> None:
    wire = held()
    reject(wire, wire.last(Purpose.STOP), RejectReason.WOULD_TRIGGER_IMMEDIATELY)
    assert len(sent(wire, Purpose.EXIT)) == 1


@pytest.mark.parametrize("reason", [RejectReason.BLOCKED_BY_ORDERS, RejectReason.REDUCE_ONLY])
def test_an_exit_blocked_by_a_target_is_sent_again_once_the_target_is_gone(reason: RejectReason) -> None:
    wire = protected(target="120")
    target, exit_ = wire.last(Purpose.TARGET), wire.close()
    wire.give(Accepted(target.ref, "v2"))
    assert isinstance(exit_, Order)
    reject(wire, exit_, reason)
    assert wire.canceled == [target.ref], "the stop stays"
    assert len(sent(wire, Purpose.EXIT)) == 1
    wire.give(Canceled(target.ref, "on request"))
    again = wire.last(Purpose.EXIT)
    assert (again.ref != exit_.ref, again.quantity) == (True, D(10))
    wire.fill(again)
    assert wire.held() == 0
    assert not [each for each in wire.engine.orders.live(BTC) if not each.cancel_requested]


def test_an_exit_blocked_by_a_tighter_stop_cancels_it_and_keeps_the_wide_one() -> None:
    wire = protected()
    tight = tightened(wire, "98")
    wire.give(Accepted(tight.ref, "v2"))
    exit_ = wire.close()
    assert isinstance(exit_, Order)
    reject(wire, exit_, RejectReason.BLOCKED_BY_ORDERS)
    assert wire.canceled == [tight.ref]
    wire.give(Canceled(tight.ref, "on request"))
    retry(wire)
    assert wire.last(Purpose.EXIT).ref != exit_.ref
    (wide,) = [each for each in wire.engine.orders.live(BTC, Purpose.STOP) if each.order.close_position]
    assert not wide.cancel_requested


def test_a_reduce_only_conflict_without_resting_orders_is_tried_at_the_deadline() -> None:
    wire = held()
    reject(wire, wire.last(Purpose.STOP), RejectReason.NO_POSITION)
    wire.give(TimerFired(CHECK))
    for attempt in range(1, 4):
        assert len(sent(wire, Purpose.EXIT)) == attempt
        reject(wire, wire.last(Purpose.EXIT), RejectReason.REDUCE_ONLY)
        assert CHECK in wire.engine.timers
        wire.give(TimerFired(CHECK))


def test_a_wide_stop_cancelled_outside_is_put_back_beside_the_tighter_one() -> None:
    wire = protected()
    wide, tight = wire.last(Purpose.STOP), tightened(wire, "98")
    wire.give(Accepted(tight.ref, "v2"))
    wire.give(Canceled(wide.ref, "by hand, in the app"))
    again = wire.last(Purpose.STOP)
    assert (again.close_position, again.trigger_price) == (True, D(97))
    assert is_protected(wire), "the tighter stop stands"
    assert wire.canceled == []


def test_a_tighter_stop_that_the_venue_refuses_does_not_close_a_protected_position() -> None:
    wire = protected()
    for number in range(4):
        reject(wire, tightened(wire, "98") if not number else wire.last(Purpose.STOP), RejectReason.RATE_LIMITED)
        assert CHECK in wire.engine.timers
        wire.tick({BTC: 100.0})
        wire.give(TimerFired(CHECK))
        assert sent(wire, Purpose.EXIT) == [], "the first stop stands at the price that was checked"
        assert wire.last(Purpose.STOP).trigger_price == 98
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v2"))
    assert is_protected(wire)
    assert CHECK not in wire.engine.timers


def test_an_addition_whose_tighter_stop_is_refused_is_closed_at_the_deadline() -> None:
    wire = protected()
    addition = wire.enter(Action.ADD, quantity="2", stop=D(98))
    assert isinstance(addition, Order)
    wire.fill(addition)
    assert wire.last(Purpose.STOP).trigger_price == 98
    reject(wire, wire.last(Purpose.STOP), RejectReason.TOO_MANY_STOPS)
    reject(wire, wire.last(Purpose.STOP), RejectReason.TOO_MANY_STOPS)
    wire.give(TimerFired(CHECK))
    assert wire.last(Purpose.EXIT).quantity == 12


def test_flatten_keeps_the_stop_through_minutes_of_failing_sends() -> None:
    wire = protected(target="120")
    wire.give(Accepted(wire.last(Purpose.TARGET).ref, "v2"))
    wire.command("flatten")
    wide = wire.last(Purpose.STOP)
    for minute in range(5):
        wire.tick({BTC: 100.0})
        if minute % 2:
            wire.give(OutcomeUnknown(wire.last(Purpose.EXIT).ref, "503"))
            wire.give(Rejected(wire.last(Purpose.EXIT).ref, RejectReason.NEVER_ARRIVED, "it was never there"))
        else:
            reject(wire, wire.last(Purpose.EXIT), RejectReason.OVERLOADED)
        wire.fire()
    assert wide.ref not in wire.canceled
    assert wire.last(Purpose.TARGET).ref in wire.canceled
    wire.fill(wire.last(Purpose.EXIT))
    assert wire.held() == 0
    assert wide.ref not in wire.canceled, "the venue ends it with the position"
    wire.give(TimerFired(Timer(TimerKind.CANCEL, wide.ref)))
    assert wide.ref in wire.canceled, "it did not"

"""A venue that refuses a cancel: the order stands again, protects again, and is asked for again a few times."""

from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import LegRequest
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.happenings import HappeningKind
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    CancelRefused,
    Order,
    OrderRef,
    OrderReport,
    OutcomeUnknown,
    Purpose,
    Rejected,
)
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.steps import Asked, Timer, TimerFired, TimerKind
from ocw_mcp.engine.order_manager import MOST_CANCELS
from ocw_mcp.engine.protection import protection_timer
from tests.support.wire import Wire

D = Decimal
BTC = "BTCUSDT"
POOR = RejectReason.INSUFFICIENT_BALANCE


def protected(product: Product, target: Decimal | None = None) -> Wire:
    """A long position with an accepted stop at 97."""
    wire = Wire(product)
    order = wire.enter(target=target)
    assert isinstance(order, Order)
    wire.give(Accepted(order.ref, "v1"))
    wire.fill(order)
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v2"))
    assert wire.engine.guard.protections[BTC].protected
    return wire


def protect(wire: Wire, key: str, **levels: Decimal) -> Order:
    """Move the stop or the target; return the stop that was sent last."""
    wire.give(Asked(LegRequest(key, "anna", Leg(BTC, Action.PROTECT, **levels))))  # type: ignore[arg-type]
    return wire.last(Purpose.STOP)


def withdraw(wire: Wire, key: str) -> None:
    """Ask for the cancel of the entry, as a client does."""
    wire.give(Asked(LegRequest(key, "anna", Leg(BTC, Action.CANCEL))))


def refuse(wire: Wire, ref: OrderRef) -> list[events.DomainEvent]:
    return wire.give(CancelRefused(ref, "unknown order"))


def asked(wire: Wire, ref: OrderRef) -> int:
    return wire.canceled.count(ref)


def ask_again(wire: Wire, ref: OrderRef) -> None:
    """Let the time pass after which a cancel is requested again."""
    wire.minute += 1
    for times in range(MOST_CANCELS + 1):
        if (timer := Timer(TimerKind.CANCEL, ref, times)) in wire.engine.timers:
            wire.give(TimerFired(timer))


def test_replaced_stop_that_stays_is_cancelled_again_and_not_replaced() -> None:
    wire = protected(Product.UM)
    old = protect(wire, "a", stop=D(98))
    wire.give(Accepted(old.ref, "v3"))
    new = protect(wire, "b", stop=D(99))
    wire.give(Accepted(new.ref, "v4"))
    assert asked(wire, old.ref) == 1
    sent = len(wire.sent)
    assert refuse(wire, old.ref) == [events.OrderCancelRefused(old.ref, "unknown order")]
    assert asked(wire, old.ref) == 1
    ask_again(wire, old.ref)
    assert (asked(wire, old.ref), len(wire.sent)) == (2, sent)
    wire.give(Canceled(old.ref, "on request"))
    assert wire.engine.guard.protections[BTC].protected


def test_venue_that_refuses_every_cancel_is_asked_a_few_times() -> None:
    wire = Wire()
    entry = wire.enter(limit=D(98))
    assert isinstance(entry, Order)
    wire.give(Accepted(entry.ref, "v1"))
    wire.command("halt")
    for n in range(2 * MOST_CANCELS):
        refuse(wire, entry.ref)
        refuse(wire, entry.ref)
        before = asked(wire, entry.ref)
        withdraw(wire, f"now {n}")
        assert asked(wire, entry.ref) == before, "not at once"
        ask_again(wire, entry.ref)
        wire.tick({BTC: 100.0})
        withdraw(wire, f"later {n}")
    assert asked(wire, entry.ref) == MOST_CANCELS
    incidents = [each.text for each in wire.journal if isinstance(each, events.Incident)]
    assert [text for text in incidents if "refused 4 times to cancel 1-e-0" in text] == incidents[-1:]
    assert [each.ref for each in wire.engine.orders.live()] == [entry.ref], "its budget stays reserved"


@pytest.mark.parametrize("refused_first", [True, False])
def test_spot_stop_that_stands_protects_again_and_is_the_only_one(refused_first: bool) -> None:
    wire = protected(Product.SPOT, target=D(110))
    old = wire.last(Purpose.STOP)
    new = protect(wire, "a", target=D(112))
    assert (asked(wire, old.ref), new.take_at) == (1, D(112))
    sent = len(wire.sent)
    reports: list[OrderReport] = [CancelRefused(old.ref, "unknown order"), Rejected(new.ref, POOR, "no")]
    for report in reports if refused_first else reversed(reports):
        wire.give(report)
    assert wire.engine.guard.protections[BTC].protected
    assert protection_timer(BTC) not in wire.engine.timers
    assert [each.ref for each in wire.stands()] == [old.ref]
    ask_again(wire, old.ref)
    assert (asked(wire, old.ref), len(wire.sent)) == (1, sent), "it is needed"


def test_spot_stop_whose_replacement_comes_late_is_cancelled_again() -> None:
    wire = protected(Product.SPOT, target=D(110))
    old = wire.last(Purpose.STOP)
    new = protect(wire, "a", target=D(112))
    refuse(wire, old.ref)
    assert asked(wire, new.ref) == 0
    wire.minute += 1
    wire.give(Accepted(new.ref, "v3"))
    assert (asked(wire, old.ref), asked(wire, new.ref)) == (2, 0)
    assert wire.engine.guard.protections[BTC].protected


@pytest.mark.parametrize("stands", [True, False])
def test_spot_places_no_stop_while_the_cancel_of_the_old_one_is_open(stands: bool) -> None:
    wire = protected(Product.SPOT)
    old, exit_ = wire.last(Purpose.STOP), wire.close()
    assert isinstance(exit_, Order)
    assert asked(wire, old.ref) == 1
    sent = len(wire.sent)
    wire.give(Rejected(exit_.ref, POOR, "no"))
    assert len(wire.sent) == sent
    assert protection_timer(BTC) in wire.engine.timers, "it is closed if no answer comes"
    wire.give(CancelRefused(old.ref, "unknown order") if stands else Canceled(old.ref, "on request"))
    assert len(wire.sent) == (sent if stands else sent + 1)
    assert wire.engine.guard.protections[BTC].protected is stands
    assert [each.ref.leg for each in wire.stands()] == [Purpose.STOP]


def test_spot_exit_after_a_refused_cancel_asks_for_it_at_once() -> None:
    wire = protected(Product.SPOT)
    old, exit_ = wire.last(Purpose.STOP), wire.close()
    assert isinstance(exit_, Order)
    refuse(wire, old.ref)
    wire.give(Rejected(exit_.ref, POOR, "no"))
    assert isinstance(wire.close(), Order)
    assert asked(wire, old.ref) == 2


def test_fill_of_a_stop_whose_cancel_was_refused_is_booked() -> None:
    wire = protected(Product.SPOT)
    old = wire.last(Purpose.STOP)
    wire.close()
    refuse(wire, old.ref)
    wire.fill(old, price="97")
    assert wire.held() == 0
    assert not [each for each in wire.journal if isinstance(each, events.Incident)]


def test_refused_cancel_without_a_request_changes_nothing() -> None:
    wire = protected(Product.UM)
    stop = wire.last(Purpose.STOP)
    assert refuse(wire, stop.ref) == []
    wire.fill(stop, price="97")
    assert refuse(wire, stop.ref) == []


def test_refused_cancel_is_known_after_a_restart() -> None:
    wire = protected(Product.SPOT, target=D(110))
    old = wire.last(Purpose.STOP)
    new = protect(wire, "a", target=D(112))
    refuse(wire, old.ref)
    wire.restart()
    wire.give(Rejected(new.ref, POOR, "no"))
    assert [each.ref for each in wire.stands()] == [old.ref]
    assert wire.engine.guard.protections[BTC].protected


def test_order_that_appears_after_its_rejection_is_cancelled() -> None:
    wire = Wire()
    entry = wire.enter(limit=D(98))
    assert isinstance(entry, Order)
    wire.give(Rejected(entry.ref, RejectReason.NEVER_ARRIVED, "not found"))
    journaled = wire.give(Accepted(entry.ref, "v1"))
    assert [type(each) for each in journaled] == [events.Incident, events.OrderCancelRequested]
    assert wire.canceled == [entry.ref]


def test_order_of_unknown_outcome_is_cancelled_as_soon_as_it_shows_up() -> None:
    wire = Wire()
    entry = wire.enter(limit=D(98))
    assert isinstance(entry, Order)
    wire.give(OutcomeUnknown(entry.ref, "no answer"))
    for n in range(2 * MOST_CANCELS):
        withdraw(wire, f"{n}")
        refuse(wire, entry.ref)
        ask_again(wire, entry.ref)
    before = asked(wire, entry.ref)
    assert not [each for each in wire.journal if isinstance(each, events.Incident)], "it is looked up"
    wire.give(Accepted(entry.ref, "v1"))
    ask_again(wire, entry.ref)
    assert asked(wire, entry.ref) == before + 1


def test_needed_stop_that_shows_up_after_a_refused_cancel_is_kept() -> None:
    wire = Wire(Product.SPOT)
    entry = wire.enter()
    assert isinstance(entry, Order)
    wire.fill(entry)
    stop = wire.last(Purpose.STOP)
    wire.give(OutcomeUnknown(stop.ref, "no answer"))
    exit_ = wire.close()
    assert isinstance(exit_, Order)
    wire.give(OutcomeUnknown(exit_.ref, "no answer"))
    refuse(wire, stop.ref)
    another = wire.last(Purpose.STOP)
    refuse(wire, stop.ref)
    wire.give(Rejected(another.ref, POOR, "the first stop locks the balance"))
    before = asked(wire, stop.ref)
    wire.give(Accepted(stop.ref, "v1"))
    ask_again(wire, stop.ref)
    assert asked(wire, stop.ref) == before
    assert wire.engine.guard.protections[BTC].protected


def test_agent_sees_that_an_entry_was_not_cancelled() -> None:
    wire = Wire()
    entry = wire.enter(limit=D(98))
    assert isinstance(entry, Order)
    wire.give(Accepted(entry.ref, "v1"))
    withdraw(wire, "a")
    (resting,) = wire.engine.snapshot(wire.now).resting
    assert resting.cancelling
    refuse(wire, entry.ref)
    seen = wire.engine.snapshot(wire.now)
    assert [(each.kind, each.order) for each in seen.since] == [(HappeningKind.NOT_CANCELLED, entry.ref)]
    assert [each.cancelling for each in seen.resting] == [False]
    wire.give(Canceled(entry.ref, "its price is out of the band"))
    assert [each.kind for each in wire.engine.snapshot(wire.now).since][-1] is HappeningKind.LAPSED

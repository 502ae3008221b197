"""No entry passes while an exit of its symbol may still trade; a further close does."""

import pytest

from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.events import Incident
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Accepted, Canceled, Order, OrderReport, OutcomeUnknown, Purpose, Rejected
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.domain.reject_reasons import RejectReason
from tests.support.wire import Wire


def code(answer: Order | Refusal) -> str:
    return answer.code if isinstance(answer, Refusal) else "sent"


@pytest.mark.parametrize("product", Product)
@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_an_addition_is_refused_while_an_exit_may_still_fill(
    shared: bool, lost: bool, restarts: bool, product: Product
) -> None:
    wire = Wire(product)
    wire.engine.account.exchange.shared = ["BTCUSDT"] if shared else []
    wire.fill(wire.enter())  # type: ignore[arg-type]
    exit_ = wire.close()
    assert isinstance(exit_, Order)
    said: OrderReport = OutcomeUnknown(exit_.ref, "timeout") if lost else Accepted(exit_.ref, "v1")
    wire.give(said)
    if restarts:
        wire.restart()
    assert code(wire.enter(Action.ADD)) == "EXIT_PENDING"
    view = next(iter(wire.engine.snapshot(wire.now).symbols.values()))
    assert view.feasible.reason == "an order of this symbol is under way"  # type: ignore[union-attr]
    again = wire.close()
    # Spot has no reduce-only orders: beside coins of others, a second exit could sell more than the book owns.
    assert code(again) == ("sent" if lost and (product is Product.UM or not shared) else "EXIT_PENDING")
    if isinstance(again, Order):
        assert again.quantity == 10
        wire.give(Canceled(again.ref, "on request"))
    assert code(wire.enter(Action.ADD)) == "EXIT_PENDING"
    wire.give(Canceled(exit_.ref, "on request"))
    assert code(wire.enter(Action.ADD)) == "sent"


def test_an_entry_is_refused_while_an_exit_of_unknown_outcome_is_live() -> None:
    wire = Wire()
    wire.fill(wire.enter())  # type: ignore[arg-type]
    lost = wire.close()
    assert isinstance(lost, Order)
    wire.give(OutcomeUnknown(lost.ref, "timeout"))
    wire.fill(wire.close())  # type: ignore[arg-type]
    assert wire.held() == 0
    assert code(wire.enter()) == code(wire.enter(Action.SHORT)) == "EXIT_PENDING"
    wire.give(Canceled(lost.ref, "on request"))
    assert code(wire.enter()) == "sent"


def test_an_outcome_is_unknown_since_the_first_report_and_a_second_one_is_silent() -> None:
    wire = Wire()
    entry = wire.enter()
    assert isinstance(entry, Order)
    wire.give(OutcomeUnknown(entry.ref, "timeout"))
    since = wire.now
    wire.tick({"BTCUSDT": 100.0})
    wire.restart()
    assert wire.give(OutcomeUnknown(entry.ref, "the process ended")) == []
    (tracked,) = wire.engine.orders.live()
    assert tracked.unknown_since == since


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("flattens", [False, True])
def test_the_incident_of_a_failed_spot_exit_says_if_it_is_retried(flattens: bool, lost: bool) -> None:
    wire = Wire(Product.SPOT)
    wire.fill(wire.enter())  # type: ignore[arg-type]
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v1"))
    if flattens:
        wire.command("flatten")
    else:
        wire.close()
    wire.give(Canceled(wire.last(Purpose.STOP).ref, "on request"))
    exit_ = wire.last(Purpose.EXIT)
    wire.give(OutcomeUnknown(exit_.ref, "timeout") if lost else Rejected(exit_.ref, RejectReason.OTHER, "no"))
    if lost:
        wire.give(Canceled(exit_.ref, "on request"))
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v2"))
    wire.fire()
    again = "it is tried again" if flattens else "it is tried again only if no stop stands by the deadline"
    assert [each.text for each in wire.journal if isinstance(each, Incident)] == [
        f"the exit 1-x-0 of BTCUSDT {came}; {again}" for came in (["may have failed"] if lost else []) + ["failed"]
    ]
    assert (wire.last(Purpose.EXIT) is not exit_) is flattens

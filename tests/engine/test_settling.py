"""A person settles an order whose outcome no query could find; nothing else can."""

from decimal import Decimal

import pytest

from ocw_mcp.core.orders.table import OrderStatus
from ocw_mcp.domain.events import Incident, OrderRejected
from ocw_mcp.domain.orders import Accepted, Filled, Order, OutcomeUnknown, Purpose
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.domain.steps import Verb
from tests.support.runs import policies
from tests.support.wire import Wire

D = Decimal
TIGHT = policies(position={"max_share": "0.2"}, order={"max_notional": 10**6})


def unknown(wire: Wire) -> Order:
    entry = wire.enter(quantity="15")
    assert isinstance(entry, Order)
    wire.give(OutcomeUnknown(entry.ref, "no answer"))
    return entry


def status(wire: Wire, order: Order) -> OrderStatus:
    tracked = wire.engine.orders.get(order.ref)
    assert tracked is not None
    return tracked.status


def incidents(wire: Wire) -> list[str]:
    return [each.text for each in wire.journal if isinstance(each, Incident)]


def test_an_order_declared_gone_frees_its_budget() -> None:
    wire = Wire(policy=TIGHT)
    entry = unknown(wire)
    assert isinstance(wire.enter(quantity="15"), Refusal)
    wire.command(Verb.SETTLE, f"{entry.ref} gone")
    assert status(wire, entry) is OrderStatus.REJECTED
    (gone,) = [each for each in wire.journal if isinstance(each, OrderRejected)]
    assert "a person" in gone.text
    assert isinstance(wire.enter(quantity="15"), Order)


def test_a_fill_after_the_declaration_is_still_booked_and_protected() -> None:
    wire = Wire(policy=TIGHT)
    entry = unknown(wire)
    wire.command(Verb.SETTLE, f"{entry.ref} gone")
    wire.give(Filled(entry.ref, "f1", D(15), D(100), D("0.1"), wire.now))
    assert wire.held() == 15
    assert wire.last(Purpose.STOP).quantity == 15


def test_a_declared_fill_is_booked_and_its_rest_is_gone() -> None:
    wire = Wire(policy=TIGHT)
    entry = unknown(wire)
    wire.command(Verb.SETTLE, f"{entry.ref} filled 100.05 6")
    assert (wire.held(), status(wire, entry)) == (D(6), OrderStatus.CANCELED)
    assert wire.engine.account.ledger.positions["BTCUSDT"].average_price == D("100.05")
    assert wire.last(Purpose.STOP).quantity == 6
    assert incidents(wire) == []


@pytest.mark.parametrize("outcome", ["filled 100 16", "filled 100 0", "filled 0 5", "perhaps", "", "filled 1e3 5"])
def test_a_declaration_that_cannot_be_true_changes_nothing(outcome: str) -> None:
    wire = Wire(policy=TIGHT)
    entry = unknown(wire)
    wire.command(Verb.SETTLE, f"{entry.ref} {outcome}")
    assert (wire.held(), status(wire, entry)) == (D(0), OrderStatus.UNKNOWN)
    assert "was not taken" in incidents(wire)[-1]


def test_an_order_of_known_outcome_cannot_be_settled() -> None:
    wire = Wire(policy=TIGHT)
    entry = unknown(wire)
    wire.give(Accepted(entry.ref, "v1"))
    for subject in (f"{entry.ref} gone", "99-e-0 gone"):
        wire.command(Verb.SETTLE, subject)
    assert status(wire, entry) is OrderStatus.ACCEPTED
    assert ["its outcome is known" in text for text in incidents(wire)] == [True, False]

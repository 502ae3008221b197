"""A fill is compared with its cleared order, and not with later moves of the market."""

from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.core.risk.fills import FilledEntry, LimitExcess
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Accepted, Canceled, Filled, Order, OutcomeUnknown, Purpose, Rejected
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.time import MINUTE
from tests.support.accounts import CALM
from tests.support.entries import LIMITED as TIGHT
from tests.support.entries import LONG, asks
from tests.support.runs import policies
from tests.support.wire import Wire

D = Decimal
BOTH = ("BTCUSDT", "ETHUSDT")
LIMITED = policies(
    order={"max_notional": 1_000_000},
    risk={"max_share": "0.01", "gap_allowance": "0.005"},
    exposure={"max_gross": "0.4"},
)


def sent(answer: object) -> Order:
    assert isinstance(answer, Order), answer
    return answer


def incidents(wire: Wire) -> list[str]:
    return [each.text for each in wire.journal if isinstance(each, events.Incident)]


@pytest.mark.parametrize("product", Product)
def test_filled_entry_keeps_its_size_although_another_symbol_lost(product: Product) -> None:
    wire = Wire(product, LIMITED, BOTH)
    wire.fill(sent(wire.enter(quantity="15", stop=D(97))))
    waits = sent(wire.enter(quantity="24.9", symbol="ETHUSDT", stop=D("96.5"), limit=D(99)))
    # The first position loses 4 % of equity before the limit entry fills at what was cleared.
    wire.tick({"BTCUSDT": 73.0, "ETHUSDT": 99.0})
    wire.fill(waits, price="99")
    assert incidents(wire) == []
    assert wire.last(Purpose.STOP).trigger_price == D("96.5")
    assert wire.held("ETHUSDT") == D("24.9")


def test_a_position_closes_if_price_has_passed_its_tightened_stop() -> None:
    wire = Wire(policy=LIMITED)
    order = sent(wire.enter(quantity="15", stop=D("95.5")))
    wire.tick({"BTCUSDT": 102.0})
    # It was filled at 108 before the market came to 102.
    wire.give(Filled(order.ref, "f", D(15), D(108), D(1), wire.now - MINUTE))
    assert len(incidents(wire)) == 2
    assert all(each.endswith("it is closed") for each in incidents(wire))
    wire.fill(wire.last(Purpose.EXIT), price="102")
    assert wire.held() == 0


@pytest.mark.parametrize("product", Product)
@pytest.mark.parametrize("restarts", [False, True])
def test_a_late_fill_beyond_gross_exposure_is_reduced_to_the_limit(product: Product, restarts: bool) -> None:
    wire = Wire(product, LIMITED, BOTH)
    late = sent(wire.enter(quantity="20", stop=D("98.5")))
    wire.give(Rejected(late.ref, RejectReason.OTHER, "no"))
    wire.fill(sent(wire.enter(quantity="24", symbol="ETHUSDT", stop=D("98.5"))))
    if restarts:
        wire.restart()
    wire.fill(late)
    assert sum("GROSS_EXPOSURE" in each for each in incidents(wire)) == 1
    exit_ = wire.last(Purpose.EXIT)
    wire.fill(exit_)
    equity = wire.engine.account.ledger.equity()
    assert D("0.398") < (wire.held() + wire.held("ETHUSDT")) * 100 / equity <= D("0.4001")


@pytest.mark.parametrize("product", Product)
def test_the_excess_of_an_overfilled_entry_is_sold_once(product: Product) -> None:
    wire = Wire(product, LIMITED)
    order = sent(wire.enter(quantity="20", stop=D("99.5")))
    wire.fill(order, "20")
    wire.fill(order, "20")
    (told,) = [each for each in incidents(wire) if "POSITION_SHARE" in each]
    assert "are sold" in told
    first = wire.last(Purpose.EXIT)
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v"))
    wire.fill(first, "5")
    wire.fill(first, first.quantity - 5)
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v"))
    wire.fire()
    assert D("0.249") < wire.held() * 100 / wire.engine.account.ledger.equity() <= D("0.2501")
    assert [order.ref.leg for order in wire.sent].count(Purpose.EXIT) == 1


def test_a_fill_after_an_unknown_outcome_is_no_incident() -> None:
    wire = Wire(policy=LIMITED)
    order = sent(wire.enter(quantity="24.9", stop=D("97")))
    wire.give(OutcomeUnknown(order.ref, "timeout"))
    wire.fill(order)
    assert incidents(wire) == []


def test_a_limit_entry_partly_filled_above_its_price_is_cancelled() -> None:
    wire = Wire(policy=LIMITED)
    order = sent(wire.enter(quantity="15", stop=D("95.5"), limit=D(100)))
    wire.give(Accepted(order.ref, "v"))
    wire.fill(order, "5", "108")
    assert wire.canceled == [order.ref]
    wire.fill(order, "5", "110")
    assert wire.last(Purpose.STOP).trigger_price == D("104.5")
    (told,) = incidents(wire)
    assert "stop.max_distance" in told
    wire.give(Canceled(order.ref, "on request"))


def test_a_fill_of_a_tainted_order_is_checked_by_strict_policies() -> None:
    strict = TIGHT.model_copy(update={"stop": TIGHT.stop.model_copy(update={"max_distance": D("0.02")})})
    officer = RiskOfficer(TIGHT, strict)
    held = msgspec.structs.replace(CALM, quantity=D(1), symbol_notional=D(1_000), gross=D(1_000))
    none = LimitExcess(D(0), D(0), D(0), D(0))
    for tainted, stop in ((False, D(970)), (True, D(980))):
        entered = FilledEntry(
            asks(LONG, tainted=tainted), held, D(1_000), D(970), D(1_000), held.equity, held.regime, held.macro, none
        )
        assert officer.remedy(entered).stop == stop


def test_an_addition_is_refused_while_a_reduction_is_live() -> None:
    wire = Wire(policy=LIMITED)
    order = sent(wire.enter(quantity="20", stop=D("99.5")))
    wire.fill(order, "20")
    wire.fill(order, "20")
    answer = wire.enter(Action.ADD, "1")
    assert not isinstance(answer, Order)


def test_a_spot_reduction_below_the_minimum_sells_the_minimum() -> None:
    small = policies(order={"max_notional": 30}, risk={"max_share": 1})
    wire = Wire(Product.SPOT, small)
    order = sent(wire.enter(quantity="0.299", stop=D(99)))
    wire.fill(order, price="103")
    exit_ = wire.last(Purpose.EXIT)
    assert D(5) <= exit_.quantity * 103 < D("5.2")

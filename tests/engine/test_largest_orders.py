"""Exits above the venue's largest order are split, and no entry makes a position that one stop could not close."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ocw_mcp.adapters.venues.instruments import PaperInstruments
from ocw_mcp.domain.asks import ProtectionRequest
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.orders import Accepted, Order, OutsideCause, OutsideFill, Purpose, Rejected, Side
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.steps import Asked, TimerFired
from ocw_mcp.engine.exposure import split
from ocw_mcp.engine.protection import protection_timer
from tests.support.wire import Wire

D = Decimal
BTC = "BTCUSDT"


def bounded(most: str, product: Product = Product.UM) -> Instrument:
    return replace(PaperInstruments(product).get(BTC, 100.0), market_max_quantity=D(most))


def found(quantity: str, most: str = "4") -> Wire:
    """A long of another trader, which is larger than one order may be, and which is being closed."""
    wire = Wire(filters=bounded(most))
    wire.give(OutsideFill("f0", BTC, Side.BUY, D(quantity), D(100), D(0), wire.now, OutsideCause.OTHER_TRADER))
    wire.close()
    return wire


def holding(product: Product = Product.UM) -> tuple[Wire, list[Instrument]]:
    """A long of twenty units, and the filters of which the last are those of the venue now."""
    filters = [bounded("40", product)]
    wire = Wire(product, instruments=lambda symbol, price: filters[-1])
    wire.fill(wire.enter(quantity="20"))  # type: ignore[arg-type]
    return wire, filters


def exits(wire: Wire) -> list[Order]:
    return [each for each in wire.sent if each.ref.leg is Purpose.EXIT]


@settings(max_examples=60)
@given(st.integers(1, 10**7), st.integers(1, 10**5), st.sampled_from(["0.001", "1", "0.05"]))
def test_parts_of_an_exit_sum_to_it_and_each_passes(units: int, most: int, step: str) -> None:
    quantity, largest = units * D(step), most * D(step) + D("0.0005")
    instrument = replace(bounded("1"), step=D(step), min_quantity=D(step), market_max_quantity=largest)
    if units > 2_000 * most:
        return
    parts = split(quantity, instrument)
    assert sum(parts) == quantity
    assert all(0 < part <= largest and part % D(step) == 0 for part in parts)
    assert len(parts) == -(-units // most), "as few as possible"
    assert max(parts) - min(parts) <= D(step), "about equal"


def test_an_exit_above_the_largest_order_is_sent_in_parts() -> None:
    wire = found("13")
    assert [each.quantity for each in exits(wire)] == [D("3.25")] * 4
    assert len({each.ref for each in exits(wire)}) == 4
    for each in exits(wire):
        wire.give(Accepted(each.ref, f"v{each.ref}"))
        wire.fill(each)
    assert wire.held() == 0
    assert len(exits(wire)) == 4


def test_only_a_part_that_the_venue_rejected_is_sent_again() -> None:
    wire = found("13")
    first, *others = exits(wire)
    wire.give(Rejected(first.ref, RejectReason.OTHER, "no"))
    wire.give(TimerFired(protection_timer(BTC)))
    again = exits(wire)[4:]
    assert [each.quantity for each in again] == [D("3.25")]
    for each in (*others, *again):
        wire.fill(each)
    assert wire.held() == 0


def test_a_request_to_close_counts_once_and_a_flatten_sends_every_part() -> None:
    wire, lowered = holding()
    lowered.append(bounded("6"))
    first = wire.close()
    assert isinstance(first, Order)
    assert [each.quantity for each in exits(wire)] == [5, 5, 5, 5]
    assert len(wire.engine.account.activity.state().reduced) == 1
    for each in exits(wire):
        wire.give(Rejected(each.ref, RejectReason.OTHER, "no"))
    wire.command("flatten")
    assert sum(each.quantity for each in exits(wire)[4:]) == 20


def test_an_entry_beyond_the_largest_order_is_refused_with_the_largest_that_passes() -> None:
    wire = Wire(filters=bounded("8"))
    refused = wire.enter(quantity="10")
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.largest) == (RefusalCode.ABOVE_MAXIMUM, D(8))
    entry = wire.enter(quantity="8")
    assert isinstance(entry, Order)


def test_a_tighter_stop_is_refused_for_a_position_above_the_largest_order() -> None:
    wire, lowered = holding()
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v"))
    lowered.append(bounded("6"))
    request = ProtectionRequest("p", "anna", BTC, stop=D(98))
    wire.give(Asked(request))
    answer = wire.engine.answer(request)
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.ABOVE_MAXIMUM
    assert wire.engine.guard.protections[BTC].protected


@pytest.mark.parametrize("product", Product)
def test_reductions_above_the_largest_order_are_split_on_each_product(product: Product) -> None:
    wire, lowered = holding(product)
    lowered.append(bounded("6", product))
    wire.engine.guard.manager.reduce(BTC, D(14), "anna", wire.now)
    sent = [each.order for each in wire.engine.orders.live(BTC, Purpose.EXIT)]
    assert sum(each.quantity for each in sent) == 14
    assert len(sent) == 3

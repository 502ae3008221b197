"""An order keeps every id under which the venue knows it, and a triggered stop is live until it has filled."""

from decimal import Decimal

from ocw_mcp.domain import events
from ocw_mcp.domain.orders import Accepted, Order, OrderReport, Purpose, Triggered
from tests.support.wire import Wire


def position() -> tuple[Wire, Order]:
    """A long position and its stop, which the venue has not answered."""
    wire = Wire()
    order = wire.enter()
    assert isinstance(order, Order)
    wire.fill(order)
    return wire, wire.last(Purpose.STOP)


def ids(wire: Wire, order: Order) -> list[str]:
    tracked = wire.engine.orders.get(order.ref)
    assert tracked is not None
    return tracked.venue_order_ids


def test_triggered_stop_stays_live_until_its_fill() -> None:
    wire, stop = position()
    wire.give(Accepted(stop.ref, "algo-1"))
    sent = len(wire.sent)
    assert wire.give(Triggered(stop.ref, "77")) == [events.OrderTriggered(stop.ref, "77")]
    assert ids(wire, stop) == ["algo-1", "77"]
    assert [each.ref for each in wire.stands()] == [stop.ref]
    assert wire.engine.guard.protections["BTCUSDT"].protected
    assert len(wire.sent) == sent
    wire.restart()
    assert ids(wire, stop) == ["algo-1", "77"]
    wire.fill(stop, price="97")
    assert wire.held() == 0


def test_each_further_id_is_journaled_once_and_protects_once() -> None:
    wire, stop = position()
    reports: list[OrderReport] = [Accepted(stop.ref, name) for name in ("list-1", "2", "3", "2", "list-1")]
    journaled = [event for report in reports for event in wire.give(report)]
    accepted = [each.venue_order_id for each in journaled if isinstance(each, events.OrderAccepted)]
    assert accepted == ["list-1", "2", "3"] == ids(wire, stop)
    assert sum(isinstance(each, events.PositionProtected) for each in journaled) == 1


def test_trigger_of_an_unanswered_stop_shows_that_the_venue_has_it() -> None:
    wire, stop = position()
    wire.give(Triggered(stop.ref, "77"))
    tracked = wire.engine.orders.get(stop.ref)
    assert tracked is not None
    assert (tracked.status, tracked.triggered) == ("accepted", True)


def test_id_that_comes_after_the_fill_is_kept() -> None:
    wire = Wire()
    order = wire.enter()
    assert isinstance(order, Order)
    wire.fill(order)
    wire.give(Accepted(order.ref, "v9"))
    assert ids(wire, order) == ["v9"]
    assert wire.held() == Decimal(10)

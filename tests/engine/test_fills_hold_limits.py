"""For any fills of an entry an oracle of plain sums checks the rest of the position against the limits."""

from decimal import Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from ocw_mcp.core.orders.table import OrderStatus
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Accepted, Canceled, Order, Purpose, Rejected
from ocw_mcp.domain.reject_reasons import RejectReason
from tests.support.examples import examples
from tests.support.runs import policies
from tests.support.wire import Wire

D = Decimal
LIMITED = policies(
    order={"max_notional": 3_000},
    stop={"max_distance": "0.05"},
    risk={"max_share": "0.01", "gap_allowance": "0.005"},
    scale={"regime_unknown": "0.9"},
)
SHARE, RISK, DISTANCE, ROUNDING = D("0.25") * D("0.9"), D("0.01") * D("0.9"), D("0.05"), D("1.02")


def passed(order: Order, at: Decimal) -> bool:
    return order.trigger_price is not None and (at - order.trigger_price) * order.side.sign >= 0


def settle(wire: Wire, at: Decimal) -> None:
    """The venue accepts every stop that the price has not passed, fills the exits, and confirms the cancels.

    The price triggers the stops that rest.
    """
    while True:
        todo = [
            each for each in wire.engine.orders.live() if each.purpose is not Purpose.ENTRY or each.cancel_requested
        ]
        todo = [
            each
            for each in todo
            if each.cancel_requested or each.status is OrderStatus.INTENDED or passed(each.order, at)
        ]
        if not todo:
            return
        ref, order = todo[0].ref, todo[0].order
        if todo[0].cancel_requested:
            wire.give(Canceled(ref, "on request"))
        elif todo[0].purpose is Purpose.EXIT or todo[0].status is not OrderStatus.INTENDED:
            wire.fill(order, price=str(at))
        elif passed(order, at):
            wire.give(Rejected(ref, RejectReason.WOULD_TRIGGER_IMMEDIATELY, "Order would immediately trigger."))
        else:
            wire.give(Accepted(ref, "v"))


def holds(wire: Wire, at: Decimal, cleared: Decimal, before: Decimal) -> None:
    """The position is within every limit; `before` is the quantity at 100 when the entry was cleared."""
    held, equity = wire.held(), wire.engine.account.ledger.equity()
    if not held:
        return
    way = 1 if held > 0 else -1
    *_, stop = wire.stands()
    assert stop.trigger_price is not None
    assert abs(held) - D("0.001") < stop.quantity <= abs(held)
    lost = (at - stop.trigger_price) * way
    assert 0 < lost <= DISTANCE * ROUNDING * at
    assert abs(held) * (lost + at * D("0.005")) <= RISK * ROUNDING * max(cleared, equity) + D("0.01")
    moved = abs(before) * max(D(0), at - 100)
    assert abs(held) * at <= SHARE * ROUNDING * equity + moved + D("0.5")


PARTS = st.lists(
    st.tuples(st.sampled_from([D("0.2"), D("0.5"), D(1)]), st.integers(90, 112).map(D)), min_size=1, max_size=3
)
ROUNDS = st.lists(st.tuples(st.integers(1, 25), st.sampled_from(["98", "96", "95.5"]), PARTS), min_size=1, max_size=2)


@examples(20, slow=60)
@given(st.sampled_from(list(Product)), st.booleans(), ROUNDS, st.booleans())
@example(Product.UM, False, [(15, "95.5", [(D(1), D(108))])], True)
@example(Product.SPOT, False, [(22, "98", [(D("0.5"), D(100)), (D(1), D(106))]), (5, "98", [(D(1), D(104))])], False)
def test_the_position_after_any_fills_is_within_the_limits(
    product: Product, shorts: bool, rounds: list[tuple[int, str, list[tuple[Decimal, Decimal]]]], restarts: bool
) -> None:
    wire = Wire(product, LIMITED)
    for size, stop, parts in rounds:
        before, cleared = wire.held(), wire.engine.account.ledger.equity()
        action = Action.ADD if before else Action.SHORT if shorts else Action.BUY
        protect = 200 - D(stop) if before < 0 or (not before and shorts) else D(stop)
        order = wire.enter(action, str(size), stop=protect)
        if not isinstance(order, Order):
            continue
        left = order.quantity
        for share, price in parts:
            part = (left * share).quantize(D("0.001"))
            if not part or order.ref not in {each.ref for each in wire.engine.orders.live()}:
                break
            wire.fill(order, part, str(price))
            left -= part
            if restarts:
                wire.restart()
            settle(wire, price)
            holds(wire, price, cleared, before)
        if left:
            wire.give(Canceled(order.ref, "expired"))
    told: list[str] = []
    for event in wire.journal:
        if isinstance(event, events.PositionClosed):
            told.clear()
        if isinstance(event, events.Incident):
            told.append(event.text.split(": ")[0])
            assert len(told) == len(set(told)), "one incident for each limit of a position"

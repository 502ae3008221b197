"""An oracle for entries that are sized by `risk` or `size`: their quantity, and the largest size of a refusal."""

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from ocw_mcp.domain.asks import RequestKey
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.orders import Order, OrderIntent
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.engine.precheck import Instruction
from tests.support.dice import Decimals, Dice, dice
from tests.support.examples import examples
from tests.support.runs import policies
from tests.support.wire import Wire

D = Decimal
SYMBOL = "BTCUSDT"
TINY = D("1e-20")
"""The rounding of a division of Decimals, as a share."""

PRICES = (0.0713, 1.37, 99.95, 100.0, 3210.7, 61_234.5)
ALLOWANCES = ("0", "0.001", "0.0025", "0.02")
GAPS = ("0", "0.002", "0.01")


def decimals(low: str, high: str, places: int = 5) -> st.SearchStrategy[Decimal]:
    values = Decimals(low, high, places)
    return dice(5).map(lambda roll: roll.pick(values))


distances = decimals("0.004", "0.2")
risks = decimals("0.0004", "0.02")
limits = st.none() | decimals("-0.02", "0.02")


def wires(**tables: Any) -> st.SearchStrategy[Wire]:
    """Return a strategy of engines with one price, random filters, and two policies, the second for tainted entries."""
    return dice(10).map(lambda roll: wire_of(roll, tables))


def wire_of(roll: Dice, tables: dict[str, Any]) -> Wire:
    price, product = roll.pick(PRICES), roll.pick((Product.UM, Product.SPOT))
    digits = D(repr(price)).adjusted()
    tick = D(1).scaleb(digits - roll.pick((2, 3, 4, 5))) * roll.pick((1, 1, 5))
    step = D(1).scaleb(roll.pick((0, -1, -2, -3, -4)) - digits)
    filters = Instrument(SYMBOL, product, tick, step, step, D(5))
    wide = {"order": {"max_notional": 1_000_000}, "position": {"max_share": 1}, "stop": {"max_distance": "0.5"}}
    usual, strict = (
        policies(**_merged(wide, tables, roll.pick(ALLOWANCES), roll.pick(GAPS)))
        for _ in ("usual", "after untrusted text")
    )
    return Wire(product, usual, strict=strict, filters=filters, price=price)


def _merged(wide: dict[str, Any], tables: dict[str, Any], allowance: str, gap: str) -> dict[str, Any]:
    own = {"order": {"price_allowance": allowance}, "risk": {"gap_allowance": gap}}
    names = {*wide, *tables, *own}
    return {name: wide.get(name, {}) | tables.get(name, {}) | own.get(name, {}) for name in names}


def to(value: Decimal, unit: Decimal, rounding: str) -> Decimal:
    return (value / unit).quantize(D(1), rounding) * unit


def loss(wire: Wire, leg: Leg, stop: Decimal, way: int, *, tainted: bool) -> Callable[[Decimal], Decimal]:
    """The oracle: return the loss (quote) of a quantity at its stop, gap included, by the stricter of the policies."""
    config, instrument = wire.engine.config, wire.engine.prices.instruments[SYMBOL]
    mark = wire.engine.market.symbols[SYMBOL].last
    assert isinstance(mark, float)
    price = D(repr(mark))
    held_to: list[Policies] = [config.policies, *([config.strict] if tainted and config.strict else [])]
    widest = max(each.order.price_allowance for each in held_to)
    stop = to(stop, instrument.tick, ROUND_CEILING if way > 0 else ROUND_FLOOR)
    limit = leg.limit and to(leg.limit, instrument.tick, ROUND_FLOOR if way > 0 else ROUND_CEILING)
    sized_at = limit if limit is not None and way > 0 else max(limit or price, price) * (1 + widest)
    shares = []
    for each in held_to:
        slips = 1 + way * each.order.price_allowance
        filled = price * slips
        if limit is not None:
            filled = max(min(limit, price) * slips, limit) if way > 0 else min(max(limit, price) * slips, limit)
        shares.append(max(D(0), (filled - stop) * way / filled) + each.risk.gap_allowance)
    return lambda quantity: quantity * sized_at * max(shares)


def leg_of(wire: Wire, way: int, away: Decimal, limit: Decimal | None, **size: Any) -> Leg:
    price = D(repr(wire.engine.market.symbols[SYMBOL].last))
    return Leg(
        SYMBOL,
        Action.BUY if way > 0 else Action.SHORT,
        stop=price * (1 - way * away),
        limit=None if limit is None else price * (1 + limit),
        **size,
    )


def intent_of(wire: Wire, leg: Leg, *, tainted: bool) -> OrderIntent:
    return wire.engine.executor.precheck.entry(
        Instruction(leg, "anna", RequestKey("anna", "k"), tainted=tainted), wire.now
    ).intent


@examples(20, slow=150)
@given(wires(), st.sampled_from((1, -1)), distances, limits, risks, st.booleans())
def test_entry_by_risk_loses_at_most_its_risk_and_one_step_more_would_lose_more(
    wire: Wire, way: int, away: Decimal, limit: Decimal | None, risk: Decimal, tainted: bool
) -> None:
    leg = leg_of(wire, way, away, limit, risk=risk)
    intent = intent_of(wire, leg, tainted=tainted)
    assert leg.stop is not None
    lost = loss(wire, leg, leg.stop, way, tainted=tainted)
    most, step = risk * 10_000, wire.engine.prices.instruments[SYMBOL].step
    assume(lost(step) > 0)
    assert lost(intent.quantity) <= most * (1 + TINY)
    assert lost(intent.quantity + step) > most * (1 - TINY)
    assert intent.quantity % step == 0


@examples(12, slow=60)
@given(wires(), st.sampled_from((1, -1)), distances, distances, risks)
def test_addition_by_risk_is_sized_by_the_stop_of_its_position(
    wire: Wire, way: int, away: Decimal, moves: Decimal, risk: Decimal
) -> None:
    price = D(repr(wire.engine.market.symbols[SYMBOL].last))
    action, step = Action.BUY if way > 0 else Action.SHORT, wire.engine.prices.instruments[SYMBOL].step
    quantity = to(2_000 / price, step, ROUND_FLOOR)
    opened = wire.enter(action, str(quantity), stop=price * (1 - way * away))
    assume(isinstance(opened, Order))
    assert isinstance(opened, Order)
    wire.fill(opened, price=str(price))
    wire.tick({SYMBOL: float(price * (1 + way * moves))})
    stop = wire.engine.guard.protections[SYMBOL].trigger
    leg = Leg(SYMBOL, Action.ADD, risk=risk)
    quantity = intent_of(wire, leg, tainted=False).quantity
    lost, most = loss(wire, leg, stop, way, tainted=False), risk * wire.engine.account.ledger.equity()
    assume(lost(step) > 0)
    assert lost(quantity) <= most * (1 + TINY)
    assert lost(quantity + step) > most * (1 - TINY)


narrow = {
    "risk": {"max_share": "0.013"},
    "position": {"max_share": "0.31"},
    "exposure": {"max_gross": "0.43"},
}


@examples(20, slow=150)
@given(
    wires(**narrow),
    st.sampled_from((1, -1)),
    distances,
    limits,
    st.sampled_from(("risk", "size")),
    decimals("0.2", "1.2", 3),
)
def test_largest_size_of_a_refusal_passes_and_one_step_more_does_not(
    wire: Wire, way: int, away: Decimal, limit: Decimal | None, unit: str, asked: Decimal
) -> None:
    def checked(size: Decimal):  # type: ignore[no-untyped-def]
        return wire.engine.check(leg_of(wire, way, away, limit, **{unit: size}), "anna", wire.now)

    refused = checked(asked).refusal
    assume(refused is not None and refused.largest)
    assert refused is not None
    event(refused.code)
    largest = refused.largest_in_unit
    passes = checked(largest)
    assert passes.refusal is None, f"{refused}, then {passes.refusal}"
    assert passes.quantity == refused.largest or largest == 1
    step = wire.engine.prices.instruments[SYMBOL].step
    one_step = step * largest / refused.largest
    for more in (D("0.00001"), one_step * D("1.001")):
        beyond = checked(largest + more)
        if largest + more > 1:
            assert beyond.refusal is not None
            assert beyond.refusal.code is RefusalCode.BAD_SIZE
        elif more > one_step:
            assert beyond.refusal is not None, more
            assert beyond.refusal.largest_in_unit == largest


@pytest.mark.parametrize(("action", "stop"), [(Action.BUY, "97"), (Action.SHORT, "103")])
@pytest.mark.parametrize("limit", ["0", "-1", "NaN"])
def test_entry_by_risk_at_no_price_is_refused(action: Action, stop: str, limit: str) -> None:
    refusal = Wire().enter(action, None, size=None, risk=D("0.01"), stop=D(stop), limit=D(limit))
    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.BAD_LIMIT


def test_entry_by_risk_below_the_first_tick_is_refused() -> None:
    refusal = Wire().enter(Action.BUY, None, size=None, risk=D("0.01"), limit=D("0.0001"))
    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.BAD_LIMIT

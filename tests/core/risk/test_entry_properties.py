"""For any account and limits: an entry that passes violates none, and the largest named size is the largest."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal
from functools import cache

import msgspec
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from ocw_mcp.core.risk.account import AccountView, PositionTerms
from ocw_mcp.core.risk.limits import LIMITS
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.core.risk.prices import propose
from ocw_mcp.domain.margin import CAUTIOUS, Bracket, Brackets
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.money import floor_to
from ocw_mcp.domain.orders import Order, OrderIntent, Side, SizeUnit
from ocw_mcp.domain.policies import ApprovalPolicy, MandatePolicy, Policies
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.domain.state import TradingState
from tests.support.accounts import QUIET
from tests.support.dice import Decimals, Dice, dice
from tests.support.entries import LONG, account, asks, check, refusal
from tests.support.runs import policies

D = Decimal

DECIDERS: list[Callable[[AccountView], AccountView]] = [
    lambda view: msgspec.structs.replace(view, state=TradingState.HALTED),
    lambda view: msgspec.structs.replace(view, price_age_ms=view.price_age_limit_ms + 1),
    lambda view: msgspec.structs.replace(view, daily_loss_reached=True),
]


@cache
def money(low: str, high: str, places: int = 2) -> Decimals:
    return Decimals(low, high, places)


@st.composite
def situations(draw: st.DrawFn) -> tuple[OrderIntent, AccountView, Policies]:
    """An entry on an account with positions and reservations, under limits that may be anything.

    A limit is tight in one case of five: if all limits were tight, no entry would ever pass.
    """
    roll = draw(dice(280))
    limited = policies(
        order={
            "max_notional": roll.seldom(money("10", "9000"), D(9_000)),
            "price_allowance": roll.seldom(money("0", "0.1", 4), D("0.002")),
        },
        position={"max_share": roll.seldom(money("0.01", "1", 3), D(1))},
        correlated={"max_share": roll.seldom(money("0.05", "3"), D(20))},
        risk={
            "max_share": roll.seldom(money("0.01", "1", 3), D(1)),
            "gap_allowance": roll.seldom(money("0", "0.1", 3), D(0)),
        },
        pace={"max_turnover": roll.seldom(money("0.1", "20"), D(1_000))},
        exposure={"max_gross": roll.seldom(money("0.05", "3"), D(20))},
        stop={"max_distance": D("0.5"), "liquidation_buffer": roll.seldom(money("0", "0.05"), D(0))},
        leverage={"max": 50, "usual": roll.pick([1, 2, 3, 5, 10, 20])},
        margin={"min_free": roll.seldom(money("0", "0.5"), D(0))},
        book={"max_depth_share": roll.pick(money("0.01", "1"))},
    )
    amount, above = roll.seldom(money("1", "20000"), None), roll.seldom(money("0", "9000"), None)
    if amount is not None:
        mandate = MandatePolicy(amount=amount, symbols=("*",), expires=datetime(2030, 1, 1, tzinfo=UTC))
        limited = limited.model_copy(update={"mandate": mandate})
    if above is not None:
        limited = limited.model_copy(update={"approval": ApprovalPolicy(above_notional=above, modes=(), answer_s=900)})
    price = roll.pick(money("0.0100", "70000", 4))
    step = D(10) ** (roll.pick([0, -1, -2, -3]) - price.adjusted())
    smallest, least_notional = step * roll.pick([1, 2, 3, 4, 5]), D(roll.pick([5, 20, 100]))
    instrument = Instrument("ETHUSDT", Product.UM, D("0.0001"), step, smallest, least_notional)
    instrument = msgspec.structs.replace(instrument, brackets=brackets(roll) if roll.yes() else None)
    side = roll.pick(list(Side))
    standing = roll.seldom(money("0", "5000"), D(0))
    held = joined(roll, price) if standing else None
    view = account(
        instrument=instrument,
        equity=roll.seldom(money("-100", "20000"), D(10_000)),
        gross=standing + roll.seldom(money("0", "5000"), D(100)),
        symbol_notional=standing,
        price=price,
        correlated_long=roll.seldom(money("0", "9000"), None),
        correlated_short=roll.seldom(money("0", "9000"), None),
        pace=msgspec.structs.replace(QUIET, turnover_today=roll.seldom(money("0", "50000"), D(0))),
        free_margin=roll.seldom(money("0", "20000"), D(20_000)),
        ask_depth=roll.seldom(money("0", "9000"), None),
        bid_depth=roll.seldom(money("0", "9000"), None),
        symbol_quantity=standing / price,
        quantity=side.sign * standing / price,
        held=held,
    )
    worth = roll.seldom(money("1", "20000"), D(9_000))
    stop = price * (1 - side.sign * roll.pick([D("0.01"), D("0.03"), D("0.1")]))
    leverage = roll.pick([None, None, 1, 2, 5, 20]) if held is None else None
    return asks(LONG, side=side, protect_at=stop, quantity=worth / price, leverage=leverage), view, limited


def brackets(roll: Dice) -> Brackets:
    """Some brackets: a larger one has less leverage and a higher maintenance rate."""
    rows, cap, leverage, rate = [], 100, 60, 4
    for _ in range(roll.pick([1, 2, 3, 4])):
        cap += roll.pick(range(1, 15_001))
        leverage -= roll.pick(range(19))
        rate += roll.pick(range(1, 61))
        rows.append(Bracket(D(cap), max(1, leverage), D(rate) / 1_000))
    return Brackets(tuple(rows))


def joined(roll: Dice, price: Decimal) -> PositionTerms:
    """The position that an entry joins, opened up to a fifth away from the price."""
    return PositionTerms(
        price * roll.pick(money("0.8", "1.2")), roll.pick(range(1, 11)), price * roll.pick(money("0", "0.03"))
    )


@settings(deadline=None)
@given(situations())
def test_limit_without_one_side_leaves_buy_and_sell_the_same_room(
    situation: tuple[OrderIntent, AccountView, Policies],
) -> None:
    intent, view, limited = situation
    other = asks(intent, side=Side.SELL if intent.side is Side.BUY else Side.BUY, protect_at=view.price)
    entries = [propose(each, view, limited.order.price_allowance) for each in (intent, other)]
    for limit in LIMITS:
        if not limit.one_side:
            rooms = {limit.judge(entry, view, limited).room for entry in entries}
            assert len(rooms) == 1, limit.code


@settings(deadline=None, max_examples=200)
@given(situations())
def test_passing_entry_is_within_every_limit_at_its_worst_price(
    situation: tuple[OrderIntent, AccountView, Policies],
) -> None:
    intent, view, limited = situation
    order = check(intent, view, limited)
    if isinstance(order, Refusal) and order.largest:
        intent = asks(intent, quantity=order.largest)
        order = check(intent, view, limited)
    if isinstance(order, Refusal):
        event("refused")
        return
    event("passed")
    notional = order.quantity * view.price * (1 + limited.order.price_allowance)
    assert notional <= limited.order.max_notional
    assert view.symbol_notional + notional <= limited.position.max_share * view.equity
    assert view.gross + notional <= limited.exposure.max_gross * view.equity
    together = view.correlated_long if order.side is Side.BUY else view.correlated_short
    assert together is None or together + notional <= limited.correlated.max_share * view.equity
    assert view.pace.turnover_today + notional <= limited.pace.max_turnover * view.day_opening
    worst = view.price * (1 + order.side.sign * limited.order.price_allowance)
    assert intent.protect_at is not None
    lost = abs(worst - intent.protect_at) / worst + limited.risk.gap_allowance
    assert (view.symbol_notional + notional) * lost <= limited.risk.max_share * view.equity * D("1.000001")
    margin_holds(order, view, limited, notional, intent.protect_at)
    offered = view.ask_depth if order.side is Side.BUY else view.bid_depth
    assert offered is None or order.quantity <= offered * limited.book.max_depth_share
    assert limited.mandate is None or view.gross + notional <= limited.mandate.amount
    assert limited.approval is None or notional <= limited.approval.above_notional
    assert order.quantity % view.instrument.step == 0
    assert order.quantity <= intent.quantity < order.quantity + view.instrument.step
    assert order.quantity >= view.instrument.min_quantity
    assert order.quantity * view.price >= view.instrument.min_notional


def margin_holds(order: Order, view: AccountView, limited: Policies, notional: Decimal, stop: Decimal) -> None:
    """The leverage is allowed, enough stays free, and the real position is liquidated beyond its stop."""
    rows, way, leverage = view.instrument.brackets or CAUTIOUS, order.side.sign, order.leverage
    assert 1 <= leverage <= min(limited.leverage.max, rows.max_leverage(view.symbol_notional + notional))
    assert view.free_margin - notional / leverage >= limited.margin.min_free * view.equity - D("1e-9")
    filled = view.price * (1 + way * limited.order.price_allowance)
    cost, margin = order.quantity * filled, order.quantity * filled / leverage
    if view.held is not None:
        assert leverage == view.held.leverage
        cost += view.symbol_quantity * view.held.price
        margin += view.symbol_quantity * (view.held.price / leverage - view.held.lost)
    price = rows.liquidation_price(way * (view.symbol_quantity + order.quantity), way * cost, margin)
    last = stop - way * limited.stop.liquidation_buffer * view.price
    event("liquidation nowhere" if price is None else "liquidation somewhere")
    assert price is None or way * (last - price) >= -view.price * D("1e-9")


@settings(deadline=None, max_examples=200)
@given(situations())
def test_the_largest_size_passes_and_one_step_more_does_not(
    situation: tuple[OrderIntent, AccountView, Policies],
) -> None:
    intent, view, limited = situation
    told = check(intent, view, limited)
    assume(isinstance(told, Refusal))
    assert isinstance(told, Refusal)
    event(f"{told.code}, {'some' if told.largest else 'no'} room")
    if told.largest:
        passed = check(asks(intent, quantity=told.largest), view, limited)
        assert isinstance(passed, Order)
        assert passed.quantity == told.largest
        assert isinstance(check(asks(intent, quantity=told.largest + view.instrument.step), view, limited), Refusal)
        for closed in DECIDERS:
            assert refusal(intent, closed(view), limited).largest == 0
    else:
        smallest = view.instrument.min_quantity
        enough = (view.instrument.min_notional / view.price / view.instrument.step).to_integral_value(ROUND_FLOOR) + 1
        for quantity in (smallest, max(smallest, enough * view.instrument.step)):
            assert isinstance(check(asks(intent, quantity=quantity), view, limited), Refusal)


@settings(deadline=None, max_examples=200)
@given(situations(), st.sampled_from((SizeUnit.SIZE, SizeUnit.RISK)))
def test_the_largest_size_in_its_unit_is_the_largest_quantity(
    situation: tuple[OrderIntent, AccountView, Policies], unit: SizeUnit
) -> None:
    intent, view, limited = situation
    intent = asks(intent, unit=unit)
    told = check(intent, view, limited)
    assume(isinstance(told, Refusal))
    assert isinstance(told, Refusal)
    assert told.unit is unit
    if not told.largest:
        assert told.largest_in_unit == 0
        return
    event(f"{told.code} in {unit}")
    quantity = floor_to(told.largest_in_unit / RiskOfficer(limited).share_of_one(intent, view), view.instrument.step)
    assert quantity == told.largest or told.largest_in_unit == 1
    assert quantity <= told.largest

"""The largest size of each side: it passes at its stop distance, and a little more is refused by the named limit."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.core.risk.account import AccountView, PositionTerms
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.margin import Bracket, Brackets
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import floor_to
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side, SizeUnit
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.snapshot import SizeStep
from ocw_mcp.domain.state import TradingState
from tests.support.accounts import CALM, ETH
from tests.support.runs import policies

D = Decimal
SCALED = RiskOfficer(
    policies(
        position={"max_share": "0.25"},
        stop={"max_distance": "0.05"},
        risk={"max_share": "0.01", "gap_allowance": "0.01"},
        scale={"regime_unknown": "0.6", "macro_unknown": "0.9"},
    )
)
BRACKETS = Brackets((Bracket(D(5_000), 50, D("0.01")), Bracket(D(50_000), 20, D("0.025"))))


def asked(side: Side, quantity: Decimal, distance: Decimal, account: AccountView, **more: Any) -> OrderIntent:
    stop = account.price * (1 - side.sign * distance)
    return OrderIntent("k", "test", "ETHUSDT", side, OrderType.MARKET, Purpose.ENTRY, quantity, protect_at=stop, **more)


def answer(intent: OrderIntent, account: AccountView, officer: RiskOfficer = SCALED) -> ClearedOrder | Refusal:
    return officer.check_entry(intent, account, OrderRef(1, Purpose.ENTRY), 0)


def steps(side: Side, account: AccountView, officer: RiskOfficer = SCALED) -> tuple[SizeStep, ...]:
    found = officer.feasible("ETHUSDT", account)
    return found.long if side is Side.BUY else found.short


def test_the_largest_size_falls_where_the_stop_begins_to_cost() -> None:
    near, far = steps(Side.BUY, CALM)
    assert (near.key, near.scale, far.key, far.distance) == (
        "position.max_share",
        D("0.54"),
        "risk.max_share",
        D("0.05"),
    )
    # 13.5 % of equity loses 0.54 % of it over 4 %, less the gap allowance and the price allowance.
    assert near.size == pytest.approx(D("0.135"), abs=D("0.0002"))
    assert near.distance == pytest.approx(D("0.028"), abs=D("0.0005"))
    assert near.size > far.size > 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"state": TradingState.HALTED}, RefusalCode.NOT_ACTIVE),
        ({"price_age_ms": 150_001}, RefusalCode.STALE_DATA),
        ({"symbol_notional": D(2_500)}, RefusalCode.POSITION_SHARE),
        ({"other_symbols": 1_000}, RefusalCode.OPEN_POSITIONS),
    ],
)
def test_without_room_the_largest_size_is_0_and_says_why(changes: dict[str, Any], code: RefusalCode) -> None:
    account = msgspec.structs.replace(CALM, **changes)
    (only,) = steps(Side.BUY, account)
    assert (only.size, only.code) == (D(0), code)
    refusal = answer(asked(Side.BUY, D("0.1"), D("0.02"), account), account)
    assert isinstance(refusal, Refusal)
    assert only.why == f"{refusal.limit}, now {only.why.rpartition('now ')[2]}"


def test_an_addition_with_a_near_stop_passes_if_a_far_one_does_not() -> None:
    held = msgspec.structs.replace(
        CALM,
        quantity=D(1),
        symbol_quantity=D(1),
        symbol_notional=D(1_000),
        gross=D(1_000),
        held=PositionTerms(D(1_000), 1),
    )
    near, *_, far = steps(Side.BUY, held)
    assert near.size > 0
    assert (far.size, far.code) == (D(0), RefusalCode.RISK_PER_TRADE)


def test_no_largest_size_is_given_against_an_open_position() -> None:
    held = msgspec.structs.replace(CALM, quantity=D(-1), symbol_notional=D(1_000), gross=D(1_000))
    assert steps(Side.BUY, held) == ()
    assert steps(Side.SELL, held)


@settings(max_examples=150)
@given(
    price=st.decimals("0.5", "60000", places=2),
    equity=st.decimals("30", "200000", places=2),
    held=st.decimals("0", "0.15", places=3),
    others=st.decimals("0", "0.6", places=3),
    free=st.decimals("0.1", "1", places=2),
    usual=st.sampled_from([1, 3, 5]),
    gap=st.sampled_from(["0", "0.01"]),
    risk=st.sampled_from(["0.002", "0.01", "0.03"]),
    buffer=st.sampled_from(["0.01", "0.15"]),
    product=st.sampled_from(Product),
    side=st.sampled_from(Side),
)
def test_each_largest_size_passes_and_a_little_more_is_refused(
    price: Decimal,
    equity: Decimal,
    held: Decimal,
    others: Decimal,
    free: Decimal,
    usual: int,
    gap: str,
    risk: str,
    buffer: str,
    product: Product,
    side: Side,
) -> None:
    officer = RiskOfficer(
        policies(
            position={"max_share": "0.25"},
            stop={"max_distance": "0.05", "liquidation_buffer": buffer},
            risk={"max_share": risk, "gap_allowance": gap},
            scale={"regime_unknown": "0.6", "macro_unknown": "0.9"},
            leverage={"max": 5, "usual": usual},
        )
    )
    notional = equity * held
    brackets = BRACKETS if product is Product.UM else None
    account = msgspec.structs.replace(
        CALM,
        product=product,
        instrument=msgspec.structs.replace(ETH, product=product, brackets=brackets),
        price=price,
        equity=equity,
        free_margin=equity * free,
        symbol_notional=notional,
        symbol_quantity=notional / price,
        quantity=side.sign * notional / price,
        held=PositionTerms(price, usual) if held else None,
        gross=notional + equity * others,
    )
    found = steps(side, account, officer)
    assert [each.distance for each in found] == sorted({each.distance for each in found})
    assert found[-1].distance == D("0.05") or not found[-1].size
    assert all(each.size for each in found[:-1])
    for each in found:
        one = officer.share_of_one(asked(side, D(0), each.distance, account, unit=SizeUnit.SIZE), account)
        quantity = floor_to(each.size / one, ETH.step)
        if each.size:
            for distance in (each.distance, each.distance / 2, D("0.0001")):
                intent = asked(side, quantity, distance, account)
                assert isinstance(answer(intent, account, officer), ClearedOrder), (each, distance)
        more = max(each.quantity + ETH.step, officer.feasible("ETHUSDT", account).min * 2)
        refusal = answer(asked(side, more, each.distance, account), account, officer)
        assert isinstance(refusal, Refusal)
        if more == each.quantity + ETH.step:
            assert refusal.code is each.code
    widest = found[0].distance
    if len(found) > 1 and found[1].quantity < found[0].quantity:
        # At a stop beyond the distance of the first step, less passes. Two steps may differ in their limit alone.
        beyond = asked(side, found[0].quantity, min(D("0.05"), widest * D("1.3") + D("0.001")), account)
        assert isinstance(answer(beyond, account, officer), Refusal)

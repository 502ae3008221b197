"""The scale multiplies limits and never a request: the largest size that passes equals that of an oracle."""

from decimal import ROUND_FLOOR, Decimal
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import OrderIntent, OrderType, Side
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import Refusal
from tests.support.entries import LONG, NOW, REF, account, asks
from tests.support.examples import examples
from tests.support.runs import policies

D = Decimal
SIZED = {"POSITION_SHARE", "GROSS_EXPOSURE", "CORRELATED_EXPOSURE", "RISK_PER_TRADE", "BELOW_MINIMUM"}


class Situation(NamedTuple):
    intent: OrderIntent
    view: AccountView
    usual: Policies
    strict: Policies


def shares(low: str, high: str) -> st.SearchStrategy[Decimal]:
    return st.decimals(low, high, places=2)


@st.composite
def limits(draw: st.DrawFn) -> Policies:
    return policies(
        order={"max_notional": 10**9, "price_allowance": "0.002"},
        position={"max_share": draw(shares("0.05", "1"))},
        exposure={"max_gross": draw(shares("0.3", "3"))},
        correlated={"max_share": draw(shares("0.3", "2"))},
        risk={"max_share": draw(shares("0.01", "0.05")), "gap_allowance": "0.005"},
        stop={"max_distance": D("0.1"), "liquidation_buffer": 0},
        leverage={"max": 3, "usual": 2},
        scale={"regime_unknown": draw(shares("0.2", "1")), "macro_unknown": draw(shares("0.2", "1"))},
    )


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    side, product = draw(st.sampled_from([(Side.BUY, Product.UM), (Side.SELL, Product.UM), (Side.BUY, Product.SPOT)]))
    standing, others = draw(st.sampled_from([D(0), D(250)])), draw(st.decimals(0, 3_000, places=1))
    one_way = {"correlated_long": standing + others, "correlated_short": D(7)}
    view = account(
        product=product,
        symbol_notional=standing,
        symbol_quantity=standing / 1_000,
        quantity=side.sign * standing / 1_000,
        gross=standing + others,
        free_margin=D(10**6),
        **(one_way if side is Side.BUY else {"correlated_long": D(7), "correlated_short": standing + others}),
    )
    stop = 1_000 * (1 - side.sign * draw(st.sampled_from([D("0.01"), D("0.04"), D("0.09")])))
    limit = draw(st.none() | st.just(D(1_000)))
    intent = asks(LONG, side=side, protect_at=stop, quantity=D(5_000), tainted=draw(st.booleans()), limit_price=limit)
    intent = msgspec.structs.replace(intent, type=OrderType.MARKET if limit is None else OrderType.LIMIT)
    return Situation(intent, view, draw(limits()), draw(limits()))


def oracle(each: Situation) -> Decimal:
    """The largest quantity, recomputed limit by limit in quote currency and cut to the step."""
    way, largest = each.intent.side.sign, D("Infinity")
    dearest = D(1_000) if each.intent.limit_price and way > 0 else D(1_002)
    for held_to in (each.usual, each.strict) if each.intent.tainted else (each.usual,):
        scale, equity = min(D(1), held_to.scale.regime_unknown * held_to.scale.macro_unknown), each.view.equity
        worst = D(1_000) + way * 2
        assert each.intent.protect_at is not None
        lost = way * (worst - each.intent.protect_at) / worst + D("0.005")
        together = each.view.correlated_long if way > 0 else each.view.correlated_short
        assert together is not None
        largest = min(
            largest,
            held_to.position.max_share * scale * equity - each.view.symbol_notional,
            held_to.exposure.max_gross * scale * equity - each.view.gross,
            held_to.correlated.max_share * scale * equity - together,
            held_to.risk.max_share * scale * equity / lost - each.view.symbol_notional,
        )
    quantity = (max(D(0), largest) / dearest / D("0.001")).to_integral_value(ROUND_FLOOR) * D("0.001")
    # On spot the position must be large enough to be sold at its stop and a gap beyond.
    assert each.intent.protect_at is not None
    spot = each.view.product is Product.SPOT
    smallest = min(D(1_000), each.intent.protect_at * D("0.995")) if spot else D(1_000)
    return quantity if quantity * smallest >= 20 else D(0)


@examples(25, slow=80)
@given(situations())
def test_the_largest_size_with_scaled_limits_matches_the_oracle(each: Situation) -> None:
    officer = RiskOfficer(each.usual, each.strict)
    refused = officer.check_entry(each.intent, each.view, REF, NOW)
    assert isinstance(refused, Refusal)
    assert refused.largest == oracle(each) == officer.largest(each.intent, each.view)
    more = officer.check_entry(asks(each.intent, quantity=refused.largest + D("0.001")), each.view, REF, NOW)
    assert isinstance(more, Refusal)
    assert more.code in SIZED
    if refused.largest:
        passed = officer.check_entry(asks(each.intent, quantity=refused.largest), each.view, REF, NOW)
        assert isinstance(passed, ClearedOrder)
        assert passed.order.quantity == refused.largest


@pytest.mark.parametrize(
    ("changes", "code", "limit"),
    [
        ({"position": {"max_share": "0.25"}}, "POSITION_SHARE", "13.5% (25% x 0.54)"),
        ({"exposure": {"max_gross": "0.5"}}, "GROSS_EXPOSURE", "27% (50% x 0.54)"),
        ({"correlated": {"max_share": "0.5"}}, "CORRELATED_EXPOSURE", "27% (50% x 0.54)"),
        ({"risk": {"max_share": "0.01", "gap_allowance": 0}}, "RISK_PER_TRADE", "0.54% (1% x 0.54)"),
    ],
)
def test_a_refusal_names_the_scaled_limit_and_its_factors(changes: dict[str, Any], code: str, limit: str) -> None:
    wide = {"position": {"max_share": 1}, "exposure": {"max_gross": 20}, "order": {"max_notional": 10**6}}
    scale = {"regime_unknown": "0.6", "macro_unknown": "0.9"}
    limited = policies(**wide | changes, scale=scale, stop={"max_distance": "0.1", "liquidation_buffer": 0})
    view = account(correlated_long=D(0), correlated_short=D(0))
    told = RiskOfficer(limited).check_entry(asks(LONG, quantity=D("5.3")), view, REF, NOW)
    assert isinstance(told, Refusal)
    assert (told.code, told.limit) == (code, limit)


def test_entry_after_untrusted_text_is_sized_with_both_allowances() -> None:
    usual = policies(order={"max_notional": 5_000, "price_allowance": "0.002"}, position={"max_share": 1})
    strict = policies(order={"max_notional": 1_000, "price_allowance": "0.05"}, position={"max_share": 1})
    officer, tainted = RiskOfficer(usual, strict), asks(LONG, tainted=True)
    told = officer.check_entry(tainted, account(), REF, NOW)
    assert isinstance(told, Refusal)
    assert told.largest == D("0.952")
    assert isinstance(officer.check_entry(asks(tainted, quantity=told.largest), account(), REF, NOW), ClearedOrder)

"""The rules' sizes pass the risk check: the officer checks the legs of a decision one after the other."""

from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import event, given
from hypothesis import strategies as st

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.core.strategy import decide, may_act
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.decision import Leg
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.money import floor_to
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.snapshot import Feasible
from tests.support.accounts import CALM
from tests.support.examples import examples
from tests.support.runs import DEFAULT, policies
from tests.support.views import FALLING, RISING, RULES, holding, snapshot, values, view

D = Decimal
SYMBOLS = ("BTCUSDT", "DOGEUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
CORRELATED = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


def seen(symbol: str, entered: dict[str, tuple[Side, Decimal]], **changes: Any) -> AccountView:
    """Return the account as seen for one symbol, with the notionals (quote) entered so far."""
    by_side = {
        side: sum(n for name, (entered_side, n) in entered.items() if entered_side is side and name in CORRELATED)
        for side in Side
    }
    correlated = symbol in CORRELATED
    return msgspec.structs.replace(
        CALM,
        instrument=Instrument(symbol, Product.UM, D("0.01"), D("0.001"), D("0.001"), D(5)),
        price=D(100),
        gross=sum((n for _, n in entered.values()), D(0)),
        correlated_long=D(by_side[Side.BUY]) if correlated else None,
        correlated_short=D(by_side[Side.SELL]) if correlated else None,
        other_symbols=len(entered),
        **changes,
    )


def intent_of(leg: Leg, account: AccountView, limited: Policies) -> OrderIntent:
    """Return the order intent that the engine would make of a leg."""
    assert leg.size is not None
    side = Side.BUY if leg.action == "BUY" else Side.SELL
    worst = account.price * (1 + limited.order.price_allowance)
    quantity = floor_to(leg.size * account.equity / worst, account.instrument.step)
    return OrderIntent("k", "test", leg.symbol, side, OrderType.MARKET, Purpose.ENTRY, quantity, protect_at=leg.stop)


@examples(20, slow=60)
@given(
    atrs=st.lists(st.sampled_from([0.4, 1.0, 1.9, 5.0]), min_size=5, max_size=5),
    trends=st.lists(st.sampled_from([RISING, FALLING]), min_size=5, max_size=5),
    scale=st.sampled_from(["1", "0.5", "0.08"]),
    free=st.sampled_from(["10000", "2300", "2003"]),
    default=st.booleans(),
)
def test_every_leg_of_the_rules_passes_the_risk_check(
    atrs: list[float], trends: list[Any], scale: str, free: str, default: bool
) -> None:
    scaling = {"regime_unknown": scale, "macro_unknown": 1}
    usual = DEFAULT.policies.model_dump() | {"scale": scaling, "rules": DEFAULT.policies.rules.model_dump() | RULES}
    limited = (
        Policies.model_validate(usual)
        if default
        else policies(stop={"max_distance": "0.05"}, rules=RULES, scale=scaling)
    )
    officer = RiskOfficer(limited)
    views = []
    for symbol, atr, trend in zip(SYMBOLS, atrs, trends, strict=True):
        feasible = officer.feasible(symbol, seen(symbol, {}, free_margin=D(free)))
        views.append(
            view(values(trend, atr_14=atr, ema_9=100 + (trend.ema_9 - 100) * atr), symbol=symbol, sizes=feasible)
        )
    decision = decide(snapshot(*views, scale=scale), limited)
    event(f"{len(decision.legs)} legs")
    entered: dict[str, tuple[Side, Decimal]] = {}
    for leg in decision.legs:
        account = seen(leg.symbol, entered, free_margin=D(10_000))
        intent = intent_of(leg, account, limited)
        answer = officer.check_entry(intent, account, OrderRef(1, Purpose.ENTRY), 0)
        assert isinstance(answer, ClearedOrder), f"{leg}: {answer}"
        entered[leg.symbol] = (intent.side, answer.order.quantity * account.price * D("1.002"))


@given(
    sizes=st.lists(st.tuples(*[st.decimals(0, 40, places=2)] * 3), min_size=5, max_size=5),
    trends=st.lists(st.sampled_from([RISING, FALLING, values(RISING, ema_9=101.0)]), min_size=5, max_size=5),
    scale=st.sampled_from(["1", "0.08", "0"]),
    held=st.lists(st.sampled_from(SYMBOLS), max_size=4, unique=True),
)
def test_rules_that_may_not_act_hold_at_every_feasible_size(
    sizes: list[tuple[D, D, D]], trends: list[Any], scale: str, held: list[str]
) -> None:
    pairs = list(zip(SYMBOLS, trends, strict=True))
    positions = {symbol: holding("9", symbol) for symbol in held}
    bare = [view(trend, symbol=symbol, position=positions.get(symbol)) for symbol, trend in pairs]
    known = [msgspec.structs.replace(each, sizes=Feasible(*size)) for each, size in zip(bare, sizes, strict=True)]
    acts = bool(decide(snapshot(*known, scale=scale), DEFAULT.policies).legs)
    event(f"acts: {acts}")
    assert may_act(snapshot(*bare, scale=scale), DEFAULT.policies) or not acts


def test_rules_may_not_act_on_signals_alone_without_room() -> None:
    views = [view(RISING, symbol=symbol, position=holding("9", symbol)) for symbol in SYMBOLS]
    assert may_act(snapshot(view(RISING, symbol="ZECUSDT")), DEFAULT.policies)
    assert not may_act(snapshot(*views, view(RISING, symbol="ZECUSDT")), DEFAULT.policies)


def test_size_is_smaller_with_a_distant_stop() -> None:
    limited = policies(stop={"max_distance": "0.05"}, rules=RULES, risk={"max_share": "0.01", "gap_allowance": "0.005"})
    (near,) = decide(snapshot(view(RISING), scale="0.5"), limited).legs
    (far,) = decide(snapshot(view(values(RISING, atr_14=1.8, ema_9=104.0)), scale="0.5"), limited).legs
    sizes = []
    for leg in (near, far):
        assert leg.stop is not None
        assert leg.size is not None
        lost = (D("100.2") - leg.stop) / D("100.2") + D("0.005")
        assert leg.size * lost <= D("0.005")
        sizes.append(leg.size)
    assert sizes[1] < sizes[0] == D("0.125")


def test_no_entry_for_a_symbol_without_a_feasible_size() -> None:
    limited = policies(stop={"max_distance": "0.05"}, rules=RULES)
    officer = RiskOfficer(limited)
    full = officer.feasible("BTCUSDT", msgspec.structs.replace(CALM, daily_loss_reached=True))
    assert not decide(snapshot(view(RISING, sizes=full)), limited).legs

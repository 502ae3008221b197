"""The rules ask for at most what passes: each leg of a decision goes through the officer, one after the other."""

from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import event, given, settings
from hypothesis import strategies as st

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.core.strategy import decide
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.decision import Leg
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.money import floor_to
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.policies import Policies
from tests.support.accounts import CALM
from tests.support.runs import DEFAULT, policies
from tests.support.views import FALLING, RISING, RULES, snapshot, values, view

D = Decimal
SYMBOLS = ("BTCUSDT", "DOGEUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
ONE_BET = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


def seen(symbol: str, entered: dict[str, tuple[Side, Decimal]], **changes: Any) -> AccountView:
    """The account with what was entered so far (quote), for one symbol."""
    one_way = {side: sum(n for name, (way, n) in entered.items() if way is side and name in ONE_BET) for side in Side}
    bet = symbol in ONE_BET
    return msgspec.structs.replace(
        CALM,
        instrument=Instrument(symbol, Product.UM, D("0.01"), D("0.001"), D("0.001"), D(5)),
        price=D(100),
        gross=sum((n for _, n in entered.values()), D(0)),
        correlated_long=D(one_way[Side.BUY]) if bet else None,
        correlated_short=D(one_way[Side.SELL]) if bet else None,
        other_symbols=len(entered),
        **changes,
    )


def asked(leg: Leg, account: AccountView, limited: Policies) -> OrderIntent:
    """The leg as the engine would turn it into an order."""
    assert leg.size is not None
    side = Side.BUY if leg.action == "BUY" else Side.SELL
    worst = account.price * (1 + limited.order.price_allowance)
    quantity = floor_to(leg.size * account.equity / worst, account.instrument.step)
    return OrderIntent("k", "test", leg.symbol, side, OrderType.MARKET, Purpose.ENTRY, quantity, protect_at=leg.stop)


@settings(max_examples=60, deadline=None)
@given(
    atrs=st.lists(st.sampled_from([0.4, 1.0, 1.9, 5.0]), min_size=5, max_size=5),
    ways=st.lists(st.sampled_from([RISING, FALLING]), min_size=5, max_size=5),
    scale=st.sampled_from(["1", "0.5", "0.08"]),
    free=st.sampled_from(["10000", "2300", "2003"]),
    default=st.booleans(),
)
def test_each_leg_of_the_rules_passes_when_it_is_carried_out(
    atrs: list[float], ways: list[Any], scale: str, free: str, default: bool
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
    for symbol, atr, way in zip(SYMBOLS, atrs, ways, strict=True):
        feasible = officer.feasible(symbol, seen(symbol, {}, free_margin=D(free)))
        views.append(
            view(values(way, atr_14=atr, ema_9=100 + (way.ema_9 - 100) * atr), symbol=symbol, feasible=feasible)
        )
    decision = decide(snapshot(*views, scale=scale), limited)
    event(f"{len(decision.legs)} legs")
    entered: dict[str, tuple[Side, Decimal]] = {}
    for leg in decision.legs:
        account = seen(leg.symbol, entered, free_margin=D(10_000))
        intent = asked(leg, account, limited)
        answer = officer.check_entry(intent, account, OrderRef(1, Purpose.ENTRY), 0)
        assert isinstance(answer, ClearedOrder), f"{leg}: {answer}"
        entered[leg.symbol] = (intent.side, answer.order.quantity * account.price * D("1.002"))


def test_the_rules_ask_for_less_where_their_stop_is_far() -> None:
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


def test_the_rules_leave_a_symbol_alone_for_which_nothing_passes() -> None:
    limited = policies(stop={"max_distance": "0.05"}, rules=RULES)
    officer = RiskOfficer(limited)
    full = officer.feasible("BTCUSDT", msgspec.structs.replace(CALM, daily_loss_reached=True))
    assert not decide(snapshot(view(RISING, feasible=full)), limited).legs

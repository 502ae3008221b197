"""Entries, and the accounts and policies that they are checked against."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from ocw_mcp.core.risk.account import AccountView, PositionTerms
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.margin import Bracket, Brackets
from ocw_mcp.domain.market import Instrument
from ocw_mcp.domain.orders import Order, OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.policies import ApprovalPolicy, FallbackPolicy, MandatePolicy, Policies, RiskPolicy
from ocw_mcp.domain.reasons import Refusal
from tests.support.accounts import CALM, ETH, QUIET
from tests.support.runs import policies

D = Decimal
NOW = 1_767_225_600_000
REF = OrderRef(1, Purpose.ENTRY)

LIMITED = policies(
    symbols={"allow": ("*USDT", "ETHBTC"), "sides": ("long", "short")},
    order={"max_notional": 5_000, "price_allowance": "0.002"},
    position={"max_share": "0.25"},
    positions={"max_open": 3},
    exposure={"max_gross": 1},
    correlated={"max_share": "0.4"},
    price={"max_deviation": "0.05", "max_move": "0.005"},
    book={"max_spread": "0.002", "max_depth_share": "0.25"},
    leverage={"max": 5, "usual": 3},
    margin={"min_free": "0.2"},
    stop={"max_distance": "0.05", "liquidation_buffer": "0.02"},
    risk={"max_share": "0.01", "gap_allowance": "0.002"},
    daily_loss={"max_share": "0.03"},
    losses={"in_a_row": 3, "pause_s": 600},
    pace={
        "entries_per_minute": 2,
        "entries_per_day": 20,
        "max_turnover": 5,
        "max_fees": "0.01",
        "reentry_s": 900,
    },
)


MANDATE = MandatePolicy(amount=D(1_500), symbols=("ETH*", "SOL*"), expires=datetime(2026, 1, 1, 1, tzinfo=UTC))
"""It ends an hour after `NOW`."""
APPROVAL = ApprovalPolicy(above_notional=D(800), modes=("live",), answer_s=900)


def under(**tables: object) -> Policies:
    """The limits with some tables replaced."""
    return LIMITED.model_copy(update=tables)


LONG_ONLY = under(symbols=LIMITED.symbols.model_copy(update={"sides": ("long",)}))
GAPLESS = under(risk=RiskPolicy(max_share=D(1), gap_allowance=D(0)))
MANAGED = under(fallback=FallbackPolicy(rules="manage"))

LONG = OrderIntent(
    idempotency_key="k",
    principal="test",
    symbol="ETHUSDT",
    side=Side.BUY,
    type=OrderType.MARKET,
    purpose=Purpose.ENTRY,
    quantity=D(1),
    protect_at=D(970),
)
SHORT = msgspec.structs.replace(LONG, side=Side.SELL, protect_at=D(1_030))


def account(**changes: Any) -> AccountView:
    return msgspec.structs.replace(CALM, **changes)


def paced(day_opening: Decimal = CALM.day_opening, **changes: Any) -> AccountView:
    return account(day_opening=day_opening, pace=msgspec.structs.replace(QUIET, **changes))


def asks(intent: OrderIntent, **changes: Any) -> OrderIntent:
    return msgspec.structs.replace(intent, **changes)


def check(intent: OrderIntent, view: AccountView = CALM, limited: Policies = LIMITED) -> Order | Refusal:
    """The order that was approved, or the refusal."""
    answer = RiskOfficer(limited).check_entry(intent, view, REF, NOW)
    return answer.order if isinstance(answer, ClearedOrder) else answer


def refusal(intent: OrderIntent, view: AccountView = CALM, limited: Policies = LIMITED) -> Refusal:
    answer = check(intent, view, limited)
    assert isinstance(answer, Refusal), f"passed: {answer}"
    return answer


def waits(intent: OrderIntent, limit: str, **changes: Any) -> OrderIntent:
    """The same as a limit order."""
    return asks(intent, type=OrderType.LIMIT, limit_price=D(limit), **changes)


def bracketed(*rows: tuple[int, int, str], **changes: Any) -> AccountView:
    """An account on which the symbol has brackets: cap, highest leverage, maintenance."""
    return account(instrument=with_brackets(*rows), **changes)


def with_brackets(*rows: tuple[int, int, str]) -> Instrument:
    brackets = Brackets(tuple(Bracket(D(cap), leverage, D(rate)) for cap, leverage, rate in rows))
    return msgspec.structs.replace(ETH, brackets=brackets)


def holding(quantity: str, price: str, leverage: int, lost: str = "0", **changes: Any) -> AccountView:
    """An account with a position of the symbol."""
    size = abs(D(quantity))
    changes = {"symbol_notional": size * 1_000, "gross": size * 1_000, "symbol_quantity": size} | changes
    return account(quantity=D(quantity), held=PositionTerms(D(price), leverage, D(lost)), **changes)

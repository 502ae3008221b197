"""Limits evaluated alone, because in the order of all limits another one would refuse first."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.admission import stop_required
from ocw_mcp.core.risk.prices import propose
from ocw_mcp.core.risk.sizes import free_margin, liquidation, risk_per_trade
from ocw_mcp.core.risk.verdict import UNLIMITED, Judge, Verdict
from ocw_mcp.domain.orders import OrderIntent
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode
from tests.support.accounts import CALM
from tests.support.entries import GAPLESS, LIMITED, LONG, account, asks

D = Decimal


def ask(
    judge: Judge, intent: OrderIntent, view: AccountView = CALM, limited: Policies = LIMITED, notional: str = "1000"
) -> Verdict:
    """The verdict of one limit on an entry of this notional."""
    entry = replace(propose(intent, view, limited.order.price_allowance), notional=D(notional))
    return judge(entry, view, limited)


@pytest.mark.parametrize("stop", [None, D("NaN"), D("-Infinity")])
@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (stop_required, (RefusalCode.STOP_REQUIRED, "a stop within 5%", "none")),
        (risk_per_trade, (RefusalCode.RISK_PER_TRADE, "1%", "no stop")),
        (liquidation, (RefusalCode.LIQUIDATION, "a stop before it", "no stop")),
    ],
)
def test_limits_on_the_stop_refuse_an_entry_without_a_stop(
    limit: Judge, told: tuple[str, str, str], stop: Decimal | None
) -> None:
    verdict = ask(limit, asks(LONG, protect_at=stop))
    assert (verdict.code, str(verdict.limit), str(verdict.actual)) == told
    assert verdict.room == 0


def test_an_entry_without_loss_at_its_stop_passes_the_risk_limit() -> None:
    verdict = ask(risk_per_trade, asks(LONG, protect_at=D(1_030)), limited=GAPLESS)
    assert (verdict.code, str(verdict.limit), str(verdict.actual)) == (RefusalCode.RISK_PER_TRADE, "100%", "0%")
    assert verdict.room == UNLIMITED


@pytest.mark.parametrize(("equity", "told"), [("-50", "no equity"), ("0", "no equity"), ("0.5", "40%")])
def test_free_margin_is_shown_as_a_share_if_equity_is_above_0(equity: str, told: str) -> None:
    verdict = ask(free_margin, LONG, account(equity=D(equity), free_margin=D("0.4")), notional="0.6")
    assert str(verdict.actual) == told

"""One limit asked alone, where in the officer's row of limits another would speak before it."""

from decimal import Decimal

import pytest

from ocw_mcp.core.risk.margins import free_margin, liquidation
from ocw_mcp.core.risk.sizes import risk_per_trade
from ocw_mcp.core.risk.standing import stop_required
from ocw_mcp.core.risk.verdict import UNLIMITED, Limit
from ocw_mcp.domain.reasons import RefusalCode
from tests.support.accounts import CALM
from tests.support.entries import GAPLESS, LIMITED, LONG, account, asks

D = Decimal


@pytest.mark.parametrize("stop", [None, D("NaN"), D("-Infinity")])
@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (stop_required, (RefusalCode.STOP_REQUIRED, "a stop within 5%", "none")),
        (risk_per_trade, (RefusalCode.RISK_PER_TRADE, "1%", "no stop")),
        (liquidation, (RefusalCode.LIQUIDATION, "a stop before it", "no stop")),
    ],
)
def test_each_limit_that_looks_at_the_stop_lets_nothing_pass_without_one(
    limit: Limit, told: tuple[str, str, str], stop: Decimal | None
) -> None:
    verdict = limit(asks(LONG, protect_at=stop), CALM, LIMITED, D(1_000))
    assert (verdict.code, str(verdict.limit), str(verdict.actual)) == told
    assert verdict.room == 0


def test_what_loses_nothing_at_its_stop_risks_nothing_at_any_size() -> None:
    verdict = risk_per_trade(asks(LONG, protect_at=D(1_030)), CALM, GAPLESS, D(1_000))
    assert (verdict.code, str(verdict.limit), str(verdict.actual)) == (RefusalCode.RISK_PER_TRADE, "100%", "0%")
    assert verdict.room == UNLIMITED


@pytest.mark.parametrize(("equity", "told"), [("-50", "no equity"), ("0", "no equity"), ("0.5", "40%")])
def test_what_stays_free_of_margin_is_told_where_there_is_equity_at_all(equity: str, told: str) -> None:
    verdict = free_margin(LONG, account(equity=D(equity), free_margin=D("0.4")), LIMITED, D("0.6"))
    assert str(verdict.actual) == told

"""What a model is told: what stands at every wake once and first, what is new each time, and nothing twice."""

import msgspec

from ocw_mcp.agent.briefing import Briefing
from ocw_mcp.agent.prompts import compose
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.domain.orders import CLAUDE
from ocw_mcp.domain.policies import limits_in_force
from ocw_mcp.domain.snapshot import DecisionRequest, Remark
from ocw_mcp.render.snapshot_text import compact, standing
from tests.support.views import RISING, holding, snapshot, view
from tests.support.wakes import wake

POLICIES = load_policies(None).policies
LIMITS = limits_in_force(POLICIES)
BRIEFING = Briefing(compose(load_prompts(None).texts, POLICIES), POLICIES, CLAUDE)
NOTE = Remark("wait for 101", CLAUDE, 0)
SHOWN = msgspec.structs.replace(snapshot(view(RISING, position=holding("0.1"))), limits=LIMITS, note=NOTE)


def context(*reasons: str) -> str:
    shown = msgspec.structs.replace(SHOWN, wake=(wake("BTCUSDT", *reasons),))
    return BRIEFING.context(DecisionRequest(7, shown, 0))


def test_columns_and_limits_are_told_before_and_not_at_each_wake() -> None:
    assert standing(LIMITS) in BRIEFING.system
    assert all(f"{name} {text}" in BRIEFING.system for name, text in LIMITS)
    told = context("close:1h")
    assert "order.max_notional" not in told
    assert "closed candles" not in told


def test_what_is_new_is_all_there() -> None:
    told = context("close:1h")
    whole = compact(msgspec.structs.replace(SHOWN, wake=(wake("BTCUSDT", "close:1h"),)), reader=CLAUDE)
    assert told.startswith("Wake 7\n")
    assert whole.removeprefix(f"{standing(LIMITS)}\n") in told
    assert "note: wait for 101" in told
    assert "The rules would: " in told


def test_a_review_is_asked_for_where_only_the_score_woke() -> None:
    assert "review the open positions" in context("score:0.55 time")
    assert "review the open positions" not in context("score:0.55 time", "close:1h")

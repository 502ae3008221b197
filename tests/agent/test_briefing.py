"""The system prompt and the context of a wake: constant parts once in the first, new ones in the second."""

import msgspec

from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.core.risk.limits import limits_in_force
from ocw_mcp.domain.orders import CLAUDE
from ocw_mcp.domain.snapshot import DecisionRequest, Remark
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.render.snapshot_text import compact, standing
from tests.support.views import RISING, holding, snapshot, view
from tests.support.wakes import wake

POLICIES = load_policies(None).policies
LIMITS = limits_in_force(POLICIES)
PROMPTS = Prompts(load_prompts(None).texts, POLICIES)
NOTE = Remark("wait for 101", CLAUDE, snapshot().at - 190 * MINUTE, 5)
SHOWN = msgspec.structs.replace(snapshot(view(RISING, position=holding("0.1"))), limits=LIMITS, note=NOTE)


def context(*reasons: str) -> str:
    shown = msgspec.structs.replace(SHOWN, wake=(wake("BTCUSDT", *reasons),))
    return PROMPTS.context(DecisionRequest(7, shown, 0), CLAUDE)


def test_snapshot_legend_and_limits_are_only_in_the_system_prompt() -> None:
    assert standing(LIMITS) in PROMPTS.system
    assert all(f"{key.partition('.')[2]} {text}" in PROMPTS.system for key, text in LIMITS)
    shown = context("close:1h")
    assert "max_notional" not in shown
    assert "closed candles" not in shown


def test_wake_context_has_the_whole_snapshot_and_the_rules_decision() -> None:
    shown = context("close:1h")
    whole = compact(msgspec.structs.replace(SHOWN, wake=(wake("BTCUSDT", "close:1h"),)), reader=CLAUDE)
    assert shown.startswith("Wake 7\n")
    assert whole.removeprefix(f"{standing(LIMITS)}\n") in shown
    assert "note of wake 5, 3h 10m ago: wait for 101" in shown
    assert "The built-in rules would: " in shown


def test_wake_raised_only_by_position_scores_gets_the_review_prompt() -> None:
    assert "review the open positions" in context("score:0.55 time")
    assert "review the open positions" not in context("score:0.55 time", "close:1h")

"""The system prompt and the context of a wake: constant parts once in the first, new ones in the second."""

from decimal import Decimal
from typing import Any

import msgspec

from ocw_mcp.agent.prompts import BRIEFED_LIMITS, Prompts
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.core.risk.limits import limits_in_force
from ocw_mcp.domain.orders import CLAUDE
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.snapshot import DecisionRequest, Feasible, Remark, SizeStep, SymbolView
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.render.snapshot_text import LEGEND, compact
from tests.support.views import FLAT, RISING, holding, snapshot, values, view
from tests.support.wakes import wake

D = Decimal
POLICIES = load_policies(None).policies
LIMITS = limits_in_force(POLICIES)
PROMPTS = Prompts(load_prompts(None).texts, POLICIES)
NOTE = Remark("wait for 101", CLAUDE, snapshot().at - 190 * MINUTE, 5)
HELD = view(RISING, position=holding("0.1"))
BUYABLE = values(RISING, ema_21=95.0, ema_50=86.0, rsi_14=71.0)
"""A trend in which the rules would buy: it is not too late by RSI."""


def context(*reasons: str, views: tuple[SymbolView, ...] = (HELD,), **changes: Any) -> str:
    fields = {"limits": LIMITS, "note": NOTE, "wake": (wake("BTCUSDT", *reasons),)} | changes
    return PROMPTS.context(DecisionRequest(7, msgspec.structs.replace(snapshot(*views), **fields), 0), CLAUDE)


def rules(*views: SymbolView) -> list[str]:
    return context("close:1h", views=views).partition("The built-in rules:\n")[2].splitlines()


def test_legend_and_the_limits_to_plan_with_are_only_in_the_system_prompt() -> None:
    assert LEGEND in PROMPTS.system
    known = dict(LIMITS)
    assert known.keys() >= BRIEFED_LIMITS
    assert all(f"{key.partition('.')[2]} {known[key]}" in PROMPTS.system for key in BRIEFED_LIMITS)
    shown = context("close:1h")
    assert "max_share 0" not in shown
    assert LEGEND not in shown


def test_wake_context_has_the_whole_snapshot_and_the_rules_view() -> None:
    shown = context("close:1h")
    seen = msgspec.structs.replace(snapshot(HELD), limits=LIMITS, note=NOTE, wake=(wake("BTCUSDT", "close:1h"),))
    assert shown.startswith("Wake 7\n")
    assert compact(seen, reader=CLAUDE, briefed=True) in shown
    assert "note of wake 5, 3h 10m ago: wait for 101" in shown


def test_the_rules_view_has_scores_reasons_and_whether_limits_let_it() -> None:
    none = SizeStep(D("0.05"), D(0), D(0), RefusalCode.REENTRY, "pace.reentry_s", why="900s after the last, now 60s")
    barred = Feasible(D(0), D(0), D(1), (none,), (none,))
    assert rules(HELD)[0].startswith("BTCUSDT +0.70 (1h momentum +0.70, reversion -0.84, trend 100% by adx_14 40)")
    assert rules(HELD)[0].endswith("): keep, exit at -0.30")
    assert ": BUY BTCUSDT " in rules(view(BUYABLE))[0]
    assert rules(view(BUYABLE, sizes=barred))[0].endswith(
        ": BUY, but no size passes (pace.reentry_s: 900s after the last, now 60s)"
    )
    assert "no entry, too late by rsi_14 85" in rules(view(values(RISING, rsi_14=85.0)))[0]
    assert rules(view(FLAT), view(FLAT, symbol="ETHUSDT"))[-1] == "no entry: ETHUSDT +0.00"


def test_review_and_other_reasons_are_both_shown() -> None:
    for reasons in (("score:0.55 time",), ("score:0.55 time", "outlier:15m z=+3.02")):
        shown = context(*reasons)
        assert "\nThe built-in rules:\n" in shown
        review = shown.partition("\n\nReview.")[2]
        assert "BTCUSDT score 0." in review
        assert "momentum_reversal 0.00 × 0.25" in review
        assert "SELL closes 0.1 near 101: +0.10 before fees" in review
        assert "PROTECT may move the stop from 96 up, below 101" in review
        assert "from 0.65" in review
    assert "outlier:15m z=+3.02" in shown
    assert "Review." not in context("close:1h")

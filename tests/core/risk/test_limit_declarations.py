"""The declarations of limits agree with the policy models, with the codes, and with their own evaluation."""

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import fields

from ocw_mcp.core.risk.counters import Budget, Drawdown
from ocw_mcp.core.risk.fills import LimitExcess
from ocw_mcp.core.risk.limits import ALL_LIMITS, LIMITS, QUOTAS, bound_of, limits_in_force
from ocw_mcp.core.risk.prices import propose
from ocw_mcp.core.risk.verdict import Limit
from ocw_mcp.domain.policies import Policies, policy_keys, value_of
from ocw_mcp.domain.policy_table import stricter_of
from tests.support.accounts import CALM
from tests.support.entries import APPROVAL, LIMITED, MANDATE, under
from tests.support.limit_cases import CASES, Case

D = Decimal
KEYS = dict(policy_keys())
SETTINGS = ("data.on_end", "scale.regime_symbol", "execution", "gate", "decision", "rules", "learning")
"""Keys and tables that limit nothing."""
BEFORE_THE_CHECK = {"data.slack_s", "losses.in_a_row", "approval.answer_s", "correlated.symbols"}
"""Keys that are evaluated before an entry is checked: in the age, the counters and the groups of the account."""


def test_each_policy_key_belongs_to_one_limit_or_is_a_setting() -> None:
    claims = Counter(key for limit in ALL_LIMITS for key in limit.keys)
    assert set(claims.values()) == {1}
    settings = {key for key in KEYS if key in SETTINGS or key.split(".")[0] in SETTINGS}
    assert claims.keys() | settings == KEYS.keys()
    assert not claims.keys() & settings


def test_each_limit_key_declares_which_direction_is_stricter() -> None:
    claimed = {key for limit in ALL_LIMITS for key in limit.keys}
    assert {key for key, declared in KEYS.items() if stricter_of(declared)} == claimed - {"tainted.policy"}


def test_each_limit_has_its_own_refusal_code_or_else_a_meaning() -> None:
    codes = [limit.code for limit in ALL_LIMITS if limit.code is not None]
    assert len(set(codes)) == len(codes)
    assert all((limit.code is None) != (limit.meaning == "") for limit in ALL_LIMITS)


@pytest.mark.parametrize("limit", [limit for limit in ALL_LIMITS if limit.usage], ids=lambda limit: limit.keys[0])
def test_the_measured_use_of_a_limit_names_one_of_its_keys(limit: Limit) -> None:
    measured = [measure(CALM, under(mandate=MANDATE)) for measure in limit.usage]
    assert all(each is not None and each.key in limit.keys for each in measured)
    assert all(each is not None and each.used >= 0 for each in measured)


def test_drawdown_and_budget_measure_the_use_of_their_limits() -> None:
    drawdown = Drawdown(LIMITED.drawdown, D(10_000)).usage(D(9_000))
    assert (drawdown.key, drawdown.used) == ("drawdown.max_share", D("0.1"))
    budget = Budget(LIMITED.budget)
    budget.book(D("0.1"), 0)
    assert [(each.key, each.used) for each in budget.usage(0)] == [
        ("budget.usd_per_day", D("0.1")),
        ("budget.usd_per_month", D("0.1")),
    ]
    claimed = {key for limit in ALL_LIMITS if not limit.usage for key in limit.keys}
    assert {drawdown.key, *(each.key for each in budget.usage(0))} <= claimed


def test_only_the_free_margin_limit_is_a_lower_bound() -> None:
    measured = [measure(CALM, LIMITED) for limit in ALL_LIMITS for measure in limit.usage]
    keys = [each.key for each in measured if each is not None and bound_of(each.key) == "at least"]
    assert keys == ["margin.min_free"]


def test_limits_rechecked_after_a_fill_match_limit_excess_fields() -> None:
    amounts = {limit.at_fill for limit in LIMITS} - {"", "stop"}
    assert amounts == {each.name for each in fields(LimitExcess)}


def loosest(key: str, value: Any) -> Any:
    """A value of the key that is looser than `value`, or another one."""
    if isinstance(value, tuple):
        return ("short", "long") if key == "symbols.sides" else ("*",) if key != "approval.modes" else ()
    if key == "fallback.rules":
        return "trade"
    if key == "leverage.usual":
        return LIMITED.leverage.max
    if key == "mandate.expires":
        return MANDATE.expires.replace(year=2100)
    bounds = {name: getattr(rule, name) for rule in KEYS[key].metadata for name in ("ge", "le") if hasattr(rule, name)}
    stricter = stricter_of(KEYS[key])
    assert stricter is not None
    return type(value)(bounds.get("ge", 0) if stricter.value == "higher" else bounds.get("le", 10**9))


def with_value(policies: Policies, key: str, value: Any) -> Policies:
    table, name = key.split(".")
    part = getattr(policies, table)
    return policies.model_copy(update={table: type(part).model_validate(part.model_dump() | {name: value})})


@pytest.mark.parametrize("key", [key for limit in LIMITS for key in limit.keys if key not in BEFORE_THE_CHECK])
def test_changing_a_policy_key_changes_the_verdict_of_its_limit(key: str) -> None:
    (limit,) = (each for each in LIMITS if key in each.keys)

    def answer(case: Case, policies: Policies) -> tuple[Any, ...]:
        entry = propose(case.intent, case.view, policies.order.price_allowance)
        verdict = limit.judge(entry, case.view, policies)
        return verdict.room, str(verdict.limit), str(verdict.actual)

    tables: dict[str, dict[str, Any]] = {"mandate": {"mandate": MANDATE}, "approval": {"approval": APPROVAL}}
    moved = []
    for case in CASES:
        if case.code is limit.code:
            policies = case.under.model_copy(update=tables.get(key.split(".")[0], {}))
            looser = with_value(policies, key, loosest(key, value_of(policies, key)))
            moved.append(answer(case, policies) != answer(case, looser))
    assert any(moved)


def test_limits_shown_to_claude_include_every_trading_limit() -> None:
    shown = dict(limits_in_force(under(mandate=MANDATE, approval=APPROVAL)))
    quotas = {key for limit in QUOTAS for key in limit.keys}
    assert shown.keys() == {key for limit in ALL_LIMITS for key in limit.keys} - quotas
    assert {"data.slack_s", "scale.regime_unknown", "fallback.rules", "score.exit"} <= shown.keys()
    assert "mandate.amount" not in dict(limits_in_force(LIMITED))
    assert quotas <= dict(limits_in_force(LIMITED, ALL_LIMITS)).keys()

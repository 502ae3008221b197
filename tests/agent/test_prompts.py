"""The prompts: templates with limits from the policy file."""

import pytest

from ocw_mcp.agent.prompts import FIELDS, Prompts
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.policies import value_text

POLICIES = load_policies(None).policies
TEXTS = load_prompts(None).texts
LEAST = {name: " ".join(["Text.", *(f"{{{field}}}" for field in sorted(fields))]) for name, fields in FIELDS.items()}


def test_shipped_prompts_quote_the_limits_in_force() -> None:
    for policy in ("default", "conservative", "lab"):
        policies = load_policies(None, policy).policies
        system = " ".join(Prompts(TEXTS, policies).fill("system").split())
        assert f"at most {policies.stop.max_distance} of the price" in system
        assert f"the latest, {policies.gate.timer_min_s} to {policies.gate.timer_max_s}." in system
        assert "{" not in system


def test_shipped_prompts_are_short() -> None:
    prompts = Prompts(TEXTS, POLICIES)
    empty = prompts.fill("decide", wake="1", snapshot="", memory="", rules="", review="")
    assert len(prompts.fill("system")) + len(empty) < 2_400


def test_policy_list_is_quoted_in_a_prompt_with_spaces_between_items() -> None:
    quoted = Prompts(LEAST | {"system": "Only {symbols.allow}."}, POLICIES)
    assert quoted.fill("system") == f"Only {value_text(POLICIES.symbols.allow, ' ')}."


def test_braces_within_a_filled_in_value_stay_unchanged() -> None:
    prompts = Prompts(LEAST, POLICIES)
    values = {"wake": "7", "snapshot": "{rules} {stop.max_distance}", "memory": "", "rules": "BUY {wake}", "review": ""}
    assert prompts.fill("decide", **values) == "Text.   BUY {wake} {rules} {stop.max_distance} 7"


def test_memory_is_a_separate_paragraph_and_absent_if_empty() -> None:
    prompts = Prompts(TEXTS, POLICIES)
    values = {"wake": "3", "snapshot": "SNAPSHOT", "rules": "hold", "review": ""}
    shown = prompts.fill("decide", memory="\n\nMEMORY {wake}", **values)
    assert "SNAPSHOT\n\nMEMORY {wake}\n\nThe built-in rules" in shown
    assert "SNAPSHOT\n\nThe built-in rules" in prompts.fill("decide", memory="", **values)


@pytest.mark.parametrize("policy", ["default", "conservative", "lab"])
def test_diary_prompts_quote_the_limits_in_force(policy: str) -> None:
    policies = load_policies(None, policy).policies
    prompts = Prompts(TEXTS, policies)
    assert f"may lose at most {policies.risk.max_share} of equity at its stop" in prompts.fill("reflect", facts="")
    assert f"After a loss of {policies.daily_loss.max_share} of the day's first equity" in prompts.fill(
        "daily_digest", facts=""
    )
    assert "\n\nFACTS {facts}\n\n" in prompts.fill("reflect", facts="FACTS {facts}")
    assert "\n\nFACTS {facts}\n\n" in prompts.fill("daily_digest", facts="FACTS {facts}")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"system": "At most {stop.distance}."}, "no limit of the policy file"),
        ({"system": "At most {stops.max_distance}."}, "no limit of the policy file"),
        ({"system": "{snapshot}"}, "which is not filled in there; expected none"),
        ({"decide": "{wake} {snapshot} {rules} {mood}"}, "expected {memory}, {review}, {rules}, {snapshot}, {wake}"),
        ({"decide": "{wake} {rules} {review}"}, "lacks {snapshot}"),
        ({"review_positions": "  "}, "review_positions.md is missing or empty"),
    ],
)
def test_invalid_prompt_template_is_refused(changed: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Prompts(LEAST | changed, POLICIES)
    assert says in str(caught.value)


def test_one_error_reports_all_template_problems() -> None:
    with pytest.raises(SettingsError) as caught:
        Prompts({"system": "{a.b}"}, POLICIES)
    assert all(f"{name}.md" in str(caught.value) for name in FIELDS)

"""The prompts: templates with limits from the policy file."""

import pytest

from ocw_mcp.agent.prompts import FIELDS, compose
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.policies import value_text

POLICIES = load_policies(None).policies
TEXTS = load_prompts(None).texts
LEAST = {name: " ".join(["Text.", *(f"{{{field}}}" for field in sorted(fields))]) for name, fields in FIELDS.items()}


def test_shipped_prompts_quote_the_limits_in_force() -> None:
    for policy in ("default", "conservative", "lab"):
        policies = load_policies(None, policy).policies
        system = compose(TEXTS, policies).system
        assert f"at most {policies.stop.max_distance} of the price" in system
        assert f"next_check_s` is at most {policies.gate.timer_max_s}" in system
        assert "{" not in system


def test_shipped_prompts_are_short() -> None:
    prompts = compose(TEXTS, POLICIES)
    # The request with a snapshot of 6,000 characters must stay below two fifths of the prototype's.
    assert len(prompts.system) + len(prompts.context(1, "", "")) < 2_360


def test_list_is_quoted_like_the_listed_limits() -> None:
    quoted = compose(LEAST | {"system": "Only {symbols.allow}."}, POLICIES)
    assert quoted.system == f"Only {value_text(POLICIES.symbols.allow, ' ')}."


def test_braces_in_a_value_are_not_filled_in() -> None:
    prompts = compose(LEAST, POLICIES)
    assert prompts.context(7, "{rules} {stop.max_distance}", "BUY {wake}") == (
        "Text.  BUY {wake} {rules} {stop.max_distance} 7"
    )


def test_memory_is_a_paragraph_of_its_own_or_absent() -> None:
    prompts = compose(TEXTS, POLICIES)
    for review in (False, True):
        shown = prompts.context(3, "SNAPSHOT", "hold", memory="MEMORY {wake}", review=review)
        assert "SNAPSHOT\n\nMEMORY {wake}\n\nThe rules" in shown
        assert "SNAPSHOT\n\nThe rules" in prompts.context(3, "SNAPSHOT", "hold", review=review)


@pytest.mark.parametrize("policy", ["default", "conservative", "lab"])
def test_diary_prompts_quote_the_limits_in_force(policy: str) -> None:
    policies = load_policies(None, policy).policies
    prompts = compose(TEXTS, policies)
    assert f"with at most {policies.risk.max_share} of equity lost" in prompts.on_trade("")
    assert f"has lost {policies.daily_loss.max_share} of its equity" in prompts.on_day("")
    assert "\n\nFACTS {facts}\n\n" in prompts.on_trade("FACTS {facts}")
    assert "\n\nFACTS {facts}\n\n" in prompts.on_day("FACTS {facts}")


def test_review_has_its_own_prompt() -> None:
    prompts = compose(TEXTS, POLICIES)
    asked = prompts.context(3, "SNAPSHOT", "hold", review=True)
    assert asked.startswith("Wake 3: review")
    assert asked != prompts.context(3, "SNAPSHOT", "hold")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"system": "At most {stop.distance}."}, "no limit of the policy file"),
        ({"system": "At most {stops.max_distance}."}, "no limit of the policy file"),
        ({"system": "{snapshot}"}, "which is not filled in there; expected none"),
        ({"decide": "{wake} {snapshot} {rules} {mood}"}, "expected {memory}, {rules}, {snapshot}, {wake}"),
        ({"decide": "{wake} {rules}"}, "lacks {snapshot}"),
        ({"review_positions": "  "}, "review_positions.md is missing or empty"),
    ],
)
def test_invalid_template_is_refused(changed: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        compose(LEAST | changed, POLICIES)
    assert says in str(caught.value)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        compose({"system": "{a.b}"}, POLICIES)
    assert all(f"{name}.md" in str(caught.value) for name in FIELDS)

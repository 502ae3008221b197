"""What the model is told: limits from the policy file, and nothing typed twice."""

import pytest

from ocw_mcp.agent.prompts import FIELDS, compose
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.policies import value_text

POLICIES = load_policies(None).policies
TEXTS = load_prompts(None).texts
LEAST = {name: " ".join(["Text.", *(f"{{{field}}}" for field in sorted(fields))]) for name, fields in FIELDS.items()}


def test_the_shipped_prompts_quote_the_limits_in_force() -> None:
    for policy in ("default", "conservative", "lab"):
        policies = load_policies(None, policy).policies
        system = compose(TEXTS, policies).system
        assert f"at most {policies.stop.max_distance} of the price" in system
        assert f"next_check_s` is at most {policies.gate.timer_max_s}" in system
        assert "{" not in system


def test_the_shipped_prompts_are_short() -> None:
    prompts = compose(TEXTS, POLICIES)
    # The prototype's were 11,900 characters; with a snapshot of 6,000 ours stay below two fifths of its request.
    assert len(prompts.system) + len(prompts.context(1, "", "")) < 2_360


def test_a_list_is_quoted_as_the_limits_are_told() -> None:
    quoted = compose(LEAST | {"system": "Only {symbols.allow}."}, POLICIES)
    assert quoted.system == f"Only {value_text(POLICIES.symbols.allow, ' ')}."


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    prompts = compose(LEAST, POLICIES)
    assert prompts.context(7, "{rules} {stop.max_distance}", "BUY {wake}") == (
        "Text.  BUY {wake} {rules} {stop.max_distance} 7"
    )


def test_what_is_remembered_stands_apart_and_leaves_no_trace_where_nothing_is() -> None:
    prompts = compose(TEXTS, POLICIES)
    for review in (False, True):
        told = prompts.context(3, "SNAPSHOT", "hold", memory="MEMORY {wake}", review=review)
        assert "SNAPSHOT\n\nMEMORY {wake}\n\nThe rules" in told
        assert "SNAPSHOT\n\nThe rules" in prompts.context(3, "SNAPSHOT", "hold", review=review)


@pytest.mark.parametrize("policy", ["default", "conservative", "lab"])
def test_those_for_the_diary_quote_the_limits_in_force(policy: str) -> None:
    policies = load_policies(None, policy).policies
    prompts = compose(TEXTS, policies)
    assert f"with at most {policies.risk.max_share} of equity lost" in prompts.on_trade("")
    assert f"has lost {policies.daily_loss.max_share} of its equity" in prompts.on_day("")
    assert "\n\nFACTS {facts}\n\n" in prompts.on_trade("FACTS {facts}")
    assert "\n\nFACTS {facts}\n\n" in prompts.on_day("FACTS {facts}")


def test_a_review_is_asked_for_in_words_of_its_own() -> None:
    prompts = compose(TEXTS, POLICIES)
    asked = prompts.context(3, "SNAPSHOT", "hold", review=True)
    assert asked.startswith("Wake 3: review")
    assert asked != prompts.context(3, "SNAPSHOT", "hold")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"system": "At most {stop.distance}."}, "no limit of the policy file"),
        ({"system": "At most {stops.max_distance}."}, "no limit of the policy file"),
        ({"system": "{snapshot}"}, "nothing that is filled in there; expected none"),
        ({"decide": "{wake} {snapshot} {rules} {mood}"}, "expected {memory}, {rules}, {snapshot}, {wake}"),
        ({"decide": "{wake} {rules}"}, "lacks {snapshot}"),
        ({"review_positions": "  "}, "review_positions.md is missing or empty"),
    ],
)
def test_a_prompt_that_cannot_be_filled_in_refuses_to_start(changed: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        compose(LEAST | changed, POLICIES)
    assert says in str(caught.value)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        compose({"system": "{a.b}"}, POLICIES)
    assert all(f"{name}.md" in str(caught.value) for name in FIELDS)

"""The situations of `situations/`: what the request of each shows, and how answers to it are graded."""

import re
from collections.abc import Iterator
from functools import cache

import msgspec
import pytest

from ocw_mcp.app.bench.seat import Played, Sample, play
from ocw_mcp.app.bench.situations import LegPattern, SampleAnswer, Situation, grade, load
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.render.quotations import is_name
from tests.support.examples import slow_after

SITUATIONS = load()
MOST = 6_897
"""The largest number of characters of a request without tools for three symbols: 33 % of the prototype's."""
BLOCK = 700
"""The characters of a symbol's block, by which the limit is lower for a request with fewer symbols."""
DIGITS = 0.005
"""The largest difference of a reading from the value with three significant digits, as a share."""
SAMPLES = {
    f"{name}-{number}-{each.outcome}": (situation, each)
    for name, situation in SITUATIONS.items()
    for number, each in enumerate(situation.answers, 1)
}
_played: dict[tuple[str, bytes], Played] = {}


async def played(situation: Situation, answer: SampleAnswer | None = None) -> Played:
    """Play a situation once per answer; without one, with its first: the request does not depend on the answer."""
    answers = (answer,) if answer else situation.answers[:1]
    legs = answers[0].legs if answers else ()
    key = situation.name, msgspec.json.encode(legs)
    if key not in _played:
        _played[key] = await play(situation, Sample(legs))
    return _played[key]


def blocks(context: str) -> Iterator[tuple[str, str]]:
    """Yield each line of a context with the symbol of its block, or an empty text."""
    symbol = ""
    for line in context.splitlines():
        first = line.split(" ", 1)[0]
        symbol = first if line and is_name(first) and first.endswith("USDT") else symbol if line else ""
        yield symbol, line


def shows(context: str, texts: tuple[str, ...]) -> bool:
    """Return whether one line contains the texts; if the first is a symbol, the line may be in its block."""
    first, *others = texts
    return any(
        all(text in line for text in others) and (first in line or (first == symbol and bool(others)))
        for symbol, line in blocks(context)
    )


def reading_in(context: str, symbol: str, metric: str) -> float | None:
    """Return a reading as the context shows it, in a line of the symbol's block or in its table."""
    name, _, timeframe = metric.partition("@")
    column = 0
    for where, line in blocks(context):
        if where != symbol:
            continue
        if found := re.search(rf"(?:^|[ (]){re.escape(metric)} ([+-]?[0-9.]+)", line):
            return float(found[1])
        words = line.split(" ")
        if words[0] == "metric":
            heads = [head.partition("(")[0] for head in words if head.startswith("@")]
            column = heads.index(f"@{timeframe}") + 1 if f"@{timeframe}" in heads else 0
        elif words[0] == name and column:
            return None if words[column] == "?" else float(words[column])
    return None


@pytest.mark.parametrize("name", slow_after(10, SITUATIONS))
async def test_request_shows_each_fact_of_a_situation(name: str) -> None:
    found = await played(SITUATIONS[name])
    missing = [texts for texts in SITUATIONS[name].facts if not shows(found.context, texts)]
    assert not missing, f"{missing} in\n{found.context}"


@pytest.mark.parametrize("name", SITUATIONS)
async def test_request_is_short_and_shows_readings_by_metric(name: str) -> None:
    situation = SITUATIONS[name]
    found = await played(situation)
    for each in situation.readings:
        value = found.snapshot.symbols[each.symbol].reading(each.metric)
        assert not isinstance(value, Unknown)
        assert each.between[0] <= value <= each.between[1]
        assert reading_in(found.context, each.symbol, each.metric) == pytest.approx(value, rel=DIGITS), found.context
    most = MOST - BLOCK * (3 - len(found.snapshot.symbols))
    assert len(found.system) + len(found.context) <= most


FIRST = {name for name in SAMPLES if "-1-" in name}
"""The first answer to each situation; the others are played end to end in the slow suite."""


@pytest.mark.parametrize(
    "name", [name if name in FIRST else pytest.param(name, marks=pytest.mark.slow) for name in SAMPLES]
)
async def test_engine_and_grader_agree_on_a_sample_answer(name: str) -> None:
    situation, answer = SAMPLES[name]
    found = await played(situation, answer)
    assert found.outcome == answer.outcome, found.why
    if answer.outcome in ("right", "wrong"):
        assert not found.refused


def legs_of(answer: SampleAnswer) -> list[Leg]:
    """Return the legs of a sample answer, or a HOLD."""
    legs = [{name: value for name, value in leg.items() if name != "thesis"} for leg in answer.legs]
    return [Leg(**leg) for leg in legs] or [Leg("", Action.HOLD)]


def test_there_are_situations_with_facts() -> None:
    assert len(SITUATIONS) >= 24
    assert not [name for name, each in SITUATIONS.items() if len(each.facts) < 2]


@pytest.mark.parametrize("name", SITUATIONS)
def test_each_right_and_wrong_answer_has_a_sample(name: str) -> None:
    situation = SITUATIONS[name]
    right = [legs_of(each) for each in situation.answers if each.outcome == "right"]
    others = [leg for each in situation.answers if each.outcome in ("wrong", "refused") for leg in legs_of(each)]
    for answer in situation.right:
        wanted = answer or (LegPattern(Action.HOLD),)
        assert any(all(any(map(each.matches, legs)) for each in wanted) for legs in right), answer
    assert not [each for each in situation.wrong if not any(map(each.matches, others))]


@cache
def example() -> Situation:
    return SITUATIONS["tighten_after_gain"]


def protect(stop: str) -> Leg:
    return Leg("ETHUSDT", Action.PROTECT, stop=stop)


def test_answer_within_the_ranges_is_right() -> None:
    assert grade(example(), [protect("2505")], []) == "right"


def test_answer_outside_of_the_ranges_is_not_right() -> None:
    assert grade(example(), [protect("2470")], []) == "neither"


def test_answer_on_another_symbol_is_not_right() -> None:
    assert grade(example(), [Leg("BTCUSDT", Action.PROTECT, stop="2505")], []) == "neither"


def test_right_leg_beside_a_wrong_one_is_wrong() -> None:
    assert grade(example(), [protect("2505"), Leg("ETHUSDT", Action.ADD, size="0.01")], []) == "wrong"


def test_right_leg_beside_a_refused_wrong_one_is_wrong() -> None:
    assert grade(example(), [protect("2505")], [Leg("ETHUSDT", Action.ADD, size="0.5")]) == "wrong"


def test_answer_with_only_refused_legs_is_refused() -> None:
    assert grade(example(), [], [protect("2505")]) == "refused"


def test_hold_is_wrong_where_an_action_is_due() -> None:
    assert grade(example(), [], []) == "wrong"
    assert grade(example(), [Leg("ETHUSDT", Action.HOLD)], []) == "wrong"


def test_hold_is_right_where_nothing_is_due() -> None:
    assert grade(SITUATIONS["hold_quiet"], [], []) == "right"


def test_two_right_answers_together_are_right() -> None:
    both = [protect("2505"), Leg("ETHUSDT", Action.REDUCE, share="0.3")]
    assert grade(example(), both, []) == "right"


def test_pattern_without_a_field_refuses_a_leg_with_it() -> None:
    chase = SITUATIONS["do_not_chase"]
    market = Leg("ETHUSDT", Action.BUY, size="0.05", stop="2600")
    assert grade(chase, [market], []) == "wrong"
    assert grade(chase, [msgspec.structs.replace(market, limit="2590")], []) == "right"


def test_unknown_situation_is_named() -> None:
    with pytest.raises(SettingsError, match=r"no situation matches 'nothing\*'"):
        load("nothing*")


async def test_same_situation_gives_the_same_request() -> None:
    again = await play(example(), Sample())
    assert again.body == (await played(example())).body

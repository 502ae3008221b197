"""Lessons: their strength over time, and how trades confirm and contradict them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.agent.memory.diary import Diary
from ocw_mcp.agent.memory.recall import FORGOTTEN_BELOW, HALF_LIFE_MS, MOST_LESSONS, TRADES_LISTED, lessons
from ocw_mcp.domain.time import DAY
from tests.support.memory import FALLING, NOON, RISING, diaries, reflection

TAUGHT = reflection(1, lesson="Do not chase.")
ON_ETH = msgspec.structs.replace(RISING, symbol="ETHUSDT")


@given(diaries(), st.integers(0, 90 * DAY))
def test_lesson_loses_half_of_its_strength_every_14_days(entries: Diary, after: int) -> None:
    at = NOON + after
    for each in lessons(entries.before(at).reflections, at):
        faded = each.strength * 0.5 ** ((at - each.renewed_at) / HALF_LIFE_MS)
        assert each.strength_at(at) == pytest.approx(faded)
        assert FORGOTTEN_BELOW <= each.strength_at(at) <= 1
        assert each.strength_at(at + DAY) < each.strength_at(at)


@given(diaries())
def test_lesson_without_new_trades_is_forgotten_after_two_half_lives(entries: Diary) -> None:
    assert lessons(entries.reflections, NOON + 60 * DAY + 2 * HALF_LIFE_MS + 1) == ()


@given(diaries(), st.integers(0, 90 * DAY))
def test_lessons_of_a_time_ignore_reflections_known_later(entries: Diary, after: int) -> None:
    at = NOON + after
    earlier = Diary(tuple(each for each in entries.reflections if each.origin.known_at < at))
    assert lessons(entries.before(at).reflections, at) == lessons(earlier.reflections, at)


def test_weakest_lesson_is_dropped_if_there_are_too_many() -> None:
    # Each has its own regime, so that none confirms another.
    taught = [
        reflection(n, NOON + n, situation=msgspec.structs.replace(RISING, regime=f"r{n}"), lesson=f"Lesson {n}.")
        for n in range(1, MOST_LESSONS + 4)
    ]
    kept = lessons(taught, NOON + 100)
    assert [each.text for each in kept] == [f"Lesson {n}." for n in range(4, MOST_LESSONS + 4)]


def test_similar_trade_with_the_same_outcome_renews_a_lesson() -> None:
    later = NOON + HALF_LIFE_MS
    silent, worded = reflection(2, later), reflection(3, later + DAY, lesson="Never chase.")
    (renewed,) = lessons([TAUGHT, silent], later)
    assert (renewed.text, renewed.strength_at(later), renewed.confirmed, renewed.trades) == (
        "Do not chase.",
        1,
        2,
        (1, 2),
    )
    (again,) = lessons([TAUGHT, silent, worded], later + DAY)
    assert (again.text, again.origin, again.confirmed) == ("Never chase.", worded.origin, 3)


def test_similar_trade_with_the_other_outcome_weakens_a_lesson() -> None:
    (doubtful,) = lessons([TAUGHT, reflection(2, NOON + 1, pnl="9")], NOON + 1)
    assert doubtful.strength_at(NOON + 1) == pytest.approx(0.5)
    assert (doubtful.confirmed, doubtful.contradicted) == (1, 1)
    against = [reflection(n, NOON + n, pnl="9") for n in range(2, 5)]
    assert lessons([TAUGHT, *against], NOON + 5) == ()


@pytest.mark.parametrize("other", [{"situation": FALLING}, {"side": "short"}, {"situation": ON_ETH}])
def test_dissimilar_trade_does_not_change_a_lesson(other: dict[str, Any]) -> None:
    (one,) = lessons([TAUGHT, reflection(2, NOON + 1, **other)], NOON + 1)
    assert (one.confirmed, one.contradicted) == (1, 0)


def test_lesson_lists_only_the_latest_trades_that_confirmed_it() -> None:
    (often,) = lessons([TAUGHT, *(reflection(n, NOON + n) for n in range(2, 10))], NOON + 20)
    assert often.confirmed == 9
    assert often.trades == tuple(range(10 - TRADES_LISTED, 10))

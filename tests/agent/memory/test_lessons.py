"""Lessons fade, unless trades bear them out."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.agent.memory.diary import Diary
from ocw_mcp.agent.memory.lessons import FORGOTTEN_BELOW, HALF_LIFE_MS, MOST_LESSONS, TRADES_TOLD, lessons
from ocw_mcp.domain.time import DAY
from tests.support.memory import FALLING, NOON, RISING, diaries, reflection

TAUGHT = reflection(1, lesson="Do not chase.")


@given(diaries(), st.integers(0, 90 * DAY))
def test_a_lesson_is_as_strong_as_its_last_renewal_left_it_less_half_each_half_life(told: Diary, after: int) -> None:
    at = NOON + after
    for each in lessons(told.before(at).reflections, at):
        faded = each.strength * 0.5 ** ((at - each.renewed_at) / HALF_LIFE_MS)
        assert each.strength_at(at) == pytest.approx(faded)
        assert FORGOTTEN_BELOW <= each.strength_at(at) <= 1
        assert each.strength_at(at + DAY) < each.strength_at(at)


@given(diaries())
def test_without_new_trades_every_lesson_is_forgotten(told: Diary) -> None:
    assert lessons(told.reflections, NOON + 60 * DAY + 2 * HALF_LIFE_MS + 1) == ()


@given(diaries(), st.integers(0, 90 * DAY))
def test_what_came_later_changes_nothing_of_what_was_known_before(told: Diary, after: int) -> None:
    at = NOON + after
    earlier = Diary(tuple(each for each in told.reflections if each.origin.known_at < at))
    assert lessons(told.before(at).reflections, at) == lessons(earlier.reflections, at)


def test_there_are_never_more_than_so_many_and_the_weakest_go() -> None:
    # Regimes of their own: none confirms another.
    taught = [
        reflection(n, NOON + n, situation=msgspec.structs.replace(RISING, regime=f"r{n}"), lesson=f"Lesson {n}.")
        for n in range(1, MOST_LESSONS + 4)
    ]
    kept = lessons(taught, NOON + 100)
    assert [each.text for each in kept] == [f"Lesson {n}." for n in range(4, MOST_LESSONS + 4)]


def test_a_like_trade_that_ends_the_same_way_renews_a_lesson_in_its_own_words() -> None:
    later = NOON + HALF_LIFE_MS
    silent, worded = reflection(2, later), reflection(3, later + DAY, lesson="Never chase.")
    (renewed,) = lessons([TAUGHT, silent], later)
    assert (renewed.text, renewed.strength_at(later), renewed.held, renewed.trades) == ("Do not chase.", 1, 2, (1, 2))
    (again,) = lessons([TAUGHT, silent, worded], later + DAY)
    assert (again.text, again.origin, again.held) == ("Never chase.", worded.origin, 3)


def test_one_that_ends_the_other_way_speaks_against_it() -> None:
    (doubtful,) = lessons([TAUGHT, reflection(2, NOON + 1, pnl="9")], NOON + 1)
    assert doubtful.strength_at(NOON + 1) == pytest.approx(0.5)
    assert (doubtful.held, doubtful.failed) == (1, 1)
    against = [reflection(n, NOON + n, pnl="9") for n in range(2, 5)]
    assert lessons([TAUGHT, *against], NOON + 5) == ()


@pytest.mark.parametrize("other", [{"situation": FALLING}, {"side": "short"}])
def test_a_trade_that_is_not_like_it_leaves_it_alone(other: dict[str, Any]) -> None:
    (one,) = lessons([TAUGHT, reflection(2, NOON + 1, **other)], NOON + 1)
    assert (one.held, one.failed) == (1, 0)


def test_it_names_only_the_latest_trades_that_bear_it_out() -> None:
    (often,) = lessons([TAUGHT, *(reflection(n, NOON + n) for n in range(2, 10))], NOON + 20)
    assert often.held == 9
    assert often.trades == tuple(range(10 - TRADES_TOLD, 10))

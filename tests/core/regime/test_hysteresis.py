"""Levels of states, and hysteresis between levels."""

from collections.abc import Sequence

import numpy as np
import pytest

from ocw_mcp.core.regime.reading import CALMER_DAYS, Hysteresis, level_of, level_probabilities, members
from ocw_mcp.domain.regime import Level

CALM, NORMAL, TURBULENT = Level
SURE = {CALM: [0.9, 0.06, 0.04], NORMAL: [0.06, 0.9, 0.04], TURBULENT: [0.05, 0.05, 0.9]}
UNSURE = [0.5, 0.4, 0.1]


def levels(days: Sequence[Sequence[float]]) -> list[Level]:
    held = Hysteresis()
    return [held.update(np.array(day), at) for at, day in enumerate(days)]


@pytest.mark.parametrize(
    ("states", "expected"),
    [(2, [CALM, TURBULENT]), (3, [CALM, NORMAL, TURBULENT]), (4, [CALM, NORMAL, NORMAL, TURBULENT])],
)
def test_levels_follow_from_the_order_of_states(states: int, expected: list[Level]) -> None:
    assert [level_of(state, states) for state in range(states)] == expected
    assert [state for level in Level for state in members(level, states)] == list(range(states))


def test_level_probability_is_the_sum_over_its_states() -> None:
    found = level_probabilities(np.array([0.1, 0.2, 0.3, 0.4]))
    assert found == pytest.approx({CALM: 0.1, NORMAL: 0.5, TURBULENT: 0.4})


def test_level_rises_on_the_first_sure_day() -> None:
    assert levels([SURE[CALM], SURE[TURBULENT]]) == [CALM, TURBULENT]


def test_level_falls_after_calmer_days_in_a_row() -> None:
    found = levels([SURE[TURBULENT], *[SURE[CALM]] * CALMER_DAYS])
    assert found == [TURBULENT] * CALMER_DAYS + [CALM]


def test_unsure_day_interrupts_the_calmer_days() -> None:
    days = [SURE[TURBULENT], *[SURE[CALM]] * (CALMER_DAYS - 1), UNSURE, *[SURE[CALM]] * (CALMER_DAYS - 1)]
    assert set(levels(days)) == {TURBULENT}


def test_level_falls_to_the_most_turbulent_of_the_calmer_days() -> None:
    days = [SURE[TURBULENT], *[SURE[CALM]] * (CALMER_DAYS - 1), SURE[NORMAL]]
    assert levels(days)[-1] is NORMAL


def test_unsure_day_changes_no_level() -> None:
    assert levels([SURE[CALM], [0.1, 0.3, 0.6]]) == [CALM, CALM]


def test_level_that_the_new_model_lacks_becomes_turbulent() -> None:
    assert levels([SURE[NORMAL], [0.9, 0.1]]) == [NORMAL, TURBULENT]


def test_since_is_the_beginning_of_the_level() -> None:
    held = Hysteresis()
    for at, level in enumerate([CALM, CALM, TURBULENT, TURBULENT]):
        held.update(np.array(SURE[level]), at)
    assert held.since == 2

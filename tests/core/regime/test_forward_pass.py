"""The forward pass against the sum over all paths of states, and the expected durations."""

import math
from itertools import pairwise, product

import numpy as np
import pytest

from ocw_mcp.core.regime.model import advance, expected_days, filtered
from ocw_mcp.domain.regime import RegimeModel
from tests.support.regimes import Floats, draws


def model_of(seed: int, states: int, columns: int = 2) -> RegimeModel:
    draw = draws(seed, "models")
    rows = draw.random((states + 1, states)) + 0.1
    shares = [tuple((row / row.sum()).tolist()) for row in rows]
    means = tuple(tuple(row) for row in draw.normal(size=(states, columns)).tolist())
    variances = tuple(tuple(row) for row in (draw.random((states, columns)) + 0.2).tolist())
    return RegimeModel(shares[0], tuple(shares[1:]), means, variances, (0.5,) * columns, (2.0,) * columns)


def by_paths(model: RegimeModel, rows: Floats) -> tuple[list[float], float]:
    """Return the probabilities of the last state and the log likelihood, summed over every path of states."""
    weights = [0.0] * model.states
    for path in product(range(model.states), repeat=len(rows)):
        weight = model.start[path[0]]
        for before, after in pairwise(path):
            weight *= model.transitions[before][after]
        for state, row in zip(path, rows.tolist(), strict=True):
            for place, value in enumerate(row):
                scaled = (value - model.centre[place]) / model.scale[place]
                mean, variance = model.means[state][place], model.variances[state][place]
                weight *= math.exp(-((scaled - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
        weights[path[-1]] += weight
    return [weight / sum(weights) for weight in weights], math.log(sum(weights))


@pytest.mark.parametrize("states", [2, 3, 4])
def test_forward_pass_equals_the_sum_over_all_paths(states: int) -> None:
    model, rows = model_of(states, states), draws(states, "rows").normal(size=(5, 2)) * 2
    found, likelihood = filtered(model, rows)
    for upto in range(1, len(rows) + 1):
        assert found[upto - 1] == pytest.approx(by_paths(model, rows[:upto])[0], rel=1e-9)
    assert likelihood == pytest.approx(by_paths(model, rows)[1], rel=1e-9)


def test_row_by_row_equals_all_rows_at_once() -> None:
    model, rows = model_of(9, 3), draws(9, "rows").normal(size=(40, 2))
    before = None
    for row, expected in zip(rows, filtered(model, rows)[0], strict=True):
        before = advance(model, before, row)
        assert before == pytest.approx(expected, abs=1e-12)


def test_row_far_from_every_state_keeps_probabilities_finite() -> None:
    found, likelihood = filtered(model_of(1, 3), np.array([[0.0, 0.0], [1e4, -1e4], [0.0, 0.0]]))
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(3))
    assert math.isfinite(likelihood)


def test_expected_days_of_one_state_follow_from_its_stay() -> None:
    model = model_of(2, 3)
    assert expected_days(model, np.array([0.2, 0.5, 0.3]), (1,)) == pytest.approx(1 / (1 - model.transitions[1][1]))


def test_expected_days_of_two_states_equal_the_survival_sum() -> None:
    model, today = model_of(3, 4), np.array([0.1, 0.2, 0.6, 0.1])
    inside = np.array(model.transitions)[np.ix_((1, 2), (1, 2))]
    left, days = np.array([0.25, 0.75]), 0.0
    for _ in range(2_000):
        days += float(left.sum())
        left = left @ inside
    assert expected_days(model, today, (1, 2)) == pytest.approx(days)


def test_state_that_is_never_left_lasts_forever() -> None:
    model = RegimeModel((1.0, 0.0), ((1.0, 0.0), (0.5, 0.5)), ((0.0,), (1.0,)), ((1.0,), (1.0,)), (0.0,), (1.0,))
    assert expected_days(model, np.array([1.0, 0.0]), (0,)) is None

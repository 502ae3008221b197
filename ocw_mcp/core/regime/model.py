"""A fitted Gaussian hidden Markov model and its forward pass.

The forward pass gives *filtered* probabilities: those of a day depend on the rows up to this day. Smoothed
probabilities and the Viterbi path depend on later rows, too, and would look ahead in a replay.
"""

import math

import numpy as np
import numpy.typing as npt

from ocw_mcp.domain.regime import RegimeModel

Floats = npt.NDArray[np.float64]


def log_densities(model: RegimeModel, rows: Floats) -> Floats:
    """Return the logarithm of the density of each row (of the scaled rows) in each state: rows × states."""
    scaled = (rows - np.array(model.centre)) / np.array(model.scale)
    means, variances = np.array(model.means), np.array(model.variances)
    squares: Floats = (scaled[:, None, :] - means) ** 2 / variances
    logs: Floats = -0.5 * (squares + np.log(2 * np.pi * variances)).sum(axis=2)
    return logs


def advance(model: RegimeModel, before: Floats | None, row: Floats) -> Floats:
    """Return the filtered probabilities after one more row; `before` are those of the row before, None at the first."""
    expected = np.array(model.start) if before is None else before @ np.array(model.transitions)
    return _update(expected, log_densities(model, row[None, :])[0])[0]


def filtered(model: RegimeModel, rows: Floats) -> tuple[Floats, float]:
    """Return the filtered probabilities of each row, rows × states, and the log likelihood of the scaled rows."""
    densities, transitions = log_densities(model, rows), np.array(model.transitions)
    found, expected, total = np.empty_like(densities), np.array(model.start), 0.0
    for place, logs in enumerate(densities):
        found[place], gain = _update(expected, logs)
        total += gain
        expected = found[place] @ transitions
    return found, total


def _update(expected: Floats, logs: Floats) -> tuple[Floats, float]:
    """Return the probabilities after a row with these log densities, and the log likelihood of the row.

    A row far from every state has densities that are 0 as floats, so the logarithms are shifted first.
    """
    with np.errstate(divide="ignore"):
        joint = np.log(expected) + logs
    highest = joint.max()
    weights = np.exp(joint - highest)
    total = weights.sum()
    return weights / total, float(highest + np.log(total))


def expected_days(model: RegimeModel, probabilities: Floats, members: tuple[int, ...]) -> float | None:
    """Return the days until the market is expected to leave a group of states, from their probabilities today.

    For a single state this is 1 / (1 − probability to stay). The result is None if the group cannot be left.
    """
    inside = np.array(model.transitions)[np.ix_(members, members)]
    weights = probabilities[list(members)]
    total = weights.sum()
    weights = weights / total if total > 0 else np.full(len(members), 1 / len(members))
    try:
        days = np.linalg.solve(np.eye(len(members)) - inside, np.ones(len(members)))
    except np.linalg.LinAlgError:
        return None
    expected = float(weights @ days)
    return expected if math.isfinite(expected) else None

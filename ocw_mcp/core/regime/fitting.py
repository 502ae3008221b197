"""Fits the model: 2, 3 or 4 states chosen by BIC, the best of several starts for each number of states.

The fit needs `hmmlearn`, which takes a second to import, and up to a second for four years of days: call it in a
worker. The starts follow from the seed by arithmetic, without a random generator. The same rows, seed and libraries
give the same bits on one machine. Other processors and versions of the libraries may differ in the last bits.
Parameters are rounded to `DIGITS`, which hides this except at a rounding boundary, or if two starts or two BICs are
equal within it.
"""

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ocw_mcp.core.regime.features import VOLATILITY, WINDOW
from ocw_mcp.core.regime.model import Floats, filtered
from ocw_mcp.domain.regime import Candidate, FitRequest, RegimeFit, RegimeModel
from ocw_mcp.domain.rounding import rounded_all
from ocw_mcp.domain.unknown import Unknown

STATES: Final = (2, 3, 4)
STARTS: Final = 6
"""The number of starts for each number of states."""
FINISHED: Final = 2
"""The number of starts that are continued until they converge."""
LEAST_ROWS: Final = 200
LEAST_DAYS_OF_STATE: Final = 10.0
"""The least expected number of rows in a state. A state of fewer rows describes single days, not a regime."""
LEAST_VARIANCE: Final = 1e-3
"""The least variance of a scaled column in a state; less means that the state collapsed onto equal rows."""
DIGITS: Final = 8
"""The significant digits to which fitted parameters are rounded."""
_STAY: Final = 0.95
_FEW_ITERATIONS: Final = 15
_ITERATIONS: Final = 200
_TOLERANCE: Final = 1e-2
_GOLDEN: Final = 0.6180339887498949


def parameters(states: int, columns: int) -> int:
    """Return the number of free parameters: start, transitions, and a mean and a variance for each state and column."""
    return states - 1 + states * (states - 1) + 2 * states * columns


def fit(rows: Floats, seed: int = 1, overlap: int = 1) -> RegimeFit | Unknown:
    """Return the model with the lowest thinned BIC, or why there is none: degenerate rows, or no regimes in them.

    `rows` has one row a day, oldest first, and its column `VOLATILITY` orders the states (the last one, if there are
    fewer). `overlap` is the number of rows after which their windows no longer overlap.
    """
    count, columns = rows.shape
    if count < LEAST_ROWS:
        return Unknown(f"a fit needs {LEAST_ROWS} days, has {count}")
    if not np.isfinite(rows).all():
        return Unknown("a feature is not finite")
    centre, scale = rows.mean(axis=0), rows.std(axis=0)
    if (scale <= 1e-9 * np.maximum(1.0, np.abs(centre))).any():
        return Unknown("a feature never changes")
    scaled = (rows - centre) / scale
    single = -0.5 * count * columns * (math.log(2 * math.pi) + 1)
    found = [_candidate(1, single, columns, count, overlap, None)]
    models: dict[int, RegimeModel] = {}
    for states in STATES:
        model, likelihood, problem = _best_start(scaled, states, seed)
        found.append(_candidate(states, likelihood, columns, count, overlap, problem))
        if model is not None and problem is None:
            models[states] = model
    usable = [each for each in found if each.problem is None]
    best = min(usable, key=_thinned_bic)
    if best.states == 1:
        several = len(usable) > 1
        return Unknown("one state describes the days best" if several else f"no fit is usable: {found[-1].problem}")
    model = models[best.states]
    restored = RegimeModel(
        model.start, model.transitions, model.means, model.variances, _rounded(centre), _rounded(scale)
    )
    return RegimeFit(restored, count, overlap, tuple(found))


def fit_of(request: FitRequest) -> RegimeFit | Unknown:
    """Return the fit of a request, which depends on nothing but the request. Takes up to a second."""
    return fit(np.array(request.rows, np.float64), request.seed, WINDOW)


def _thinned_bic(candidate: Candidate) -> float:
    return math.inf if candidate.thinned_bic is None else candidate.thinned_bic


def _candidate(states: int, likelihood: float, columns: int, rows: int, overlap: int, problem: str | None) -> Candidate:
    number, thinned = parameters(states, columns), rows / overlap
    if problem is not None and not math.isfinite(likelihood):
        return Candidate(states, None, number, None, None, problem)
    bic = -2 * likelihood + number * math.log(rows)
    return Candidate(states, likelihood, number, bic, -2 * likelihood / overlap + number * math.log(thinned), problem)


def _best_start(scaled: Floats, states: int, seed: int) -> tuple[RegimeModel | None, float, str | None]:
    """Return the model with the highest likelihood among the usable ones, with its likelihood and problem.

    All starts run for a few iterations, and the best of them until EM converges.
    """
    begun: list[tuple[float, int, Any]] = []
    for start in range(STARTS):
        hidden = _begin(scaled, states, seed * STARTS + start)
        if _run(hidden, scaled, _FEW_ITERATIONS):
            begun.append((-float(hidden.monitor_.history[-1]), start, hidden))
    best: tuple[RegimeModel | None, float, str | None] = (None, -math.inf, "EM failed from each start")
    for _, _, hidden in sorted(begun, key=lambda each: each[:2])[:FINISHED]:
        if not _run(hidden, scaled, _ITERATIONS):
            continue
        variances = np.array([np.diag(each) for each in hidden.covars_])
        if variances.min() < LEAST_VARIANCE:
            best = best if best[0] is not None else (None, -math.inf, "a state collapsed onto equal days")
            continue
        model, problem = _model(hidden, variances, scaled), _problem(hidden, scaled)
        likelihood = filtered(model, scaled)[1]
        # A usable model is better than one with a problem, whatever the likelihoods: a collapse raises its likelihood.
        if (problem is None, likelihood) > (best[0] is not None and best[2] is None, best[1]):
            best = (model, likelihood, problem)
    return best


def _begin(scaled: Floats, states: int, number: int) -> Any:
    """Return hmmlearn's model at start `number`."""
    from hmmlearn.hmm import GaussianHMM

    # Without a prior of the covariances EM maximises the likelihood itself, which BIC needs.
    hidden: Any = GaussianHMM(states, "diag", covars_prior=0, tol=_TOLERANCE, init_params="", implementation="scaling")
    hidden.startprob_ = np.full(states, 1 / states)
    hidden.transmat_ = np.full((states, states), (1 - _STAY) / (states - 1))
    np.fill_diagonal(hidden.transmat_, _STAY)
    groups = _groups(scaled, states, number)
    hidden.means_ = np.array([scaled[each].mean(axis=0) for each in groups])
    hidden.covars_ = np.array([scaled[each].var(axis=0) + 0.05 for each in groups])
    return hidden


def _run(hidden: Any, scaled: Floats, iterations: int) -> bool:
    """Run EM from where it stands; return False if it failed, as on days of equal values."""
    hidden.monitor_.n_iter = hidden.n_iter = iterations
    try:
        with np.errstate(all="ignore"):
            hidden.fit(scaled)
    except (ValueError, ZeroDivisionError):
        return False
    values = (hidden.startprob_, hidden.transmat_, hidden.means_, hidden.covars_, hidden.monitor_.history[-1])
    return all(np.isfinite(each).all() for each in values)


def _problem(hidden: Any, scaled: Floats) -> str | None:
    with np.errstate(all="ignore"):
        days = float(hidden.predict_proba(scaled).sum(axis=0).min())
    if days < LEAST_DAYS_OF_STATE:
        return f"a state has {days:.1f} days, fewer than {LEAST_DAYS_OF_STATE:g}"
    return None


def _model(hidden: Any, variances: Floats, scaled: Floats) -> RegimeModel:
    """Return the model with its states in the order of volatility, and rounded parameters."""
    order = np.argsort(hidden.means_[:, _key(scaled)], kind="stable")
    transitions, columns = hidden.transmat_[np.ix_(order, order)], scaled.shape[1]
    return RegimeModel(
        _shares(hidden.startprob_[order]),
        tuple(_shares(each) for each in transitions),
        tuple(_rounded(each) for each in hidden.means_[order]),
        tuple(_rounded(each) for each in variances[order]),
        (0.0,) * columns,
        (1.0,) * columns,
    )


def _groups(scaled: Floats, states: int, number: int) -> list[npt.NDArray[np.int64]]:
    """Return the rows of each state at a start: consecutive parts of the rows sorted by volatility, of varied sizes."""
    sizes = np.array([0.4 + (_GOLDEN * (number + 1) * (state + 1)) % 1 for state in range(states)])
    cuts = (np.cumsum(sizes / sizes.sum())[:-1] * len(scaled)).astype(np.int64)
    return np.split(np.argsort(scaled[:, _key(scaled)], kind="stable"), cuts)


def _key(rows: Floats) -> int:
    return min(VOLATILITY, len(rows[0]) - 1)


def _rounded(values: Floats) -> tuple[float, ...]:
    return rounded_all(values.tolist(), DIGITS)


def _shares(values: Floats) -> tuple[float, ...]:
    """Return rounded probabilities whose sum is 1 as exactly as floats allow."""
    rounded = np.array(_rounded(values))
    return tuple((rounded / rounded.sum()).tolist())

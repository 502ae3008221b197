"""Discounted Beta posteriors of reliabilities, pooled from group to signal to regime.

Reliability is the probability that the sign of a signal agrees with the sign of the result. The model is hierarchical:

- the mean of a group has the prior Beta(2, 2);
- a signal over the other regimes has the prior Beta(k·m, k·(1 − m)), m being the mean of its group;
- a signal in one regime has the prior Beta(k′·m′, k′·(1 − m′)), m′ being its mean over the other regimes.

The strengths k and k′ (in observations) and the half-life of evidence are not fixed. Each value of a grid predicts
outcomes before they are counted, and is weighted by the likelihood of the outcomes that it predicted: the prequential
likelihood (A. P. Dawid, Statistical theory: the prequential approach, 1984). The posterior is the average over the
grid (J. A. Hoeting and others, Bayesian model averaging, 1999). A part of the weights is shared among all values after
each outcome, so that a value that was right for few observations does not stay when there are many (M. Herbster and
M. K. Warmuth, Tracking the best expert, 1998). The likelihood counts in part, because signals are correlated (a power
likelihood, see P. Grünwald and T. van Ommen, Inconsistency of Bayesian inference for misspecified linear models, 2017).
The Beta-binomial update is that of A. Gelman and others, Bayesian Data
Analysis, chapters 2 and 5.

Evidence that fades counts as Kish's effective number of observations, (Σw)² ÷ Σw² (L. Kish, Survey Sampling, 1965),
because a weighted mean has the sampling variance of so many observations. An outcome that counts in part is that part
of one observation.

The first axis of all arrays has independent learners, so that the benchmark runs hundreds of them at a time.
"""

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from ocw_mcp.core.learning.draws import Generator
from ocw_mcp.domain.time import DAY

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

PRIOR: Final = 2.0
"""Both parameters of the Beta prior of a group's mean."""


class Grid(Struct, frozen=True):
    """The values between which outcomes choose."""

    group: tuple[float, ...] = (4, 16, 64, 256, 1024)
    """The observations for which the mean of the group counts, as the prior of a signal."""
    regime: tuple[float, ...] = (4, 16, 64, 256, 1024)
    """The observations for which the other regimes count, as the prior of a signal in a regime."""
    half_lives: tuple[float, ...] = (720.0 * DAY, 180.0 * DAY)
    """The times (ms) in which the weight of an outcome halves. That it never fades is always a value, too."""
    share: float = 0.002
    """The part of the weights of the grid that is shared at an observation."""
    independent: float = 0.3
    """The part of a signal's likelihood that counts for the grid, because the signals of one trade are correlated."""
    block: int = 16
    """The grid is judged by so many outcomes at a time, which it predicts from all outcomes before them."""


GRID: Final = Grid()


class Beta(NamedTuple):
    """Beta distributions by mean and observations: Beta(mean·evidence, (1 − mean)·evidence)."""

    mean: Floats
    evidence: Floats

    @property
    def variance(self) -> Floats:
        """The variance of each distribution."""
        return self.mean * (1 - self.mean) / (self.evidence + 1)


class Drawn(NamedTuple):
    """Drawn reliabilities: learner × group, and learner × signal."""

    groups: Floats
    signals: Floats


class PosteriorsState(Struct):
    """The saved state of `Posteriors`: its arrays as flat lists."""

    evidence: list[float]
    by_group: list[float]
    by_regime: list[float]
    waiting: float
    at: int


class _Levels(NamedTuple):
    """The posteriors of one regime. Axes: learner, half-life, strength, group or signal."""

    groups: Beta
    everywhere: Beta
    """Signals over all regimes, for each strength of the group."""
    here: Beta
    """Signals in the regime, for each strength of the other regimes."""
    from_group: Floats
    """The part of the mean of each distribution of `here` that comes from the mean of the group."""


class Posteriors:
    """Posteriors of independent learners. `groups` has the number of each signal's group, from 0."""

    def __init__(self, groups: Integers, regimes: int, learners: int = 1, grid: Grid = GRID) -> None:
        self._groups, self._learners, self._grid = groups, np.arange(learners), grid
        self._members: Floats = np.eye(int(groups.max()) + 1)[groups]
        self._of_group, self._of_regime = np.array(grid.group)[:, None], np.array(grid.regime)[:, None]
        rates = 1 / np.array([np.inf, *grid.half_lives])
        self._rates: Floats = np.stack([rates, rates, 2 * rates])[:, None, :, None, None]
        ages = len(rates)
        # The first axis has what the grid was judged by, and what waits; the second hits, weights and their squares.
        self._evidence = np.zeros((2, 3, learners, ages, regimes, len(groups)))
        self._by_group = np.full((learners, ages, len(grid.group)), 1 / len(grid.group))
        self._by_regime = np.full((learners, ages, len(grid.regime)), 1 / len(grid.regime) / ages)
        self._waiting, self._at = 0.0, 0

    def add(self, at: int, regime: Integers, hits: Floats, counts: Floats) -> None:
        """Count `hits` of `counts` observations of each signal (learner × signal) in the regime of each learner.

        A signal without evidence has the count 0. Evidence fades with `at` (ms); a time before the last fades nothing.
        """
        if at > self._at > 0:
            self._evidence *= np.exp2((self._at - at) * self._rates)
        self._at = max(self._at, at)
        new = np.stack([hits, counts, counts], 1)[:, :, None]
        self._evidence[1][:, self._learners, :, regime] += new
        self._waiting += float(counts.max())
        if self._waiting >= self._grid.block:
            self._judge()

    def _judge(self) -> None:
        """Weigh the values of the grid by how they predicted the waiting outcomes."""
        waiting = self._evidence[1]
        by_group, by_regime = np.zeros_like(self._by_group), np.zeros_like(self._by_regime)
        for regime in range(waiting.shape[3]):
            hits, counts = waiting[:2, :, 0, regime, :][:, :, None, None]
            if counts.any():
                levels = self._levels(np.full_like(self._learners, regime), self._evidence[0])
                by_group += _log_likelihood(levels.everywhere.mean, hits, counts)
                by_regime += _log_likelihood(levels.here.mean, hits, counts)
        by_group, by_regime = by_group * self._grid.independent, by_regime * self._grid.independent
        share = 1 - (1 - self._grid.share) ** self._waiting
        self._by_group = _weighed(self._by_group, by_group, share, (2,))
        self._by_regime = _weighed(self._by_regime, by_regime, share, (1, 2))
        self._evidence[0] += waiting
        waiting[:] = 0
        self._waiting = 0.0

    def read(self, regime: Integers) -> Beta:
        """Return the posterior of each signal (learner × signal), by the mean and variance over the grid."""
        return _mixed(self._by_regime, self._levels(regime, self._evidence.sum(0)).here)

    def draw(self, regime: Integers, generator: Generator) -> Drawn:
        """Return reliabilities drawn from the posteriors.

        The mean of each group is drawn first, and moves the posteriors of its signals: draws of one group go together
        as far as their signals borrow from it (D. Russo and others, A Tutorial on Thompson Sampling, 2018).
        """
        levels = self._levels(regime, self._evidence.sum(0))
        signals, groups = _mixed(self._by_regime, levels.here), self._mixed_groups(levels)
        part = (self._by_regime[..., None] * levels.from_group).sum((1, 2))
        drawn = _drawn(groups, generator)
        mean = np.clip(signals.mean + part * (drawn - groups.mean)[:, self._groups], 0.001, 0.999)
        rest = signals.variance - part * part * groups.variance[:, self._groups]
        count = signals.mean * (1 - signals.mean) / np.maximum(rest, signals.variance / 4) - 1
        return Drawn(drawn, _drawn(Beta(mean, count), generator))

    def groups(self, regime: Integers) -> Beta:
        """Return the posterior of the mean of each group (learner × group), which is that of all regimes."""
        return self._mixed_groups(self._levels(regime, self._evidence.sum(0)))

    def _mixed_groups(self, levels: _Levels) -> Beta:
        return _mixed(self._by_group * self._by_regime.sum(2, keepdims=True), levels.groups)

    def evidence(self, regime: Integers) -> Floats:
        """Return the effective number of observations of each signal in the regime (learner × signal)."""
        _, counts = _effective(self._evidence.sum(0))
        found: Floats = (self._by_regime.sum(2)[..., None] * counts[self._learners, :, regime]).sum(1)
        return found

    def state(self) -> PosteriorsState:
        """Return all that must survive a restart."""
        arrays = (self._evidence, self._by_group, self._by_regime)
        evidence, by_group, by_regime = (each.ravel().tolist() for each in arrays)
        return PosteriorsState(evidence, by_group, by_regime, self._waiting, self._at)

    def restore(self, state: PosteriorsState, /) -> None:
        """Restore a state that `state` returned. Raises ValueError if it is damaged, and changes nothing."""
        evidence = _array("evidence", state.evidence, self._evidence)
        by_group = _array("weights of the group", state.by_group, self._by_group)
        by_regime = _array("weights of the regimes", state.by_regime, self._by_regime)
        hits, counts, _ = evidence[0] + evidence[1]
        if (hits > counts * (1 + 1e-9)).any():
            raise ValueError("the state has more hits than observations; rebuild the learner from its outcomes")
        if not np.allclose(by_group.sum(2), 1) or not np.allclose(by_regime.sum((1, 2)), 1):
            raise ValueError("the weights of the state do not sum to 1; rebuild the learner from its outcomes")
        if not 0 <= state.waiting < self._grid.block or state.at < 0:
            raise ValueError(f"the state waits with {state.waiting} outcomes at {state.at}; rebuild the learner")
        self._evidence, self._by_group, self._by_regime = evidence, by_group, by_regime
        self._waiting, self._at = state.waiting, state.at

    def _levels(self, regime: Integers, evidence: Floats) -> _Levels:
        hits, counts = _effective(evidence)
        own_hits, own_counts = hits[self._learners, :, regime], counts[self._learners, :, regime]
        all_hits, all_counts = hits.sum(2), counts.sum(2)
        mean = (all_hits @ self._members + PRIOR) / (all_counts @ self._members + 2 * PRIOR)
        # However much is known of each signal, the mean of a group of few signals is uncertain.
        known = all_counts[:, :, None] * ((self._of_group + 1) / (all_counts[:, :, None] + self._of_group))
        groups = Beta(np.repeat(mean[:, :, None], len(self._of_group), 2), known @ self._members + 2 * PRIOR)
        lent = self._of_group / (1 + self._of_group / groups.evidence[..., self._groups])
        borrowed = lent * mean[..., self._groups][:, :, None]
        count = lent + (all_counts - own_counts)[:, :, None]
        elsewhere = Beta((borrowed + (all_hits - own_hits)[:, :, None]) / count, count)
        from_group = lent / count
        count = lent + all_counts[:, :, None]
        everywhere = Beta((borrowed + all_hits[:, :, None]) / count, count)
        weights = (self._by_group / self._by_group.sum(2, keepdims=True))[..., None]
        prior_mean = (weights * elsewhere.mean).sum(2)
        square = (weights * _square(elsewhere)).sum(2)
        prior_count = prior_mean * (1 - prior_mean) / (square - prior_mean * prior_mean) - 1
        lent = self._of_regime / (1 + self._of_regime / prior_count[:, :, None])
        count = lent + own_counts[:, :, None]
        here = Beta((lent * prior_mean[:, :, None] + own_hits[:, :, None]) / count, count)
        return _Levels(groups, everywhere, here, lent / count * (weights * from_group).sum(2)[:, :, None])


def _array(name: str, found: list[float], like: Floats) -> Floats:
    array = np.array(found, dtype=np.float64)
    if array.size != like.size or not (np.isfinite(array).all() and (array >= 0).all()):
        raise ValueError(f"the {name} of the state are not {like.size} numbers from 0; rebuild the learner")
    return array.reshape(like.shape)


def _effective(evidence: Floats) -> tuple[Floats, Floats]:
    """Return the hits and observations that weighted evidence counts for."""
    hits, weights, squares = evidence
    ratio = np.divide(weights, squares, out=np.zeros_like(squares), where=squares > 0)
    return hits * ratio, weights * ratio


def _square(parts: Beta) -> Floats:
    """Return the mean of the square of each distribution."""
    return parts.mean * (parts.mean * parts.evidence + 1) / (parts.evidence + 1)


def _mixed(weights: Floats, parts: Beta) -> Beta:
    """Return Beta distributions with the mean and variance of the mixtures over half-lives and strengths."""
    mean = (weights[..., None] * parts.mean).sum((1, 2))
    square = (weights[..., None] * _square(parts)).sum((1, 2))
    return Beta(mean, mean * (1 - mean) / (square - mean * mean) - 1)


def _drawn(found: Beta, generator: Generator) -> Floats:
    values = generator.beta(found.mean * found.evidence, (1 - found.mean) * found.evidence)
    drawn: Floats = np.clip(values, 1e-6, 1 - 1e-6)
    return drawn


def _log_likelihood(predicted: Floats, hits: Floats, counts: Floats) -> Floats:
    found: Floats = np.sum(np.log(predicted) * hits + np.log1p(-predicted) * (counts - hits), axis=3)
    return found


def _weighed(weights: Floats, scores: Floats, share: float, axes: tuple[int, ...]) -> Floats:
    """Return the weights of a grid after the log likelihoods `scores`; they sum to 1 over `axes`."""
    found = weights * np.exp(scores - scores.max(axes, keepdims=True))
    values = math.prod(weights.shape[axis] for axis in axes)
    weighed: Floats = (1 - share) * found / found.sum(axes, keepdims=True) + share / values
    return weighed

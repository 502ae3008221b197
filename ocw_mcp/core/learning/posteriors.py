"""Discounted Beta posteriors of reliabilities, pooled from group to signal to regime.

Reliability is the probability that the sign of a signal agrees with the sign of the result. The model is hierarchical:

- the mean of all signals has the prior Beta(2, 2);
- the mean of a group has the prior Beta(c·a, c·(1 − a)), a being the mean of all signals;
- a signal over the other regimes has the prior Beta(k·m, k·(1 − m)), m being the mean of its group;
- a signal in one regime has the prior Beta(k′·m′, k′·(1 − m′)), m′ being its mean over the other regimes.

The strengths c, k and k′ (in observations) and the half-life of evidence are not fixed. Each value of a grid predicts
outcomes before they are counted, and is weighted by the likelihood of the outcomes that it predicted: the prequential
likelihood (A. P. Dawid, Statistical theory: the prequential approach, 1984). The posterior is the average over the
grid (J. A. Hoeting and others, Bayesian model averaging, 1999). A part of the weights is shared among all values after
each outcome, so that a value that was right for few observations does not stay when there are many (M. Herbster and
M. K. Warmuth, Tracking the best expert, 1998). The likelihood counts in part, because signals are correlated (a power
likelihood, see P. Grünwald and T. van Ommen, Inconsistency of Bayesian inference for misspecified linear models, 2017).
The Beta-binomial update is that of A. Gelman and others, Bayesian Data Analysis, chapters 2 and 5.

All signals of a trade share its result, and those of a group are often right and wrong together. So the signals of a
group count as fewer observations of its mean, and groups as fewer of the mean of all; see `Grid.together`.

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
"""Both parameters of the Beta prior of the mean of all signals."""


class Grid(Struct, frozen=True):
    """The values between which outcomes choose."""

    common: tuple[float, ...] = (32, 256, 2048)
    """The observations for which the mean of all signals counts, as the prior of a group."""
    group: tuple[float, ...] = (32, 256, 2048)
    """The observations for which the mean of the group counts, as the prior of a signal."""
    regime: tuple[float, ...] = (32, 256, 2048)
    """The observations for which the other regimes count, as the prior of a signal in a regime."""
    half_lives: tuple[float, ...] = (720.0 * DAY, 180.0 * DAY)
    """The times (ms) in which the weight of an outcome halves. That it never fades is always a value, too."""
    share: float = 0.002
    """The part of the weights of the grid that is shared at an observation."""
    independent: float = 0.6
    """The part of a signal's likelihood that counts for the grid, because the signals of one trade are correlated."""
    together: float = 0.5
    """The correlation of what the signals of one trade, or their groups, say: together they are fewer observations."""
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

    @property
    def square(self) -> Floats:
        """The mean of the square of each distribution."""
        return self.mean * (self.mean * self.evidence + 1) / (self.evidence + 1)


class Drawn(NamedTuple):
    """Drawn reliabilities: learner × group, and learner × signal."""

    groups: Floats
    signals: Floats


class PosteriorsState(Struct):
    """The saved state of `Posteriors`: its arrays as flat lists."""

    evidence: list[float]
    by_common: list[float]
    by_group: list[float]
    by_regime: list[float]
    waiting: float
    at: int


class _Levels(NamedTuple):
    """The posteriors of regimes. Axes: learner, half-life, regime, strength, group or signal; some lack some."""

    groups: Beta
    """Groups over all regimes, averaged over the strengths of all signals."""
    by_common: Floats
    """The mean of each group, for each strength of all signals."""
    by_group: Floats
    """The mean of each signal over all regimes, for each strength of the group."""
    elsewhere: Beta
    """Signals over the other regimes, for each strength of the group."""
    here: Beta
    """Signals in each regime, for each strength of the other regimes."""
    lent: tuple[Floats, Floats]
    """The observations that the prior of `elsewhere` and that of `here` count for."""


class Posteriors:
    """Posteriors of independent learners. `groups` has the number of each signal's group, from 0."""

    def __init__(self, groups: Integers, regimes: int, learners: int = 1, grid: Grid = GRID) -> None:
        self._groups, self._learners, self._grid = groups, np.arange(learners), grid
        self._members: Floats = np.eye(int(groups.max()) + 1)[groups]
        self._common, self._group, self._regime = (
            np.array(each, dtype=float)[:, None] for each in (grid.common, grid.group, grid.regime)
        )
        rates = 1 / np.array([np.inf, *grid.half_lives])
        self._rates: Floats = np.stack([rates, rates, 2 * rates])[:, None, :, None, None]
        ages = len(rates)
        # The first axis has what the grid was judged by, and what waits; the second hits, weights and their squares.
        self._evidence = np.zeros((2, 3, learners, ages, regimes, len(groups)))
        self._by_common = np.full((learners, ages, len(grid.common)), 1 / len(grid.common))
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
        new = np.empty((len(hits), 3, 1, len(self._groups)))
        new[:, 0, 0], new[:, 1, 0], new[:, 2, 0] = hits, counts, counts
        self._evidence[1][:, self._learners, :, regime] += new
        self._waiting += float(counts.max())
        if self._waiting >= self._grid.block:
            self._judge()

    def _judge(self) -> None:
        """Weigh the values of the grid by how they predicted the waiting outcomes."""
        waiting = self._evidence[1]
        seen = waiting[1, :, 0].any((0, 2)).nonzero()[0]
        levels = self._levels(seen[None], self._evidence[0])
        hits, counts = waiting[:2, :, :1, seen]  # the first half-life is endless, so that nothing has faded
        all_hits, all_counts = hits.sum(2), counts.sum(2)
        by_common = _log_likelihood(levels.by_common, all_hits @ self._members, all_counts @ self._members)
        by_group = _log_likelihood(levels.by_group, all_hits, all_counts)
        by_regime = _log_likelihood(levels.here.mean, hits, counts).sum(2)
        share = 1 - (1 - self._grid.share) ** self._waiting
        self._by_common = self._weighed(self._by_common, by_common, share, (2,))
        self._by_group = self._weighed(self._by_group, by_group, share, (2,))
        self._by_regime = self._weighed(self._by_regime, by_regime, share, (1, 2))
        self._evidence[0] += waiting
        waiting[:] = 0
        self._waiting = 0.0

    def _weighed(self, weights: Floats, scores: Floats, share: float, axes: tuple[int, ...]) -> Floats:
        """Return the weights of a grid after the log likelihoods `scores`; they sum to 1 over `axes`."""
        found = weights * np.exp(self._grid.independent * (scores - scores.max(axes, keepdims=True)))
        values = math.prod(weights.shape[axis] for axis in axes)
        weighed: Floats = (1 - share) * found / found.sum(axes, keepdims=True) + share / values
        return weighed

    def read(self, regime: Integers) -> Beta:
        """Return the posterior of each signal (learner × signal), by the mean and variance over the grid."""
        return self._signals(self._now(regime))

    def _now(self, regime: Integers) -> _Levels:
        return self._levels(regime[:, None], self._evidence.sum(0))

    def _signals(self, levels: _Levels) -> Beta:
        here = Beta(levels.here.mean[:, :, 0], levels.here.evidence[:, :, 0])
        return _beta(*(_average(self._by_regime, each).sum(1) for each in (here.mean, here.square)))

    def draw(self, regime: Integers, generator: Generator) -> Drawn:
        """Return reliabilities drawn from the posteriors.

        The mean of each group is drawn first, and moves the posteriors of its signals: draws of one group go together
        as far as their signals borrow from it (D. Russo and others, A Tutorial on Thompson Sampling, 2018).
        """
        levels = self._now(regime)
        signals, groups = self._signals(levels), self._mixed_groups(levels)
        # The part of the mean of each signal that comes from the mean of its group, through that of the other regimes.
        of_group, of_elsewhere = levels.lent[0] / levels.elsewhere.evidence, levels.lent[1] / levels.here.evidence
        of_group = _average(self._by_group, of_group[:, :, 0])
        part = (of_group * _average(self._by_regime, of_elsewhere[:, :, 0])).sum(1)
        drawn = _drawn(groups, generator)
        mean = np.clip(signals.mean + part * (drawn - groups.mean)[:, self._groups], 0.001, 0.999)
        rest = signals.variance - part * part * groups.variance[:, self._groups]
        count = signals.mean * (1 - signals.mean) / np.maximum(rest, signals.variance / 4) - 1
        return Drawn(drawn, _drawn(Beta(mean, count), generator))

    def groups(self, regime: Integers) -> Beta:
        """Return the posterior of the mean of each group (learner × group), which is that of all regimes."""
        return self._mixed_groups(self._now(regime))

    def _mixed_groups(self, levels: _Levels) -> Beta:
        weights = self._by_regime.sum(2)
        return _beta(*(_average(weights, each) for each in (levels.groups.mean, levels.groups.square)))

    def evidence(self, regime: Integers) -> Floats:
        """Return the effective number of observations of each signal in the regime (learner × signal)."""
        _, counts = _effective(self._evidence.sum(0))
        found: Floats = (self._by_regime.sum(2)[..., None] * counts[self._learners, :, regime]).sum(1)
        return found

    def state(self) -> PosteriorsState:
        """Return all that must survive a restart."""
        arrays = (self._evidence, self._by_common, self._by_group, self._by_regime)
        evidence, by_common, by_group, by_regime = (each.ravel().tolist() for each in arrays)
        return PosteriorsState(evidence, by_common, by_group, by_regime, self._waiting, self._at)

    def restore(self, state: PosteriorsState, /) -> None:
        """Restore a state that `state` returned. Raises ValueError if it is damaged, and changes nothing."""
        evidence = _array("evidence", state.evidence, self._evidence)
        by_common = _array("weights of all signals", state.by_common, self._by_common)
        by_group = _array("weights of the group", state.by_group, self._by_group)
        by_regime = _array("weights of the regimes", state.by_regime, self._by_regime)
        hits, counts, _ = evidence[0] + evidence[1]
        if (hits > counts * (1 + 1e-9)).any():
            raise ValueError("the state has more hits than observations; rebuild the learner from its outcomes")
        if not all(np.allclose(each, 1) for each in (by_common.sum(2), by_group.sum(2), by_regime.sum((1, 2)))):
            raise ValueError("the weights of the state do not sum to 1; rebuild the learner from its outcomes")
        if not 0 <= state.waiting < self._grid.block or state.at < 0:
            raise ValueError(f"the state waits with {state.waiting} outcomes at {state.at}; rebuild the learner")
        self._evidence, self._by_common = evidence, by_common
        self._by_group, self._by_regime = by_group, by_regime
        self._waiting, self._at = state.waiting, state.at

    def _levels(self, regimes: Integers, evidence: Floats) -> _Levels:
        """Return the posteriors of `regimes` (learner × regime; one row stands for all learners)."""
        hits, counts = _effective(evidence)
        own_hits, own_counts = (each[self._learners[:, None], :, regimes].swapaxes(1, 2) for each in (hits, counts))
        all_hits, all_counts = hits.sum(2), counts.sum(2)
        by_common, groups = self._means(all_hits, all_counts)
        mean, known = groups.mean[:, :, None, self._groups], groups.evidence[:, :, None, self._groups]
        lent = self._group / (1 + self._group / known)
        borrowed = lent * mean
        by_group = (borrowed + all_hits[:, :, None]) / (lent + all_counts[:, :, None])
        lent, borrowed = lent[:, :, None], borrowed[:, :, None]
        count = lent + (all_counts[:, :, None] - own_counts)[:, :, :, None]
        elsewhere = Beta((borrowed + (all_hits[:, :, None] - own_hits)[:, :, :, None]) / count, count)
        weights = self._by_group[:, :, None]
        prior = _beta(_average(weights, elsewhere.mean), _average(weights, elsewhere.square))
        borrowed = self._regime / (1 + self._regime / prior.evidence[:, :, :, None])
        count = borrowed + own_counts[:, :, :, None]
        here = Beta((borrowed * prior.mean[:, :, :, None] + own_hits[:, :, :, None]) / count, count)
        return _Levels(groups, by_common, by_group, elsewhere, here, (lent, borrowed))

    def _means(self, hits: Floats, counts: Floats) -> tuple[Floats, Beta]:
        """Return the mean of each group, for each strength of all signals, and its posterior averaged over these.

        However much is known of each signal, the mean of a group of few signals is uncertain, and so is that of few
        groups: what counts for k observations as a prior has n(k + 1) ÷ (n + k) of its n observations count for it.
        """
        known = counts[:, :, None] * ((self._group + 1) / (counts[:, :, None] + self._group))
        total = counts @ self._members
        part = self._independent_part(total, (counts * counts) @ self._members)
        known = part * (_average(self._by_group, known) @ self._members)
        found = hits @ self._members * np.divide(known, total, out=np.zeros_like(total), where=total > 0)
        part = self._independent_part(known.sum(2, keepdims=True), (known * known).sum(2, keepdims=True))
        mean = (part * found.sum(2, keepdims=True) + PRIOR) / (part * known.sum(2, keepdims=True) + 2 * PRIOR)
        found, known, mean, part = (each[:, :, None] for each in (found, known, mean, part))
        number = part * (known * ((self._common + 1) / (known + self._common))).sum(3, keepdims=True) + 2 * PRIOR
        lent = self._common / (1 + self._common / number)
        groups = Beta((lent * mean + found) / (lent + known), lent + known)
        return groups.mean, _beta(_average(self._by_common, groups.mean), _average(self._by_common, groups.square))

    def _independent_part(self, total: Floats, squares: Floats) -> Floats:
        """Return the part for which observations count in a mean, as they agree more often than by chance.

        The mean of m values with the correlation ρ has the variance of m ÷ (1 + (m − 1)·ρ) independent ones: the design
        effect (L. Kish, Survey Sampling, 1965). m is total² ÷ squares for the sums of counts and of their squares.
        """
        number = np.divide(total * total, squares, out=np.ones_like(total), where=squares > 0)
        part: Floats = 1 / (1 + (number - 1) * self._grid.together)
        return part


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


def _average(weights: Floats, values: Floats) -> Floats:
    """Return the sum of values (…, strength, group or signal) by weights (…, strength)."""
    found: Floats = (weights[..., None, :] @ values)[..., 0, :]
    return found


def _beta(mean: Floats, square: Floats) -> Beta:
    """Return Beta distributions by their mean and the mean of their square."""
    return Beta(mean, mean * (1 - mean) / (square - mean * mean) - 1)


def _drawn(found: Beta, generator: Generator) -> Floats:
    values = generator.beta(found.mean * found.evidence, (1 - found.mean) * found.evidence)
    drawn: Floats = np.clip(values, 1e-6, 1 - 1e-6)
    return drawn


def _log_likelihood(predicted: Floats, hits: Floats, counts: Floats) -> Floats:
    """Return the log likelihood of hits (…, group or signal) for each strength before the last axis of `predicted`."""
    found: Floats = (np.log(predicted) @ hits[..., None] + np.log1p(-predicted) @ (counts - hits)[..., None])[..., 0]
    return found

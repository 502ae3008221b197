"""Meta-parameters of trading, learned in each regime by Thompson sampling.

Only the value with which a trade was made is observed, so a value must be tried to be known. Each value of a small grid
is an arm; its reward is the result of a trade in R, cut at ±3. The mean of an arm has a normal posterior (D. Russo and
others, A Tutorial on Thompson Sampling, 2018, section 4): in a regime it borrows from the same arm in all regimes,
which borrows from all trades. Patience needs no trials: a followed exit shows the reward of each of its values.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from ocw_mcp.core.learning.draws import generator
from ocw_mcp.core.learning.outcomes import Outcome
from ocw_mcp.core.learning.posteriors import Floats
from ocw_mcp.domain.learning import HORIZONS
from ocw_mcp.domain.rounding import rounded, rounded_all
from ocw_mcp.domain.time import DAY, HOUR, span_ms

ARMS: Final[Mapping[str, tuple[float, ...]]] = {
    "size": (0.5, 0.75, 1.0),
    "selectivity": (0.8, 1.0, 1.25, 1.5),
    "trend": (0.0, 0.25, 0.5, 0.75, 1.0),
    "target": (0.75, 1.0, 1.5, 2.0),
    "loss_tolerance": (0.75, 1.0, 1.25),
}
"""The values of each meta-parameter that an entry shows: factors of what the policies have (size, the least score of an
entry, the distances of the target and of the stop), and the part of trend against reversion, 0..1."""
PATIENCE: Final[Mapping[str, tuple[float, ...]]] = {
    "patience": (0.0, *(span_ms(name) / HOUR for name in HORIZONS)),
}
"""The hours that a position is held longer than until the exit that a decider or a rule chose."""
LARGEST: Final = 3.0
"""R. A larger result counts as this one."""
HALF_LIFE: Final = 180 * DAY
"""The time (ms) in which the weight of a trade halves."""
BORROWED: Final = 20.0
"""The trades that the prior of an arm counts for."""


class Arm(Struct, frozen=True):
    """The posterior of one value of a meta-parameter."""

    value: float
    mean: float
    """The mean result of a trade in R."""
    deviation: float
    """The standard deviation of this mean, in R."""
    evidence: float
    """The effective number of trades with this value in the regime."""


class Advice(Struct, frozen=True):
    """The value of a meta-parameter to try in a regime. It is advice; the policies limit every order."""

    parameter: str
    value: float
    """The value whose drawn mean is the largest; it stays until a trade with choices is counted. Where the rewards of
    all values are known, nothing is drawn, and it is `best`."""
    best: float
    """The value with the largest mean; `value` while all are equal."""
    evidence: float
    """The effective number of trades with a known value in the regime."""
    arms: tuple[Arm, ...]


class ChoicesState(Struct):
    """The saved state of `Choices`. `sums` has, by parameter, regime and arm: weights, their squares and rewards."""

    sums: dict[str, list[list[list[float]]]]
    spread: list[float]
    """The weights of all trades, and the sums of their results and of the squares of these."""
    trades: int
    at: int


class Choices:
    """The arms of each meta-parameter, for each regime.

    With `all_known` each trade shows the reward of every value: count it with `take_all`, otherwise with `take`.
    """

    def __init__(
        self,
        regimes: Sequence[str],
        seed: int,
        arms: Mapping[str, tuple[float, ...]] = ARMS,
        *,
        all_known: bool = False,
    ) -> None:
        self._regimes, self._seed, self._arms, self._all_known = list(regimes), seed, dict(arms), all_known
        self._sums = {name: np.zeros((len(self._regimes), len(values), 3)) for name, values in self._arms.items()}
        self._spread = np.zeros(3)
        self._trades = self._at = 0

    def take(self, outcome: Outcome) -> None:
        """Count a closed trade for the values with which it was made; without any it counts as nothing.

        Raises ValueError, and changes nothing, for a parameter or value that does not exist.
        """
        if not outcome.choices:
            return
        for name, value in outcome.choices.items():
            if value not in self._arms.get(name, ()):
                raise ValueError(f"the outcome has {name} = {value}; expected values of {self._arms}")
        self._pass_time(outcome.at)
        reward = max(-LARGEST, min(LARGEST, outcome.net))
        self._spread += (1.0, reward, reward * reward)
        for name, value in outcome.choices.items():
            place = self._regimes.index(outcome.regime), self._arms[name].index(value)
            self._sums[name][place] += (1.0, 1.0, reward)

    def take_all(self, at: int, regime: str, name: str, rewards: Mapping[float, float]) -> None:
        """Count a trade of which the reward (R) of each value of a meta-parameter is known at `at` (ms).

        Raises ValueError, and changes nothing, unless every value has a reward.
        """
        if set(rewards) != set(self._arms.get(name, ())):
            raise ValueError(f"the rewards of {name} are of {sorted(rewards)}; expected all values of {self._arms}")
        number = self._regimes.index(regime)
        self._pass_time(at)
        cut = [max(-LARGEST, min(LARGEST, rewards[value])) for value in self._arms[name]]
        self._spread += (1.0, math.fsum(cut) / len(cut), math.fsum(each * each for each in cut) / len(cut))
        self._sums[name][number] += [(1.0, 1.0, reward) for reward in cut]

    def _pass_time(self, at: int) -> None:
        """Let what is known fade until `at` (ms), and count a trade."""
        if at > self._at > 0:
            fade = 0.5 ** ((at - self._at) / HALF_LIFE)
            self._spread *= fade
            for sums in self._sums.values():
                sums *= (fade, fade * fade, fade)
        self._at, self._trades = max(self._at, at), self._trades + 1

    def advise(self, regime: str) -> dict[str, Advice]:
        """Return the advice on each meta-parameter. Raises ValueError for a regime that does not exist."""
        number = self._regimes.index(regime)
        found = {}
        for place, (name, values) in enumerate(self._arms.items()):
            means, deviations, counts = self._posterior(self._sums[name], number)
            columns = [rounded_all(each.tolist()) for each in (means, deviations, counts)]
            largest = values[columns[0].index(max(columns[0]))]
            value = largest
            if not self._all_known:
                draws = generator(self._seed, number, self._trades, place, 1).normal(means, deviations)
                value = values[int(np.argmax(draws))]
            best = value if len(set(columns[0])) == 1 else largest
            evidence = rounded(max(columns[2]) if self._all_known else math.fsum(columns[2]))
            found[name] = Advice(name, value, best, evidence, tuple(map(Arm, values, *columns)))
        return found

    def _posterior(self, sums: Floats, number: int) -> tuple[Floats, Floats, Floats]:
        """Return mean, standard deviation and evidence of each arm. The prior is that of 10 trades of ±1 R."""
        weight, total, squares = self._spread
        centre = total / (weight + 10)
        variance = (squares + 10) / (weight + 10) - centre * centre
        counts, rates = _effective(sums)
        everywhere = counts.sum(0)
        over_all = ((counts * rates).sum(0) + BORROWED * centre) / (everywhere + BORROWED)
        own = counts[number]
        means = (own * rates[number] + BORROWED * over_all) / (own + BORROWED)
        # The prior is itself uncertain: its variance counts by the square of its part in the mean.
        part = BORROWED / (own + BORROWED)
        deviations = np.sqrt(variance * (1 / (own + BORROWED) + part * part / (everywhere + BORROWED)))
        return means, deviations, own

    def state(self) -> ChoicesState:
        """Return all that must survive a restart."""
        sums = {name: each.tolist() for name, each in self._sums.items()}
        return ChoicesState(sums, self._spread.tolist(), self._trades, self._at)

    def restore(self, state: ChoicesState, /) -> None:
        """Restore a state that `state` returned. Raises ValueError if it is damaged, and changes nothing."""
        if set(state.sums) != set(self._sums) or len(state.spread) != 3 or min(state.trades, state.at) < 0:
            raise ValueError(f"the state has the parameters {sorted(state.sums)}; expected {sorted(self._sums)}")
        found = {name: np.array(state.sums[name], dtype=np.float64) for name in self._sums}
        for name, sums in found.items():
            if sums.shape != self._sums[name].shape or not np.isfinite(sums).all() or (sums[..., :2] < 0).any():
                raise ValueError(f"the arms of {name} have the shape {sums.shape} or bad numbers; rebuild the learner")
        if not np.isfinite(state.spread).all():
            raise ValueError("the results of all trades are not numbers; rebuild the learner")
        self._sums, self._spread = found, np.array(state.spread, dtype=np.float64)
        self._trades, self._at = state.trades, state.at


def _effective(sums: Floats) -> tuple[Floats, Floats]:
    """Return the effective number of trades and the mean reward of each arm; see `posteriors` on Kish."""
    weights, squares, rewards = sums[..., 0], sums[..., 1], sums[..., 2]
    none = np.zeros_like(weights)
    counts = np.divide(weights * weights, squares, out=none.copy(), where=squares > 0)
    return counts, np.divide(rewards, weights, out=none, where=weights > 0)

"""Learns from outcomes which signals to trust in which regime.

The state is a function of the outcomes in their order: the same outcomes give the same bits.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import asdict

from ocw_mcp.core.learning.choices import PATIENCE, Choices, ChoicesState
from ocw_mcp.core.learning.draws import generator
from ocw_mcp.core.learning.outcomes import Outcome, Source
from ocw_mcp.core.learning.payoffs import Payoffs, PayoffsState
from ocw_mcp.core.learning.posteriors import GRID, Beta, Floats, Grid, Posteriors, PosteriorsState
from ocw_mcp.core.learning.quantiles import beta_quantiles
from ocw_mcp.domain.learning import LearnedReliability, Trust
from ocw_mcp.domain.rounding import rounded, rounded_all

LOW: Final = 0.05
HIGH: Final = 0.95
"""The quantiles that bound the interval of a reliability: it has the truth with a probability of 90 %."""


class LearningSettings(Struct, frozen=True):
    """How outcomes count. A change of settings needs a rebuild from the outcomes."""

    seed: int = 1
    """Of the draws."""
    counterfactual_weight: float = 0.5
    """The part of an observation that a HOLD or a refusal counts for, 0..1; 0 counts only trades."""
    counterfactuals_per_trade: float = 4.0
    """The observations, for each trade and for 20 trades at the start, that HOLDs and refusals may count for."""
    grid: Grid = GRID


SETTINGS: Final = LearningSettings()


class Reading(Struct, frozen=True):
    """The posteriors of one regime. Signals are in the order in which the learner got them."""

    regime: str
    signals: tuple[LearnedReliability, ...]
    groups: tuple[LearnedReliability, ...]
    trades: int
    """The trades counted so far, in all regimes."""
    counterfactuals: int
    """The HOLDs and refusals counted so far, in all regimes."""


class Vote(Struct, frozen=True):
    """What the signals say together."""

    score: float
    """The weighted mean of the signs, −1..1, above 0 for long; 0 while nothing is known."""
    log_odds: float
    """The sum of the weighted signs: the log-odds of a rise if the signals were independent, which they are not."""
    parts: Mapping[str, float]
    """The weighted sign of each signal that has one."""


class LearnerState(Struct):
    """The saved state of `Learner`."""

    signals: dict[str, str]
    regimes: list[str]
    settings: LearningSettings
    posteriors: PosteriorsState
    payoffs: PayoffsState
    choices: ChoicesState
    patience: ChoicesState
    trades: int
    counterfactuals: int
    excluded: dict[str, int]
    counted: float
    """The observations that HOLDs and refusals counted for."""


class Learner:
    """Posteriors of signals, of payoffs and of meta-parameters, for each regime.

    `signals` has the group of each signal by its name. `regimes` has all names that a regime can have; one of them
    should stand for an unknown regime.
    """

    def __init__(
        self, signals: Mapping[str, str], regimes: Sequence[str], settings: LearningSettings = SETTINGS
    ) -> None:
        if not signals or not regimes or len(set(regimes)) < len(regimes):
            raise ValueError(f"a learner needs signals and different regimes, has {len(signals)} and {list(regimes)}")
        self._signals, self._regimes, self._settings = dict(signals), list(regimes), settings
        self._groups = list(dict.fromkeys(signals.values()))
        numbers = np.array([self._groups.index(group) for group in signals.values()])
        self._posteriors = Posteriors(numbers, len(regimes), grid=settings.grid)
        self.payoffs = Payoffs(regimes)
        """The results of trades in R, from which `kelly` advises a size."""
        self.choices = Choices(regimes, settings.seed)
        """The meta-parameters that entries show."""
        self.patience = Choices(regimes, settings.seed, PATIENCE, all_known=True)
        """The hours to hold a position longer, from exits that were followed."""
        self._trades = self._counterfactuals = 0
        self._excluded: dict[str, int] = {}
        self._counted = 0.0
        self._read: dict[str, Reading] = {}

    def take(self, outcome: Outcome) -> bool:
        """Count an outcome; return whether it was evidence of a signal.

        An excluded outcome is not, nor is a result of 0, or one of signals that are all 0 or unknown. Raises ValueError
        for a regime or a signal that the learner does not have.
        """
        number = self._number(outcome.regime)
        unknown = outcome.signals.keys() - self._signals.keys()
        if unknown:
            raise ValueError(f"the outcome has the signals {sorted(unknown)}; expected some of {list(self._signals)}")
        if outcome.excluded is not None:
            self._excluded[outcome.excluded] = self._excluded.get(outcome.excluded, 0) + 1
            return False
        real = outcome.source is Source.TRADE
        weight = 1.0 if real else self._counterfactual_weight()
        if real:
            self.choices.take(outcome)
            self.payoffs.take(outcome)
            self._trades += 1
            self._read.clear()
        if outcome.held is not None:
            self.patience.take_all(outcome.at, outcome.held.regime, "patience", outcome.held.results)
        values = [outcome.signals.get(name, 0.0) for name in self._signals]
        if outcome.net == 0 or weight == 0 or not any(values):
            return False
        right = math.copysign(1.0, outcome.direction * outcome.net)
        hits = np.array([[weight if value * right > 0 else 0.0 for value in values]])
        counts = np.array([[weight if value else 0.0 for value in values]])
        self._posteriors.add(outcome.at, np.array([number]), hits, counts)
        if not real:
            self._counterfactuals += 1
            self._counted += weight
        self._read.clear()
        return True

    def read(self, regime: str) -> Reading:
        """Return what is known in a regime. Raises ValueError for a regime that the learner does not have."""
        if regime not in self._read:
            self._read[regime] = self._learned(regime, self._number(regime))
        return self._read[regime]

    def vote(self, values: Mapping[str, float], regime: str, drawn: bool = False) -> Vote:
        """Return the vote of signals, from the means or from the drawn reliabilities.

        The log-odds of the reliability are the right weight of an independent vote (S. Nitzan and J. Paroush, Optimal
        decision rules in uncertain dichotomous choice situations, 1982).
        """
        parts = {}
        for signal in self.read(regime).signals:
            value = values.get(signal.name, 0.0)
            if value:
                weight = log_odds(signal.drawn) if drawn else signal.weight
                parts[signal.name] = math.copysign(1.0, value) * weight
        votes, total = math.fsum(parts.values()), math.fsum(map(abs, parts.values()))
        return Vote(votes / total if total else 0.0, votes, parts)

    @property
    def is_new(self) -> bool:
        """Whether no outcome was counted or excluded."""
        return not (self._trades or self._counterfactuals or self._excluded)

    @property
    def excluded(self) -> Mapping[str, int]:
        """The number of outcomes that were not learned from, by cause."""
        return self._excluded

    def state(self) -> LearnerState:
        """Return all that must survive a restart."""
        return LearnerState(
            dict(self._signals),
            list(self._regimes),
            self._settings,
            self._posteriors.state(),
            self.payoffs.state(),
            self.choices.state(),
            self.patience.state(),
            self._trades,
            self._counterfactuals,
            dict(self._excluded),
            self._counted,
        )

    def restore(self, state: LearnerState, /) -> None:
        """Restore a state that `state` returned.

        Raises ValueError if the state is of other signals, regimes or settings, or is damaged, and changes nothing.
        The learner must then be rebuilt from the outcomes.
        """
        for what, found, expected in (
            ("signals", state.signals, self._signals),
            ("regimes", dict.fromkeys(state.regimes), dict.fromkeys(self._regimes)),
            ("settings", asdict(state.settings), asdict(self._settings)),
        ):
            if names := sorted({name for name, _ in found.items() ^ expected.items()}):
                raise ValueError(f"the state has other {what} ({', '.join(names)}). Rebuild it from the outcomes")
        if list(state.signals) != list(self._signals) or state.regimes != self._regimes:
            raise ValueError("the state has the signals or regimes in another order. Rebuild it from the outcomes")
        if min(state.trades, state.counterfactuals, *state.excluded.values()) < 0 or not 0 <= state.counted < math.inf:
            raise ValueError("the state counts fewer outcomes than none. Rebuild it from the outcomes")
        old = self._posteriors.state(), self.payoffs.state(), self.choices.state()
        self._posteriors.restore(state.posteriors)
        try:
            self.payoffs.restore(state.payoffs)
            self.choices.restore(state.choices)
            self.patience.restore(state.patience)
        except ValueError:
            self._posteriors.restore(old[0])
            self.payoffs.restore(old[1])
            self.choices.restore(old[2])
            raise
        self._trades, self._counterfactuals = state.trades, state.counterfactuals
        self._excluded, self._counted = dict(state.excluded), state.counted
        self._read.clear()

    def _number(self, regime: str) -> int:
        if regime not in self._regimes:
            raise ValueError(f"there is no regime {regime!r}; expected one of {self._regimes}")
        return self._regimes.index(regime)

    def _counterfactual_weight(self) -> float:
        most = self._settings.counterfactuals_per_trade * (self._trades + 20)
        return max(0.0, min(self._settings.counterfactual_weight, most - self._counted))

    def _learned(self, regime: str, number: int) -> Reading:
        where = np.array([number])
        signals, groups = self._posteriors.read(where), self._posteriors.groups(where)
        drawn = self._posteriors.draw(
            where, generator(self._settings.seed, number, self._trades, self._counterfactuals, 0)
        )
        of = list(self._signals.values())
        evidence = self._posteriors.evidence(where)[0].tolist()
        sizes = [abs(log_odds(mean)) for mean in rounded_all(signals.mean[0].tolist())]
        total = math.fsum(sizes) or 1.0
        shares = [size / total for size in sizes]
        of_groups = (
            [
                math.fsum(value for value, group in zip(values, of, strict=True) if group == name)
                for name in self._groups
            ]
            for values in (evidence, shares)
        )
        return Reading(
            regime,
            _reliabilities(list(self._signals), of, signals, drawn.signals, evidence, shares),
            _reliabilities(self._groups, self._groups, groups, drawn.groups, *of_groups),
            self._trades,
            self._counterfactuals,
        )


def _reliabilities(
    names: Sequence[str], groups: Sequence[str], found: Beta, draws: Floats, evidence: list[float], shares: list[float]
) -> tuple[LearnedReliability, ...]:
    low, high = beta_quantiles(found, LOW, HIGH)
    columns = [rounded_all(each[0].tolist()) for each in (found.mean, low, high, draws)]
    return tuple(
        LearnedReliability(
            name,
            group,
            mean,
            low,
            high,
            rounded(count),
            drawn,
            trust(low, high),
            rounded(log_odds(mean)),
            rounded(share),
        )
        for name, group, mean, low, high, drawn, count, share in zip(
            names, groups, *columns, evidence, shares, strict=True
        )
    )


def log_odds(probability: float) -> float:
    """Return ln(p ÷ (1 − p))."""
    return math.log(probability / (1 - probability))


def trust(low: float, high: float) -> Trust:
    """Return what an interval says about a reliability."""
    return Trust.TRUSTED if low > 0.5 else Trust.DISTRUSTED if high < 0.5 else Trust.UNPROVEN

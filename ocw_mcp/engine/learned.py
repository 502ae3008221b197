"""Conversions: from outcomes of the journal to those of the learner, and from the learner to what clients see."""

from collections.abc import Mapping
from functools import cache
from typing import Final

from ocw_mcp.core import signals
from ocw_mcp.core.learning.choices import ARMS
from ocw_mcp.core.learning.claims import Claims
from ocw_mcp.core.learning.learner import Learner, LearningSettings
from ocw_mcp.core.learning.outcomes import HeldLonger, Outcome
from ocw_mcp.domain.learning import (
    HORIZONS,
    REGIMES,
    UNKNOWN_REGIME,
    Learned,
    LearnedChoice,
    LearnedExits,
    OutcomeExclusion,
    OutcomeSource,
)
from ocw_mcp.domain.learning_events import OutcomeScored
from ocw_mcp.domain.time import HOUR, span_ms

SEED: Final = 1
"""The seed of the draws of the learner."""


def outcome_of(event: OutcomeScored, at: int) -> Outcome:
    """Return an outcome of the journal, without signals and meta-parameters that this version does not have."""
    excluded = None if event.excluded is None else OutcomeExclusion(event.excluded)
    return Outcome(
        at=at,
        regime=_regime(event.regime),
        direction=event.direction,
        signals={name: value for name, value in event.values.items() if name in signals.SIGNALS},
        net=event.net,
        source=OutcomeSource(event.source),
        excluded=excluded,
        choices={name: value for name, value in event.choices.items() if value in ARMS.get(name, ())},
        held=_held(event),
    )


def _regime(name: str) -> str:
    return name if name in REGIMES else UNKNOWN_REGIME


def _held(event: OutcomeScored) -> HeldLonger | None:
    """Return what the trade of a followed exit would have yielded; None unless its exit was chosen."""
    trade = event.exited
    if trade is None or set(event.horizons) != set(HORIZONS):
        return None
    longer = {span_ms(name) / HOUR: trade.net + trade.share * regret for name, regret in event.horizons.items()}
    return HeldLonger(_regime(trade.regime), {0.0: trade.net, **longer})


def count_regret(regrets: dict[str, list[float]], event: OutcomeScored) -> None:
    """Add an exit to the number of exits, and the sum of their regrets, at each horizon; other outcomes have none."""
    if event.source is OutcomeSource.EXIT:
        for name, regret in event.horizons.items():
            known = regrets.setdefault(name, [0.0, 0.0])
            known[0] += 1
            known[1] += regret


def summed(regime: str, learner: Learner, regrets: Mapping[str, list[float]], claims: Claims) -> Learned:
    """Return what a learner knows in a regime, with the regrets of exits and the claims of deciders."""
    found, size = learner.read(regime), learner.payoffs.advise(regime)
    choices = [*learner.choices.advise(regime).values(), *learner.patience.advise(regime).values()]
    return Learned(
        regime,
        found.trades,
        found.counterfactuals,
        dict(learner.excluded),
        found.signals,
        found.groups,
        size,
        tuple(LearnedChoice(each.parameter, each.value, each.best, each.evidence) for each in choices),
        tuple(
            LearnedExits(name, total / count, round(count))
            for name in HORIZONS
            if (count := regrets.get(name, [0.0, 0.0])[0])
            for total in [regrets[name][1]]
        ),
        claims.read(),
    )


@cache
def known_at_first(regime: str) -> Learned:
    """Return what is known in a regime without any outcome, which takes some milliseconds to compute."""
    return summed(regime, Learner(signals.GROUPS, REGIMES, LearningSettings(seed=SEED)), {}, Claims())

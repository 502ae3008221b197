"""Signals of known reliability, and the results of trades in whose direction they were right or wrong.

The log-odds of a reliability are the sum of a mean of all signals, a deviation of its group, one of its own, and for a
few signals an effect or its opposite. Regimes are alike if each adds a small deviation to the same signals, unrelated
if each draws its own. A part of the results is luck: a coin decides it, and no signal knows. Signals of a group are
correlated by a common factor (a Gaussian copula).
"""

from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from ocw_mcp.adapters.feeds.simulated.paths import generator

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SIGNALS: Final = 32
GROUPS: Final = 6
TRADES: Final = 600
MONTHLY: Final = 25
"""The trades of a month of 30 days."""
LEFT_OUT: Final = 4
"""The decisions without a trade for each trade."""
GROUP_OF: Final[Integers] = np.arange(SIGNALS) * GROUPS // SIGNALS
_PLACES: Final = np.linspace(-6, 6, 4_001)
_NORMAL: Final = np.array([NormalDist().cdf(place) for place in _PLACES.tolist()])


class World(Struct, frozen=True):
    """The parameters of a world. Log-odds are those without luck."""

    regimes: int = 3
    alike: bool = True
    luck: float = 0.4
    """The part of results that a coin decides."""
    drift: float = 0.0
    """The standard deviation by which log-odds move from a trade to the next."""
    stay: float = 0.98
    """The probability that no new regime is drawn at a trade."""
    mean: float = 0.1
    of_group: float = 0.1
    """The standard deviation of groups."""
    of_signal: float = 0.05
    """The standard deviation of signals in a group."""
    of_regime: float = 0.08
    """The standard deviation of regimes that are alike."""
    effect: float = 0.35
    informative: float = 0.1
    """The part of signals with the effect."""
    misleading: float = 0.06
    """The part of signals with its opposite."""
    correlation: float = 0.1
    """The correlation of the signals of a group."""


class Step(NamedTuple):
    """One trade of each seed, and the decisions without a trade before the next."""

    regime: Integers
    reliability: Floats
    """Seed × signal; luck included."""
    right: npt.NDArray[np.bool_]
    """Seed × decision × signal: whether the signal agreed with the result. The first decision is the trade."""


def steps(world: World, seeds: int, seed: int) -> "list[Step]":
    """Return the trades of `seeds` independent histories."""
    draw, learners = generator(seed, 0, "bench of learning"), np.arange(seeds)

    def signals() -> Floats:
        groups = draw.normal(world.mean, world.of_group, (seeds, GROUPS))
        own = groups[:, GROUP_OF] + draw.normal(0, world.of_signal, (seeds, SIGNALS))
        special = draw.random((seeds, SIGNALS))
        sign = (special < world.informative).astype(float) - (special > 1 - world.misleading)
        return np.asarray(own + sign * world.effect)

    if world.regimes > 1 and not world.alike:
        odds = np.stack([signals() for _ in range(world.regimes)], 1)
    else:
        between = world.of_regime if world.regimes > 1 else 0.0
        odds = signals()[:, None] + draw.normal(0, between, (seeds, world.regimes, SIGNALS))
    regime = draw.integers(0, world.regimes, seeds)
    found = []
    for _ in range(TRADES):
        regime = np.where(draw.random(seeds) < world.stay, regime, draw.integers(0, world.regimes, seeds))
        known = 1 / (1 + np.exp(-odds[learners, regime]))
        common = draw.normal(size=(seeds, 1 + LEFT_OUT, GROUPS))[:, :, GROUP_OF]
        own = draw.normal(size=(seeds, 1 + LEFT_OUT, SIGNALS))
        latent = np.sqrt(world.correlation) * common + np.sqrt(1 - world.correlation) * own
        lucky = draw.random((seeds, 1 + LEFT_OUT, 1)) < world.luck / 2
        right = (latent < np.interp(known, _NORMAL, _PLACES)[:, None]) ^ lucky
        found.append(Step(regime, (1 - world.luck) * known + world.luck / 2, right))
        if world.drift:
            odds = odds + draw.normal(0, world.drift, odds.shape)
    return found

"""The levels of a model: which states they have, their probabilities, and the hysteresis between them."""

from typing import Final

import numpy as np
from msgspec import Struct

from ocw_mcp.core.regime.model import Floats
from ocw_mcp.domain.regime import LEVELS, Level

LEAST_PROBABILITY: Final = 0.8
"""The least filtered probability with which a day counts for a level."""
CALMER_DAYS: Final = 5
"""The consecutive days that must count for a calmer level before the level falls. It rises on the first day."""


def level_of(state: int, states: int) -> Level:
    """Return the level of a state: calm for the calmest, turbulent for the most volatile, normal for those between."""
    return Level.CALM if state == 0 else Level.TURBULENT if state == states - 1 else Level.NORMAL


def members(level: Level, states: int) -> tuple[int, ...]:
    """Return the states of a level; a model of two states has none that is normal."""
    return tuple(state for state in range(states) if level_of(state, states) is level)


def level_probabilities(probabilities: Floats) -> dict[Level, float]:
    """Return the probability of each level from those of the states."""
    states = len(probabilities)
    return {level: float(sum(probabilities[state] for state in members(level, states))) for level in LEVELS}


class HysteresisState(Struct):
    """The saved state of `Hysteresis`."""

    level: Level | None = None
    since: int = 0
    waiting: list[Level] = []
    """The levels of the last consecutive days that counted for a calmer level."""


class Hysteresis:
    """Holds the level: it rises at once, and falls after `CALMER_DAYS` calmer days in a row."""

    def __init__(self) -> None:
        self._state = HysteresisState()

    def update(self, probabilities: Floats, at: int) -> Level:
        """Take the filtered probabilities of the states at `at` (ms); return the level."""
        by_level, state = level_probabilities(probabilities), self._state
        day = max(LEVELS, key=lambda level: by_level[level])
        if state.level is None:
            return self._set(level_of(int(np.argmax(probabilities)), len(probabilities)), at)
        # A level that the model lacks, normal with two states, cannot be kept: the more cautious one takes its place.
        if not members(state.level, len(probabilities)):
            return self._set(Level.TURBULENT, at)
        if by_level[day] < LEAST_PROBABILITY or day is state.level:
            state.waiting.clear()
            return state.level
        if LEVELS.index(day) > LEVELS.index(state.level):
            return self._set(day, at)
        state.waiting.append(day)
        if len(state.waiting) < CALMER_DAYS:
            return state.level
        return self._set(max(state.waiting, key=LEVELS.index), at)

    def _set(self, level: Level, at: int) -> Level:
        self._state = HysteresisState(level, at)
        return level

    @property
    def level(self) -> Level | None:
        """The level; None before the first update."""
        return self._state.level

    @property
    def since(self) -> int:
        """The time (ms) at which the level began."""
        return self._state.since

    def state(self) -> HysteresisState:
        """Return all that must survive a restart."""
        return self._state

    def restore(self, state: HysteresisState, /) -> None:
        """Restore a state that `state` returned."""
        self._state = state

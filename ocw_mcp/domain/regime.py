"""The market regime: its levels, a reading of it, and the fitted models that readings come from."""

from enum import StrEnum
from typing import Final

import msgspec


class Level(StrEnum):
    """A level of volatility, relative to the days from which the model was fitted; the calmest first."""

    CALM = "calm"
    NORMAL = "normal"
    TURBULENT = "turbulent"


LEVELS: Final = tuple(Level)


class RegimeReading(msgspec.Struct, frozen=True, tag="regime", tag_field="is"):
    """The regime known at the close of a day, from the data up to this close."""

    at: int
    """The time (ms) of the close."""
    level: Level
    """The level after hysteresis."""
    probability: float
    """The filtered probability of this level. It may be small while the level waits for a confirmation."""
    state: int
    """The most probable state, 0 the calmest."""
    probabilities: tuple[float, ...]
    """The filtered probability of each state, the calmest first."""
    expected_days: float | None
    """The days until the market is expected to leave the level, from the model's transitions; None if it never is."""
    since: int
    """The time (ms) of the close at which the level began."""
    volatility: float
    """The realised volatility of 14 days, as a share of the price a year."""
    fitted_at: int
    """The time (ms) of the last close that the model was fitted from."""

    @property
    def states(self) -> int:
        """The number of states of the model."""
        return len(self.probabilities)

    @property
    def by_level(self) -> dict[Level, float]:
        """The filtered probability of each level; 0 for `normal` if the model has only two states."""
        calmest, *between, most_volatile = self.probabilities
        return {Level.CALM: calmest, Level.NORMAL: sum(between), Level.TURBULENT: most_volatile}


class RegimeModel(msgspec.Struct, frozen=True):
    """A Gaussian hidden Markov model with diagonal covariances, whose states are ordered by volatility, lowest first.

    Means and variances are those of rows from which `centre` was subtracted, and which were divided by `scale`.
    """

    start: tuple[float, ...]
    """The probability of each state at the first row."""
    transitions: tuple[tuple[float, ...], ...]
    """The probability of each state at the next row, one tuple for each state."""
    means: tuple[tuple[float, ...], ...]
    variances: tuple[tuple[float, ...], ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]

    @property
    def states(self) -> int:
        """The number of states."""
        return len(self.start)


class Candidate(msgspec.Struct, frozen=True):
    """The best fit with one number of states; with 1 state, a single normal distribution for comparison."""

    states: int
    log_likelihood: float | None
    """The value for the scaled rows: it compares between numbers of states, but not between rows."""
    parameters: int
    bic: float | None
    """−2 × log likelihood + parameters × ln(rows)."""
    thinned_bic: float | None
    """The same as if only every `overlap`-th row were observed: both terms for rows / overlap."""
    problem: str | None = None
    """Why the candidate cannot be chosen; None if it can."""


class RegimeFit(msgspec.Struct, frozen=True, tag="fit", tag_field="is"):
    """A chosen model with all candidates."""

    model: RegimeModel
    rows: int
    overlap: int
    candidates: tuple[Candidate, ...]


class FitRequest(msgspec.Struct, frozen=True):
    """The rows from which a worker shall fit a model."""

    symbol: str
    at: int
    """The time (ms) of the last close in `rows`."""
    rows: tuple[tuple[float, ...], ...]
    """The features of each day, oldest first."""
    seed: int

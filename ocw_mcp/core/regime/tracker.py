"""Follows the regime of one symbol day by day: asks for fits at fixed times, and reads the level in between."""

from typing import Final

import numpy as np
from msgspec import Struct

from ocw_mcp.core.regime.features import LEAD, VOLATILITY, WINDOW, DailyCloses, annual
from ocw_mcp.core.regime.fitting import Fit, fit
from ocw_mcp.core.regime.model import Floats, advance, expected_days, filtered
from ocw_mcp.core.regime.reading import Hysteresis, HysteresisState, RegimeReading, level_probabilities, members
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import DAY
from ocw_mcp.domain.unknown import Unknown


class RegimeSettings(Struct, frozen=True):
    """When models are fitted, and from how many days."""

    fit_days: int = 1_460
    """The most days from which a model is fitted."""
    first_fit: int = 365
    """The days with features before the first fit."""
    refit: int = 28 * DAY
    """A model is fitted at the first close at or after each multiple of this time (ms since 1970)."""
    longest_use: int = 56 * DAY
    """The age (ms) at which a model is no longer used."""


SETTINGS: Final = RegimeSettings()


class FitRequest(Struct, frozen=True):
    """The rows from which a worker shall fit a model; `run` does it."""

    at: int
    """The time (ms) of the last close in `rows`."""
    rows: Floats
    seed: int

    def run(self) -> Fit | Unknown:
        """Return the fit. It depends on nothing but this request. Takes up to a second; imports hmmlearn."""
        return fit(self.rows, self.seed, WINDOW)


class TrackerState(Struct):
    """The saved state of `RegimeTracker`."""

    closes: list[tuple[int, float]]
    fit: Fit | None
    fitted_at: int
    asked_at: int
    refused: Unknown | None
    probabilities: list[float] | None
    hysteresis: HysteresisState


class RegimeTracker:
    """Takes daily candles in order of time, and fits when they are done. The reading never looks ahead."""

    def __init__(self, seed: int = 1, settings: RegimeSettings = SETTINGS) -> None:
        self._seed, self._settings = seed, settings
        self._closes = DailyCloses(settings.fit_days + LEAD)
        self._hysteresis = Hysteresis()
        self._fit: Fit | None = None
        self._fitted_at = self._asked_at = -1
        self._refused: Unknown | None = None
        self._probabilities: Floats | None = None
        self.reading: RegimeReading | Unknown = Unknown("no daily candle has closed")
        """The regime at the last close, or why it is unknown."""

    def close(self, candle: Candle) -> FitRequest | None:
        """Take a closed daily candle; return a request for a fit if one is due. Raises ValueError as `DailyCloses`."""
        if self._closes.add(candle):  # after a long data gap: what was known is of another time
            self._fit = self._refused = self._probabilities = None
            self._asked_at = -1
            self._hysteresis = Hysteresis()
        rows, at = self._closes.rows(), self._closes.at
        if isinstance(rows, Unknown):
            self._probabilities = None
        elif self._fit is not None:
            chances = self._probabilities
            if chances is None:
                chances = filtered(self._fit.model, rows[-self._settings.fit_days :])[0][-1]
            else:
                chances = advance(self._fit.model, chances, rows[-1])
            self._probabilities = chances
            self._hysteresis.update(chances, at)
        self.reading, refit = self._read(rows), self._settings.refit
        if isinstance(rows, Unknown) or len(rows) < self._settings.first_fit or at // refit == self._asked_at // refit:
            return None
        self._asked_at = at
        return FitRequest(at, rows[-self._settings.fit_days :], self._seed)

    def take(self, request: FitRequest, found: Fit | Unknown) -> None:
        """Take the fit of a request; readings use it from the next close. An unknown fit makes them unknown."""
        self._fitted_at, self._probabilities = request.at, None
        self._fit, self._refused = (None, found) if isinstance(found, Unknown) else (found, None)

    def _read(self, rows: Floats | Unknown) -> RegimeReading | Unknown:
        """Return the reading at the last close, after hysteresis."""
        at, chances, level = self._closes.at, self._probabilities, self._hysteresis.level
        if isinstance(rows, Unknown):
            return rows
        if self._refused is not None:
            return self._refused
        if self._fit is None or chances is None or level is None:
            first = self._settings.first_fit
            if len(rows) < first:
                return Unknown(f"a fit needs {first} days with features, has {len(rows)}")
            return Unknown("the first fit is not done")
        if at - self._fitted_at >= self._settings.longest_use:
            return Unknown(f"the model is {(at - self._fitted_at) // DAY} days old")
        model = self._fit.model
        return RegimeReading(
            at=at,
            level=level,
            probability=level_probabilities(chances)[level],
            state=int(np.argmax(chances)),
            probabilities=tuple(chances.tolist()),
            expected_days=expected_days(model, chances, members(level, model.states)),
            since=self._hysteresis.since,
            volatility=annual(float(rows[-1, VOLATILITY])),
            fitted_at=self._fitted_at,
        )

    @property
    def fit(self) -> Fit | None:
        """The fit in use."""
        return self._fit

    def state(self) -> TrackerState:
        """Return all that must survive a restart."""
        chances = None if self._probabilities is None else self._probabilities.tolist()
        return TrackerState(
            self._closes.state(),
            self._fit,
            self._fitted_at,
            self._asked_at,
            self._refused,
            chances,
            self._hysteresis.state(),
        )

    def restore(self, state: TrackerState, /) -> None:
        """Restore a state that `state` returned."""
        self._closes.restore(state.closes)
        self._hysteresis.restore(state.hysteresis)
        self._fit, self._fitted_at, self._asked_at = state.fit, state.fitted_at, state.asked_at
        self._refused = state.refused
        self._probabilities = None if state.probabilities is None else np.array(state.probabilities)
        if len(self._closes):
            self.reading = self._read(self._closes.rows())

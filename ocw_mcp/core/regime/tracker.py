"""Follows the regime of one symbol day by day: asks for fits at fixed times, and reads the level in between."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from msgspec import Struct

from ocw_mcp.core.regime.features import LEAD, VOLATILITY, DailyCloses, annual
from ocw_mcp.core.regime.model import Floats, advance, expected_days, filtered
from ocw_mcp.core.regime.reading import Hysteresis, HysteresisState, level_probabilities, members
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.regime import FitRequest, RegimeFit, RegimeReading
from ocw_mcp.domain.rounding import rounded, rounded_all
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


class TrackerState(Struct):
    """The saved state of `RegimeTracker`."""

    closes: list[tuple[int, float]]
    fit: RegimeFit | None
    fitted_at: int
    asked_at: int
    refused: Unknown | None
    probabilities: list[float] | None
    hysteresis: HysteresisState
    reading: RegimeReading | Unknown
    failure: str = ""


class RegimeTracker:
    """Takes daily candles in order of time, and fits when they are done. The reading never looks ahead."""

    def __init__(self, seed: int = 1, settings: RegimeSettings = SETTINGS) -> None:
        self._seed, self._settings = seed, settings
        self._closes = DailyCloses(settings.fit_days + LEAD)
        self._hysteresis = Hysteresis()
        self._fit: RegimeFit | None = None
        self._fitted_at = self._asked_at = -1
        self._refused: Unknown | None = None
        self._probabilities: Floats | None = None
        self._failure = ""
        """Why the worker has not answered the last request; empty if it has."""
        self.reading: RegimeReading | Unknown = Unknown("no daily candle has closed")
        """The regime at the last close, or why it is unknown."""

    def close(self, candle: Candle) -> FitRequest | None:
        """Take a closed daily candle; return a request for a fit if one is due. Raises ValueError as `DailyCloses`."""
        self._add(candle)
        rows, at = self._closes.rows(), self._closes.at
        if isinstance(rows, Unknown):
            self._probabilities, self._hysteresis = None, Hysteresis()
        elif self._fit is not None:
            chances = self._probabilities
            if chances is None:
                chances = filtered(self._fit.model, rows[-self._settings.fit_days :])[0][-1]
            elif self._closes.follows:  # the first close after a gap has no row of its own
                chances = advance(self._fit.model, chances, rows[-1])
            self._probabilities = chances
            self._hysteresis.update(chances, at)
        self.reading = self._read(rows)
        return self._due(candle.symbol, rows)

    def warm(self, candles: Iterable[Candle]) -> None:
        """Take closed daily candles without readings and requests. Raises ValueError as `DailyCloses`."""
        for candle in candles:
            self._add(candle)

    def begin(self, symbol: str) -> FitRequest | None:
        """Read the last close after `warm`, and return a request for a fit if one is due there."""
        if not len(self._closes):
            return None
        rows = self._closes.rows()
        self.reading = self._read(rows)
        return self._due(symbol, rows)

    @property
    def closed_at(self) -> int:
        """The time (ms) of the last close; -1 before the first."""
        return self._closes.at if len(self._closes) else -1

    def _add(self, candle: Candle) -> None:
        if self._closes.add(candle):  # after a long data gap: what was known is of another time
            self._fit = self._refused = self._probabilities = None
            self._asked_at = -1
            self._hysteresis = Hysteresis()

    def _due(self, symbol: str, rows: Floats | Unknown) -> FitRequest | None:
        """Return a request for a fit if one is due at the last close."""
        at, refit = self._closes.at, self._settings.refit
        if isinstance(rows, Unknown) or len(rows) < self._settings.first_fit or at // refit == self._asked_at // refit:
            return None
        self._asked_at = at
        return self._request(symbol, rows)

    def _request(self, symbol: str, rows: Floats) -> FitRequest:
        kept = rows[-self._settings.fit_days :].tolist()
        return FitRequest(symbol, self._asked_at, tuple(tuple(row) for row in kept), self._seed)

    def pending(self, symbol: str) -> FitRequest | None:
        """Return the last request again, if no fit came for it and no day has closed since; None otherwise."""
        if not len(self._closes) or not self.expects(self._closes.at):
            return None
        rows = self._closes.rows()
        return None if isinstance(rows, Unknown) else self._request(symbol, rows)

    def expects(self, at: int) -> bool:
        """Return whether the last request is that of `at` (ms), and has no answer."""
        return at == self._asked_at and at != self._fitted_at

    def take(self, at: int, found: RegimeFit | Unknown) -> None:
        """Take the fit of the request of `at` (ms); readings use it from the next close, the first one at once.

        An unknown fit makes the readings unknown. A fit of other days than the last request's is ignored.
        """
        if not self.expects(at):
            return
        first = self._fit is None and self._refused is None and at == self._closes.at
        self._fitted_at, self._probabilities, self._failure = at, None, ""
        if isinstance(found, Unknown):
            self._fit, self._refused, self._hysteresis = None, found, Hysteresis()
        else:
            self._fit, self._refused = found, None
        rows = self._closes.rows() if first else None
        if rows is not None and not isinstance(rows, Unknown):
            if self._fit is not None:
                self._probabilities = filtered(self._fit.model, rows[-self._settings.fit_days :])[0][-1]
                self._hysteresis.update(self._probabilities, at)
            self.reading = self._read(rows)

    def fail(self, at: int, why: str) -> None:
        """Note that there is no answer to the request of `at` (ms): it is made again at the next close.

        The model in use is kept until it is too old.
        """
        if at == self._asked_at:
            self._asked_at, self._failure = -1, why
            if self._fit is None and self._refused is None and at == self._closes.at:
                self.reading = self._read(self._closes.rows())

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
            return Unknown(f"the first fit is not done{f': {self._failure}' if self._failure else ''}")
        if at - self._fitted_at >= self._settings.longest_use:
            return Unknown(f"the model is {(at - self._fitted_at) // DAY} days old")
        model = self._fit.model
        days = expected_days(model, chances, members(level, model.states))
        return RegimeReading(
            at=at,
            level=level,
            probability=rounded(level_probabilities(chances)[level]),
            state=int(np.argmax(chances)),
            probabilities=rounded_all(chances.tolist()),
            expected_days=days if days is None else rounded(days),
            since=self._hysteresis.since,
            volatility=rounded(annual(float(rows[-1, VOLATILITY]))),
            fitted_at=self._fitted_at,
        )

    @property
    def fit(self) -> RegimeFit | None:
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
            self.reading,
            self._failure,
        )

    def restore(self, state: TrackerState, /) -> None:
        """Restore a state that `state` returned."""
        self._closes.restore(state.closes)
        self._hysteresis.restore(state.hysteresis)
        self._fit, self._fitted_at, self._asked_at = state.fit, state.fitted_at, state.asked_at
        self._refused = state.refused
        self._probabilities = None if state.probabilities is None else np.array(state.probabilities)
        self.reading, self._failure = state.reading, state.failure

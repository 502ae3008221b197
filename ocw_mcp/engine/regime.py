"""Follows the regime: takes the daily closes of one symbol, asks for fits, and journals the models and the levels."""

from collections.abc import Iterable, Iterator
from typing import Final

from ocw_mcp.core.regime.tracker import RegimeTracker, TrackerState
from ocw_mcp.domain.market import Candle, Frame
from ocw_mcp.domain.outlook_events import ModelFitted, RegimeChanged
from ocw_mcp.domain.regime import FitRequest, Level, RegimeReading
from ocw_mcp.domain.steps import AskFit, RegimeFitted
from ocw_mcp.domain.time import DAY
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.effect_buffer import EffectBuffer

OLDEST_DAYS: Final = 3
"""The age in days of the last daily close from which the regime is unknown."""


class RegimeFollower:
    """The regime of the symbol that the policy names. The last close of a UTC day is its daily close."""

    def __init__(self, config: EngineConfig, effects: EffectBuffer) -> None:
        self._effects = effects
        self.symbol = config.policies.scale.regime_symbol
        self._tracker = RegimeTracker()
        self._level: Level | None = None
        self._missing: Unknown | None = None
        if self.symbol not in config.symbols:
            self._missing = Unknown(f"this book does not follow {self.symbol}, which scale.regime_symbol names")
        elif DAY % config.interval:
            self._missing = Unknown("the candles are not parts of a day")

    def see(self, frame: Frame, *, begins: bool) -> None:
        """Take the daily closes of a frame, of which history only fills the past; a book `begins` after it."""
        if self._missing is not None:
            return
        if frame.history or begins:
            self._tracker.warm(self._days(frame.days) if frame.days else self._days(frame.closed))
            if frame.history:
                return
            request = self._tracker.begin(self.symbol)
            if request is not None:
                self._effects.add(AskFit(request))
            self._note_level()
            return
        if frame.at % DAY and not frame.late:
            return
        for day in self._days(frame.closed):
            if (request := self._tracker.close(day)) is not None:
                self._effects.add(AskFit(request))
            self._note_level()

    def _days(self, candles: Iterable[Candle]) -> Iterator[Candle]:
        """Yield the days of the followed symbol that end with one of `candles` and are later than the last one.

        Only the close of such a day is known.
        """
        for candle in candles:
            at, close = candle.close_time, candle.close
            if candle.symbol == self.symbol and at % DAY == 0 and at > self._tracker.closed_at and close > 0:
                yield Candle(self.symbol, at - DAY, DAY, close, close, close, close, 0.0)

    def take(self, fitted: RegimeFitted) -> None:
        """Take the answer of the worker to a request; one to another request has no effect."""
        if fitted.symbol != self.symbol or not self._tracker.expects(fitted.at):
            return
        self._effects.record(ModelFitted(fitted.symbol, fitted.at, fitted.found, fitted.failed))
        if fitted.failed and isinstance(fitted.found, Unknown):
            self._tracker.fail(fitted.at, fitted.found.reason)
        else:
            self._tracker.take(fitted.at, fitted.found)
        self._note_level()

    def pending(self) -> FitRequest | None:
        """Return the request that no answer came to; None if there is none."""
        return self._tracker.pending(self.symbol)

    def reading(self, now: int) -> RegimeReading | Unknown:
        """Return the regime at `now` (ms)."""
        if self._missing is not None:
            return self._missing
        reading = self._tracker.reading
        if isinstance(reading, RegimeReading) and (days := (now - reading.at) // DAY) >= OLDEST_DAYS:
            return Unknown(f"the last daily close of {self.symbol} is {days} days old")
        return reading

    def _note_level(self) -> None:
        """Journal a change of the level."""
        reading = self._tracker.reading
        level = None if isinstance(reading, Unknown) else reading.level
        if level is not self._level:
            why = reading.reason if isinstance(reading, Unknown) else ""
            self._effects.record(RegimeChanged(self.symbol, self._level, level, why))
            self._level = level

    def state(self) -> tuple[TrackerState, Level | None]:
        """Return all that must survive a restart."""
        return self._tracker.state(), self._level

    def restore(self, state: tuple[TrackerState, Level | None], /) -> None:
        """Restore a state that `state` returned."""
        tracker, self._level = state
        self._tracker.restore(tracker)

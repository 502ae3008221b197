"""What a signal is, and the readings that signals are computed from."""

import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from ocw_mcp.domain.snapshot import IndicatorValues, Snapshot, SymbolView
from ocw_mcp.domain.unknown import Reading, Unknown


class Group(StrEnum):
    """The groups of signals. Signals of one group are expected to be right and wrong together."""

    TREND = "trend"
    REVERSION = "reversion"
    VOLUME = "volume"
    DERIVATIVES = "derivatives"
    MACRO = "macro"
    ANOMALY = "anomaly"


class Signal(msgspec.Struct, frozen=True):
    """One signal. `read` returns −1..1, above 0 for a rising price, or the reason why the signal is unknown."""

    name: str
    group: Group
    meaning: str
    """When the signal says up, in one clause."""
    read: Callable[[SymbolView, Snapshot], Reading]


NO_TIMEFRAME: Final = Unknown("the market has no such timeframe")


def on(timeframe: str, compute: Callable[[IndicatorValues], Reading]) -> Callable[[SymbolView, Snapshot], Reading]:
    """Return a signal's `read` from the indicators at the last closed candle of a timeframe."""

    def read(view: SymbolView, snapshot: Snapshot) -> Reading:
        for values in view.indicators:
            if values.timeframe == timeframe:
                return compute(values)
        return NO_TIMEFRAME

    return read


def scaled(value: Reading, size: float, middle: float = 0.0) -> Reading:
    """Return tanh((value − middle) ÷ size), so that `size` is a clear reading; an unknown value stays unknown."""
    return value if isinstance(value, Unknown) else math.tanh((value - middle) / size)


def opposite(value: Reading) -> Reading:
    """Return a reading with the other sign."""
    return value if isinstance(value, Unknown) else -value


def in_atrs(values: IndicatorValues, difference: Reading, size: float = 1.0) -> Reading:
    """Return a price difference in ATRs as a signal: `size` ATRs are a clear reading."""
    atr = values.atr_14
    if isinstance(difference, Unknown):
        return difference
    if isinstance(atr, Unknown):
        return atr
    return math.tanh(difference / (size * atr)) if atr > 0 else Unknown("the price has not moved")


def between(first: Reading, second: Reading) -> Reading:
    """Return first − second, or the reason why one is unknown."""
    if isinstance(first, Unknown):
        return first
    return second if isinstance(second, Unknown) else first - second


Registry = Mapping[str, Signal]

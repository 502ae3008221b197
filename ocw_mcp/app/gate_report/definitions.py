"""Definitions of a move, and the closes at which a market crosses them."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np

from ocw_mcp.app.gate_report.market import Floats, Ints, Market, Series
from ocw_mcp.domain.time import MINUTE, span_name

BELOW_MIN: Final = 60
"""The minutes without a return of the size after which the next one is a new crossing."""
SHORTEST_WINDOW_MIN: Final = 5
"""The shortest time (min) before a crossing in which a wake meets it."""
WINDOW_PART: Final = 3
"""The window of a longer span is one part in `WINDOW_PART` of the span."""


class Unit(StrEnum):
    """The units of a move's size."""

    SIGMA = "sigma"
    PERCENT = "percent"


class Definition(NamedTuple):
    """A move: a log return over `minutes` whose absolute size is `size` or more."""

    minutes: int
    unit: Unit
    size: float

    @property
    def name(self) -> str:
        """A short name, such as `15m 4σ` or `1h 1.5%`."""
        return f"{span_name(self.minutes * MINUTE)} {self.size:g}{'σ' if self.unit is Unit.SIGMA else '%'}"

    @property
    def window(self) -> float:
        """The time (ms) up to a crossing in which a wake meets it."""
        return max(SHORTEST_WINDOW_MIN, self.minutes / WINDOW_PART) * MINUTE


FOUR: Final = (
    Definition(15, Unit.SIGMA, 4),
    Definition(5, Unit.SIGMA, 4.5),
    Definition(60, Unit.SIGMA, 4),
    Definition(15, Unit.PERCENT, 1),
)
"""The definitions for which the gate is made."""
PANEL_SPANS: Final = (3, 8, 10, 20, 30, 45, 90, 120, 180, 240)
PANEL_SIGMAS: Final = (3.5, 4.5, 6.0)
PANEL_PERCENT: Final = 1.5
"""The percent of a move over 15 minutes; a move over h minutes has √(h/15) times as much."""
PANEL: Final = (
    *(Definition(span, Unit.SIGMA, size) for span in PANEL_SPANS for size in PANEL_SIGMAS),
    *(Definition(span, Unit.PERCENT, round(PANEL_PERCENT * (span / 15) ** 0.5, 2)) for span in PANEL_SPANS),
)
"""Forty other definitions, which show how far the gate generalises."""


class Crossings(NamedTuple):
    """The crossings of a definition: times (ms, ascending) by symbol, and why they are unknown, if they are."""

    definition: Definition
    times: dict[str, Ints]
    unknown: str | None

    @property
    def all_times(self) -> Ints:
        """The crossings of all symbols, in order of time."""
        return np.sort(np.concatenate(list(self.times.values()))) if self.times else np.empty(0, np.int64)

    def of(self, symbol: str) -> "Crossings":
        """Return the crossings of one symbol alone."""
        return self._replace(times={symbol: self.times[symbol]})


def applicable(definitions: Iterable[Definition], step: int) -> tuple[list[Definition], list[str]]:
    """Return the definitions whose span is a multiple of `step` (ms), and the names of the other spans."""
    given = list(definitions)
    kept = [each for each in given if each.minutes * MINUTE % step == 0]
    return kept, [span_name(m * MINUTE) for m in sorted({each.minutes for each in given} - {k.minutes for k in kept})]


def sizes(series: Series, rows: int, unit: Unit) -> Floats:
    """Return the log returns over `rows` rows in sigmas of `rows` rows ago, or in percent; NaN where unknown.

    Percentages are NaN, too, before sigma is known, so that all definitions are judged over the same time; in a series
    without a sigma they are known from the first return.
    """
    changes = np.full(len(series.logs), np.nan)
    changes[rows:] = series.logs[rows:] - series.logs[:-rows]
    if unit is Unit.SIGMA:
        scale = np.full(len(series.logs), np.nan)
        scale[rows:] = series.sigma[:-rows] * rows**0.5
    else:
        known = np.isfinite(series.sigma)
        scale = np.where(known | ~known.any(), 0.01, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = changes / scale
    return found


def crossings(market: Market, definition: Definition) -> Crossings:
    """Return the crossings of a definition whose span is a multiple of the market's rows.

    A crossing is the first close at which the return reaches the size after 60 minutes in which it did not.
    """
    rows = round(definition.minutes / market.minutes)
    times, judged = {}, 0
    for symbol, series in market.series.items():
        size = sizes(series, rows, definition.unit) if rows < len(series.logs) else np.full(len(series.logs), np.nan)
        judged += int(np.isfinite(size[market.first :]).sum())
        reached = np.flatnonzero(np.abs(size) / definition.size >= 1)
        begins = reached[np.diff(reached, prepend=-(10**9)) * market.minutes > BELOW_MIN]
        times[symbol] = market.times(begins[begins >= market.first])
    return Crossings(definition, times, None if judged else _reason(market, definition))


def _reason(market: Market, definition: Definition) -> str:
    span = span_name(definition.minutes * MINUTE)
    if definition.unit is Unit.PERCENT:
        return f"needs a return over {span}, and has none"
    known = max((int(np.isfinite(np.diff(each.logs)).sum()) for each in market.series.values()), default=0)
    return f"needs a day of returns and a return over {span} after it, and has {known * market.minutes / 60:.1f} hours"

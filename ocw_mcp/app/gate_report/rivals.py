"""Other ways to wake an agent, on the same closes: the gate of the prototype, a timer, chance, and hindsight."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from ocw_mcp.adapters.feeds.simulated.paths import generator
from ocw_mcp.app.gate_report.definitions import Crossings
from ocw_mcp.app.gate_report.market import Floats, Ints, Market

PROTOTYPE_Z: Final = 2.5
PROTOTYPE_WINDOW: Final = 50
PROTOTYPE_COOLDOWN_MIN: Final = 2
DRAWS: Final = 20
"""The number of timers with different phases, and of random series of wakes, whose mean counts."""
SEED: Final = 1


class RivalGate(NamedTuple):
    """The wakes (ms) of another gate: one array, or one for each draw."""

    name: str
    draws: list[Ints]


def prototype(market: Market, least_z: float = PROTOTYPE_Z) -> RivalGate:
    """Return the wakes of the prototype's gate, with a given z-score.

    It wakes at a z-score of the last one-minute return or of the volume, in the window of the last 50 candles that
    contains the tested value, as in the prototype; then not for 2 minutes. Funding and open interest are not tested.
    """
    fired = np.zeros(max((len(each.closes) for each in market.series.values()), default=0), bool)
    for series in market.series.values():
        rows = np.flatnonzero(np.isfinite(series.closes))
        for values in (np.diff(series.logs[rows], prepend=np.nan), series.volumes[rows]):
            fired[rows] |= np.abs(_z_scores(values)) >= least_z
    wakes, last = [], -np.inf
    cooldown = PROTOTYPE_COOLDOWN_MIN / market.minutes
    for row in np.flatnonzero(fired).tolist():
        if row - last >= cooldown:
            wakes.append(row)
            last = row
    return RivalGate("prototype", [market.times(np.array([row for row in wakes if row >= market.first], np.int64))])


def timer(market: Market, count: float) -> RivalGate:
    """Return `count` wakes at equal distances over the judged time, for some phases."""
    rows = market.measured
    number = min(round(count), len(rows))
    places = [((np.arange(number) + (draw + 0.5) / DRAWS) * len(rows) / max(1, number)).astype(int) for draw in _DRAWS]
    return RivalGate("timer", [market.times(rows[each]) for each in places])


def chance(market: Market, count: float) -> RivalGate:
    """Return `count` wakes at random times of the judged time, for some draws with fixed seeds."""
    rows = market.measured
    number = min(round(count), len(rows))
    drawn = [np.sort(generator(SEED, draw, "gate report").choice(rows, number, replace=False)) for draw in _DRAWS]
    return RivalGate("random", [market.times(each) for each in drawn])


def hindsight(market: Market, definitions: Iterable[Crossings]) -> RivalGate:
    """Return the fewest wakes that meet every crossing of some definitions, found with hindsight."""
    ends, begins = [], []
    for found in definitions:
        times = found.all_times
        ends.append(times)
        # Wakes are at whole rows.
        begins.append(times - int(found.definition.window // market.step) * market.step)
    if not ends:
        return RivalGate("hindsight", [np.empty(0, np.int64)])
    end, begin = np.concatenate(ends), np.concatenate(begins)
    order = np.argsort(end, kind="stable")
    wakes: list[int] = []
    for last, first in zip(end[order].tolist(), begin[order].tolist(), strict=True):
        if not wakes or wakes[-1] < first:
            wakes.append(last)
    return RivalGate("hindsight", [np.array(wakes, np.int64)])


def _z_scores(values: Floats) -> Floats:
    """Return the z-score of each value in the window that ends with it; NaN for the first ones."""
    found = np.full(len(values), np.nan)
    if len(values) >= PROTOTYPE_WINDOW:
        windows = np.lib.stride_tricks.sliding_window_view(values, PROTOTYPE_WINDOW)
        with np.errstate(divide="ignore", invalid="ignore"):
            found[PROTOTYPE_WINDOW - 1 :] = (values[PROTOTYPE_WINDOW - 1 :] - windows.mean(1)) / windows.std(1)
    return found


_DRAWS: Final = range(DRAWS)

"""The reference gate: the best gate that research found before the present one, computed from the closes alone.

Each channel judges the return over some minutes against a base: some sigmas of that span, or a fixed percentage. A
return x times as large as the base has the level ⌊ln x / ln step⌋. A channel fires if it did not reach that level in
that direction during the last hour; the level and all below it then count as reached, whether it fired or not. The
anchor fires when a price is 2.5 % from its level at the last wake. A fire within 5 minutes after a wake is kept, and
the gate wakes once when the 5 minutes end. One gate watches all symbols, and each wake sets all anchors anew.
"""

import math
from collections import defaultdict
from typing import Final, NamedTuple

import numpy as np

from ocw_mcp.app.gate_report.definitions import Unit, sizes
from ocw_mcp.app.gate_report.market import Floats, Ints, Market
from ocw_mcp.domain.time import MINUTE

QUIET_MIN: Final = 60
ANCHOR: Final = 0.025
COOLDOWN_MIN: Final = 5
_LONG_AGO: Final = -(10**9)
_ROUNDING: Final = 1e-12
"""A return that reaches a level except for rounding has reached it."""


class Channel(NamedTuple):
    """A channel: the minutes of its returns, its base in a unit, and the ratio of two levels."""

    minutes: int
    unit: Unit
    base: float
    step: float


CHANNELS: Final = (
    *(Channel(minutes, Unit.SIGMA, 4, 1.1) for minutes in (5, 15, 60)),
    Channel(15, Unit.PERCENT, 1, 2),
)


class ReferenceWakes(NamedTuple):
    """The wakes of the reference gate (ms), and the time (ms) from each kept fire to its wake."""

    wakes: Ints
    delays: Ints


def fires(size: Floats, channel: Channel, quiet: float) -> list[int]:
    """Return the rows at which a channel fires; `size` has the returns in its unit, `quiet` counts rows."""
    found, log_step = [], math.log(channel.step)
    reached: tuple[dict[int, int], dict[int, int]] = ({}, {})
    ratios = size / channel.base
    rows = np.flatnonzero(np.abs(ratios) >= 1)
    for row, ratio in zip(rows.tolist(), ratios[rows].tolist(), strict=True):
        levels = reached[ratio > 0]
        level = int(min(math.log(abs(ratio)), 1e3) / log_step + _ROUNDING)
        if row - levels.get(level, _LONG_AGO) > quiet:
            found.append(row)
        levels.update(dict.fromkeys(range(level + 1), row))
    return found


def reference_gate(market: Market) -> ReferenceWakes:
    """Return the wakes of the reference gate; channels whose span is no multiple of a row are left out."""
    fired = defaultdict[int, bool](bool)
    for series in market.series.values():
        for channel in CHANNELS:
            rows, rest = divmod(channel.minutes * MINUTE, market.step)
            if not rest and rows < len(series.logs):
                size = sizes(series, rows, channel.unit)
                size[~np.isfinite(series.sigma)] = np.nan
                for row in fires(size, channel, QUIET_MIN / market.minutes):
                    fired[row] = True
    return _wakes(market, fired)


def _wakes(market: Market, fired: dict[int, bool]) -> ReferenceWakes:
    cooldown = COOLDOWN_MIN / market.minutes
    columns = [each.closes.tolist() for each in market.series.values()]
    anchors: list[float | None] = [None] * len(columns)
    wakes, delays, kept = list[int](), list[int](), list[int]()
    last = float(_LONG_AGO)
    for row, closes in enumerate(zip(*columns, strict=True)):
        fire = row in fired
        for place, close in enumerate(closes):
            if close != close:  # NaN
                continue
            anchor = anchors[place]
            if anchor is None:
                anchors[place] = close
            elif abs(close / anchor - 1) >= ANCHOR:
                fire = True
        if fire:
            kept.append(row)
        if kept and row - last >= cooldown:
            wakes.append(row)
            delays.extend(row - each for each in kept if market.first <= each < row)
            kept.clear()
            last = row
            anchors = [close if close == close else old for close, old in zip(closes, anchors, strict=True)]
    live = np.array([row for row in wakes if row >= market.first], np.int64)
    return ReferenceWakes(market.times(live), np.array(delays, np.int64) * market.step)

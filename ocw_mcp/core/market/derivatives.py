"""Derivatives readings of a symbol: funding, open interest, taker flow and the traders' long/short ratios.

The readings are computed from the exchange's five-minute rows of the last day. The composite reading is −1..1; above 0
it favours a long position. An unknown component adds 0 to the composite, which is unknown if too many components are.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final

import msgspec

from ocw_mcp.domain.market import Funding, Metrics
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, span_name
from ocw_mcp.domain.unknown import Reading, Unknown

ROWS_KEPT: Final = DAY // (5 * MINUTE) + 1
"""The number of five-minute rows that are kept: one day, including the row at its beginning."""
STALE_AFTER: Final = 15 * MINUTE
"""The age (ms) above which the last row is not used: three five-minute rows are then missing."""
_ROWS_OF_AN_HOUR = 12
_ROWS_FOR_Z = 48
_UNIT = 1e-12
"""Ratios are rounded to multiples of this unit and added as integers, so that sums are exact."""

WEIGHTS: Final = {"funding": 0.35, "taker_flow": 0.30, "long_short": 0.25, "open_interest": 0.10}
LEAST_KNOWN_WEIGHT: Final = 0.5
"""The composite is computed only if the weights of the known components add up to at least this."""

FUNDING_EXTREME, TAKER_EXTREME, LONG_SHORT_EXTREME, OPEN_INTEREST_EXTREME = 0.0005, 0.15, 1.5, 0.10
"""Extreme values of funding rate per 8 h, taker ratio minus 1, long/short z-score, open interest change in 24 h."""

_ROW_READINGS = ("open_interest_change_24h", "price_change_24h", "taker_ratio_1h", "long_short", "long_short_z")


class DerivativesState(msgspec.Struct, frozen=True):
    """The saved state of one symbol's derivatives."""

    rows: list[Metrics]
    funding: Funding | None


class Derivatives:
    """The derivatives data of one symbol, and the readings computed from it."""

    __slots__ = ("_funding", "_ratios", "_row_readings", "_rows", "_squares", "_sum", "_values")

    def __init__(self) -> None:
        self._rows: deque[Metrics] = deque(maxlen=ROWS_KEPT)
        self._ratios: deque[tuple[int, int]] = deque()
        """Time (ms) and value (in `_UNIT`) of each top traders' position ratio of the day up to the last row."""
        self._sum = self._squares = 0
        """Sums over `_ratios`, exact since they are integers: they do not depend on rows that were dropped."""
        self._funding: Funding | None = None
        self._row_readings: dict[str, Reading] = {}
        """Cached readings of the rows, each from its first read after a new row."""
        self._values: tuple[Mapping[str, Reading], Reading, Mapping[str, Reading]] | None = None
        """Cached result of `values`, after its two inputs: the readings of the rows and the funding rate."""

    def take(self, row: Metrics) -> None:
        """Add a five-minute row if it is later than the last one."""
        if not self._rows or row.at > self._rows[-1].at:
            self._rows.append(row)
            self._row_readings = {}
            if row.top_positions_ratio:
                units = round(row.top_positions_ratio / _UNIT)
                self._ratios.append((row.at, units))
                self._sum += units
                self._squares += units * units
            while self._ratios and self._ratios[0][0] < row.at - DAY:
                _, removed = self._ratios.popleft()
                self._sum -= removed
                self._squares -= removed * removed

    def settle(self, funding: Funding) -> None:
        """Record a settled funding rate if it is later than the last one."""
        if self._funding is None or funding.at > self._funding.at:
            self._funding = funding

    def values(self, now: int) -> Mapping[str, Reading]:
        """Return every reading as of `now` (ms), under the field names of the snapshot's `DerivativesView`."""
        rows, funding = self._metrics_readings(now), self._funding_8h(now)
        if self._values is None or self._values[0] is not rows or self._values[1] != funding:
            readings: dict[str, Reading] = {"funding_8h": funding, **rows}
            readings["composite"] = composite(readings)
            del readings["price_change_24h"]
            self._values = rows, funding, readings
        return self._values[2]

    def next_funding(self, now: int) -> int | None:
        """Return the time (ms) of the next funding settlement; None if the present rate is unknown."""
        funding = self._funding
        if funding is None or isinstance(self._funding_8h(now), Unknown):
            return None
        every = funding.interval_hours * HOUR
        return funding.at + ((now - funding.at) // every + 1) * every

    def value(self, reading: str, now: int) -> Reading:
        """Return one of the `values` as of `now` (ms). A reading of the rows is computed without the others."""
        if reading == "funding_8h":
            return self._funding_8h(now)
        if reading not in _ROW_READINGS or self._no_rows(now) is not None:
            return self.values(now)[reading]
        return self._row_reading(reading)

    def _metrics_readings(self, now: int) -> dict[str, Reading]:
        """Return the readings computed from the rows: all Unknown if there is no row, or if the last one is too old."""
        if (missing := self._no_rows(now)) is not None:
            return dict.fromkeys(_ROW_READINGS, missing)
        if len(self._row_readings) < len(_ROW_READINGS):
            for name in _ROW_READINGS:
                self._row_reading(name)
        return self._row_readings

    def _no_rows(self, now: int) -> Unknown | None:
        """Return why the rows have no readings at `now` (ms); None if they have."""
        if not self._rows:
            return Unknown("the market has reported no derivatives metrics")
        age = now - self._rows[-1].at
        return Unknown(f"the last derivatives metrics are {age // MINUTE} min old") if age > STALE_AFTER else None

    def _row_reading(self, name: str) -> Reading:
        """Return a reading of the rows, computed once after each new row."""
        known = self._row_readings.get(name)
        if known is None:
            known = self._row_readings[name] = self._computed(name)
        return known

    def _computed(self, name: str) -> Reading:
        match name:
            case "open_interest_change_24h":
                return self._change(_open_interest, "open interest")
            case "price_change_24h":
                return self._change(_price, "value of the open interest")
            case "taker_ratio_1h":
                return self._taker_ratio()
            case "long_short":
                return self._long_short()
            case _:
                return self._long_short_z()

    def _funding_8h(self, now: int) -> Reading:
        funding = self._funding
        if funding is None:
            return Unknown("the market has reported no funding rate")
        if now - funding.at > 2 * funding.interval_hours * HOUR:
            return Unknown(f"the last funding rate is {(now - funding.at) // HOUR} h old")
        return funding.rate * 8 / funding.interval_hours

    def _change(self, value_of: Callable[[Metrics], float | None], what: str) -> Reading:
        """Return the change of a value over 24 hours, as a share; `what` names the value.

        The change begins at the row 24 hours before the last one, or at the first row up to `STALE_AFTER` after it.
        """
        wanted = self._rows[-1].at - DAY
        before = next(row for row in self._rows if row.at >= wanted)
        if before.at - wanted > STALE_AFTER:
            return Unknown(f"no derivatives metrics from {span_name(DAY)} ago")
        then, last = value_of(before), value_of(self._rows[-1])
        return last / then - 1 if then and last else Unknown(f"the exchange reported no {what}")

    def _taker_ratio(self) -> Reading:
        """Return the geometric mean of the last hour's ratios, in which 2 and 1/2 cancel each other."""
        first = self._rows[-1].at - HOUR
        latest = islice(reversed(self._rows), _ROWS_OF_AN_HOUR)
        ratios = [row.taker_ratio for row in latest if row.at > first and row.taker_ratio]
        if len(ratios) < _ROWS_OF_AN_HOUR // 2:
            return Unknown(f"needs {_ROWS_OF_AN_HOUR // 2} taker ratios of the last hour, has {len(ratios)}")
        return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))

    def _long_short(self) -> Reading:
        ratio = self._rows[-1].top_positions_ratio
        return ratio if ratio else Unknown("the exchange reported no long/short ratio of the top traders")

    def _long_short_z(self) -> Reading:
        """Return the z-score of the last long/short ratio among the earlier ratios of the last 24 hours."""
        last = self._long_short()
        if isinstance(last, Unknown):
            return last
        n, latest = len(self._ratios) - 1, self._ratios[-1][1]
        if n < _ROWS_FOR_Z:
            return Unknown(f"needs {_ROWS_FOR_Z} earlier long/short ratios, has {n}")
        total, squares = self._sum - latest, self._squares - latest * latest
        # n·Σx² - (Σx)² is exact in integers: rounding errors neither cancel digits nor accumulate.
        mean = total * _UNIT / n
        deviation = math.sqrt((n * squares - total * total) / (n * (n - 1))) * _UNIT
        if deviation <= 1e-9 * mean:
            return Unknown("the long/short ratio has not changed in a day")
        return (last - mean) / deviation

    def state(self) -> DerivativesState:
        """Return the data that `restore` needs after a restart."""
        return DerivativesState(list(self._rows), self._funding)

    def restore(self, state: DerivativesState) -> None:
        """Restore the result of `state`."""
        for row in state.rows:
            self.take(row)
        self._funding = state.funding


def composite(readings: dict[str, Reading]) -> Reading:
    """Return the weighted sum (−1..1) of the components, each divided by its extreme value and bounded by tanh.

    High funding and a high long/short ratio count as bearish, a high taker ratio as bullish. Open interest has no
    direction of its own: its rise counts in the direction in which the price moved over the same 24 hours.
    """
    funding, taker = readings["funding_8h"], readings["taker_ratio_1h"]
    long_short, interest, price = (
        readings[n] for n in ("long_short_z", "open_interest_change_24h", "price_change_24h")
    )
    components: dict[str, float] = {}
    if not isinstance(funding, Unknown):
        components["funding"] = -math.tanh(funding / FUNDING_EXTREME)
    if not isinstance(taker, Unknown):
        components["taker_flow"] = math.tanh((taker - 1) / TAKER_EXTREME)
    if not isinstance(long_short, Unknown):
        components["long_short"] = -math.tanh(long_short / LONG_SHORT_EXTREME)
    if not isinstance(interest, Unknown) and not isinstance(price, Unknown):
        components["open_interest"] = math.tanh(interest / OPEN_INTEREST_EXTREME) * ((price > 0) - (price < 0))
    known = sum(WEIGHTS[name] for name in components)
    if known < LEAST_KNOWN_WEIGHT:
        missing = ", ".join(name.replace("_", " ") for name in WEIGHTS if name not in components)
        return Unknown(f"too little is known of derivatives: no {missing}")
    return math.fsum(WEIGHTS[name] * value for name, value in components.items())


def _price(row: Metrics) -> float | None:
    return row.open_interest_value / row.open_interest if row.open_interest_value and row.open_interest else None


def _open_interest(row: Metrics) -> float | None:
    return row.open_interest

"""Derivatives readings of a symbol: funding, open interest, taker flow, the traders' long/short ratios and the basis.

The readings are computed from the exchange's five-minute rows of the last day, and from the open interest and the
prices that a live market reports between them (`Metrics.is_interim`). `composite.py` joins them into one.
"""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from operator import attrgetter
from typing import Final

import msgspec

from ocw_mcp.core.market.composite import composite, composite_parts
from ocw_mcp.domain.market import Funding, Metrics
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, span_name
from ocw_mcp.domain.unknown import Reading, Unknown

_ROW_MS: Final = 5 * MINUTE
ROWS_KEPT: Final = DAY // _ROW_MS + 1
"""The number of five-minute rows that are kept: one day, including the row at its beginning."""
STALE_AFTER: Final = 15 * MINUTE
"""The age (ms) above which the last row is not used: three five-minute rows are then missing."""
_ROWS_OF_AN_HOUR = 12
_ROWS_FOR_Z = 48
_UNIT = 1e-12
"""Ratios are rounded to multiples of this unit and added as integers, so that sums are exact."""
_FUNDINGS_OF_A_YEAR: Final = 365 * 3
"""The eight-hour periods of a year."""

_ROW_READINGS = ("open_interest_change_24h", "price_change_24h", "taker_ratio_1h", "long_short", "long_short_z")
_HELD_BACK = ("price_change_24h",)
"""Readings that only the composite uses."""
_AT = attrgetter("at")


class DerivativesState(msgspec.Struct, frozen=True):
    """The saved state of one symbol's derivatives."""

    rows: list[Metrics]
    funding: Funding | None
    interims: list[Metrics] = []


class Derivatives:
    """The derivatives data of one symbol, and the readings computed from it."""

    __slots__ = ("_basis", "_funding", "_interims", "_is_counted", "_parts", "_ratios", "_row_readings", "_rows",
                 "_squares", "_sum", "_values")  # fmt: skip

    def __init__(self) -> None:
        self._rows: list[Metrics] = []
        self._interims: list[Metrics] = []
        """The rows between two five-minute rows: the last one of each five minutes, of the last hour."""
        self._ratios: deque[tuple[int, int]] = deque()
        """Time (ms) and value (in `_UNIT`) of each top traders' position ratio of the day up to the last row."""
        self._sum = self._squares = 0
        """Sums over `_ratios`, exact since they are integers: they do not depend on rows that were dropped."""
        self._is_counted = True
        """Whether the ratios and the sums are those of the rows: a row that came late is counted at the next read."""
        self._funding: Funding | None = None
        self._row_readings: dict[str, Reading] = {}
        """Cached readings of the rows, each from its first read after a new row."""
        self._basis: Reading | None = None
        """The cached basis, without regard to its age."""
        self._parts: dict[str, float] = {}
        self._values: tuple[Mapping[str, Reading], Reading, Reading, Mapping[str, Reading]] | None = None
        """Cached result of `values`, after its inputs: the readings of the rows, the funding rate and the basis."""

    def take(self, row: Metrics) -> None:
        """Add a row of the last day, or the fields that are empty in the known row of the same time."""
        self._row_readings, self._basis = {}, None
        if row.is_interim:
            self._take_interim(row)
        elif not self._rows or row.at > self._rows[-1].at:
            self._rows.append(row)
            del self._rows[:-ROWS_KEPT]
            if self._is_counted:
                self._count(row)
        elif row.at >= self._rows[0].at or len(self._rows) < ROWS_KEPT:
            place = bisect_left(self._rows, row.at, key=_AT)
            if place < len(self._rows) and self._rows[place].at == row.at:
                self._rows[place] = _merged(self._rows[place], row)
            else:
                self._rows.insert(place, row)
                del self._rows[:-ROWS_KEPT]
            self._is_counted = False

    def _take_interim(self, row: Metrics) -> None:
        kept = self._interims
        if kept and row.at <= kept[-1].at:
            return
        if kept and _slot(kept[-1].at) == _slot(row.at):
            row = _merged(row, kept.pop())
        kept.append(row)
        del kept[:-_ROWS_OF_AN_HOUR]

    def _count(self, row: Metrics) -> None:
        """Add a row's ratio of the top traders' positions, and remove those of the day before."""
        if row.top_positions_ratio:
            units = round(row.top_positions_ratio / _UNIT)
            self._ratios.append((row.at, units))
            self._sum += units
            self._squares += units * units
        while self._ratios and self._ratios[0][0] < row.at - DAY:
            _, removed = self._ratios.popleft()
            self._sum -= removed
            self._squares -= removed * removed

    def _count_all(self) -> None:
        self._ratios.clear()
        self._sum = self._squares = 0
        for row in self._rows:
            self._count(row)
        self._is_counted = True

    def settle(self, funding: Funding) -> None:
        """Record a settled funding rate if it is later than the last one."""
        if self._funding is None or funding.at > self._funding.at:
            self._funding = funding

    def values(self, now: int) -> Mapping[str, Reading]:
        """Return every reading as of `now` (ms), under its name as a metric: the same object until one changes."""
        rows, funding, basis = self._metrics_readings(now), self._funding_8h(now), self._present_basis(now)
        if self._values is None or self._values[0] is not rows or self._values[1:3] != (funding, basis):
            readings: dict[str, Reading] = {"funding_8h": funding, **rows, "basis": basis}
            self._parts = composite_parts(readings)
            readings["composite"] = composite(self._parts)
            for name in _HELD_BACK:
                del readings[name]
            self._values = rows, funding, basis, readings
        return self._values[3]

    def parts(self, now: int) -> Mapping[str, float]:
        """Return what each known component adds to the composite at `now` (ms)."""
        self.values(now)
        return self._parts

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
        if reading == "basis":
            return self._present_basis(now)
        if reading not in _ROW_READINGS or self._no_rows(now) is not None:
            return self.values(now)[reading]
        return self._row_reading(reading)

    @property
    def newest_at(self) -> int | None:
        """The time (ms) of the newest row; None without one."""
        return max((row.at for row in (*self._rows[-1:], *self._interims[-1:])), default=None)

    def open_interest(self, now: int) -> Reading:
        """Return the open interest (base asset) as of `now` (ms)."""
        if (missing := self._no_rows(now)) is not None:
            return missing
        return _open_interest(self._rows[-1]) or Unknown("the exchange reported no open interest")

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

    def _present_basis(self, now: int) -> Reading:
        """Return the basis as a share a year: the mean premium of the last hour, times the 8-hour periods of a year.

        The premium is (price of the perpetual − index) / index. Funding pays the mean premium of a period once in it
        (Binance, "Introduction to Funding Rates": premium index over eight hours), so this basis has the scale of
        funding a year: 0.05 % per eight hours are 54.75 %. It is positive if the perpetual is above the index.
        """
        samples = [*self._rows[-1:], *self._interims[-1:]]
        at = max((row.at for row in samples), default=0)
        if samples and now - at > STALE_AFTER:
            return Unknown(f"the last derivatives metrics are {(now - at) // MINUTE} min old")
        if self._basis is None:
            self._basis = self._mean_basis(at)
        return self._basis

    def _mean_basis(self, until: int) -> Reading:
        """Return the annualised mean of the premiums of an hour, at most one of each five minutes, the latest."""
        premiums = {
            _slot(row.at): row.perp_price / row.index_price - 1
            for row in sorted([*self._rows[-_ROWS_OF_AN_HOUR:], *self._interims], key=_AT)
            if row.perp_price and row.index_price and row.at > until - HOUR
        }
        if not premiums:
            return Unknown("the market has reported no index price")
        if len(premiums) < _ROWS_OF_AN_HOUR // 2:
            return Unknown(f"needs {_ROWS_OF_AN_HOUR // 2} index prices of the last hour, has {len(premiums)}")
        return math.fsum(premiums.values()) / len(premiums) * _FUNDINGS_OF_A_YEAR

    def _change(self, value_of: Callable[[Metrics], float | None], what: str) -> Reading:
        """Return the change of a value over 24 hours, as a share; `what` names the value.

        The change begins at the row 24 hours before the last value, or at the first row up to `STALE_AFTER` after it.
        """
        last_row = self._rows[-1]
        if self._interims and self._interims[-1].at > last_row.at and value_of(self._interims[-1]):
            last_row = self._interims[-1]
        wanted = last_row.at - DAY
        # The last row before the beginning is nearer to it than the first one after it, if a live market reported a
        # value between two rows.
        before = next((row for row in self._rows if row.at > wanted - _ROW_MS), last_row)
        if before.at - wanted > STALE_AFTER:
            return Unknown(f"no derivatives metrics from {span_name(DAY)} ago")
        then, last = value_of(before), value_of(last_row)
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
        if not self._is_counted:
            self._count_all()
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
        return DerivativesState(list(self._rows), self._funding, list(self._interims))

    def restore(self, state: DerivativesState) -> None:
        """Restore the result of `state`."""
        for row in [*state.rows, *state.interims]:
            self.take(row)
        self._funding = state.funding


def _merged(row: Metrics, other: Metrics) -> Metrics:
    """Return a row whose empty fields have the values of another row."""
    fields = type(row).__struct_fields__
    found = {name: getattr(other, name) for name in fields if getattr(row, name) is None}
    found = {name: value for name, value in found.items() if value is not None}
    return msgspec.structs.replace(row, **found) if found else row


def _slot(at: int) -> int:
    """Return the number of the five minutes that end at or after a time (ms)."""
    return (at - 1) // _ROW_MS


def _price(row: Metrics) -> float | None:
    return row.open_interest_value / row.open_interest if row.open_interest_value and row.open_interest else None


def _open_interest(row: Metrics) -> float | None:
    return row.open_interest

"""What derivatives say of a symbol: funding, open interest, taker flow, how long and short the traders are.

Everything is kept as it was told, at most a day of it, and read as of one moment. The composite is −1..1: above 0 it
leans long. An unknown part counts as nothing in it, and when too little is known the composite is unknown.
"""

import math
from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Final

import msgspec

from ocw_mcp.domain.market import Funding, Metrics
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, span_name
from ocw_mcp.domain.unknown import Reading, Unknown

ROWS_KEPT: Final = DAY // (5 * MINUTE) + 1
"""A day of rows, and the one from which the day is measured."""
STALE_AFTER: Final = 15 * MINUTE
"""A row comes every five minutes; after three that did not come, nothing is known any more."""
_ROWS_OF_AN_HOUR = 12
_ROWS_FOR_Z = 48
_UNIT = 1e-12
"""Ratios are summed as whole multiples of this."""

WEIGHTS: Final = {"funding": 0.35, "taker_flow": 0.30, "long_short": 0.25, "open_interest": 0.10}
KNOWN_AT_LEAST: Final = 0.5
"""Weight that has to be known for the composite to say anything."""

FUNDING_EXTREME, TAKER_EXTREME, LONG_SHORT_EXTREME, OPEN_INTEREST_EXTREME = 0.0005, 0.15, 1.5, 0.10
"""What counts as extreme, each in its own unit: per 8 h, off a ratio of 1, standard deviations, over 24 h."""


_OF_METRICS = ("open_interest_change_24h", "price_change_24h", "taker_ratio_1h", "long_short", "long_short_z")


class DerivativesState(msgspec.Struct, frozen=True):
    """A symbol's derivatives, to be restored."""

    rows: list[Metrics]
    funding: Funding | None


class Derivatives:
    """The derivatives of one symbol."""

    __slots__ = ("_crowd", "_funding", "_read", "_rows", "_squares", "_sum", "_told")

    def __init__(self) -> None:
        self._rows: deque[Metrics] = deque(maxlen=ROWS_KEPT)
        self._crowd: deque[tuple[int, int]] = deque()
        """The top traders' ratios of the day before the last row, in units, each with the time (ms) it was told at."""
        self._sum = self._squares = 0
        """Over all of them: exact, so that they do not depend on how the day was reached."""
        self._funding: Funding | None = None
        self._read: dict[str, Reading] | None = None
        """What the rows were last read to say; None once another row has come."""
        self._told: tuple[Mapping[str, Reading], Reading, Mapping[str, Reading]] | None = None
        """What was last told, with the two that it stands on."""

    def take(self, row: Metrics) -> None:
        """Take in a row. One that is not later than the last changes nothing."""
        if not self._rows or row.at > self._rows[-1].at:
            self._rows.append(row)
            self._read = None
            if row.top_positions_ratio:
                self._count(row.at, round(row.top_positions_ratio / _UNIT))
            while self._crowd and self._crowd[0][0] < row.at - DAY:
                _, gone = self._crowd.popleft()
                self._sum -= gone
                self._squares -= gone * gone

    def _count(self, at: int, units: int) -> None:
        self._crowd.append((at, units))
        self._sum += units
        self._squares += units * units

    def settle(self, funding: Funding) -> None:
        """Take in a settled funding rate. One that is not later than the last changes nothing."""
        if self._funding is None or funding.at > self._funding.at:
            self._funding = funding

    def values(self, now: int) -> Mapping[str, Reading]:
        """Every reading as of `now` (ms), by the names of the snapshot's `DerivativesView`."""
        rows, funding = self._of_metrics(now), self._funding_8h(now)
        if self._told is None or self._told[0] is not rows or self._told[1] != funding:
            readings: dict[str, Reading] = {"funding_8h": funding, **rows}
            readings["composite"] = composite(readings)
            del readings["price_change_24h"]
            self._told = rows, funding, readings
        return self._told[2]

    def _of_metrics(self, now: int) -> dict[str, Reading]:
        """What the rows say; the same until the next one comes, or the last one is too old."""
        if not self._rows:
            return dict.fromkeys(_OF_METRICS, Unknown("this market has told no derivatives metrics"))
        age = now - self._rows[-1].at
        if age > STALE_AFTER:
            return dict.fromkeys(_OF_METRICS, Unknown(f"the last derivatives metrics are {age // MINUTE} min old"))
        if self._read is None:
            self._read = {
                "open_interest_change_24h": self._open_interest_change(),
                "price_change_24h": self._price_change(),
                "taker_ratio_1h": self._taker_ratio(),
                "long_short": self._long_short(),
                "long_short_z": self._long_short_z(),
            }
        return self._read

    def _funding_8h(self, now: int) -> Reading:
        funding = self._funding
        if funding is None:
            return Unknown("this market has told no funding rate")
        if now - funding.at > 2 * funding.interval_hours * HOUR:
            return Unknown(f"the last funding rate is {(now - funding.at) // HOUR} h old")
        return funding.rate * 8 / funding.interval_hours

    def _a_day_ago(self) -> Metrics | Unknown:
        """The row of 24 hours before the last one; in a hole, the next one after it."""
        wanted = self._rows[-1].at - DAY
        row = next(row for row in self._rows if row.at >= wanted)
        return row if row.at - wanted <= STALE_AFTER else Unknown(f"no derivatives metrics from {span_name(DAY)} ago")

    def _open_interest_change(self) -> Reading:
        before = self._a_day_ago()
        if isinstance(before, Unknown):
            return before
        then, last = before.open_interest, self._rows[-1].open_interest
        return last / then - 1 if then and last else Unknown("the exchange told no open interest")

    def _price_change(self) -> Reading:
        before = self._a_day_ago()
        if isinstance(before, Unknown):
            return before
        then, last = _price(before), _price(self._rows[-1])
        return last / then - 1 if then and last else Unknown("the exchange told no value of the open interest")

    def _taker_ratio(self) -> Reading:
        """Geometric mean of the last hour's ratios, so that 2 and 1/2 even out."""
        first = self._rows[-1].at - HOUR
        latest = islice(reversed(self._rows), _ROWS_OF_AN_HOUR)
        ratios = [row.taker_ratio for row in latest if row.at > first and row.taker_ratio]
        if len(ratios) < _ROWS_OF_AN_HOUR // 2:
            return Unknown(f"needs {_ROWS_OF_AN_HOUR // 2} taker ratios of the last hour, has {len(ratios)}")
        return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))

    def _long_short(self) -> Reading:
        ratio = self._rows[-1].top_positions_ratio
        return ratio if ratio else Unknown("the exchange told no long/short ratio of the top traders")

    def _long_short_z(self) -> Reading:
        """Of the last ratio against those before it, which are at most a day old."""
        last = self._long_short()
        if isinstance(last, Unknown):
            return last
        n, latest = len(self._crowd) - 1, self._crowd[-1][1]
        if n < _ROWS_FOR_Z:
            return Unknown(f"needs {_ROWS_FOR_Z} earlier long/short ratios, has {n}")
        total, squares = self._sum - latest, self._squares - latest * latest
        # n·Σx² - (Σx)² is exact in integers: no cancellation, no drift.
        mean = total * _UNIT / n
        deviation = math.sqrt((n * squares - total * total) / (n * (n - 1))) * _UNIT
        if deviation <= 1e-9 * mean:
            return Unknown("the long/short ratio has not moved in a day")
        return (last - mean) / deviation

    def state(self) -> DerivativesState:
        """All that must survive a restart."""
        return DerivativesState(list(self._rows), self._funding)

    def restore(self, state: DerivativesState, /) -> None:
        """Put back what `state` gave."""
        for row in state.rows:
            self.take(row)
        self._funding = state.funding


def composite(readings: dict[str, Reading]) -> Reading:
    """All of it in one number, −1..1, each part squashed by tanh at its own extreme.

    Funding and long/short are read against the crowd, taker flow with it. Open interest has no direction of its own: it
    confirms the way that the price went over the same 24 hours.
    """
    funding, taker = readings["funding_8h"], readings["taker_ratio_1h"]
    crowd, opened, price = (readings[n] for n in ("long_short_z", "open_interest_change_24h", "price_change_24h"))
    parts: dict[str, float] = {}
    if not isinstance(funding, Unknown):
        parts["funding"] = -math.tanh(funding / FUNDING_EXTREME)
    if not isinstance(taker, Unknown):
        parts["taker_flow"] = math.tanh((taker - 1) / TAKER_EXTREME)
    if not isinstance(crowd, Unknown):
        parts["long_short"] = -math.tanh(crowd / LONG_SHORT_EXTREME)
    if not isinstance(opened, Unknown) and not isinstance(price, Unknown):
        parts["open_interest"] = math.tanh(opened / OPEN_INTEREST_EXTREME) * ((price > 0) - (price < 0))
    known = sum(WEIGHTS[name] for name in parts)
    if known < KNOWN_AT_LEAST:
        absent = ", ".join(name.replace("_", " ") for name in WEIGHTS if name not in parts)
        return Unknown(f"too little is known of derivatives: no {absent}")
    return math.fsum(WEIGHTS[name] * value for name, value in parts.items())


def _price(row: Metrics) -> float | None:
    return row.open_interest_value / row.open_interest if row.open_interest_value and row.open_interest else None

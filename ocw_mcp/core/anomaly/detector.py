"""Compares each row with the window before it, and the distance with the distances of earlier rows.

Each earlier distance was measured in the same way, against the window before its own row. If rows were exchangeable, a
quantile of at least q would be read on a share of 1 − q of the rows, whatever their distribution. Volatility clusters,
so such rows come in groups, and the share holds over months, not over each week.

A distance is compared only with distances in the same features. Each row is also measured in the features of candles
alone; this distance is read while too few rows had the same features, as after a feature has become known.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from ocw_mcp.core.anomaly.distance import MAD_OF_NORMAL, MEAN_DEVIATION_OF_NORMAL, Floats, distance, distances, scales
from ocw_mcp.core.anomaly.features import CANDLE_FEATURES, NAMES, Row
from ocw_mcp.domain.anomaly import PAST, AnomalyReading
from ocw_mcp.domain.rounding import rounded, rounded_all
from ocw_mcp.domain.unknown import Unknown

WINDOW: Final = 120
"""The rows of a window."""
LEAST_PAST: Final = 99
"""The least earlier distances of a calibration; the quantiles are multiples of 1 / (distances + 1)."""
LEAST_KNOWN: Final = 0.8
"""The least share of the window in which a feature must be known; otherwise the feature is left out."""
MOST_KEPT: Final = 2 * PAST
"""The most earlier distances that are kept: those in all known features, and those in the features of candles."""
_CANDLES: Final = tuple(range(CANDLE_FEATURES))
MOST_WAITING: Final = 48
"""The most rows whose distances wait to be measured."""
UPDATE_EVERY: Final = 24
"""The rows between two updates of the scales of `is_far`."""
FAR: Final = 2.5
"""The distance of a feature from its centre, in robust deviations, from which a row may be unusual."""


class AnomalyState(Struct):
    """The saved state of `AnomalyDetector`."""

    rows: list[Row] = []
    past: list[tuple[tuple[int, ...], float]] = []
    """Earlier distances, each with the columns that it was measured in."""
    waiting: list[Row] = []
    """The rows after `rows` whose distances were not measured yet."""
    scales: list[tuple[float, float] | None] = []
    """The centre and the deviation of each feature at the last update; None if too few values are known."""
    updated: int = 0
    """The number of rows since the update of `scales`."""


class AnomalyDetector:
    """Tests the rows of one symbol in order of time."""

    def __init__(self, names: Sequence[str] = NAMES) -> None:
        self._names = tuple(names)
        self._state = AnomalyState()

    def test(self, at: int, row: Row) -> AnomalyReading | Unknown:
        """Return the reading of a row, then add the row to the window. Raises ValueError for a wrong number of values.

        A value that is not finite counts as not known.
        """
        if len(row) != len(self._names):
            raise ValueError(f"the row has {len(row)} values; expected {len(self._names)}, one for each feature")
        clean = tuple(value if value is not None and math.isfinite(value) else None for value in row)
        reading = self._read(at, clean)
        self._state.rows.append(clean)
        del self._state.rows[:-WINDOW]
        return reading

    def add(self, row: Row) -> None:
        """Add a row, whose reading may be asked for with `read` until the next one comes.

        Distances are measured when they are needed, many at once, which takes a tenth of the time.
        """
        state = self._state
        state.waiting.append(row)
        if len(state.waiting) > MOST_WAITING:
            self.warm(state.waiting[:-1])
            del state.waiting[:-1]
        state.updated += 1

    def read(self, at: int) -> AnomalyReading | Unknown:
        """Return the reading of the last row that was added, at `at` (ms). It can be read once."""
        waiting, self._state.waiting = self._state.waiting, []
        self.warm(waiting[:-1])
        return self.test(at, waiting[-1])

    def is_far(self, row: Row) -> bool:
        """Return whether a feature of a row is `FAR` deviations from its centre; a row before the first 120 is not.

        Centre and deviation are updated every `UPDATE_EVERY` rows, whether readings are asked for or not.
        """
        state = self._state
        if not state.scales or state.updated >= UPDATE_EVERY:
            if len(rows := [*state.rows, *state.waiting][-WINDOW:]) < WINDOW:
                return False
            state.scales, state.updated = [_scale(column) for column in zip(*rows, strict=True)], 0
        return any(
            value is not None and scale is not None and abs(value - scale[0]) > FAR * scale[1]
            for value, scale in zip(row, state.scales, strict=True)
        )

    def warm(self, rows: Sequence[Row]) -> None:
        """Add rows as `test` does, without their readings. Rows that lack the same features take a tenth of the time.

        Raises ValueError for a wrong number of values.
        """
        if not rows:
            return
        kept, past = self._state.rows, self._state.past
        table = np.array([[math.nan if value is None else value for value in row] for row in (*kept, *rows)])
        fresh = min(len(rows), len(table) - WINDOW)
        known = np.isfinite(table).all(axis=0)
        if fresh <= 1 or not known.any() or np.isfinite(table[:, ~known]).any() or len(table[0]) != len(self._names):
            for row in rows:
                self.test(0, row)
            return
        windows = np.swapaxes(np.lib.stride_tricks.sliding_window_view(table[:, known], WINDOW, axis=0), 1, 2)
        windows = windows[-fresh - 1 : -1]
        centre, deviations = scales(windows)
        if (deviations <= 1e-12 * np.maximum(1.0, np.abs(centre))).any():
            for row in rows:
                self.test(0, row)
            return
        columns = tuple(int(place) for place in np.flatnonzero(known))
        measured = []
        for places in (columns, _CANDLES) if set(columns) > set(_CANDLES) else (columns,):
            part = [columns.index(place) for place in places]
            tested = table[-fresh:, known][:, part]
            found = distances(windows[:, :, part], tested, centre[:, part], deviations[:, part]).values
            measured.append([(places, value) for value in rounded_all(found.tolist())])
        past += [each for of_row in zip(*measured, strict=True) for each in of_row if math.isfinite(each[1])]
        del past[:-MOST_KEPT]
        kept += [tuple(value if value is not None and math.isfinite(value) else None for value in row) for row in rows]
        del kept[:-WINDOW]

    def _read(self, at: int, row: Row) -> AnomalyReading | Unknown:
        rows = self._state.rows
        if len(rows) < WINDOW:
            return Unknown(f"needs {WINDOW} rows, has {len(rows)}")
        table = np.array([[math.nan if value is None else value for value in each] for each in rows])
        known = np.isfinite(table).mean(axis=0) >= LEAST_KNOWN
        chosen = [place for place, value in enumerate(row) if known[place] and value is not None]
        if not chosen:
            return Unknown("no feature is known")
        window = table[:, chosen]
        window = window[np.isfinite(window).all(axis=1)]
        if len(window) < WINDOW // 2:
            return Unknown(f"needs {WINDOW // 2} rows with all known features, has {len(window)}")
        values = np.array([row[place] for place in chosen], np.float64)
        (centre,), (deviations,) = scales(window[None])
        flat = deviations <= 1e-12 * np.maximum(1.0, np.abs(centre))
        if moved := [self._names[chosen[place]] for place in np.flatnonzero(flat & (values != centre))]:
            return Unknown(f"{moved[0]} never changed in the window, and changes now")
        if flat.all():
            return Unknown("no feature changes")
        columns = tuple(int(place) for place in np.array(chosen)[~flat])
        reading = self._compare(at, window[:, ~flat], values[~flat], columns)
        if set(columns) > set(_CANDLES):
            of_candles = [columns.index(place) for place in _CANDLES]
            second = self._compare(at, window[:, ~flat][:, of_candles], values[~flat][of_candles], _CANDLES)
            reading = second if isinstance(reading, Unknown) else reading
        return reading

    def _compare(self, at: int, window: Floats, values: Floats, columns: tuple[int, ...]) -> AnomalyReading | Unknown:
        """Return the reading of a row in some columns, and keep its distance. `window` and `values` have only them."""
        past = self._state.past
        found = distance(window, values)
        value = rounded(float(found.values))
        if not math.isfinite(value):
            return Unknown("the distance is not finite")
        earlier = [each for of, each in past if of == columns][-PAST:]
        past.append((columns, value))
        del past[:-MOST_KEPT]
        if len(earlier) < LEAST_PAST:
            return Unknown(f"needs {LEAST_PAST} earlier distances in the same features, has {len(earlier)}")
        smaller = sum(each < value for each in earlier)
        return AnomalyReading(at, value, smaller / (len(earlier) + 1), self._drivers(columns, found.parts))

    def _drivers(self, columns: tuple[int, ...], parts: Floats) -> tuple[tuple[str, float], ...]:
        total = float(parts.sum()) or 1.0
        shares = zip((self._names[place] for place in columns), rounded_all((parts / total).tolist()), strict=True)
        return tuple(sorted(shares, key=lambda each: -each[1]))

    def state(self) -> AnomalyState:
        """Return all that must survive a restart."""
        return self._state

    def restore(self, state: AnomalyState, /) -> None:
        """Restore a state that `state` returned."""
        self._state = state


def _scale(column: Sequence[float | None]) -> tuple[float, float] | None:
    """Return the median and the robust deviation of a feature as `scales` does; None if too little is known."""
    values = sorted(value for value in column if value is not None and math.isfinite(value))
    if len(values) < LEAST_KNOWN * WINDOW:
        return None
    centre = values[len(values) // 2]
    sizes = sorted(abs(value - centre) for value in values)
    middle = MAD_OF_NORMAL * sizes[len(sizes) // 2]
    return centre, middle if middle > 0 else MEAN_DEVIATION_OF_NORMAL * sum(sizes) / len(sizes)

"""Whole files of the public archive as columns, for statistics. Replays use the tape feed instead."""

import gzip
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ocw_mcp.app.bench.market.series import Floats, Series
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.time import HOUR, MINUTE

_CANDLES = re.compile(r"(?P<set>spot-|um-)?(?P<symbol>[A-Z0-9]{5,12})-(?P<interval>1m|1h)-\d{4}")
_METRICS = re.compile(r"(?P<symbol>[A-Z0-9]{5,12})-metrics-\d{4}")
_FUNDING = re.compile(r"(?P<symbol>[A-Z0-9]{5,12})-fundingRate-\d{4}")


class Archive(NamedTuple):
    """All recordings below a directory, by a name that is unique for a symbol and recording."""

    minutes: dict[str, Series]
    hours: dict[str, Series]
    metrics: dict[str, Floats]
    """Rows of time (ms), open interest, its value and four ratios, NaN for empty fields."""
    funding: dict[str, Floats]
    """Funding rates in order of time."""


def read(directory: Path, progress: Callable[[Path], None] = lambda path: None) -> Archive:
    """Return the recordings of a directory. `progress` gets each file before it is read.

    Raises SettingsError if the directory has no candles of 1m.
    """
    found: dict[str, dict[str, list[Path]]] = {kind: defaultdict(list) for kind in ("1m", "1h", "metrics", "funding")}
    for path in sorted(directory.rglob("*")):
        if path.suffix not in {".zip", ".gz", ".csv"}:
            continue
        if match := _CANDLES.match(path.name):
            month = path.name.partition(match["interval"])[2][1:8]
            recording = f"{match['set'] or ''}{match['symbol']} {month if match['interval'] == '1m' else 'hours'}"
            found[match["interval"]][recording].append(path)
        elif match := _METRICS.match(path.name):
            found["metrics"][match["symbol"]].append(path)
        elif match := _FUNDING.match(path.name):
            found["funding"][match["symbol"]].append(path)
    if not found["1m"]:
        raise SettingsError(
            f"{directory} holds no candles of 1m; expected files of the public archive; choose another directory"
        )

    def announced(paths: list[Path]) -> Iterator[Path]:
        for path in paths:
            progress(path)
            yield path

    return Archive(
        minutes=_long_enough({name: _candles(announced(paths), MINUTE) for name, paths in found["1m"].items()}),
        hours={name: _candles(announced(paths), HOUR) for name, paths in found["1h"].items()},
        metrics={
            name: np.concatenate([_metrics(path) for path in announced(paths)])
            for name, paths in found["metrics"].items()
        },
        funding={
            name: np.concatenate([_numbers(path)[:, 2] for path in announced(paths)])
            for name, paths in found["funding"].items()
        },
    )


def _long_enough(recordings: dict[str, Series]) -> dict[str, Series]:
    """Return the recordings of ten days or more; shorter ones are not representative."""
    return {name: series for name, series in recordings.items() if len(series.close) >= 10 * 1440}


def _lines(path: Path) -> list[list[str]]:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            text = archive.read(archive.namelist()[0]).decode()
    else:
        text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
    rows = [line.split(",") for line in text.split("\n") if line]
    return rows if rows[0][0][:1].isdigit() else rows[1:]


def _numbers(path: Path) -> Floats:
    return np.array(_lines(path), dtype=np.float64)


def _candles(paths: Iterable[Path], step: int) -> Series:
    pieces = []
    for path in paths:
        rows = _numbers(path)
        rows[:, 0] = np.where(rows[:, 0] > 1e14, rows[:, 0] // 1000, rows[:, 0])  # spot has microseconds since 2025
        taker = rows[:, 9:10] if rows.shape[1] > 9 else np.full((len(rows), 1), np.nan)
        pieces.append(np.hstack((rows[:, :6], taker)))
    together = np.concatenate(pieces)
    return Series.of_rows(step, together[np.argsort(together[:, 0], kind="stable")])


def _metrics(path: Path) -> Floats:
    lines = _lines(path)
    times = np.array([line[0].replace(" ", "T") for line in lines], dtype="datetime64[ms]").astype(np.float64)
    values = [[float(field.strip('"') or "nan") for field in line[2:8]] for line in lines]
    return np.column_stack((times, np.array(values)))

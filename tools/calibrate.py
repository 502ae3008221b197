"""Measures recorded markets, and prints the results beside the values of `adapters/feeds/simulated/parameters.py`.

`python -m tools.calibrate DIRECTORY` reads everything below a directory: candles of one minute and of one hour,
five-minute metrics and funding rates, in the files of the exchange's public archive (`ETHUSDT-1m-2026-03-09.zip`,
`ETHUSDT-metrics-...`, `ETHUSDT-fundingRate-...`), or candles alone such as `um-BTCUSDT-1m-2025-05_06.csv.gz`. The
command changes no file. Edit a parameter by hand, to the value common to several months and symbols, and check it with
`ocw bench market`. The results are medians over the recordings, since one crash outweighs a calm year.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import typer
from msgspec.structs import astuple

from ocw_mcp.adapters.feeds.simulated import parameters
from ocw_mcp.adapters.feeds.tape.candles import read_candles
from ocw_mcp.adapters.feeds.tape.derivatives import read_funding, read_metrics
from ocw_mcp.adapters.feeds.tape.finding import find
from ocw_mcp.adapters.feeds.tape.options import RowCounts, TapeOptions
from ocw_mcp.adapters.feeds.tape.reading import Stream, TapeFile
from ocw_mcp.adapters.feeds.tape.selection import in_time
from ocw_mcp.app.bench.facts import Floats, Series, correlation, facts, local_sizes, together
from ocw_mcp.app.output import working
from ocw_mcp.domain.errors import OcwError, SettingsError, TapeError
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, utc_day

Found = dict[str, float]

MINUTE_LAGS = (1, 5, 10, 60, 240, 480, 1440, 2880)
HOUR_LAGS = (1, 8, 24, 168, 720, 1440, 2880)
FLOOR = 1e-5
"""Added to |return| before its logarithm, since a move below one tick is not a volatility of 0."""
_COLUMNS = 8
"""The fields of a metrics row that the exchange's archive has, with the symbol."""


class Archive(NamedTuple):
    """All recordings below a directory, each by a unique name such as `ETHUSDT 2026-03`."""

    minutes: dict[str, Series]
    hours: dict[str, Series]
    metrics: dict[str, Floats]
    """Rows of time (ms), open interest, its value and four ratios, NaN for empty fields."""
    funding: dict[str, Floats]
    """Funding rates in order of time."""


def read(directory: Path, progress: Callable[[str], None] = lambda name: None) -> Archive:
    """Return the recordings of a directory; `progress` gets each name. Raises SettingsError without minute candles."""
    recordings: dict[str, dict[str, list[TapeFile]]] = defaultdict(lambda: defaultdict(list))
    with suppress(TapeError):  # there is no file at all
        for file in find(directory, []):
            prefix = file.path.name.partition(file.symbol)[0]
            month = "unknown month" if file.starts is None else utc_day(file.starts)[:7]
            names = {"1m": f"{prefix}{file.symbol} {month}", "1h": f"{prefix}{file.symbol} hours"}
            recordings[file.interval or file.stream][names.get(file.interval, file.symbol)].append(file)
    if not recordings["1m"]:
        raise SettingsError(
            f"{directory} contains no 1m candles; expected files of the public archive; choose another directory"
        )
    counts = RowCounts(options=TapeOptions(strict=False))

    def announced(kind: str) -> Iterator[tuple[str, str, Sequence[TapeFile]]]:
        for name, files in recordings[kind].items():
            progress(name)
            yield name, files[0].symbol, in_time(files)

    def candles(kind: str, step: int) -> dict[str, Series]:
        return {
            name: Series.of_candles(step, read_candles(files, symbol, step, None, counts))
            for name, symbol, files in announced(kind)
        }

    return Archive(
        # Recordings of less than ten days are not representative.
        minutes={name: each for name, each in candles("1m", MINUTE).items() if len(each.close) >= 10 * 1440},
        hours=candles("1h", HOUR),
        metrics={
            name: np.array(
                [astuple(row)[1:_COLUMNS] for row in read_metrics(files, symbol, None, counts)], dtype=np.float64
            )
            for name, symbol, files in announced(Stream.METRICS)
        },
        funding={
            name: np.array([row.rate for row in read_funding(files, symbol, None, counts)])
            for name, symbol, files in announced(Stream.FUNDING)
        },
    )


def volatility(archive: Archive) -> Found:
    """Return annual volatilities, and autocovariances of ln|return| (at lags above 0 those of log volatility)."""
    found = {
        f"annual volatility {name}": float(np.nanstd(each.returns) * np.sqrt(365 * DAY / HOUR))
        for name, each in archive.hours.items()
    }
    for series, lags, unit in ((archive.minutes, MINUTE_LAGS, "min"), (archive.hours, HOUR_LAGS, "h")):
        logs = [_without_season(each) for each in series.values()]
        for lag in lags:
            found[f"autocovariance of ln|r| at {lag} {unit}"] = _middle(_covariance(each, each, lag) for each in logs)
    return found


def season(archive: Archive) -> Found:
    """Return the root mean square of capped hourly returns by hour and weekday, over its mean."""
    found: Found = {}
    for title, count, span, first in (("hour", 24, HOUR, 0), ("weekday", 7, DAY, 3)):  # 1970 began on a Thursday
        shapes = [_shape(each, (each.time // span + first) % count, count) for each in archive.hours.values()]
        if shapes:
            found |= {f"{title} {index}": float(value) for index, value in enumerate(np.mean(shapes, axis=0))}
    quarters = [
        float(np.nanmean(np.abs(each.returns)[each.time // 60_000 % 15 == 0]) / np.nanmean(np.abs(each.returns)))
        for each in archive.minutes.values()
    ]
    return found | {"first minute of a quarter": _middle(quarters)}


def jumps(archive: Archive) -> Found:
    """Return medians of the facts about jumps and tails of `ocw bench market`, and of |return| after jumps."""
    measured = [facts(each) for each in archive.minutes.values()]
    names = ("hill_index", "kurtosis_1m", "kurtosis_15m", "kurtosis_1h", "jumps_per_day", "jump_share", "jumps_down")
    found = {name: _middle(value for each in measured if (value := each[name]) is not None) for name in names}
    for after in (1, 5, 15, 30, 60):
        found[f"|r| {after} to {after + 5} min after a jump, over before"] = _middle(
            value for each in archive.minutes.values() if (value := _echo(each, after)) is not None
        )
    leverages = []
    for each in archive.hours.values():
        returns = each.returns / np.nanstd(each.returns)
        leverages.append(_covariance(np.clip(returns, -6, 6), np.log(np.abs(returns) + 0.01), 1))
    return found | {"an hour's return with ln|r| of the next": _middle(leverages)}


def volume(archive: Archive) -> Found:
    """Return the regression of log volume on local log volatility and |return|, its residual, and the taker side."""
    fits, rests, takers = [], [], []
    for each in archive.minutes.values():
        size, logs = np.nan_to_num(np.abs(each.returns)), np.log(np.maximum(each.volume, 1e-3))
        local = size / np.maximum(np.abs(local_sizes(each)), 1e-3) + 1e-7
        known = (size > 0) & ~np.isnan(logs)
        columns = np.column_stack((np.ones(known.sum()), np.log(local[known]), np.minimum((size / local)[known], 5)))
        fit = np.linalg.lstsq(columns, logs[known], rcond=None)[0]
        rest = logs[known] - columns @ fit
        fits.append(fit)
        rests.append([rest.std(), *(correlation(rest, rest, lag) or 0.0 for lag in (1, 5, 20, 240))])
        if np.any(each.taker > 0):
            share = np.clip(each.taker / each.volume, 0.02, 0.98)
            odds, sizes = np.log(share / (1 - share)), np.clip(local_sizes(each), -5, 5)
            both = ~np.isnan(odds)
            slope, start = np.polyfit(sizes[both], odds[both], 1)
            takers.append([slope, np.std(odds[both] - slope * sizes[both] - start)])
    middle, rest = np.median(fits, axis=0), np.median(rests, axis=0)
    found = {"ln volume per ln volatility": middle[1], "ln volume per |r| in local deviations": middle[2]}
    found |= dict(zip(("rest's deviation", *(f"rest's memory {m} min" for m in (1, 5, 20, 240))), rest, strict=True))
    if takers:
        slope, noise = np.median(takers, axis=0)
        found |= {"taker's log odds per return": slope, "and their noise": noise}
    return {name: float(value) for name, value in found.items()}


def correlations(archive: Archive) -> Found:
    """Return the correlation of minutes and of hours of every two symbols that were recorded at the same time."""
    found: Found = {}
    for series, unit in ((archive.minutes, "1m"), (archive.hours, "1h")):
        found |= {f"{pair} {unit}": value for pair, value in together(series).items() if value is not None}
    return found


def derivatives(archive: Archive) -> Found:
    """Return levels of the metrics, their regression on returns over several spans, and quantiles of funding."""
    found: Found = {}
    titles = ("open interest", "its value", "top accounts", "top positions", "all accounts", "takers")
    for symbol, rows in archive.metrics.items():
        if np.isnan(rows[:, 1:]).any() or len(rows) < 2 * 288:
            continue
        price = np.log(rows[:, 2] / rows[:, 1])
        for place, title in enumerate(titles, start=1):
            logs = np.log(np.maximum(rows[:, place], 1e-6))
            found[f"{symbol} {title}: median"] = float(np.median(rows[:, place]))
            found[f"{symbol} {title}: deviation of ln"] = float(logs.std())
            for lag, span in ((1, "5 min"), (12, "1 h"), (288, "1 d")):
                whole = rows[lag:, 0] - rows[:-lag, 0] == lag * 300_000
                moves, answers = (price[lag:] - price[:-lag])[whole], (logs[lag:] - logs[:-lag])[whole]
                if len(moves) > 30:
                    found[f"{symbol} {title}: per return of {span}"] = float(np.polyfit(moves, answers, 1)[0])
    for symbol, rates in archive.funding.items():
        for quantile in (1, 5, 10, 25, 50, 60, 90, 95, 99):
            found[f"{symbol} funding {quantile} %, bp"] = float(np.quantile(rates, quantile / 100) * 1e4)
        for lag in (1, 3, 9, 21, 63):
            found[f"{symbol} funding memory {lag}"] = correlation(rates, rates, lag) or float("nan")
    return found


MEASURES: dict[str, Callable[[Archive], Found]] = {
    "volatility and its memory (BURST, FAST, MEDIUM, SLOW, REGIME_*, FLICKER, OWN)": volatility,
    "season (HOUR_FACTORS, WEEKDAY_FACTORS, QUARTER_FACTOR)": season,
    "jumps (JUMP*, AFTERSHOCK, TREMOR, LEVERAGE)": jumps,
    "volume (VOLUME_*, TAKER_*)": volume,
    "correlation (the loads of personalities)": correlations,
    "derivatives (INTEREST*, *ACCOUNTS*, TOP_POSITIONS, FUNDING_*)": derivatives,
}


def _middle(values: Iterable[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else float("nan")


def _without_season(series: Series) -> Floats:
    logs: Floats = np.log(np.abs(series.returns) + FLOOR)
    hours = series.time // HOUR % 24
    for hour in range(24):
        logs[hours == hour] -= np.nanmean(logs[hours == hour])
    return logs


def _covariance(first: Floats, second: Floats, lag: int) -> float:
    product = first[:-lag] * second[lag:]
    return float(np.nanmean(product)) if np.any(~np.isnan(product)) else float("nan")


def _shape(series: Series, places: np.ndarray[tuple[int, ...], np.dtype[np.int64]], count: int) -> Floats:
    most = (5 * float(np.nanstd(series.returns))) ** 2
    squares = np.minimum(series.returns**2, most)
    roots = np.sqrt([np.nanmean(squares[places == place]) for place in range(count)])
    shape: Floats = roots / roots.mean()
    return shape


def _echo(series: Series, after: int) -> float | None:
    size = np.nan_to_num(np.abs(series.returns))
    places = np.flatnonzero(np.abs(local_sizes(series)) > 6)
    places = places[(places > 60) & (places < len(size) - 120)]
    if len(places) < 20:
        return None
    ratios = [size[at + after : at + after + 5].mean() / max(size[at - 60 : at - 5].mean(), 1e-9) for at in places]
    return float(np.mean(ratios))


def main(
    directory: Path = typer.Argument(..., help="Recorded candles, metrics and funding, in any subfolders."),  # noqa: B008
) -> None:
    """Measure recorded data, and print the parameters of the simulated market beside the results."""
    try:
        with working("reading the archive") as progress:
            archive = read(directory, lambda name: progress(f"reading {name}"))
    except OcwError as error:
        typer.echo(f"calibrate: {error}", err=True)
        sys.exit(2)
    typer.echo(f"minutes: {', '.join(archive.minutes)}\nhours: {', '.join(archive.hours)}")
    for title, measure in MEASURES.items():
        typer.echo(f"\n== {title}")
        with working(f"measuring {title}"):
            found = measure(archive)
        for name, value in found.items():
            typer.echo(f"{name:60} {value:.4g}")
    typer.echo("\n== in the code")
    for name, value in vars(parameters).items():
        if name.isupper() and name not in {"DAY", "HOUR", "MINUTE"}:
            typer.echo(f"{name:24} {value}")


if __name__ == "__main__":
    typer.run(main)

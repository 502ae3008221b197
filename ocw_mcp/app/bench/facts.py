"""Stylised facts of a series of candles: statistics in which the returns and volumes of all markets agree.

The list follows R. Cont, Empirical properties of asset returns: stylized facts and statistical issues (2001).
"""

from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import DAY, HOUR, MINUTE

Floats = npt.NDArray[np.float64]
YEAR = 365 * DAY
LAGS = {"1m": 1, "10m": 10, "1h": 60, "1d": 1440}
"""Lags of autocorrelations in minutes, by the suffixes of the facts' names."""
TAIL = 0.01
"""Fraction of all returns, the largest ones, from which Hill's index is computed."""
JUMP = 6.0
"""Smallest |return| of a jump, in standard deviations of the returns in the hour around it."""
FEWEST = 30
"""Smallest number of observations from which a fact is computed."""
_NORMAL = float(np.sqrt(2 / np.pi))
"""Mean of |z| of the standard normal distribution."""


class Series(NamedTuple):
    """A symbol's candles, one row each: times in ms, prices in quote currency, volumes in the base asset."""

    step: int
    time: npt.NDArray[np.int64]
    """Open times."""
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    taker: Floats

    @classmethod
    def of_candles(cls, step: int, candles: Iterable[Candle]) -> Self:
        """Return a series of one or more candles of `step` (ms), in order of time."""
        rows = np.array(
            [(c.open_time, c.open, c.high, c.low, c.close, c.volume, c.taker_volume) for c in candles], dtype=np.float64
        )
        begin = int(rows[0, 0])
        places = (rows[:, 0].astype(np.int64) - begin) // step
        grid = np.full((int(places[-1]) + 1, 6), np.nan)
        grid[places] = rows[:, 1:]
        return cls(step, begin + step * np.arange(len(grid), dtype=np.int64), *grid.T.copy())

    @property
    def returns(self) -> Floats:
        """Log returns from close to close; NaN for the first candle and around gaps."""
        return np.concatenate(([np.nan], np.diff(np.log(self.close))))

    def over(self, span: int) -> Floats:
        """Return consecutive log returns over `span` ms; none if candles are longer than `span`."""
        if span < self.step:
            return np.empty(0)
        return np.diff(np.log(self.close[:: span // self.step]))


def facts(series: Series) -> dict[str, float | None]:
    """Return every fact by name; a fact is None if the candles are too few, too long, or lack a column."""
    returns, size = series.returns, np.abs(series.returns)
    jumps = returns[np.abs(local_sizes(series)) > JUMP] if series.step <= 5 * MINUTE else np.empty(0)
    square = float(np.nansum(returns**2))
    lags = {name: minutes * MINUTE // series.step for name, minutes in LAGS.items()}
    log_volume = np.log(np.maximum(series.volume, 1e-9))
    found: dict[str, float | None] = {
        "annual_volatility": float(np.nanstd(returns) * np.sqrt(YEAR / series.step)),
        "kurtosis_1m": kurtosis(series.over(MINUTE)),
        "kurtosis_15m": kurtosis(series.over(15 * MINUTE)),
        "kurtosis_1h": kurtosis(series.over(HOUR)),
        "hill_index": hill(returns),
        "return_acf_1": correlation(returns, returns, 1),
        "variance_ratio_1h": variance_ratio(series, HOUR),
    }
    found |= {f"abs_acf_{name}": correlation(size, size, lag) if lag else None for name, lag in lags.items()}
    found |= {
        "leverage_1h": leverage(series),
        "jumps_per_day": len(jumps) / (int(np.sum(~np.isnan(returns))) * series.step / DAY),
        "jump_share": float(np.nansum(jumps**2)) / square if square and len(jumps) else None,
        "jumps_down": float(np.mean(jumps < 0)) if len(jumps) >= FEWEST // 2 else None,
        "skew_1h": _standard_moment(series.over(HOUR), 3),  # below 0 if large moves go down
        # An unchanged price is left out, since a move below one tick is not a volatility of 0.
        "volume_volatility": correlation(log_volume, np.log(np.where(size > 0, size, np.nan)), 0),
        "volume_acf_1m": correlation(log_volume, log_volume, lags["1m"]),
        "volume_acf_1h": correlation(log_volume, log_volume, lags["1h"]),
        "volume_spread": float(np.nanstd(log_volume)),
        "taker_return": correlation(series.taker / series.volume, returns, 0) if np.any(series.taker > 0) else None,
        "season_amplitude": season_amplitude(series),
        "range_over_return": float(np.nanmean(np.log(series.high / series.low)) / np.nanmean(size)),
        "standstills": float(np.mean(returns[~np.isnan(returns)] == 0)),
    }
    return {name: None if value is None or not np.isfinite(value) else float(value) for name, value in found.items()}


def correlation(first: Floats, second: Floats, lag: int) -> float | None:
    """Return Pearson's correlation of `first` with `second` `lag` rows later; None if it is undefined."""
    if lag:
        first, second = first[:-lag], second[lag:]
    known = ~np.isnan(first + second)
    if np.sum(known) < FEWEST or not np.std(first[known]) or not np.std(second[known]):
        return None
    return float(np.corrcoef(first[known], second[known])[0, 1])


def kurtosis(returns: Floats) -> float | None:
    """Return the excess kurtosis, which is 0 for a normal distribution."""
    return None if (fourth := _standard_moment(returns, 4)) is None else fourth - 3


def _standard_moment(returns: Floats, order: int) -> float | None:
    """Return the standardised moment of `order` of the returns; None if the returns are too few or all equal."""
    known = returns[~np.isnan(returns)]
    if len(known) < FEWEST or not np.std(known):
        return None
    return float(np.mean(((known - np.mean(known)) / np.std(known)) ** order))


def hill(returns: Floats) -> float | None:
    """Return the tail index of |return| (B. M. Hill, 1975): smaller for fatter tails; 3 is common in markets."""
    sizes = np.sort(np.abs(returns[~np.isnan(returns)]))[::-1]
    count = int(len(sizes) * TAIL)
    if count < FEWEST or not sizes[count]:
        return None
    return 1 / float(np.mean(np.log(sizes[:count] / sizes[count])))


def variance_ratio(series: Series, span: int) -> float | None:
    """Return the variance of returns over `span` ms divided by that of a random walk (A. Lo and C. MacKinlay, 1988)."""
    longer = series.over(span)
    if len(longer) < FEWEST or span == series.step:
        return None
    return float(np.nanvar(longer) / np.nanvar(series.returns) * series.step / span)


def leverage(series: Series) -> float | None:
    """Return the correlation of an hour's return with the change of ln(mean |return|) to the next hour."""
    count = HOUR // series.step
    if count < 1 or len(series.close) < 2 * count:
        return None
    rows = len(series.close) // count
    returns = series.returns[: rows * count].reshape(rows, count)
    hourly = returns.sum(axis=1)
    log_size = np.log(np.maximum(np.abs(returns).mean(axis=1), 1e-9))
    deviation = float(np.nanstd(hourly))
    change = log_size[1:] - log_size[:-1]
    return correlation(np.clip(hourly[:-1], -4 * deviation, 4 * deviation), change, 0)


def local_sizes(series: Series) -> Floats:
    """Return each return (0 for NaN) in standard deviations of the other returns in the hour around it."""
    sizes = np.nan_to_num(np.abs(series.returns))
    half = max(5, HOUR // series.step // 2)
    window = np.ones(2 * half + 1)
    window[half] = 0.0
    local = np.convolve(sizes, window / (2 * half), "same") / _NORMAL
    result: Floats = np.nan_to_num(series.returns) / np.maximum(local, 1e-9)
    return result


def by_hour(series: Series, values: Floats) -> Floats:
    """Return the mean of the values in each hour of the day (UTC), divided by the mean of all hours."""
    hours = series.time // HOUR % 24
    known = [values[(hours == hour) & ~np.isnan(values)] for hour in range(24)]
    means = np.array([np.mean(each) if len(each) else np.nan for each in known])
    shape: Floats = means / np.nanmean(means)
    return shape


def season_amplitude(series: Series) -> float | None:
    """Return the mean |return| of the most volatile hour of the day over the calmest; each |return| is capped."""
    if series.step > HOUR or len(series.close) * series.step < 2 * DAY:
        return None
    size = np.abs(series.returns)
    shape = by_hour(series, np.minimum(size, 5 * float(np.nanmean(size))))
    return float(np.nanmax(shape) / np.nanmin(shape))


def together(series: dict[str, Series]) -> dict[str, float | None]:
    """Return the correlation of the returns of each pair of symbols, over the candles that both have."""
    found = {}
    for one, other in combinations(sorted(series), 2):
        first, second = series[one], series[other]
        _, here, there = np.intersect1d(first.time, second.time, return_indices=True)
        found[f"{one}~{other}"] = correlation(first.returns[here], second.returns[there], 0)
    return found

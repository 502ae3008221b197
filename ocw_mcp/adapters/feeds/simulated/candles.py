"""From minutes to candles of any step: prices on their tick, the range of a real path, volume and its taker's side."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ocw_mcp.adapters.feeds.simulated import parameters as p
from ocw_mcp.adapters.feeds.simulated.path import PricePath
from ocw_mcp.adapters.feeds.simulated.randomness import Generator
from ocw_mcp.adapters.feeds.simulated.regimes import MINUTES, RegimePath
from ocw_mcp.adapters.feeds.simulated.swings import Floats
from ocw_mcp.domain.time import MINUTE


class Columns(NamedTuple):
    """A symbol's candles of a day, one row each."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    taker: Floats


def a_day(
    draw: Generator, who: p.Personality, weather: RegimePath, path: PricePath, step: int
) -> tuple[Columns, Floats]:
    """A symbol's candles of `step` (ms), and three rows of its minutes: closes, volumes and the taker's part.

    Minutes close at the same prices whatever the step is: longer candles gather minutes, shorter ones split them.
    """
    ends = np.concatenate(([path.level], path.level + np.cumsum(path.returns)))
    volumes = _volumes(draw, who, weather, path, ends)
    shares = _shares(draw, path.returns / path.deviation)
    extremes = draw.random((2, MINUTES))
    lots = 10.0**who.lot_decimals
    minutes = np.stack((_round_up(volumes, lots), np.round(volumes * shares * lots) / lots))
    if step < MINUTE:
        columns = _split(draw, who, path, ends, volumes, MINUTE // step)
    else:
        highs, lows = _extremes(ends, path.inner, extremes)
        columns = _gathered(who, ends, highs, lows, minutes, step // MINUTE)
    return columns, np.vstack((on_tick(ends[1:], who.decimals), minutes))


def _volumes(draw: Generator, who: p.Personality, weather: RegimePath, path: PricePath, ends: Floats) -> Floats:
    """Base asset traded in each minute. Volume follows activity (P. K. Clark's mixture of distributions, 1973)."""
    noise = draw.standard_normal(MINUTES) * p.VOLUME_NOISE
    size = np.abs(path.returns / path.deviation)
    beyond = np.maximum(size * np.exp(-path.flicker) - p.VOLUME_BEYOND, 0.0)
    log_volume = (
        p.VOLUME_ON_VOLATILITY * path.unusual
        + p.VOLUME_ON_FLICKER * path.flicker
        + np.log1p(beyond)
        + weather.flow
        + path.spells
        + noise
    )
    volumes: Floats = who.turnover / np.exp(ends[:-1]) * np.exp(np.minimum(log_volume, 6.0))
    return volumes


def _shares(draw: Generator, sizes: Floats) -> Floats:
    """The buyers' part of the volume: they took more of it in what went up."""
    odds = p.TAKER_ON_RETURN * np.clip(sizes, -5, 5) + p.TAKER_NOISE * draw.standard_normal(sizes.shape)
    shares: Floats = 1 / (1 + np.exp(-odds))
    return shares


def _extremes(ends: Floats, deviation: Floats, chances: Floats) -> tuple[Floats, Floats]:
    """Highest and lowest log price between two ends: each exact for a Brownian bridge, drawn apart.

    `(a + b ± sqrt((b - a)² - 2 σ² ln u)) / 2` inverts the distribution of the maximum of a bridge (Revuz and Yor,
    Continuous Martingales and Brownian Motion, exercise III.3.14).
    """
    first, last = ends[:-1], ends[1:]
    spans = np.sqrt((last - first) ** 2 - 2 * deviation**2 * np.log1p(-chances))
    return (first + last + spans[0]) / 2, (first + last - spans[1]) / 2


def _split(draw: Generator, who: p.Personality, path: PricePath, ends: Floats, volumes: Floats, parts: int) -> Columns:
    """Candles shorter than a minute: bridges between the minutes' ends, with the minute's volume spread over them."""
    noise = draw.standard_normal((MINUTES, parts)) * (path.inner / np.sqrt(parts))[:, None]
    moves = noise - noise.mean(axis=1, keepdims=True) + (path.returns / parts)[:, None]
    inside = ends[:-1, None] + np.cumsum(moves, axis=1)
    inside[:, -1] = ends[1:]  # to the bit, so that every step closes its minutes alike
    finer = np.concatenate((ends[:1], inside.ravel()))
    inner = np.repeat(path.inner / np.sqrt(parts), parts)
    highs, lows = _extremes(finer, inner, draw.random((2, MINUTES * parts)))
    weights = draw.standard_exponential((MINUTES, parts))
    weights /= weights.sum(axis=1, keepdims=True)
    spread = (volumes[:, None] * weights).ravel()
    sizes = moves.ravel() / np.repeat(path.deviation / np.sqrt(parts), parts)
    shares = _shares(draw, sizes)
    lots = 10.0**who.lot_decimals
    rows = np.stack((_round_up(spread, lots), np.round(spread * shares * lots) / lots))
    return _on_tick(who, finer, highs, lows, rows)


def _gathered(who: p.Personality, ends: Floats, highs: Floats, lows: Floats, rows: Floats, count: int) -> Columns:
    """Candles of one or more whole minutes."""
    if count == 1:
        return _on_tick(who, ends, highs, lows, rows)
    lots = 10.0**who.lot_decimals
    return _on_tick(
        who,
        ends[::count],
        highs.reshape(-1, count).max(axis=1),
        lows.reshape(-1, count).min(axis=1),
        np.round(rows.reshape(2, -1, count).sum(axis=2) * lots) / lots,
    )


def _on_tick(who: p.Personality, ends: Floats, highs: Floats, lows: Floats, rows: Floats) -> Columns:
    closes = on_tick(ends, who.decimals)
    first, last = closes[:-1], closes[1:]
    highest = np.maximum(on_tick(highs, who.decimals), np.maximum(first, last))
    lowest = np.minimum(on_tick(lows, who.decimals), np.minimum(first, last))
    return Columns(first, highest, lowest, last, rows[0], np.minimum(rows[1], rows[0]))


def on_tick(levels: npt.ArrayLike, decimals: int) -> Floats:
    """Prices of log levels, on the tick and never below one."""
    prices: Floats = np.maximum(np.round(np.exp(levels), decimals), round(10.0**-decimals, decimals))
    return prices


def _round_up(volumes: Floats, lots: float) -> Floats:
    """On the step, and never nothing at all."""
    result: Floats = np.maximum(np.round(volumes * lots), 1.0) / lots
    return result

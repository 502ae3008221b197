"""One day of a symbol from its simulated minutes: candles of any length, open interest, ratios, funding rates."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ocw_mcp.adapters.feeds.simulated import parameters as p
from ocw_mcp.adapters.feeds.simulated.paths import (
    MINUTES,
    Floats,
    Generator,
    Memory,
    PricePath,
    RegimePath,
    decaying_sum,
    mean_reverting,
    usual_deviation,
)
from ocw_mcp.domain.market import Funding, Metrics
from ocw_mcp.domain.time import DAY, HOUR, MINUTE

ROWS = DAY // p.METRICS_EVERY
_MINUTES_PER_ROW = p.METRICS_EVERY // MINUTE
_RATES = DAY // p.FUNDING_EVERY


class Columns(NamedTuple):
    """One symbol's candles of a day, one row per candle."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    taker: Floats


def simulate_candles(
    draw: Generator, model: p.SymbolModel, market: RegimePath, path: PricePath, step: int
) -> tuple[Columns, Floats]:
    """Return a symbol's candles of `step` (ms), and three rows of minute values: closes, volumes, taker volumes.

    Minutes close at the same prices for every `step`: longer candles aggregate minutes, shorter ones divide them.
    """
    ends = np.concatenate(([path.level], path.level + np.cumsum(path.returns)))
    volumes = _volumes(draw, model, market, path, ends)
    shares = _taker_shares(draw, path.returns / path.deviation)
    extremes = draw.random((2, MINUTES))
    minutes = _volume_rows(volumes, shares, model)
    if step < MINUTE:
        columns = _divided(draw, model, path, ends, volumes, MINUTE // step)
    else:
        count, lots = step // MINUTE, 10.0**model.lot_decimals
        highs, lows = (each.reshape(-1, count) for each in _extremes(ends, path.inner, extremes))
        totals = np.round(minutes.reshape(2, -1, count).sum(axis=2) * lots) / lots
        columns = _columns(model, ends[::count], highs.max(axis=1), lows.min(axis=1), totals)
    return columns, np.vstack((_on_tick(ends[1:], model.decimals), minutes))


def _volumes(draw: Generator, model: p.SymbolModel, market: RegimePath, path: PricePath, ends: Floats) -> Floats:
    """Return the base-asset volume of each minute: it follows activity (mixture of distributions, P. K. Clark 1973)."""
    noise = draw.standard_normal(MINUTES) * p.VOLUME_NOISE
    size = np.abs(path.returns / path.deviation)
    beyond = np.maximum(size * np.exp(-path.flicker) - p.VOLUME_BEYOND, 0.0)
    log_volume = (
        p.VOLUME_ON_VOLATILITY * path.unusual
        + p.VOLUME_ON_FLICKER * path.flicker
        + np.log1p(beyond)
        + market.volume
        + path.volume
        + noise
    )
    volumes: Floats = model.turnover / np.exp(ends[:-1]) * np.exp(np.minimum(log_volume, 6.0))
    return volumes


def _taker_shares(draw: Generator, sizes: Floats) -> Floats:
    """Return the fraction of each volume that takers bought; it rises with `sizes`, returns in local deviations."""
    odds = p.TAKER_ON_RETURN * np.clip(sizes, -5, 5) + p.TAKER_NOISE * draw.standard_normal(sizes.shape)
    shares: Floats = 1 / (1 + np.exp(-odds))
    return shares


def _extremes(ends: Floats, deviation: Floats, chances: Floats) -> tuple[Floats, Floats]:
    """Return the highest and the lowest log price of each minute (or part of one) between its two ends.

    Both are drawn independently, each from its exact distribution for a Brownian bridge:
    `(a + b ± sqrt((b - a)² - 2 σ² ln u)) / 2` (Revuz and Yor, Continuous Martingales and Brownian Motion, III.3.14).
    """
    first, last = ends[:-1], ends[1:]
    spans = np.sqrt((last - first) ** 2 - 2 * deviation**2 * np.log1p(-chances))
    return (first + last + spans[0]) / 2, (first + last - spans[1]) / 2


def _divided(
    draw: Generator, model: p.SymbolModel, path: PricePath, ends: Floats, volumes: Floats, parts: int
) -> Columns:
    """Return candles shorter than a minute: each minute is a Brownian bridge, and its volume is divided at random."""
    noise = draw.standard_normal((MINUTES, parts)) * (path.inner / np.sqrt(parts))[:, None]
    moves = noise - noise.mean(axis=1, keepdims=True) + (path.returns / parts)[:, None]
    inside = ends[:-1, None] + np.cumsum(moves, axis=1)
    inside[:, -1] = ends[1:]  # to the bit: minutes close at the same prices for every step
    finer = np.concatenate((ends[:1], inside.ravel()))
    inner = np.repeat(path.inner / np.sqrt(parts), parts)
    highs, lows = _extremes(finer, inner, draw.random((2, MINUTES * parts)))
    weights = draw.standard_exponential((MINUTES, parts))
    weights /= weights.sum(axis=1, keepdims=True)
    spread = (volumes[:, None] * weights).ravel()
    shares = _taker_shares(draw, moves.ravel() / np.repeat(path.deviation / np.sqrt(parts), parts))
    return _columns(model, finer, highs, lows, _volume_rows(spread, shares, model))


def _columns(model: p.SymbolModel, ends: Floats, highs: Floats, lows: Floats, rows: Floats) -> Columns:
    closes = _on_tick(ends, model.decimals)
    first, last = closes[:-1], closes[1:]
    highest = np.maximum(_on_tick(highs, model.decimals), np.maximum(first, last))
    lowest = np.minimum(_on_tick(lows, model.decimals), np.minimum(first, last))
    return Columns(first, highest, lowest, last, rows[0], np.minimum(rows[1], rows[0]))


def _on_tick(levels: npt.ArrayLike, decimals: int) -> Floats:
    """Return the prices with these logarithms, rounded to the tick and never below one tick."""
    prices: Floats = np.maximum(np.round(np.exp(levels), decimals), round(10.0**-decimals, decimals))
    return prices


def _volume_rows(volumes: Floats, shares: Floats, model: p.SymbolModel) -> Floats:
    """Return volumes and taker volumes as two rows, rounded to the lot; a volume is at least one lot."""
    lots = 10.0**model.lot_decimals
    return np.stack((np.maximum(np.round(volumes * lots), 1.0) / lots, np.round(volumes * shares * lots) / lots))


class DerivativesDay(NamedTuple):
    """A day's open interest and long/short ratios, as logarithms every five minutes, and its funding rates."""

    interest: Floats
    """Log of the ratio of open interest to its usual level."""
    top_accounts: Floats
    top_positions: Floats
    accounts: Floats
    rates: Floats


def simulate_derivatives(draw: Generator, model: p.SymbolModel, path: PricePath, memory: Memory) -> DerivativesDay:
    """Return a day's open interest, ratios and funding rates, which follow price, and update `memory`."""
    moves = path.returns.reshape(ROWS, _MINUTES_PER_ROW).sum(axis=1)
    noise = draw.standard_normal((4, ROWS))
    long_memory = decaying_sum(memory, "long_memory", moves, p.LONG_MEMORY, p.METRICS_EVERY)
    short_memory = decaying_sum(memory, "short_memory", moves, p.SHORT_MEMORY, p.METRICS_EVERY)
    trend = long_memory - short_memory
    usual = usual_deviation(model, p.METRICS_EVERY)
    liquidated = -p.LIQUIDATED * np.maximum(np.abs(moves) - p.LIQUIDATION_FROM * usual, 0.0)
    interest = mean_reverting(memory, "interest", noise[0], p.INTEREST, p.METRICS_EVERY)
    # The liquidations of earlier days are part of the interest that the memory holds.
    interest += decaying_sum({}, "liquidated", liquidated, p.INTEREST.half_life, p.METRICS_EVERY)
    memory["interest"] = float(interest[-1])
    top_accounts = mean_reverting(memory, "top_accounts", noise[1], p.TOP_ACCOUNTS, p.METRICS_EVERY)
    top_positions = mean_reverting(memory, "top_positions", noise[2], p.TOP_POSITIONS, p.METRICS_EVERY)
    accounts = mean_reverting(memory, "accounts", noise[3], p.ACCOUNTS, p.METRICS_EVERY)
    levels = mean_reverting(memory, "funding", draw.standard_normal(_RATES), p.FUNDING_LEVEL, p.FUNDING_EVERY)
    # The trend is an exponential memory of a random walk, which has this long-run deviation.
    usual_trend = usual_deviation(model, p.LONG_MEMORY) / float(np.sqrt(2 * np.log(2)))
    trends = long_memory[ROWS // _RATES - 1 :: ROWS // _RATES] / usual_trend
    rest = np.sqrt(1 - p.FUNDING_LEVEL.deviation**2 - p.FUNDING_ON_TREND**2)
    scores = levels + p.FUNDING_ON_TREND * trends + rest * draw.standard_normal(_RATES)
    # More volatile symbols do not have wider ratios, so the trend counts in the usual moves of a calm symbol.
    slope = min(1.0, 0.66 / model.volatility)
    return DerivativesDay(
        interest=interest + p.INTEREST_ON_TREND * trend + p.INTEREST_AT_ONCE * short_memory,
        top_accounts=_bounded(top_accounts + slope * p.TOP_ACCOUNTS_ON_TREND * trend),
        top_positions=_bounded(top_positions),
        accounts=_bounded(accounts + slope * p.ACCOUNTS_ON_TREND * trend),
        rates=np.round(np.interp(scores, p.FUNDING_SCORES, model.funding) * 1e-4, 8),
    )


def _bounded(logs: Floats) -> Floats:
    """Return log ratios that saturate at RATIO_WIDEST, so that no rally produces an absurd ratio."""
    result: Floats = p.RATIO_WIDEST * np.tanh(logs / p.RATIO_WIDEST)
    return result


def metrics_of(symbol: str, model: p.SymbolModel, day: DerivativesDay, minutes: Floats, midnight: int) -> list[Metrics]:
    """Return the metrics of the day from `midnight` (ms); `minutes` are rows of closes, volumes and taker volumes."""
    prices = minutes[0, _MINUTES_PER_ROW - 1 :: _MINUTES_PER_ROW]
    volume, bought = minutes[1:].reshape(2, ROWS, _MINUTES_PER_ROW).sum(axis=2)
    interest = np.round(model.interest / model.price * np.exp(day.interest), 3)
    # Takers sold the volume that they did not buy. When they sold nothing, one lot keeps the ratio finite.
    takers = np.round(bought / np.maximum(volume - bought, 10.0**-model.lot_decimals), 6)
    levels = [
        np.round(level * np.exp(logs), 6)
        for level, logs in zip(p.RATIO_LEVELS, (day.top_accounts, day.top_positions, day.accounts), strict=True)
    ]
    columns = [column.tolist() for column in (interest, np.round(interest * prices, 4), *levels, takers)]
    stamps = range(midnight + p.METRICS_EVERY, midnight + DAY + 1, p.METRICS_EVERY)
    return [Metrics(symbol, at, *row) for at, row in zip(stamps, zip(*columns, strict=True), strict=True)]


def funding_of(symbol: str, day: DerivativesDay, midnight: int) -> list[Funding]:
    """Return the funding rates of the day from `midnight` (ms): one every eight hours, the last at its end."""
    hours = p.FUNDING_EVERY // HOUR
    stamps = range(midnight + p.FUNDING_EVERY, midnight + DAY + 1, p.FUNDING_EVERY)
    return [Funding(symbol, at, rate, hours) for at, rate in zip(stamps, day.rates.tolist(), strict=True)]

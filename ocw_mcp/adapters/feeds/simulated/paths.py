"""Prices minute by minute: seeded processes, the volatility that all symbols share, and each symbol's own day."""

import hashlib
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.random import PCG64, SeedSequence  # noqa: TID251  every draw is from a generator seeded here
from numpy.random import Generator as Generator  # noqa: TID251

from ocw_mcp.adapters.feeds.simulated import parameters as p
from ocw_mcp.domain.time import DAY, HOUR, MINUTE

Floats = npt.NDArray[np.float64]
Memory = dict[str, float]
"""The last value of each process, by its name, from which the next day continues; a missing value counts as 0."""

MINUTES = DAY // MINUTE
YEAR_MINUTES = 365 * MINUTES
_PULL = float(np.log(2)) / (p.PRICE_HALF_LIFE / MINUTE)


def generator(seed: int, day: int, purpose: str) -> Generator:
    """Return the random generator of a day and a purpose, independent of those of other days and purposes."""
    name = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8])
    return Generator(PCG64(SeedSequence([seed, day, name])))


@cache
def _powers(half_life: int, step: int, count: int) -> tuple[Floats, Floats]:
    keep = 0.5 ** (step / half_life)
    exponents = np.arange(1, count + 1, dtype=np.float64)
    return keep**exponents, keep**-exponents


def decaying_sum(memory: Memory, name: str, inflow: Floats, half_life: int, step: int) -> Floats:
    """Return `y[t] = keep · y[t-1] + inflow[t]`, continued from the memory, for `half_life` and `step` in ms.

    Accurate if the half-life is longer than a thousandth of the time that `inflow` covers.
    """
    fading, growing = _powers(half_life, step, len(inflow))
    result: Floats = fading * (memory.get(name, 0.0) + np.cumsum(inflow * growing))
    memory[name] = float(result[-1])
    return result


def mean_reverting(memory: Memory, name: str, noise: Floats, process: p.MeanReversion, step: int) -> Floats:
    """Return a process with the deviation of `process` that continues from the memory; `step` is in ms."""
    keep = 0.5 ** (step / process.half_life)
    return decaying_sum(memory, name, noise * (process.deviation * (1 - keep * keep) ** 0.5), process.half_life, step)


class RegimePath(NamedTuple):
    """One day of the whole market, one value per minute."""

    noise: Floats
    """Standard normal: the market's part of all returns."""
    slowly: Floats
    """Log volatility of season, regime, SLOW and MEDIUM, less `log_normalisation`."""
    burst: Floats
    fast: Floats
    flicker: Floats
    """Standard normal."""
    jumps: Floats
    """Signed jump sizes in local deviations; zero in a minute without a jump."""
    volume: Floats
    """Log volume of the whole market."""
    season: Floats
    """Factor of volatility."""


@cache
def regime_shares() -> tuple[float, ...]:
    """Return the share of time in each regime: the stationary distribution, weighted by the mean durations."""
    transitions = np.array(p.REGIME_TRANSITIONS)
    visits = np.full(len(transitions), 1 / len(transitions))
    for _ in range(200):
        visits = 0.5 * visits + 0.5 * visits @ transitions
    time = visits * np.array(p.REGIME_DURATIONS)
    return tuple((time / time.sum()).tolist())


@cache
def log_normalisation() -> float:
    """Return the amount to subtract from log volatility: volatility then has a mean square of one."""
    # The mean square of a lognormal is exp(2 s²).
    variance = sum(part.deviation**2 for part in (p.BURST, p.FAST, p.MEDIUM, p.SLOW)) + p.FLICKER**2
    regimes = sum(
        share * float(np.exp(2 * level)) for share, level in zip(regime_shares(), p.REGIME_LEVELS, strict=True)
    )
    jumps = (p.JUMPS_PER_DAY + p.OWN_JUMPS) / MINUTES * p.JUMP_LEAST**2 * p.JUMP_TAIL / (p.JUMP_TAIL - 2)
    return variance + 0.5 * float(np.log(regimes)) + 0.5 * float(np.log1p(jumps)) + p.MEAN_AFTERSHOCK


@cache
def season(weekday: int) -> Floats:
    """Return the factor of volatility of each minute of a weekday (0 is Monday); its mean square over a week is one."""
    hours = np.array(p.HOUR_FACTORS)
    middles = (np.arange(-1, 25) + 0.5) * 60
    smooth = np.interp(np.arange(MINUTES) + 0.5, middles, np.concatenate((hours[-1:], hours, hours[:1])))
    quarter = np.where(np.arange(MINUTES) % 15 == 0, p.QUARTER_FACTOR, 1.0)
    shape = smooth * quarter
    week = np.array(p.WEEKDAY_FACTORS)
    factor: Floats = shape / np.sqrt(np.mean(shape**2)) * p.WEEKDAY_FACTORS[weekday] / np.sqrt(np.mean(week**2))
    return factor


def draw_jumps(draw: Generator, per_day: float, season: Floats) -> Floats:
    """Return the signed jumps of a day in local deviations; they are more frequent in volatile minutes."""
    chance = draw.random(MINUTES)
    minutes = np.flatnonzero(chance < per_day / MINUTES * season)
    jumps = np.zeros(MINUTES)
    if len(minutes):
        sizes = np.minimum(p.JUMP_LEAST * (1 - draw.random(len(minutes))) ** (-1 / p.JUMP_TAIL), p.JUMP_MOST)
        jumps[minutes] = np.where(draw.random(len(minutes)) < p.JUMP_DOWN, -sizes, sizes)
    return jumps


def simulate_regimes(draw: Generator, weekday: int, memory: Memory) -> RegimePath:
    """Return a day of the whole market; `memory` is updated to the end of the day."""
    regime, levels, last_medium = int(memory.get("regime", 1)), [], memory.get("medium", 0.0)
    for leaves, turns in draw.random((DAY // HOUR, 2)).tolist():
        if leaves < HOUR / p.REGIME_DURATIONS[regime]:
            cumulative = np.cumsum(p.REGIME_TRANSITIONS[regime])
            regime = min(int(np.searchsorted(cumulative, turns, side="right")), len(cumulative) - 1)
        levels.append(p.REGIME_LEVELS[regime])
    memory["regime"] = regime
    noise, burst, fast, medium, flicker, volume = draw.standard_normal((6, MINUTES))
    medium = p.LEVERAGE * noise + np.sqrt(1 - p.LEVERAGE**2) * medium
    slow = mean_reverting(memory, "slow", draw.standard_normal(DAY // HOUR), p.SLOW, HOUR)
    bursts = mean_reverting(memory, "burst", burst, p.BURST, MINUTE)
    fasts = mean_reverting(memory, "fast", fast, p.FAST, MINUTE)
    mediums = mean_reverting(memory, "medium", medium, p.MEDIUM, MINUTE)
    volumes = mean_reverting(memory, "volume", volume, p.MARKET_VOLUME, MINUTE)
    level = np.repeat(levels + slow, HOUR // MINUTE)
    factor = season(weekday)
    # The volatility of a minute is known before the minute: the effect of its own return starts at the next one.
    known = np.concatenate(([last_medium], mediums[:-1]))
    return RegimePath(
        noise=noise,
        slowly=level + known + np.log(factor) - log_normalisation(),
        burst=bursts,
        fast=fasts,
        flicker=flicker,
        jumps=draw_jumps(draw, p.JUMPS_PER_DAY, factor),
        volume=volumes,
        season=factor,
    )


def aftershocks(memory: Memory, name: str, jumps: Floats, size: float, half_life: int) -> Floats:
    """Return the log volatility that jumps add from the next minute on, proportional to the root of their size."""
    inflow = size * np.sqrt(np.abs(jumps) / p.JUMP_LEAST)
    return decaying_sum(memory, name, inflow, half_life, MINUTE)


class PricePath(NamedTuple):
    """A symbol's day, one value per minute."""

    level: float
    """Natural logarithm of the price at midnight."""
    returns: Floats
    """Log returns of the minutes."""
    deviation: Floats
    """Local standard deviation of a minute's log return, without flicker and jumps."""
    flicker: Floats
    """Log activity of the single minute."""
    inner: Floats
    """Deviation of the path within the minute, per square root of a minute."""
    unusual: Floats
    """Log of the local deviation over the symbol's long-run deviation."""
    volume: Floats
    """Log volume of the symbol that activity does not explain, with a half-life of minutes."""


def simulate_path(draw: Generator, model: p.SymbolModel, market: RegimePath, memory: Memory) -> PricePath:
    """Return a symbol's day in the given market; `memory` is updated to the end of the day."""
    log_price = float(np.log(model.price))
    level, last_shock = memory.get("level", log_price), memory.get("aftershock", 0.0) + memory.get("tremor", 0.0)
    noise, burst, fast, flicker, volume = draw.standard_normal((5, MINUTES))
    jumps = model.load * market.jumps + draw_jumps(draw, p.OWN_JUMPS, market.season)
    bursts = mean_reverting(memory, "burst", burst, p.BURST, MINUTE)
    fasts = mean_reverting(memory, "fast", fast, p.FAST, MINUTE)
    volumes = mean_reverting(memory, "volume", volume, p.SYMBOL_VOLUME, MINUTE)
    shocks = aftershocks(memory, "aftershock", jumps, p.AFTERSHOCK, p.AFTERSHOCK_HALF_LIFE)
    tremors = aftershocks(memory, "tremor", jumps, p.TREMOR, p.TREMOR_HALF_LIFE)
    shared, own = np.sqrt(1 - p.OWN), np.sqrt(p.OWN)
    after_jumps = np.concatenate(([last_shock], (shocks + tremors)[:-1]))
    unusual = market.slowly + shared * (market.burst + market.fast) + own * (bursts + fasts) + after_jumps
    flickers = p.FLICKER * (shared * market.flicker + own * flicker)
    usual = model.volatility / np.sqrt(YEAR_MINUTES)
    deviation = usual * np.exp(unusual)
    inner = deviation * np.exp(flickers)
    mixed = model.load * market.noise + np.sqrt(1 - model.load**2) * noise
    pull = _PULL * (log_price - level)
    returns = mixed * inner + jumps * deviation + pull
    memory["level"] = level + float(np.sum(returns))
    return PricePath(level, returns, deviation, flickers, p.INNER_DEVIATION * inner, unusual, volumes)


def usual_deviation(model: p.SymbolModel, span: int) -> float:
    """Return the long-run standard deviation of a log return over `span` (ms)."""
    return model.volatility * float(np.sqrt(span / (365 * DAY)))

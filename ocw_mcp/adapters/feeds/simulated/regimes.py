"""The volatility that all symbols share: season, regimes, mean-reverting parts and jumps."""

from functools import cache
from typing import NamedTuple

import numpy as np

from ocw_mcp.adapters.feeds.simulated import parameters as p
from ocw_mcp.adapters.feeds.simulated.processes import Floats, Generator, decaying_sum, mean_reverting
from ocw_mcp.domain.time import DAY, HOUR, MINUTE

MINUTES = DAY // MINUTE


class RegimePathState(NamedTuple):
    """The values that the next day starts from."""

    regime: int = 1
    burst: float = 0.0
    fast: float = 0.0
    medium: float = 0.0
    slow: float = 0.0
    volume: float = 0.0


class RegimePath(NamedTuple):
    """One day of the whole market, one value per minute."""

    noise: Floats
    """Standard normal: the market's part of all returns."""
    slowly: Floats
    """Log volatility of season, regime, SLOW and MEDIUM; its long-run mean square is one."""
    burst: Floats
    fast: Floats
    flicker: Floats
    """Standard normal."""
    jumps: Floats
    """Signed sizes in local deviations; zero in a minute without a jump."""
    volume: Floats
    """Log volume of the whole market."""
    season: Floats
    """Factor of volatility."""
    regimes: tuple[int, ...]
    """The regime of each hour: 0 calm, 1 normal, 2 stormy."""


@cache
def regime_shares() -> tuple[float, ...]:
    """Return the share of time in each regime.

    It is the stationary distribution of the transitions, weighted by the mean duration of each regime.
    """
    transitions = np.array(p.REGIME_TRANSITIONS)
    visits = np.full(len(transitions), 1 / len(transitions))
    for _ in range(200):
        visits = 0.5 * visits + 0.5 * visits @ transitions
    time = visits * np.array(p.REGIME_DURATIONS)
    return tuple((time / time.sum()).tolist())


@cache
def log_normalisation() -> float:
    """Return the log by which volatility is lowered so that its mean square over all regimes is one.

    A lognormal of deviation s has the mean square exp(2 s²). Jumps and their aftershocks add to it.
    """
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


def simulate_regimes(draw: Generator, weekday: int, before: RegimePathState) -> tuple[RegimePath, RegimePathState]:
    """Return the market's day, and the state that the next day starts from."""
    regimes = _regimes(draw.random((DAY // HOUR, 2)), before.regime)
    noise, burst, fast, medium, flicker, volume = draw.standard_normal((6, MINUTES))
    medium = p.LEVERAGE * noise + np.sqrt(1 - p.LEVERAGE**2) * medium
    slow = mean_reverting(before.slow, draw.standard_normal(DAY // HOUR), p.SLOW, HOUR)
    bursts = mean_reverting(before.burst, burst, p.BURST, MINUTE)
    fasts = mean_reverting(before.fast, fast, p.FAST, MINUTE)
    mediums = mean_reverting(before.medium, medium, p.MEDIUM, MINUTE)
    volumes = mean_reverting(before.volume, volume, p.MARKET_VOLUME, MINUTE)
    level = np.repeat(np.array(p.REGIME_LEVELS)[list(regimes)] + slow, HOUR // MINUTE)
    factor = season(weekday)
    # The volatility of a minute is known before the minute: the effect of its own return starts at the next one.
    known = np.concatenate(([before.medium], mediums[:-1]))
    market = RegimePath(
        noise=noise,
        slowly=level + known + np.log(factor) - log_normalisation(),
        burst=bursts,
        fast=fasts,
        flicker=flicker,
        jumps=draw_jumps(draw, p.JUMPS_PER_DAY, factor),
        volume=volumes,
        season=factor,
        regimes=regimes,
    )
    last = (float(each[-1]) for each in (bursts, fasts, mediums, slow, volumes))
    return market, RegimePathState(regimes[-1], *last)


def _regimes(chances: Floats, regime: int) -> tuple[int, ...]:
    hours = []
    for leaves, turns in chances.tolist():
        if leaves < HOUR / p.REGIME_DURATIONS[regime]:
            cumulative = np.cumsum(p.REGIME_TRANSITIONS[regime])
            regime = min(int(np.searchsorted(cumulative, turns, side="right")), len(cumulative) - 1)
        hours.append(regime)
    return tuple(hours)


def aftershocks(before: float, jumps: Floats, size: float, half_life: int) -> Floats:
    """Return the log volatility that jumps add from the next minute on, proportional to the root of their size."""
    inflow = size * np.sqrt(np.abs(jumps) / p.JUMP_LEAST)
    return decaying_sum(before, inflow, half_life, MINUTE)

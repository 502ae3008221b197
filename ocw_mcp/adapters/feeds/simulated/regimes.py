"""The weather of volatility that all symbols share: season, regimes, swings, and what jumps leave behind."""

from functools import cache
from typing import NamedTuple

import numpy as np

from ocw_mcp.adapters.feeds.simulated import parameters as p
from ocw_mcp.adapters.feeds.simulated.randomness import Generator
from ocw_mcp.adapters.feeds.simulated.swings import Floats, fade, swing
from ocw_mcp.domain.time import DAY, HOUR, MINUTE

MINUTES = DAY // MINUTE


class RegimePathState(NamedTuple):
    """What the next day needs to know of the days before."""

    regime: int = 1
    burst: float = 0.0
    fast: float = 0.0
    medium: float = 0.0
    slow: float = 0.0
    flow: float = 0.0
    """Mood of volume."""


class RegimePath(NamedTuple):
    """A day of the market as a whole, one value a minute."""

    noise: Floats
    """Standard normal: the market's part of all returns."""
    slowly: Floats
    """Log volatility of season, regime, SLOW and MEDIUM, of mean square one in the long run."""
    burst: Floats
    fast: Floats
    flicker: Floats
    """Standard normal."""
    jumps: Floats
    """Signed sizes in local deviations; zero where there is none."""
    flow: Floats
    season: Floats
    """Factor of volatility."""
    regimes: tuple[int, ...]
    """The regime of each hour: 0 calm, 1 normal, 2 stormy."""


@cache
def regime_shares() -> tuple[float, ...]:
    """Share of time in each regime: the turns' stationary distribution, weighed by how long each regime lasts."""
    turns = np.array(p.REGIME_TURNS)
    visits = np.full(len(turns), 1 / len(turns))
    for _ in range(200):
        visits = 0.5 * visits + 0.5 * visits @ turns
    time = visits * np.array(p.REGIME_DWELL)
    return tuple((time / time.sum()).tolist())


@cache
def settled() -> float:
    """Log by which volatility must be lowered so that its mean square over all weathers is one.

    A lognormal of deviation s has the mean square exp(2 s²); jumps and their echo add theirs.
    """
    variance = sum(part.deviation**2 for part in (p.BURST, p.FAST, p.MEDIUM, p.SLOW)) + p.FLICKER**2
    regimes = sum(
        share * float(np.exp(2 * level)) for share, level in zip(regime_shares(), p.REGIME_LEVELS, strict=True)
    )
    jumps = (p.JUMPS_PER_DAY + p.OWN_JUMPS) / MINUTES * p.JUMP_LEAST**2 * p.JUMP_TAIL / (p.JUMP_TAIL - 2)
    return variance + 0.5 * float(np.log(regimes)) + 0.5 * float(np.log1p(jumps)) + p.SHAKEN


@cache
def season(weekday: int) -> Floats:
    """Factor of volatility for each minute of a weekday (0 is Monday), of mean square one over the week."""
    hours = np.array(p.HOURS)
    middles = (np.arange(-1, 25) + 0.5) * 60
    smooth = np.interp(np.arange(MINUTES) + 0.5, middles, np.concatenate((hours[-1:], hours, hours[:1])))
    quarter = np.where(np.arange(MINUTES) % 15 == 0, p.QUARTER, 1.0)
    shape = smooth * quarter
    week = np.array(p.WEEKDAYS)
    factor: Floats = shape / np.sqrt(np.mean(shape**2)) * p.WEEKDAYS[weekday] / np.sqrt(np.mean(week**2))
    return factor


def jumps_of(draw: Generator, per_day: float, busy: Floats) -> Floats:
    """Signed jumps of a day in local deviations, more often where it is busy."""
    chance = draw.random(MINUTES)
    places = np.flatnonzero(chance < per_day / MINUTES * busy)
    jumps = np.zeros(MINUTES)
    if len(places):
        sizes = np.minimum(p.JUMP_LEAST * (1 - draw.random(len(places))) ** (-1 / p.JUMP_TAIL), p.JUMP_MOST)
        jumps[places] = np.where(draw.random(len(places)) < p.JUMP_DOWN, -sizes, sizes)
    return jumps


def a_day(draw: Generator, weekday: int, before: RegimePathState) -> tuple[RegimePath, RegimePathState]:
    """A day's weather, and what the next one starts from."""
    regimes = _regimes(draw.random((DAY // HOUR, 2)), before.regime)
    noise, burst, fast, medium, flicker, flow = draw.standard_normal((6, MINUTES))
    medium = p.LEVERAGE * noise + np.sqrt(1 - p.LEVERAGE**2) * medium
    slow = swing(before.slow, draw.standard_normal(DAY // HOUR), p.SLOW, HOUR)
    bursts = swing(before.burst, burst, p.BURST, MINUTE)
    fasts = swing(before.fast, fast, p.FAST, MINUTE)
    mediums = swing(before.medium, medium, p.MEDIUM, MINUTE)
    flows = swing(before.flow, flow, p.VOLUME_MOOD, MINUTE)
    level = np.repeat(np.array(p.REGIME_LEVELS)[list(regimes)] + slow, HOUR // MINUTE)
    factor = season(weekday)
    # Volatility of a minute is what was known before it: what medium makes of this return counts from the next on.
    known = np.concatenate(([before.medium], mediums[:-1]))
    weather = RegimePath(
        noise=noise,
        slowly=level + known + np.log(factor) - settled(),
        burst=bursts,
        fast=fasts,
        flicker=flicker,
        jumps=jumps_of(draw, p.JUMPS_PER_DAY, factor),
        flow=flows,
        season=factor,
        regimes=regimes,
    )
    after = RegimePathState(
        regimes[-1], float(bursts[-1]), float(fasts[-1]), float(mediums[-1]), float(slow[-1]), float(flows[-1])
    )
    return weather, after


def _regimes(chances: Floats, regime: int) -> tuple[int, ...]:
    hours = []
    for leaves, turns in chances.tolist():
        if leaves < HOUR / p.REGIME_DWELL[regime]:
            ways = np.cumsum(p.REGIME_TURNS[regime])
            regime = min(int(np.searchsorted(ways, turns, side="right")), len(ways) - 1)
        hours.append(regime)
    return tuple(hours)


def echo(before: float, jumps: Floats, size: float, half_life: int) -> Floats:
    """What jumps add to log volatility from the minute after them on; larger ones add more, by their root."""
    inflow = size * np.sqrt(np.abs(jumps) / p.JUMP_LEAST)
    return fade(before, inflow, half_life, MINUTE)

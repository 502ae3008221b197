"""A symbol's day, minute by minute: where its price goes, and how lively it is on the way."""

from typing import NamedTuple

import numpy as np

from ocw_mcp.adapters.feeds.simulated import parameters as p
from ocw_mcp.adapters.feeds.simulated.randomness import Generator
from ocw_mcp.adapters.feeds.simulated.regimes import MINUTES, RegimePath, echo, jumps_of
from ocw_mcp.adapters.feeds.simulated.swings import Floats, swing
from ocw_mcp.domain.time import DAY, MINUTE

YEAR_MINUTES = 365 * MINUTES
_PULL = float(np.log(2)) / (p.HOMING_HALF_LIFE / MINUTE)


class PricePathState(NamedTuple):
    """What a symbol's next day needs to know of the days before."""

    level: float
    """Natural logarithm of the price."""
    burst: float = 0.0
    fast: float = 0.0
    aftershock: float = 0.0
    tremor: float = 0.0
    spell: float = 0.0
    """Of volume."""


class PricePath(NamedTuple):
    """A symbol's day, one value a minute."""

    level: float
    """Natural logarithm of the price at midnight."""
    returns: Floats
    """Log returns of the minutes."""
    deviation: Floats
    """Local standard deviation of a minute's log return, without flicker and jumps."""
    flicker: Floats
    """Log activity of the minute alone."""
    inner: Floats
    """Deviation of the path within the minute, per root of a minute."""
    unusual: Floats
    """Log of the local deviation over the symbol's own in the long run."""
    spells: Floats
    """Log volume that is not told by activity, and lasts for minutes."""


def a_day(
    draw: Generator, who: p.Personality, weather: RegimePath, before: PricePathState
) -> tuple[PricePath, PricePathState]:
    """A symbol's day under the market's weather, and what the next one starts from."""
    noise, burst, fast, flicker, spell = draw.standard_normal((5, MINUTES))
    jumps = who.load * weather.jumps + jumps_of(draw, p.OWN_JUMPS, weather.season)
    bursts = swing(before.burst, burst, p.BURST, MINUTE)
    fasts = swing(before.fast, fast, p.FAST, MINUTE)
    spells = swing(before.spell, spell, p.VOLUME_SPELL, MINUTE)
    aftershocks = echo(before.aftershock, jumps, p.AFTERSHOCK, p.AFTERSHOCK_HALF_LIFE)
    tremors = echo(before.tremor, jumps, p.TREMOR, p.TREMOR_HALF_LIFE)
    shared, own = np.sqrt(1 - p.OWN), np.sqrt(p.OWN)
    shaken = np.concatenate(([before.aftershock + before.tremor], (aftershocks + tremors)[:-1]))
    unusual = weather.slowly + shared * (weather.burst + weather.fast) + own * (bursts + fasts) + shaken
    flickers = p.FLICKER * (shared * weather.flicker + own * flicker)
    usual = who.volatility / np.sqrt(YEAR_MINUTES)
    deviation = usual * np.exp(unusual)
    inner = deviation * np.exp(flickers)
    mixed = who.load * weather.noise + np.sqrt(1 - who.load**2) * noise
    pull = _PULL * (np.log(who.price) - before.level)
    returns = mixed * inner + jumps * deviation + pull
    path = PricePath(before.level, returns, deviation, flickers, p.BRIDGE * inner, unusual, spells)
    after = PricePathState(
        before.level + float(np.sum(returns)),
        float(bursts[-1]),
        float(fasts[-1]),
        float(aftershocks[-1]),
        float(tremors[-1]),
        float(spells[-1]),
    )
    return path, after


def usual_deviation(who: p.Personality, span: int) -> float:
    """Standard deviation of a log return over `span` (ms) in the long run."""
    return who.volatility * float(np.sqrt(span / (365 * DAY)))

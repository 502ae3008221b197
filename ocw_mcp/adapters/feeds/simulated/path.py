"""One symbol's day, minute by minute: its log returns and their local deviation."""

from typing import NamedTuple

import numpy as np

from ocw_mcp.adapters.feeds.simulated import parameters as p
from ocw_mcp.adapters.feeds.simulated.processes import Floats, Generator, mean_reverting
from ocw_mcp.adapters.feeds.simulated.regimes import MINUTES, RegimePath, aftershocks, draw_jumps
from ocw_mcp.domain.time import DAY, MINUTE

YEAR_MINUTES = 365 * MINUTES
_PULL = float(np.log(2)) / (p.PRICE_HALF_LIFE / MINUTE)


class PricePathState(NamedTuple):
    """The values that a symbol's next day starts from."""

    level: float
    """Natural logarithm of the price."""
    burst: float = 0.0
    fast: float = 0.0
    aftershock: float = 0.0
    tremor: float = 0.0
    volume: float = 0.0


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
    """Log volume that activity does not explain, and that lasts for minutes."""


def simulate_path(
    draw: Generator, model: p.SymbolModel, market: RegimePath, before: PricePathState
) -> tuple[PricePath, PricePathState]:
    """Return a symbol's day in the given market, and the state that the next day starts from."""
    noise, burst, fast, flicker, volume = draw.standard_normal((5, MINUTES))
    jumps = model.load * market.jumps + draw_jumps(draw, p.OWN_JUMPS, market.season)
    bursts = mean_reverting(before.burst, burst, p.BURST, MINUTE)
    fasts = mean_reverting(before.fast, fast, p.FAST, MINUTE)
    volumes = mean_reverting(before.volume, volume, p.SYMBOL_VOLUME, MINUTE)
    shocks = aftershocks(before.aftershock, jumps, p.AFTERSHOCK, p.AFTERSHOCK_HALF_LIFE)
    tremors = aftershocks(before.tremor, jumps, p.TREMOR, p.TREMOR_HALF_LIFE)
    shared, own = np.sqrt(1 - p.OWN), np.sqrt(p.OWN)
    after_jumps = np.concatenate(([before.aftershock + before.tremor], (shocks + tremors)[:-1]))
    unusual = market.slowly + shared * (market.burst + market.fast) + own * (bursts + fasts) + after_jumps
    flickers = p.FLICKER * (shared * market.flicker + own * flicker)
    usual = model.volatility / np.sqrt(YEAR_MINUTES)
    deviation = usual * np.exp(unusual)
    inner = deviation * np.exp(flickers)
    mixed = model.load * market.noise + np.sqrt(1 - model.load**2) * noise
    pull = _PULL * (np.log(model.price) - before.level)
    returns = mixed * inner + jumps * deviation + pull
    path = PricePath(before.level, returns, deviation, flickers, p.INNER_DEVIATION * inner, unusual, volumes)
    last = (float(each[-1]) for each in (bursts, fasts, shocks, tremors, volumes))
    return path, PricePathState(before.level + float(np.sum(returns)), *last)


def usual_deviation(model: p.SymbolModel, span: int) -> float:
    """Return the long-run standard deviation of a log return over `span` (ms)."""
    return model.volatility * float(np.sqrt(span / (365 * DAY)))

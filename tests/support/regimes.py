"""Daily candles with known regimes, and a hand-written model of two."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ocw_mcp.adapters.feeds.simulated.paths import Generator, generator
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.regime import Candidate, RegimeFit, RegimeModel
from ocw_mcp.domain.time import DAY

FIRST = 20_000 * DAY
"""The open time (ms) of the first synthetic day."""
Floats = npt.NDArray[np.float64]


def draws(seed: int, purpose: str = "regimes") -> Generator:
    """Return a seeded generator."""
    return generator(seed, 0, purpose)


def chain(draw: Generator, transitions: Sequence[Sequence[float]], count: int) -> list[int]:
    """Return the states of a Markov chain that begins in state 0."""
    states = [0]
    for chance in draw.random(count - 1):
        states.append(int(np.searchsorted(np.cumsum(transitions[states[-1]]), chance)))
    return states


def candles(returns: Sequence[float], first: int = FIRST, symbol: str = "BTCUSDT") -> list[Candle]:
    """Return the daily candles of log returns, from a price of 100."""
    found, price = [], 100.0
    for place, change in enumerate(returns):
        before, price = price, price * math.exp(change)
        high, low = max(before, price) * 1.001, min(before, price) * 0.999
        found.append(Candle(symbol, first + place * DAY, DAY, before, high, low, price, 1_000.0))
    return found


def walk(seed: int, count: int, sigma: float = 0.02, block: int = 100) -> list[float]:
    """Return normal returns whose standard deviation is `sigma`, and a fifth of it in the 1st, 3rd … `block` days."""
    sizes = np.where(np.arange(count) // block % 2, sigma, sigma / 5)
    return [float(each) for each in draws(seed).normal(size=count) * sizes]


MODEL = RegimeModel(
    start=(0.5, 0.5),
    transitions=((0.98, 0.02), (0.05, 0.95)),
    means=((0.0, -5.5, -1.9), (0.0, -3.9, -1.9)),
    variances=((1.0, 0.2, 1.0), (1.0, 0.2, 1.0)),
    centre=(0.0, 0.0, 0.0),
    scale=(1.0, 1.0, 1.0),
)
"""A model of the days of `walk`: calm and turbulent."""
FIT = RegimeFit(MODEL, 400, 14, (Candidate(2, -1.0, 15, 1.0, 1.0),))

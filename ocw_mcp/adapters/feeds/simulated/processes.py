"""Seeded random generators and mean-reverting processes, shared by volatility, volume and derivatives."""

import hashlib
from functools import cache

import numpy as np
import numpy.typing as npt
from numpy.random import PCG64, Generator, SeedSequence  # noqa: TID251  every draw is from a generator seeded here

from ocw_mcp.adapters.feeds.simulated.parameters import MeanReversion

__all__ = ["Floats", "Generator", "decaying_sum", "generator", "mean_reverting"]

Floats = npt.NDArray[np.float64]


def generator(seed: int, day: int, purpose: str) -> Generator:
    """Return the random generator of one day and one purpose (the market, or a symbol's path or candles).

    Its numbers depend on these three arguments alone: other symbols and other draws do not change them.
    """
    name = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8])
    return Generator(PCG64(SeedSequence([seed, day, name])))


@cache
def _powers(half_life: int, step: int, count: int) -> tuple[float, Floats, Floats]:
    keep = 0.5 ** (step / half_life)
    exponents = np.arange(1, count + 1, dtype=np.float64)
    return keep, keep**exponents, keep**-exponents


def decaying_sum(before: float, inflow: Floats, half_life: int, step: int) -> Floats:
    """Return `y[t] = keep · y[t-1] + inflow[t]` with `y[-1] = before`; `half_life` and `step` are in ms.

    The closed form sums `inflow[t] / keep^t`. It is accurate while the half-life is longer than a thousandth of the
    block.
    """
    _, fading, growing = _powers(half_life, step, len(inflow))
    result: Floats = fading * (before + np.cumsum(inflow * growing))
    return result


def mean_reverting(before: float, noise: Floats, process: MeanReversion, step: int) -> Floats:
    """Return a process that continues from `before`, driven by standard normal noise.

    Its standard deviation stays that of `process`. `step` is in ms.
    """
    keep = 0.5 ** (step / process.half_life)
    return decaying_sum(before, noise * (process.deviation * (1 - keep * keep) ** 0.5), process.half_life, step)

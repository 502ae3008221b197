"""Memories that fade: the one recursion that weather, volume and derivatives have in common, without a loop."""

from functools import cache

import numpy as np
import numpy.typing as npt

from ocw_mcp.adapters.feeds.simulated.parameters import Swing

Floats = npt.NDArray[np.float64]


@cache
def _powers(half_life: int, step: int, count: int) -> tuple[float, Floats, Floats]:
    keep = 0.5 ** (step / half_life)
    exponents = np.arange(1, count + 1, dtype=np.float64)
    return keep, keep**exponents, keep**-exponents


def fade(before: float, inflow: Floats, half_life: int, step: int) -> Floats:
    """`y[t] = keep · y[t-1] + inflow[t]` with `y[-1] = before`, where `half_life` and `step` are in ms.

    The closed form sums inflow over `keep^t`; it holds while half a life is longer than a thousandth of the block.
    """
    _, fading, growing = _powers(half_life, step, len(inflow))
    result: Floats = fading * (before + np.cumsum(inflow * growing))
    return result


def swing(before: float, noise: Floats, part: Swing, step: int) -> Floats:
    """A swing that goes on from `before`, driven by standard normal noise; its deviation stays that of `part`."""
    keep = 0.5 ** (step / part.half_life)
    return fade(before, noise * (part.deviation * (1 - keep * keep) ** 0.5), part.half_life, step)

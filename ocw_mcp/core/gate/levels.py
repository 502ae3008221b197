"""The levels of a channel: they decide when a reading is large enough, and new enough, to be reported."""

import math
from typing import Final

Reached = dict[str, tuple[list[int], list[int]]]
"""The time (ms) at which each level was last reached, by channel, for readings below and above zero."""

_MOST_LEVELS: Final = 200
"""The number of levels of a channel; a larger reading has the last level."""


def reports_level(reached: Reached, channel: str, bases: float, log_step: float, quiet_ms: int, at: int) -> bool:
    """Record at `at` (ms) that a reading is `bases` times its base, at least 1 or at most −1. Return whether to report.

    The reading has the level ⌊log |bases| / log step⌋. It is reported if the channel did not reach this level, with
    this sign, in the last `quiet_ms`. All levels up to it count as reached now, whether it is reported or not.
    """
    level = min(int(math.log(abs(bases)) / log_step), _MOST_LEVELS - 1)
    times = reached[channel][bases > 0]
    fires = level >= len(times) or at - times[level] > quiet_ms
    times[: level + 1] = [at] * (level + 1)
    return fires

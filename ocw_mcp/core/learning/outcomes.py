"""The evidence that is learned from: what the signals said, and what the trade yielded."""

import math
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from ocw_mcp.domain.learning import OutcomeExclusion, OutcomeSource

Exclusion = OutcomeExclusion
Source = OutcomeSource


LATEST: Final = 253_402_300_800_000
"""The time (ms) of the year 10000."""


class HeldLonger(Struct, frozen=True):
    """The results that a trade would have had with a later exit."""

    regime: str
    """The regime at its entry; one of the names that the learner has."""
    results: Mapping[float, float]
    """The result in R, by the hours between the real and the later exit; at 0 the real result."""


class Outcome(Struct, frozen=True):
    """The result of one trade, or of one decision without a trade. Raises ValueError for values out of range."""

    at: int
    """The time (ms) at which the result was known."""
    regime: str
    """The regime at the entry; one of the names that the learner has."""
    direction: int
    """1 for long, −1 for short."""
    signals: Mapping[str, float]
    """The value of each known signal at the entry, −1..1, above 0 for long. Omit a signal that was unknown."""
    net: float
    """The result in R (1 R is the loss at the first stop) after fees, slippage and funding."""
    source: Source = Source.TRADE
    excluded: Exclusion | None = None
    choices: Mapping[str, float] = {}
    """The value of each meta-parameter with which the trade was made; empty if it followed no advice."""
    held: HeldLonger | None = None
    """For a followed exit that a decider or a rule chose."""

    def __post_init__(self) -> None:
        if not 0 <= self.at < LATEST:
            raise ValueError(f"the time of an outcome is {self.at!r}; expected ms since 1970, before the year 10000")
        if self.direction not in (1, -1):
            raise ValueError(f"the direction of an outcome is {self.direction!r}; expected 1 or −1")
        if not math.isfinite(self.net):
            raise ValueError(f"the net result of an outcome is {self.net!r}; expected a number of R")
        for name, value in self.signals.items():
            if not -1 <= value <= 1:  # also false for NaN
                raise ValueError(f"the signal {name} of an outcome is {value!r}; expected −1..1, or no such signal")

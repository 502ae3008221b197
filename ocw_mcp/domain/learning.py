"""What was learned from closed trades, as snapshots and clients see it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from ocw_mcp.domain.regime import Level

UNKNOWN_REGIME: Final = "unknown"
REGIMES: Final = (*(level.value for level in Level), UNKNOWN_REGIME)
"""The regimes that are learned about: the levels of the market regime, and that it is not known."""
HORIZONS: Final = ("4h", "24h", "72h")
"""The horizons at which decisions without a trade, and exits, are compared with what the price did."""


class OutcomeSource(StrEnum):
    """Where an outcome comes from."""

    TRADE = "trade"
    """A closed trade."""
    HOLD = "hold"
    """A flat symbol for which nothing was decided."""
    REFUSAL = "refusal"
    """A refused entry."""
    EXIT = "exit"
    """The exit of a closed trade: what holding on would have yielded."""


class OutcomeExclusion(StrEnum):
    """The cause for which a closed trade is not learned from."""

    PERSON = "person"
    """A person closed it."""
    ADOPTED = "adopted"
    """It was opened outside of OCW."""
    VENUE = "venue"
    """A fault of the venue opened, changed or closed it."""
    HALTED = "halted"
    """It was closed while the book was halted."""


class ExitedTrade(msgspec.Struct, frozen=True):
    """The trade of an exit that a decider or a rule chose."""

    regime: str
    """The regime at its entry."""
    net: float
    """Its result in R, after fees, slippage and funding."""
    share: float
    """The part of its entries that the last exit closed, above 0 and at most 1; other orders closed the rest before."""


class Trust(StrEnum):
    """How a signal is judged by the 90 % interval of its reliability."""

    TRUSTED = "trusted"
    """The interval is above 0.5: the signal is right more often than wrong."""
    UNPROVEN = "unproven"
    """The interval contains 0.5."""
    DISTRUSTED = "distrusted"
    """The interval is below 0.5: the opposite of the signal is right more often."""


class LearnedReliability(msgspec.Struct, frozen=True):
    """The posterior of one signal, or of the mean of one group, in one regime.

    A reliability is the probability that the sign of the signal agrees with the sign of a result after costs.
    """

    name: str
    group: str
    mean: float
    low: float
    """The 5 % quantile."""
    high: float
    """The 95 % quantile."""
    evidence: float
    """The effective number of observations in the regime; for a group the sum of its signals'."""
    drawn: float
    """A reliability drawn from the posterior; it stays until an outcome is counted."""
    trust: Trust
    weight: float
    """The log-odds of the mean: the weight of the sign in a vote. Below 0 for a signal that misleads."""
    share: float
    """The size of the weight as a share of those of all signals in the regime; they sum to 1, or are all 0."""


class LearnedSize(msgspec.Struct, frozen=True):
    """The size that the results of trades justify in one regime. It is advice; the policies limit every order."""

    risk: float
    """The risk fraction: the share of the equity at risk between entry and stop. 0 if the trades show no edge."""
    win_rate: float
    """The mean of the posterior of the share of winning trades."""
    low_win_rate: float
    """The 25 % quantile, from which `risk` is computed."""
    win: float
    """The mean win in R after costs."""
    loss: float
    """The mean loss in R after costs, above 0."""
    evidence: float
    """The effective number of trades in the regime."""


class LearnedChoice(msgspec.Struct, frozen=True):
    """The advice on a meta-parameter."""

    parameter: str
    value: float
    """The value to try."""
    best: float
    """The value with the largest mean result."""
    evidence: float
    """The effective number of trades with a known value in the regime."""


class LearnedExits(msgspec.Struct, frozen=True):
    """The mean result of closed trades if each had been held until a horizon after its exit."""

    horizon: str
    regret: float
    """In R; above 0 the exits were too early."""
    exits: int


class LearnedClaim(msgspec.Struct, frozen=True):
    """What deciders said of their use of one signal (`signal_weights`), and how often it was right."""

    name: str
    weight: float
    """The mean weight that they named, −1..1; below 0 they used its opposite."""
    trades: int
    """The closed trades with this claim."""
    silent: int
    """Those at whose entry the signal said nothing."""
    along: int
    """Those that went the way which the signal, as claimed, spoke for."""
    right: int
    """Those whose result was what the signal, as claimed, spoke for; of `trades` − `silent`."""


class Learned(msgspec.Struct, frozen=True):
    """What was learned, read in the present regime."""

    regime: str
    trades: int
    counterfactuals: int
    excluded: Mapping[str, int]
    """The number of closed trades that were not learned from, by cause."""
    signals: tuple[LearnedReliability, ...]
    groups: tuple[LearnedReliability, ...]
    size: LearnedSize
    choices: tuple[LearnedChoice, ...]
    exits: tuple[LearnedExits, ...]
    claims: tuple[LearnedClaim, ...] = ()
    """Apart from `signals`, whose posteriors do not count what a decider says."""

    @property
    def knows(self) -> bool:
        """Whether there is any evidence."""
        return self.trades + self.counterfactuals > 0


class LearningView(msgspec.Struct, frozen=True):
    """The learned reliabilities, and for each symbol the vote and the advised risk that follow from them."""

    learned: Learned
    votes: Mapping[str, float]
    """The vote of each symbol's signals, −1..1, above 0 for a rising price; 0 without evidence."""
    risks: Mapping[str, float]
    """The advised risk of an entry in each symbol as a share of equity, within the limits of the policies."""

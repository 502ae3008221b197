"""Decisions without a trade, and exits, followed until what the market did afterwards is known.

A flat symbol for which nothing was decided, and a refused entry, are followed as the trade that was left out: with the
stop that the rules would set, and with costs. An exit is followed as if the position were still held, with the stop
that it had. An exit at a price that was set before (a stop, a target) is followed without one. The result is the mean
over all horizons. The number of followed decisions is bounded by the pauses between them.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from ocw_mcp.core.learning.counterfactuals import FollowedProposal, Proposal, exit_regret
from ocw_mcp.domain.learning import HORIZONS, ExitedTrade, OutcomeSource
from ocw_mcp.domain.learning_events import OutcomeScored
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import HOUR, span_ms

PAUSES: Final = {OutcomeSource.HOLD: 24 * HOUR, OutcomeSource.REFUSAL: 24 * HOUR, OutcomeSource.EXIT: 4 * HOUR}
"""The time (ms) after which another decision of a symbol is followed. With shorter pauses most of the horizons are the
same hours, and each would still count as an observation of its own."""
MOST_FOLLOWED: Final = 48
"""The most decisions of one symbol that are followed at a time."""
_SPANS: Final = {name: span_ms(name) for name in HORIZONS}


class Followed(msgspec.Struct):
    """One decision that is followed, with what the signals said then."""

    source: OutcomeSource
    symbol: str
    at: int
    regime: str
    direction: int
    values: dict[str, float]
    price: float
    risk: float
    """The distance of 1 R in quote currency."""
    cost: float = 0.0
    """The costs of the trade, as a share of its price."""
    trades: dict[str, FollowedProposal] = {}
    """The trade until each horizon that goes on; empty for an exit without a stop."""
    results: dict[str, float] = {}
    """The result in R, or for an exit the price (quote), at each horizon that is over."""
    funding: float = 0.0
    """The funding that the position would have paid since its exit, as a share of the price; above 0 it pays."""
    funded: dict[str, float] = {}
    stop: float | None = None
    """The stop (quote) of the trade; None for an exit that is followed without one."""
    exited: ExitedTrade | None = None
    """The trade of an exit that was chosen."""

    def take(self, candle: Candle) -> bool:
        """Take a closed candle that began at or after the decision. Return whether all horizons are over."""
        if self.stop is None:
            for name, span in _SPANS.items():
                if name not in self.results and candle.close_time >= self.at + span:
                    self.results[name], self.funded[name] = candle.close, self.funding
            return len(self.results) == len(_SPANS)
        for name, trade in list(self.trades.items()):
            if (result := trade.close(candle)) is not None:
                self.results[name] = round(result, 6)
                del self.trades[name]
        return not self.trades

    def fund(self, rate: float) -> None:
        """Take a funding rate: longs pay it to shorts."""
        self.funding += self.direction * rate
        for trade in self.trades.values():
            trade.funding += self.direction * rate

    def outcome(self) -> OutcomeScored:
        """Return the outcome, after the last horizon."""
        results: Mapping[str, float] = {name: self.results[name] for name in _SPANS}
        if self.source is OutcomeSource.EXIT:
            if self.stop is None:
                results = exit_regret(self.direction, self.price, self.risk, results, self.funded)
            else:  # a followed trade has its own distance to the stop as 1 R
                scale = abs(self.price - self.stop) / self.risk
                results = {name: value * scale for name, value in results.items()}
            results = {name: round(value, 6) for name, value in results.items()}
        net = sum(results.values()) / len(results)
        cost = self.cost * self.price / self.risk
        if -2 * cost < net <= 0 and self.source is not OutcomeSource.EXIT:
            # The price moved by less than the costs: a trade in the other direction would not have paid, either.
            net = 0.0
        return OutcomeScored(
            *(self.source, self.symbol, self.at, self.regime, self.direction, self.values, round(net, 6)),
            horizons=results,
            exited=self.exited,
        )


class FollowingState(msgspec.Struct):
    """The saved state of `Following`."""

    followed: dict[str, list[Followed]] = {}
    """By symbol, oldest first."""
    begun: dict[str, int] = {}
    """The time (ms) at which the last decision of each source and symbol was followed."""


class Following:
    """All decisions that are followed."""

    def __init__(self) -> None:
        self.saved = FollowingState()

    def may_begin(self, source: OutcomeSource, symbol: str, at: int) -> bool:
        """Return whether another decision is followed: after a pause, and within the bound."""
        begun = self.saved.begun.get(f"{source}:{symbol}")
        return (begun is None or at >= begun + PAUSES[source]) and len(
            self.saved.followed.get(symbol, ())
        ) < MOST_FOLLOWED

    def begin(self, followed: Followed, stop: float | None = None) -> None:
        """Follow a decision, with the stop (quote) of the trade that was left out or was held; None for none."""
        followed.stop = stop
        if stop is not None:
            proposal = Proposal(followed.direction, followed.price, stop, None, followed.cost)
            followed.trades = {name: FollowedProposal(proposal, followed.at + span) for name, span in _SPANS.items()}
        self.saved.followed.setdefault(followed.symbol, []).append(followed)
        self.pause(followed.source, followed.symbol, followed.at)

    def pause(self, source: OutcomeSource, symbol: str, at: int) -> None:
        """Begin the pause after which the next decision may be followed."""
        self.saved.begun[f"{source}:{symbol}"] = at

    def take(self, candle: Candle) -> list[OutcomeScored]:
        """Take a closed candle; return the outcomes that it completes, in the order of their decisions."""
        followed = self.saved.followed.get(candle.symbol)
        if not followed:
            return []
        over, going = list[Followed](), list[Followed]()
        for each in followed:
            (over if candle.open_time >= each.at and each.take(candle) else going).append(each)
        if over:
            self.saved.followed[candle.symbol] = going
        return [each.outcome() for each in over]

    def fund(self, symbol: str, rate: float) -> None:
        """Take a settled funding rate of a symbol."""
        for each in self.saved.followed.get(symbol, ()):
            each.fund(rate)

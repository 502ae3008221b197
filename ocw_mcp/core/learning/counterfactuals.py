"""What a trade that was not made would have yielded, and what an exit gave up.

Both count less than trades: the entry is assumed at the price of the decision, and the market would have been the same.
"""

from collections.abc import Mapping

from msgspec import Struct

from ocw_mcp.domain.market import Candle


class Proposal(Struct, frozen=True):
    """The trade that a HOLD or a refusal left out. Prices in quote currency. Raises ValueError for a wrong side."""

    direction: int
    """1 for long, −1 for short."""
    entry: float
    """The price at the decision."""
    stop: float
    target: float | None
    """None for a trade that ends at its horizon."""
    cost: float
    """The fees and slippage of entry and exit together, as a share of the price."""

    def __post_init__(self) -> None:
        if self.direction not in (1, -1) or self.direction * (self.entry - self.stop) <= 0 or self.stop <= 0:
            raise ValueError(f"the stop {self.stop} of direction {self.direction} is not beyond {self.entry}")
        if self.target is not None and self.direction * (self.target - self.entry) <= 0:
            raise ValueError(f"the target {self.target} of direction {self.direction} is not beyond {self.entry}")
        if self.cost < 0:
            raise ValueError(f"the cost {self.cost} is below 0")


class FollowedProposal(Struct):
    """Follows a proposal candle by candle until its stop, its target or its horizon. It is its own saved state."""

    proposal: Proposal
    until: int
    """The time (ms) of the horizon."""
    funding: float = 0.0
    """What the position would have paid so far, as a share of the entry price; the caller adds to it."""

    def close(self, candle: Candle) -> float | None:
        """Take a closed candle after the decision; return the result in R after costs, or None if the trade goes on.

        A candle that reaches both the stop and the target counts as the stop. A stop fills at the open if the market
        opened beyond it. At the horizon the trade ends at the close.
        """
        asked, side = self.proposal, self.proposal.direction
        worst, best = (candle.low, candle.high) if side > 0 else (candle.high, candle.low)
        if side * (worst - asked.stop) <= 0:
            return self._result(candle.open if side * (candle.open - asked.stop) < 0 else asked.stop)
        if asked.target is not None and side * (best - asked.target) >= 0:
            return self._result(asked.target)
        return self._result(candle.close) if candle.close_time >= self.until else None

    def _result(self, price: float) -> float:
        asked = self.proposal
        gain = asked.direction * (price - asked.entry) - (asked.cost + self.funding) * asked.entry
        return gain / abs(asked.entry - asked.stop)


def exit_regret(
    direction: int, exited: float, risk: float, after: Mapping[str, float], costs: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return what an exit at the price `exited` gave up against each horizon, in R; below 0 if it was right to exit.

    `after` has the price at each horizon, `risk` the distance of 1 R in quote currency, and `costs` what holding until
    then costs, as a share of the exit price (funding). Raises ValueError for a risk that is not above 0.
    """
    if not risk > 0:
        raise ValueError(f"the distance of 1 R is {risk}; expected more than 0")
    kept = costs or {}
    return {
        horizon: (direction * (price - exited) - kept.get(horizon, 0.0) * exited) / risk
        for horizon, price in after.items()
    }

"""The mode of a book and its trading state. An agent can lower the trading state and never raise it."""

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec


class Mode(StrEnum):
    """Whose money is traded: simulated money, the exchange's test money, or real money."""

    PAPER = "paper"
    DEMO = "demo"
    LIVE = "live"


class TradingState(StrEnum):
    """The state that allows or refuses entries. In every state, stops stay live and orders that reduce risk pass."""

    ACTIVE = "ACTIVE"
    """Entries pass within every policy."""
    REDUCING = "REDUCING"
    """Entries are refused; positions are managed and closed."""
    HALTED = "HALTED"
    """Entries are refused until the operator resumes."""


MARKET_DATA: Final = "the market data"
"""The author that is recorded if missing market data lower the trading state; their return raises it again."""
ITSELF: Final = "the engine"
"""The author that is recorded if the engine itself lowers the trading state."""


class Lowered(msgspec.Struct, frozen=True):
    """Who lowered the trading state last, when (ms), and why."""

    by: str
    at: int
    why: str


class Fall(msgspec.Struct, frozen=True):
    """A fall of equity (quote) from its peak: its `share` of the peak, and whether it is `beyond` the `limit`."""

    equity: Decimal
    peak: Decimal
    share: Decimal
    limit: Decimal
    beyond: bool

    def __str__(self) -> str:
        """Return the fall as a clause for the operator."""
        amounts = f"{self.peak - self.equity:,.2f}, from {self.peak:,.2f} to {self.equity:,.2f}"
        return f"equity fell by {self.share:.2%} ({amounts}), and the limit is {self.limit:.2%}"

"""The desk's state. An agent can lower it and never raise it."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from ocw_mcp.domain.text import cents, moment, said


class TradingState(StrEnum):
    """What the desk may do. Stops stay in every state, and what lowers risk passes in every state."""

    ACTIVE = "ACTIVE"
    """Entries pass, inside every policy."""
    REDUCING = "REDUCING"
    """No new risk; positions are managed and closed."""
    HALTED = "HALTED"
    """No new risk until a person resumes."""


class Lowered(msgspec.Struct, frozen=True):
    """Who lowered the desk's state last, when (ms), and why; a reason is in the words of whoever gave one."""

    by: str
    at: int
    why: str

    def __str__(self) -> str:
        """In a line, for a person: `by ann at 2026-01-02 10:00:00 UTC: enough for today`."""
        return f"by {said(self.by)} at {moment(self.at)} UTC{f': {said(self.why)}' if self.why else ''}"


class Fall(msgspec.Struct, frozen=True):
    """A fall of equity (quote) from its peak: `share` of the peak, and whether that is beyond the policy's `limit`."""

    equity: Decimal
    peak: Decimal
    share: Decimal
    limit: Decimal
    beyond: bool

    def __str__(self) -> str:
        """In a clause, for a person."""
        amounts = f"{cents(self.peak - self.equity)}, from {cents(self.peak)} to {cents(self.equity)}"
        return f"equity fell by {self.share:.2%} ({amounts}), and the limit is {self.limit:.2%}"

"""A circuit breaker: after several failures in a row the model is not called for a while."""

from collections.abc import Iterable
from typing import Final

import msgspec

from ocw_mcp.adapters.store.views.thinking import DecisionCost
from ocw_mcp.agent.messages import ANSWERED, UNASKED
from ocw_mcp.domain.causes import MODEL_ANSWERED, CauseKind
from ocw_mcp.domain.time import MINUTE

FAILURES: Final = 3
OPEN_MS: Final = 15 * MINUTE


class Breaker(msgspec.Struct):
    """Closed: calls are allowed. Open, for `OPEN_MS`: none is. Half open: the next call closes or reopens it."""

    failures: int = 0
    """Failures in a row."""
    opened_at: int | None = None
    """The time (ms) at which it was opened; None while it is closed."""

    @classmethod
    def from_journal(cls, thoughts: Iterable[DecisionCost]) -> "Breaker":
        """Return the breaker as it was after the latest decisions of the journal, oldest first."""
        breaker = cls()
        for thought in thoughts:
            kind, asked_at = None if thought.cause is None else thought.cause.kind, thought.at - thought.thinking_ms
            if kind is CauseKind.BREAKER:
                # The breaker was open, though the failures before are not among the decisions.
                if breaker.opened_at is None:
                    breaker = cls(FAILURES, asked_at)
            elif kind is None or kind in MODEL_ANSWERED or kind in ANSWERED:
                breaker.succeeded()
            elif kind.failed and kind not in UNASKED and breaker.allows(asked_at):
                breaker.failed(asked_at)
        return breaker

    def allows(self, now: int) -> bool:
        """Return whether the model may be called at `now` (ms). The caller then reports the result."""
        return self.opened_at is None or now >= self.opened_at + OPEN_MS

    def succeeded(self) -> None:
        """Report that the model answered: the breaker closes."""
        self.failures, self.opened_at = 0, None

    def failed(self, now: int) -> None:
        """Report at `now` (ms) that the model did not answer."""
        self.failures += 1
        if self.failures >= FAILURES:
            self.opened_at = now

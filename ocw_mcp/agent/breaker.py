"""A circuit breaker: after several failures in a row the model is not called for a while."""

from collections.abc import Iterable
from typing import Final

import msgspec

from ocw_mcp.adapters.store.views.decisions import DecisionCost
from ocw_mcp.agent.causes import ANSWERED, UNASKED
from ocw_mcp.domain.causes import MODEL_ANSWERED, Cause, CauseKind
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.time import MINUTE

FAILURES: Final = 3
OPEN_MS: Final = 15 * MINUTE


class BreakerState(msgspec.Struct):
    """Failures in a row, the time (ms) at which the breaker opened, and whether a trial runs."""

    failures: int = 0
    opened_at: int | None = None
    trying: bool = False


class Breaker(Stateful[BreakerState]):
    """Closed: every call is allowed. Open: none. Half open, after `OPEN_MS`: one trial, which closes or reopens it."""

    def __init__(self) -> None:
        super().__init__(BreakerState())

    @classmethod
    def from_journal(cls, thoughts: Iterable[DecisionCost]) -> "Breaker":
        """Return the breaker as it was after the latest decisions of the journal, oldest first."""
        breaker = cls()
        for thought in thoughts:
            breaker._apply(thought.cause, thought.at - thought.thinking_ms)
        return breaker

    def _apply(self, cause: Cause | None, asked_at: int) -> None:
        kind = None if cause is None else cause.kind
        if kind is CauseKind.BREAKER:
            # The breaker was open, though the failures before are not among the decisions.
            if self._state.opened_at is None:
                self._state = BreakerState(FAILURES, asked_at)
        elif kind is None or kind in MODEL_ANSWERED or kind in ANSWERED:
            self.succeeded()
        elif kind.failed and kind not in UNASKED and self.allows(asked_at):
            self.failed(asked_at)

    def allows(self, now: int) -> bool:
        """Return whether the model may be called at `now` (ms). The caller then reports the result."""
        state = self._state
        if state.opened_at is None:
            return True
        if state.trying or now < state.opened_at + OPEN_MS:
            return False
        state.trying = True
        return True

    def succeeded(self) -> None:
        """Report that the model answered: the breaker closes."""
        self._state = BreakerState()

    def failed(self, now: int) -> None:
        """Report at `now` (ms) that the model did not answer."""
        state = self._state
        state.failures += 1
        if state.trying or state.failures >= FAILURES:
            state.opened_at, state.trying = now, False

    def cancel_trial(self) -> None:
        """Report that the model was not called after all: a trial ends without a result."""
        self._state.trying = False

    @property
    def open_until(self) -> int | None:
        """The time (ms) from which the model is called again; None if the breaker is closed."""
        opened_at = self._state.opened_at
        return None if opened_at is None else opened_at + OPEN_MS

"""A circuit breaker: after several failures in a row the model is not asked for a while."""

from collections.abc import Iterable
from typing import Final

import msgspec

from ocw_mcp.adapters.store.views.thinking import DecisionCost
from ocw_mcp.agent.causes import ANSWERED, UNASKED, Cause
from ocw_mcp.domain.decision import FALLBACK, MEANT, UNSENT
from ocw_mcp.domain.time import MINUTE

FAILURES: Final = 3
OPEN_MS: Final = 15 * MINUTE


class BreakerState(msgspec.Struct):
    """Failures in a row, the time (ms) at which the breaker opened, and whether a trial is under way."""

    failures: int = 0
    opened_at: int | None = None
    trying: bool = False


class Breaker:
    """Closed: every call is allowed. Open: none. Half open, after `OPEN_MS`: one trial, which closes or reopens it."""

    def __init__(self) -> None:
        self.state = BreakerState()

    @classmethod
    def recalled(cls, thoughts: Iterable[DecisionCost]) -> "Breaker":
        """Return the breaker as it was after the latest decisions of the journal, oldest first."""
        breaker = cls()
        for thought in thoughts:
            breaker._recall(thought.cause.removeprefix(FALLBACK), thought.at - thought.thinking_ms)
        return breaker

    def _recall(self, cause: str, asked_at: int) -> None:
        name = cause.partition(":")[0]
        if cause and not cause.startswith((MEANT, UNSENT)) and name not in Cause.__members__:
            # A repeated HOLD or a missed deadline says nothing about the model.
            return
        if name == Cause.BREAKER:
            # The breaker was open, though the failures before are not in the journal's latest decisions.
            if self.state.opened_at is None:
                self.state = BreakerState(FAILURES, asked_at)
        elif name in ANSWERED or not cause or cause.startswith((MEANT, UNSENT)):
            self.succeeded()
        elif name not in UNASKED and self.lets_ask(asked_at):
            self.failed(asked_at)

    def lets_ask(self, now: int) -> bool:
        """Return whether the model may be asked at `now` (ms). The caller then reports the result."""
        state = self.state
        if state.opened_at is None:
            return True
        if state.trying or now < state.opened_at + OPEN_MS:
            return False
        state.trying = True
        return True

    def succeeded(self) -> None:
        """Report that the model answered: the breaker closes."""
        self.state = BreakerState()

    def failed(self, now: int) -> None:
        """Report at `now` (ms) that the model did not answer."""
        state = self.state
        state.failures += 1
        if state.trying or state.failures >= FAILURES:
            state.opened_at, state.trying = now, False

    def left_alone(self) -> None:
        """Report that the model was not asked after all: a trial ends without a result."""
        self.state.trying = False

    @property
    def open_until(self) -> int | None:
        """The time (ms) from which the model is asked again; None if the breaker is closed."""
        opened_at = self.state.opened_at
        return None if opened_at is None else opened_at + OPEN_MS

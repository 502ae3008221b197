"""Leaves the model alone for a while after it failed several times in a row."""

from collections.abc import Iterable
from typing import Final

import msgspec

from ocw_mcp.adapters.store.views.thinking import DecisionCost
from ocw_mcp.agent.causes import ANSWERED, UNASKED
from ocw_mcp.domain.causes import MODEL_ANSWERED, Cause, CauseKind
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.time import MINUTE

FAILURES: Final = 3
OPEN_MS: Final = 15 * MINUTE


class BreakerState(msgspec.Struct):
    """Failures in a row, since when the breaker is open (ms), and whether somebody tries whether it may close."""

    failures: int = 0
    opened_at: int | None = None
    trying: bool = False


class Breaker(Stateful[BreakerState]):
    """Closed: everybody asks. Open: nobody. Half open, after `OPEN_MS`: one asks, and its answer closes or reopens."""

    def __init__(self) -> None:
        super().__init__(BreakerState())

    @classmethod
    def recalled(cls, thoughts: Iterable[DecisionCost]) -> "Breaker":
        """As it was after the latest decisions of the journal, oldest first."""
        breaker = cls()
        for thought in thoughts:
            breaker._recall(thought.cause, thought.at - thought.thinking_ms)
        return breaker

    def _recall(self, cause: Cause | None, asked_at: int) -> None:
        kind = None if cause is None else cause.kind
        if kind is CauseKind.BREAKER:
            # It was open, though the failures that opened it are not among the decisions.
            if self._state.opened_at is None:
                self._state = BreakerState(FAILURES, asked_at)
        elif kind is None or kind in MODEL_ANSWERED or kind in ANSWERED:
            self.succeeded()
        elif kind.failed and kind not in UNASKED and self.lets_ask(asked_at):
            self.failed(asked_at)

    def lets_ask(self, now: int) -> bool:
        """Whether the model may be asked at `now` (ms). Whoever is let through says how it went."""
        state = self._state
        if state.opened_at is None:
            return True
        if state.trying or now < state.opened_at + OPEN_MS:
            return False
        state.trying = True
        return True

    def succeeded(self) -> None:
        """It answered."""
        super().__init__(BreakerState())

    def failed(self, now: int) -> None:
        """It did not."""
        state = self._state
        state.failures += 1
        if state.trying or state.failures >= FAILURES:
            state.opened_at, state.trying = now, False

    def left_alone(self) -> None:
        """It was not asked after all, which says nothing about it."""
        self._state.trying = False

    @property
    def open_until(self) -> int | None:
        """From when (ms) on the model is asked again; None where it is asked now."""
        opened_at = self._state.opened_at
        return None if opened_at is None else opened_at + OPEN_MS

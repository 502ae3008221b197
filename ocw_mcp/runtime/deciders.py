"""Deciders without a model: the rules, a reckless one, a strategy function, an attached client, or none."""

import asyncio
from collections.abc import Callable

from ocw_mcp.core import strategy
from ocw_mcp.core.strategy import reckless
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Decision, Leg
from ocw_mcp.domain.errors import InvariantError, StrategyError
from ocw_mcp.domain.orders import ATTACHED, NOBODY, RULES
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot

Strategy = Callable[[Snapshot], Decision | None]
"""A function that returns a decision on a snapshot, or None for a HOLD of every symbol."""


class _InstantDecider:
    """A decider without thinking time."""

    def thinking_ms(self, request: DecisionRequest) -> int:
        """Return 0: the decision takes no time."""
        return 0


class RulesDecider(_InstantDecider):
    """Decides by the built-in rules."""

    name = RULES

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    async def decide(self, request: DecisionRequest) -> Decision:
        """Return the decision of the rules."""
        return strategy.decide(request.snapshot, self._policies)


class RecklessDecider(_InstantDecider):
    """Enters every symbol at once, so that the limits of the policies are reached."""

    name = "reckless"

    async def decide(self, request: DecisionRequest) -> Decision:
        """Return a decision with a leg for every symbol."""
        return reckless.decide(request)


class NoDecider(_InstantDecider):
    """Holds every symbol: the wake-up gate runs, and no order is placed."""

    name = NOBODY

    async def decide(self, request: DecisionRequest) -> Decision:
        """Return a HOLD of every symbol."""
        return Decision(cause=Cause(CauseKind.NO_AGENT))


class StrategyDecider(_InstantDecider):
    """Decides by a function of the snapshot. A resumed run takes its decisions from the journal."""

    def __init__(self, strategy: Strategy, name: str, failed: Callable[[Exception], None]) -> None:
        """`failed` gets each error that the strategy raises; the wake is then a HOLD."""
        self.name = name
        self._strategy = strategy
        self._failed = failed

    async def decide(self, request: DecisionRequest) -> Decision:
        """Return the strategy's decision. Raises StrategyError for a wrong type, and the strategy's own errors."""
        try:
            answer = self._strategy(request.snapshot)
            if answer is None:
                return Decision()
            self._require(answer)
        except Exception as error:
            self._failed(error)
            raise
        return answer

    def _require(self, answer: object) -> None:
        if not isinstance(answer, Decision):
            raise StrategyError(
                f"{self.name} returned a value of {_kind(answer)}; expected a Decision, or None to hold"
            )
        if answer.cause is not None:
            raise StrategyError(f"{self.name} returned a Decision with a cause, which the engine sets; use its note")
        legs: object = answer.legs
        wrong = [leg for leg in legs if not isinstance(leg, Leg)] if isinstance(legs, tuple) else [legs]
        if wrong:
            raise StrategyError(f"{self.name} returned a Decision with legs of {_kind(wrong[0])}; expected Leg values")


def _kind(value: object) -> str:
    return f"type {type(value).__name__}, {repr(value)[:60]}"


class AttachedDecider:
    """Leaves each decision to the attached client, which submits it with the tool `decisions_submit`."""

    name = ATTACHED

    def thinking_ms(self, request: DecisionRequest) -> int | None:
        """Return None: the time that the client will take is not known."""
        return None

    async def decide(self, request: DecisionRequest) -> Decision:
        """Wait until the engine's deadline cancels the wait."""
        await asyncio.Event().wait()
        raise InvariantError("the attached decider returned an answer; expected one from decisions_submit")

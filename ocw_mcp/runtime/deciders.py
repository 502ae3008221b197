"""Whoever answers a wake without a model: the rules, a strategy, a reckless one, or nobody."""

import asyncio
from collections.abc import Callable

from ocw_mcp.core import strategy
from ocw_mcp.core.strategy import reckless
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Decision, Leg
from ocw_mcp.domain.errors import InvariantError, StrategyError
from ocw_mcp.domain.orders import ATTACHED
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot

Strategy = Callable[[Snapshot], Decision | None]
"""A function that decides on a snapshot. None holds everything."""


class RulesDecider:
    """The rules trade. They need no time to think."""

    name = "rules"

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    def thinking_ms(self, request: DecisionRequest) -> int:
        """Nothing."""
        return 0

    async def decide(self, request: DecisionRequest) -> Decision:
        """The rules' answer."""
        return strategy.decide(request.snapshot, self._policies)


class RecklessDecider:
    """Wants everything, so that the policies have something to do."""

    name = "reckless"

    def thinking_ms(self, request: DecisionRequest) -> int:
        """Nothing: it does not think."""
        return 0

    async def decide(self, request: DecisionRequest) -> Decision:
        """A leg for every symbol."""
        return reckless.decide(request)


class StrategyDecider:
    """A function of the snapshot decides. It needs no time to think.

    A resumed run takes its earlier decisions from the journal, and does not call it again for those wakes.
    """

    def __init__(self, strategy: Strategy, name: str, failed: Callable[[Exception], None]) -> None:
        """`failed` takes each exception of the strategy; its wake is then held."""
        self.name = name
        self._strategy = strategy
        self._failed = failed

    def thinking_ms(self, request: DecisionRequest) -> int:
        """Nothing."""
        return 0

    async def decide(self, request: DecisionRequest) -> Decision:
        """Return the strategy's answer. Raises StrategyError for one that is no decision, and the strategy's own."""
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
    """Whoever is attached decides, with `decisions_submit`; nothing comes from here."""

    name = ATTACHED

    def thinking_ms(self, request: DecisionRequest) -> int | None:
        """As long as it takes."""
        return None

    async def decide(self, request: DecisionRequest) -> Decision:
        """Wait; the desk's deadline ends that."""
        await asyncio.Event().wait()
        raise InvariantError("an answer that is waited for elsewhere came from here")


class NoDecider:
    """Holds everything: the gate is watched, and nothing is traded."""

    name = "none"

    def thinking_ms(self, request: DecisionRequest) -> int:
        """Nothing."""
        return 0

    async def decide(self, request: DecisionRequest) -> Decision:
        """A HOLD."""
        return Decision(cause=Cause(CauseKind.NO_AGENT))

"""Whoever answers a wake without a model: the rules, a reckless one, or nobody."""

import asyncio

from ocw_mcp.core import strategy
from ocw_mcp.core.strategy import reckless
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.orders import ATTACHED
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.snapshot import DecisionRequest


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

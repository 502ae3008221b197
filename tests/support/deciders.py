"""Deciders that do as they are told."""

from collections.abc import Callable

from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.snapshot import DecisionRequest


class Scripted:
    """Answers the wakes of a script, by wake number, and thinks for as long as it is told to."""

    name = "scripted"

    def __init__(self, script: dict[int, Decision], thinking_ms: int | Callable[[int], int] = 0) -> None:
        self._script = script
        self._thinking = thinking_ms
        self.asked: list[DecisionRequest] = []

    def thinking_ms(self, request: DecisionRequest) -> int:
        return self._thinking if isinstance(self._thinking, int) else self._thinking(request.wake_id)

    async def decide(self, request: DecisionRequest) -> Decision:
        self.asked.append(request)
        return self._script.get(request.wake_id, Decision(cause="nothing in the script"))


class Failing:
    """Cannot answer."""

    name = "failing"

    def thinking_ms(self, request: DecisionRequest) -> int:
        return 0

    async def decide(self, request: DecisionRequest) -> Decision:
        raise ConnectionError("the line is dead")

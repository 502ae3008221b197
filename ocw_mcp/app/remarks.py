"""State that the narrator keeps of earlier events: why a position closed, and whether the agent decides."""

from ocw_mcp.agent.messages import ANSWERED
from ocw_mcp.domain import events
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.orders import GUARD, RULES, Purpose
from ocw_mcp.render.quotations import untrusted

LONGEST_CAUSE = 200
STILL_DECIDES = (*ANSWERED, CauseKind.THROTTLED)
"""Causes of a decision by the rules that do not mean that the agent cannot decide at other wakes."""

_LEGS = {Purpose.STOP: "its stop", Purpose.TARGET: "its target"}


class Closings:
    """Finds why a position closed: its stop, its target, a rule of the guard, a caller, or a fill from outside OCW."""

    def __init__(self) -> None:
        self._rules: dict[str, str] = {}
        self._exits: dict[str, str] = {}
        self._closed: dict[str, str] = {}

    def take(self, event: events.DomainEvent) -> None:
        """Process one event."""
        match event:
            case events.ExitDecided(symbol, rule, why):
                self._rules[symbol] = f"{rule}: {why}"
            case events.OrderIntended(_, intent) if intent.purpose is Purpose.EXIT:
                rule = self._rules.pop(intent.symbol, "") if intent.principal == GUARD else ""
                self._exits[intent.symbol] = rule or f"closed by {intent.principal}"
            case events.OrderFilled(ref=ref, symbol=symbol) if ref.leg is Purpose.EXIT:
                self._closed[symbol] = self._exits.get(symbol, "closed")
            case events.OrderFilled(ref=ref, symbol=symbol) if ref.leg in _LEGS:
                self._closed[symbol] = _LEGS[ref.leg]
            case events.OutsideFilled(symbol=symbol, cause=cause):
                self._closed[symbol] = cause

    def why(self, symbol: str) -> str:
        """Return why the position that has just closed did so; empty if no earlier event gave a reason."""
        self._rules.pop(symbol, None)
        self._exits.pop(symbol, None)
        return self._closed.pop(symbol, "")


class Absence:
    """Reports once when the agent can no longer decide, and once when it decides again."""

    def __init__(self) -> None:
        self._absent = False

    def remark(self, made: events.DecisionMade) -> str | None:
        """Return a remark if a decision shows such a change; else None."""
        if (failure := made.in_its_place) is not None:
            if self._absent or failure.kind in STILL_DECIDES:
                return None
            self._absent = True
            return f"agent     cannot decide, the rules do in its place: {untrusted(str(failure), LONGEST_CAUSE)}"
        if self._absent and made.decider != RULES and made.decision.answered:
            self._absent = False
            return f"agent     {made.decider} decides again"
        return None

"""Events about deciding: wakes, decisions with their LLM cost, and decisions of the position guard."""

from decimal import Decimal

from ocw_mcp.domain.causes import Cause
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.events.event import Event
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import RULES
from ocw_mcp.domain.snapshot import SymbolWake


class WakeRaised(Event, frozen=True, tag="wake.raised"):
    """The gate woke the agent."""

    wake_id: int
    reasons: tuple[SymbolWake, ...]


class DecisionMade(Event, frozen=True, tag="decision.made"):
    """The decision on a wake, `thinking_ms` after it. A failure to decide is a HOLD with a cause.

    If the rules decided in place of an agent, the decider is `rules`, and the cause is the agent's failure.
    """

    wake_id: int
    decider: str
    thinking_ms: int
    decision: Decision
    cost_usd: Decimal = ZERO
    """The LLM cost of the decision."""
    tainted: bool = False
    """Whether the decider had read untrusted text, which another author wrote."""

    @property
    def in_its_place(self) -> Cause | None:
        """The failure of an agent in whose place the rules decided; None if they did not."""
        cause = self.decision.cause
        return cause if self.decider == RULES and cause is not None and cause.kind.failed else None


class DecisionCorrected(Event, frozen=True, tag="decision.corrected"):
    """The decider replaced legs that had been refused."""

    wake_id: int
    decider: str
    decision: Decision
    thinking_ms: int = 0
    """Time since the wake."""
    cost_usd: Decimal = ZERO
    """The LLM cost since the first answer."""
    tainted: bool = False


class DecisionEnded(Event, frozen=True, tag="decision.ended"):
    """A decider that had submitted legs and left its decision open has ended it."""

    wake_id: int
    cause: Cause | None
    """The failure that ended the decision, if any."""
    cost_usd: Decimal = ZERO
    """The LLM cost since the last submission."""


class DecisionDiscarded(Event, frozen=True, tag="decision.discarded"):
    """An answer arrived too late, or was a second one, and had no effect."""

    wake_id: int
    why: str
    cost_usd: Decimal = ZERO
    """The LLM cost of the discarded answer."""


class WakeConditionsSet(Event, frozen=True, tag="wake_conditions.set"):
    """The agent's wake conditions were replaced; `refused` has the reason for each one that was not accepted."""

    wake_id: int
    armed: int
    refused: tuple[str, ...]


class BudgetSpent(Event, frozen=True, tag="budget.spent"):
    """The LLM budget is spent; the rules decide until a time (ms)."""

    spent_usd: Decimal
    until: int


class ScoreTaken(Event, frozen=True, tag="score.taken"):
    """The rules' score of a position entered another band; `worst` is the part with the largest contribution."""

    symbol: str
    score: float
    band: str
    worst: str


class ExitDecided(Event, frozen=True, tag="exit.decided"):
    """The guard closes a position: the exit rule of the policy file, and one clause that explains it."""

    symbol: str
    rule: str
    why: str

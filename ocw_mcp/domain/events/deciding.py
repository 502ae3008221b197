"""Events about deciding: wakes, decisions, what they cost, and what the guard decides by itself."""

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
    """An answer to a wake, `thinking_ms` after it. A failure to decide is a HOLD with a cause.

    When the rules decided in an agent's place, the decider is `rules`, and the cause is the agent's failure.
    """

    wake_id: int
    decider: str
    thinking_ms: int
    decision: Decision
    cost_usd: Decimal = ZERO
    """What the thinking cost."""
    tainted: bool = False
    """Whether what others wrote was read on the way to it."""

    @property
    def in_its_place(self) -> Cause | None:
        """The failure of an agent in whose place the rules decided; None if they did not."""
        cause = self.decision.cause
        return cause if self.decider == RULES and cause is not None and cause.kind.failed else None


class DecisionCorrected(Event, frozen=True, tag="decision.corrected"):
    """Legs that were refused were decided on once more, by whoever had decided."""

    wake_id: int
    decider: str
    decision: Decision
    thinking_ms: int = 0
    """Since the wake."""
    cost_usd: Decimal = ZERO
    """What the thinking cost since the first answer."""
    tainted: bool = False


class DecisionEnded(Event, frozen=True, tag="decision.ended"):
    """Whoever had submitted legs, and kept the floor, is through."""

    wake_id: int
    cause: Cause | None
    """The failure that kept it from going on, if any."""
    cost_usd: Decimal = ZERO
    """What its thinking cost since it last submitted."""


class DecisionDiscarded(Event, frozen=True, tag="decision.discarded"):
    """An answer came that nobody waited for any more, or a second one."""

    wake_id: int
    why: str
    cost_usd: Decimal = ZERO
    """What its thinking cost all the same."""


class WakeConditionsSet(Event, frozen=True, tag="wake_conditions.set"):
    """The agent's wake conditions were replaced; `refused` tells what was wrong with those that were not taken."""

    wake_id: int
    armed: int
    refused: tuple[str, ...]


class BudgetSpent(Event, frozen=True, tag="budget.spent"):
    """Thinking has cost what it may; the rules decide until a time (ms)."""

    spent_usd: Decimal
    until: int


class ScoreTaken(Event, frozen=True, tag="score.taken"):
    """The rules' score of a position came into another band; `worst` is the part that adds most."""

    symbol: str
    score: float
    band: str
    worst: str


class ExitDecided(Event, frozen=True, tag="exit.decided"):
    """The guard closes a position: which rule of the policy file it is that ends it, and one clause for people."""

    symbol: str
    rule: str
    why: str

"""Events of the journal from which OCW learns: what the signals said at an entry, and what came of it."""

from collections.abc import Mapping

from ocw_mcp.domain.event_types import DomainEvent
from ocw_mcp.domain.learning import ExitedTrade, OutcomeExclusion, OutcomeSource
from ocw_mcp.domain.orders import OrderRef


class SignalsRecorded(DomainEvent, frozen=True, tag="signals.recorded"):
    """What the engine's own signals said when an entry was sent, and what the decider says that it used."""

    ref: OrderRef
    symbol: str
    regime: str
    direction: int
    """1 for long, −1 for short."""
    values: Mapping[str, float]
    """The value of each known signal, −1..1, above 0 for a rising price."""
    claimed: Mapping[str, float] = {}
    """The weights of the signals that the decider named."""
    choices: Mapping[str, float] = {}
    """The value of each meta-parameter that the entry shows."""


class OutcomeScored(DomainEvent, frozen=True, tag="outcome.scored"):
    """What a trade, or a decision without one, yielded in R: 1 R is the loss at the first stop."""

    source: OutcomeSource
    symbol: str
    began_at: int
    """The time (ms) of the entry, of the decision or of the exit."""
    regime: str
    direction: int
    values: Mapping[str, float]
    net: float
    """The result after fees, slippage and funding; 0 if neither direction would have paid."""
    excluded: OutcomeExclusion | None = None
    cause: str = ""
    """What closed the trade, in one word."""
    horizons: Mapping[str, float] = {}
    """The result at each horizon of a decision without a trade, or the regret of an exit, in R."""
    claimed: Mapping[str, float] = {}
    choices: Mapping[str, float] = {}
    """The value of each meta-parameter with which the trade was made."""
    exited: ExitedTrade | None = None
    """For an exit: its trade, if it was chosen; None after a stop, a target, `exits.max_loss` or a liquidation."""


class OutcomeImported(DomainEvent, frozen=True, tag="outcome.imported"):
    """An outcome of another book, with which a new book begins."""

    known_at: int
    """The time (ms) at which the other book knew it."""
    outcome: OutcomeScored

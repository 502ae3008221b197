"""Events of the journal about the market as a whole: the regime, the macro regime, and reports from outside."""

from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.event_types import DomainEvent
from ocw_mcp.domain.macro import MacroReading
from ocw_mcp.domain.regime import Level, RegimeFit
from ocw_mcp.domain.unknown import Unknown


class ModelFitted(DomainEvent, frozen=True, tag="regime.fitted"):
    """A model of the regime was fitted, or the days have none, or the worker failed."""

    symbol: str
    fitted_at: int
    """The time (ms) of the last close that the model was fitted from."""
    found: RegimeFit | Unknown
    failed: bool = False


class RegimeChanged(DomainEvent, frozen=True, tag="regime.changed"):
    """The level of the regime changed. None is an unknown regime, and `why` says why it is unknown."""

    symbol: str
    before: Level | None
    after: Level | None
    why: str = ""


class MacroRead(DomainEvent, frozen=True, tag="macro.read"):
    """The macro regime was read, or why it could not be."""

    reading: MacroReading | Unknown


class ContextRead(DomainEvent, frozen=True, tag="context.read"):
    """The sources outside of the exchange were read."""

    items: tuple[ContextItem, ...]

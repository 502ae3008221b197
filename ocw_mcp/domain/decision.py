"""What an agent decides: the type that Claude returns, and the rules too."""

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from ocw_mcp.domain.causes import MODEL_ANSWERED, Cause, CauseKind

LONGEST_CLAUSE: Final = 200
"""Characters on what of a decision could not be read."""


class Action(StrEnum):
    """What to do with one symbol."""

    BUY = "BUY"
    """Open a long."""
    SELL = "SELL"
    """Close a long."""
    SHORT = "SHORT"
    """Open a short."""
    COVER = "COVER"
    """Close a short."""
    ADD = "ADD"
    """Make the open position larger, the same way."""
    HOLD = "HOLD"
    """Leave the symbol as it is."""

    @property
    def adds_risk(self) -> bool:
        """Whether the action can make a position larger; the others only ever lower risk."""
        return self in (Action.BUY, Action.SHORT, Action.ADD)


class Leg(msgspec.Struct, frozen=True):
    """The decision about one symbol. Prices in quote currency."""

    symbol: str
    action: Action
    size: Decimal | None = None
    """Share of equity to put on: above 0 and up to 1. SELL, COVER and HOLD speak of the whole."""
    stop: Decimal | None = None
    target: Decimal | None = None
    limit: Decimal | None = None
    """The worst price to enter at: the entry waits for it as a limit order. None enters at the market."""
    limit_expires_s: int | None = None
    """Seconds from now on after which a limit entry is taken off; None is an hour."""
    post_only: bool = False
    """A limit entry is rather refused than pay the taker's fee."""
    leverage: int | None = None
    """Of the position that it opens: its margin is its cost over this. None is the policy's usual one."""
    confidence: float | None = None
    """How sure whoever decides is, from 0 to 1; it is journaled, and changes nothing."""
    reasoning: str = ""
    signals: tuple[str, ...] = ()
    malformed: str = ""
    """What kept the leg from being read, in one clause: it is refused, and the others are carried out."""

    @property
    def asks(self) -> bool:
        """Whether the leg asks for something: all but HOLD do, and a leg that could not be read."""
        return self.action is not Action.HOLD or bool(self.malformed)


class Comparison(StrEnum):
    """How a wake condition holds a reading against its threshold."""

    GT = "gt"
    LT = "lt"
    CROSSES_ABOVE = "crosses_above"
    """At or below the threshold at the look before, above it now."""
    CROSSES_BELOW = "crosses_below"
    """At or above the threshold at the look before, below it now."""
    ABS_CHANGE_PCT_GT = "abs_change_pct_gt"
    """Moved by more than so many percent, either way, since the condition was set."""


class WakeCondition(msgspec.Struct, frozen=True):
    """When the agent wants to be woken: once, as soon as a reading of a symbol meets the threshold."""

    symbol: str
    metric: str
    """`price`, or an indicator on a timeframe: `rsi_14@1h`."""
    comparison: Comparison
    threshold: float
    reason: str = ""
    expires_s: int | None = None
    """Seconds from now on; None is as long as the policy allows."""
    place: int = 0
    """Which of those that were given it is, from 1 on; 0 where it stands at its own place."""


class Decision(msgspec.Struct, frozen=True):
    """One answer to one wake, for the whole portfolio. No leg for a symbol means HOLD."""

    legs: tuple[Leg, ...] = ()
    next_check_s: int | None = None
    """When to look again at the latest; clamped by the gate's policy."""
    wake_conditions: tuple[WakeCondition, ...] | None = None
    """What replaces the agent's wake conditions; None leaves them as they are."""
    note: str = ""
    cause: Cause | None = None
    """Why everything is held, or why the rules decided in the agent's place; None for the decider's own legs."""
    unread: tuple[str, ...] = ()
    """The parts beside its legs that could not be read: one sentence each."""

    @property
    def holds(self) -> bool:
        """Whether it leaves every symbol as it is."""
        return not any(leg.asks for leg in self.legs)

    @property
    def cause_kind(self) -> CauseKind | None:
        """The kind of its cause; None without one."""
        return None if self.cause is None else self.cause.kind

    @property
    def answered(self) -> bool:
        """Whether it is a new answer of the decider itself: its legs, or a HOLD that a model meant."""
        return self.cause is None or self.cause.kind in MODEL_ANSWERED

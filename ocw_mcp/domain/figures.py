"""What a run's report takes from the journal."""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.snapshot import WakeReason
from ocw_mcp.domain.state import TradingState


class WakeEntry(msgspec.Struct, frozen=True):
    """One symbol's share in a wake: when (ms), which symbol (None for the timer), and why."""

    t: int
    symbol: str | None
    reasons: tuple[WakeReason, ...]


class ClosedTrade(msgspec.Struct, frozen=True):
    """A position from flat to flat. Times in ms; `pnl` in quote currency, net of its fees and funding."""

    symbol: str
    opened_at: int
    closed_at: int
    pnl: Decimal
    exit_reason: str
    """`stop`, `target` or `outside`; the exit rule with which the guard closed it, such as `trail`; else the principal
    whose order closed it."""


class Decided(msgspec.Struct, frozen=True):
    """How many decisions who made; each is counted once."""

    by: dict[str, int] = {}
    """By name, for itself."""
    remembered: int = 0
    """A model's HOLD that was repeated without asking it."""
    in_its_place: dict[str, int] = {}
    """By the rules in an agent's place, by cause: `SERVER`, `BREAKER`, `DEADLINE`."""


class JournalFigures(msgspec.Struct, frozen=True):
    """Counts and sums over a whole journal. Money in quote currency, but for what thinking cost."""

    wakes: list[WakeEntry]
    decisions: int
    orders: int
    fills: int
    refusals: dict[str, int]
    holes: int
    fees: Decimal
    funding: Decimal
    """What funding gave; below 0 it took."""
    day_equities: list[tuple[str, Decimal]]
    """The equity with which each UTC day began, oldest first."""
    state_changes: list[tuple[int, TradingState]] = []
    """When (ms) the desk went into which state, oldest first; before the first it was ACTIVE."""
    thinking_usd: Decimal = ZERO
    """What deciders were paid."""
    decided: Decided = Decided()
    trades: list[ClosedTrade] = []
    """Closed positions, oldest first."""
    unprotected: list[tuple[int, int | None]] = []
    """From when to when (ms) a position had no stop, where that took time; None where it has none yet."""

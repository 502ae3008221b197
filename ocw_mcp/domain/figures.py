"""Counts and sums over a journal, from which the report of a run is made."""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.snapshot import WakeReason
from ocw_mcp.domain.state import TradingState


class WakeEntry(msgspec.Struct, frozen=True):
    """One symbol's part of a wake: its time (ms), the symbol (None for the timer), and the reasons."""

    t: int
    symbol: str | None
    reasons: tuple[WakeReason, ...]


class ClosedTrade(msgspec.Struct, frozen=True):
    """A position that was opened and closed. Times in ms; `pnl` in quote currency, after fees and funding."""

    symbol: str
    opened_at: int
    closed_at: int
    pnl: Decimal
    exit_reason: str
    """`stop`, `target` or `outside`; the guard's exit rule, such as `trail`; otherwise the principal that closed it."""


class DecisionCounts(msgspec.Struct, frozen=True):
    """Numbers of decisions by their origin; each decision is counted once."""

    by: dict[str, int] = {}
    """Decisions by decider, without those of the rules in place of a model."""
    remembered: int = 0
    """HOLD decisions of a model that were repeated without a request to it."""
    in_its_place: dict[str, int] = {}
    """Decisions of the rules in place of a model, by cause: `SERVER`, `BREAKER`, `DEADLINE`."""


class JournalFigures(msgspec.Struct, frozen=True):
    """Counts and sums over a whole journal. Money in quote currency, except the LLM cost."""

    wakes: list[WakeEntry]
    decisions: int
    orders: int
    fills: int
    refusals: dict[str, int]
    holes: int
    fees: Decimal
    funding: Decimal
    day_equities: list[tuple[str, Decimal]]
    """Each UTC day with its opening equity, oldest first."""
    state_changes: list[tuple[int, TradingState]] = []
    """Time (ms) and new state of each change, oldest first; the initial state is ACTIVE."""
    thinking_usd: Decimal = ZERO
    decided: DecisionCounts = DecisionCounts()
    trades: list[ClosedTrade] = []
    """Closed positions, oldest first."""
    unprotected: list[tuple[int, int | None]] = []
    """The periods (ms) in which a position had no stop, without those of length 0. An open period ends with None."""

"""Counts and sums over a journal, from which the report of a run is made."""

from decimal import Decimal
from typing import Literal

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
    exits: int = 1
    """The number of orders and outside fills that closed it; more than one if it was scaled out."""


class TradePart(msgspec.Struct, frozen=True):
    """The fills of one order within a trade. Quantity in the base asset, money in quote currency, time in ms."""

    at: int
    """The time of the first fill."""
    kind: Literal["entry", "exit"]
    quantity: Decimal
    share: Decimal
    """The share of the quantity of all entries of the trade."""
    price: Decimal | None
    """The average price; None for a remainder that was too small to be sold."""
    realised: Decimal
    """The result of an exit, before fees and funding; 0 for an entry."""
    reason: str
    """The action of the decision, such as `REDUCE`; `stop` or `target`; the guard's exit rule; a cause outside OCW."""
    by: str
    """The principal of the order; empty for a trade that no order of OCW made."""
    wake_id: int | None
    order: str
    """The reference of the order, such as `3-x-0`; empty without an order of OCW."""
    thesis: str = ""
    """The reason that the decider, the client or the exit rule gave."""

    @property
    def traded(self) -> bool:
        """Whether it was traded; a remainder of a spot position that is too small to be sold is not."""
        return self.price is not None


class Levels(msgspec.Struct, frozen=True):
    """The protection of a position: stop and target (quote), and the distance of a trailing stop (a share)."""

    stop: Decimal | None = None
    target: Decimal | None = None
    trail: Decimal | None = None


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
    """The periods (ms) in which a position waited for a stop, some of length 0. An open period ends with None."""

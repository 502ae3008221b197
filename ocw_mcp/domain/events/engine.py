"""Events about the engine as a whole: limits, days, losses, states, data gaps."""

from decimal import Decimal

from ocw_mcp.domain.events.event import Event
from ocw_mcp.domain.state import TradingState


class PoliciesLoaded(Event, frozen=True, tag="policies.loaded"):
    """The limits in force from now on, as the hash of their text, and the hash of the prompts."""

    name: str
    policy_hash: str
    prompts_hash: str


class DayOpened(Event, frozen=True, tag="day.opened"):
    """A UTC day began with this equity, from which the daily loss is measured."""

    day: str
    equity: Decimal


class DailyLossReached(Event, frozen=True, tag="daily_loss.reached"):
    """The daily loss limit was reached: no entries until the next UTC day. `floor` is the lowest allowed equity."""

    day: str
    equity: Decimal
    floor: Decimal


class DrawdownReached(Event, frozen=True, tag="drawdown.reached"):
    """Equity fell so far below its peak that the engine halts until a person resumes it."""

    equity: Decimal
    peak: Decimal


class EntriesPaused(Event, frozen=True, tag="entries.paused"):
    """Consecutive losing trades reached the limit: entries pause until a time (ms)."""

    until: int


class HoleFound(Event, frozen=True, tag="market.hole"):
    """A data gap: no candle of a symbol opened in [since, until) (ms)."""

    symbol: str
    since: int
    until: int


class SymbolEnded(Event, frozen=True, tag="market.ended"):
    """The data of a symbol ended while other symbols continue; its last candle closed at `last` (ms)."""

    symbol: str
    last: int


class Incident(Event, frozen=True, tag="incident"):
    """An unexpected condition, described in one sentence for the operator."""

    text: str


class StateChanged(Event, frozen=True, tag="state.changed"):
    """The trading state changed, and why."""

    before: TradingState
    after: TradingState
    why: str

"""Events about the desk as a whole: limits, days, losses, states, holes in the market."""

from decimal import Decimal

from ocw_mcp.domain.events.event import Event
from ocw_mcp.domain.state import TradingState


class PoliciesLoaded(Event, frozen=True, tag="policies.loaded"):
    """The limits in force from here on, by the hash of their text; the hash of the prompts stands beside it."""

    name: str
    policy_hash: str
    prompts_hash: str


class DayOpened(Event, frozen=True, tag="day.opened"):
    """A UTC day began with this equity; the daily loss is held against it."""

    day: str
    equity: Decimal


class DailyLossReached(Event, frozen=True, tag="daily_loss.reached"):
    """Entries are closed until the next UTC day."""

    day: str
    equity: Decimal
    floor: Decimal


class DrawdownReached(Event, frozen=True, tag="drawdown.reached"):
    """Equity fell so far from its peak that the desk halts until a person resumes."""

    equity: Decimal
    peak: Decimal


class EntriesPaused(Event, frozen=True, tag="entries.paused"):
    """So many trades lost in a row that entries pause until a time (ms)."""

    until: int


class HoleFound(Event, frozen=True, tag="market.hole"):
    """Candles of a symbol are missing: none opened in [since, until)."""

    symbol: str
    since: int
    until: int


class SymbolEnded(Event, frozen=True, tag="market.ended"):
    """No candle of a symbol comes any more, while others go on; its last one closed at `last` (ms)."""

    symbol: str
    last: int


class Incident(Event, frozen=True, tag="incident"):
    """Something that should not happen did: one sentence for a person."""

    text: str


class StateChanged(Event, frozen=True, tag="state.changed"):
    """The desk's state went up or down, and why."""

    before: TradingState
    after: TradingState
    why: str

"""The events of the journal: wakes, decisions, orders, fills and states.

Candles are not journaled; the market is recorded by its identity and position. Every event has a `kind` and is appended
once; all other data of the store is rebuilt from events. `run.*` events describe processes and not trading: they are
journaled, but are not part of the fingerprint.
"""

from ocw_mcp.domain.events.deciding import (
    BudgetSpent,
    DecisionCorrected,
    DecisionDiscarded,
    DecisionEnded,
    DecisionMade,
    ExitDecided,
    ScoreTaken,
    WakeConditionsSet,
    WakeRaised,
)
from ocw_mcp.domain.events.engine import (
    DailyLossReached,
    DayOpened,
    DrawdownReached,
    EntriesPaused,
    HoleFound,
    Incident,
    PoliciesLoaded,
    StateChanged,
    SymbolEnded,
)
from ocw_mcp.domain.events.people import (
    ApprovalAsked,
    ApprovalEnded,
    CallerAsked,
    CommandTaken,
    RequestRefused,
)
from ocw_mcp.domain.events.runs import (
    CheckpointSaved,
    RunResumed,
    RunStarted,
    RunStopped,
)
from ocw_mcp.domain.events.trading import (
    FundingBooked,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRequested,
    OrderFilled,
    OrderIntended,
    OrderRefused,
    OrderRejected,
    OrderUnknown,
    OutsideFilled,
    PositionClosed,
    PositionProtected,
    PositionUnprotected,
    TransferBooked,
)

LifecycleEvent = RunStarted | RunResumed | RunStopped | CheckpointSaved

DomainEvent = (
    PoliciesLoaded
    | DayOpened
    | DailyLossReached
    | DrawdownReached
    | EntriesPaused
    | HoleFound
    | SymbolEnded
    | WakeRaised
    | DecisionMade
    | DecisionCorrected
    | DecisionDiscarded
    | DecisionEnded
    | WakeConditionsSet
    | OrderIntended
    | OrderRefused
    | OrderAccepted
    | OrderRejected
    | OrderUnknown
    | OrderCancelRequested
    | OrderCanceled
    | OrderFilled
    | PositionUnprotected
    | PositionProtected
    | PositionClosed
    | FundingBooked
    | OutsideFilled
    | TransferBooked
    | CallerAsked
    | RequestRefused
    | ApprovalAsked
    | ApprovalEnded
    | BudgetSpent
    | ScoreTaken
    | ExitDecided
    | Incident
    | CommandTaken
    | StateChanged
)

JournalEvent = DomainEvent | LifecycleEvent


def kind_of(event: JournalEvent) -> str:
    """Return the kind of an event, such as `order.filled`."""
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


__all__ = [
    "ApprovalAsked",
    "ApprovalEnded",
    "BudgetSpent",
    "CallerAsked",
    "CheckpointSaved",
    "CommandTaken",
    "DailyLossReached",
    "DayOpened",
    "DecisionCorrected",
    "DecisionDiscarded",
    "DecisionEnded",
    "DecisionMade",
    "DomainEvent",
    "DrawdownReached",
    "EntriesPaused",
    "ExitDecided",
    "FundingBooked",
    "HoleFound",
    "Incident",
    "JournalEvent",
    "LifecycleEvent",
    "OrderAccepted",
    "OrderCancelRequested",
    "OrderCanceled",
    "OrderFilled",
    "OrderIntended",
    "OrderRefused",
    "OrderRejected",
    "OrderUnknown",
    "OutsideFilled",
    "PoliciesLoaded",
    "PositionClosed",
    "PositionProtected",
    "PositionUnprotected",
    "RequestRefused",
    "RunResumed",
    "RunStarted",
    "RunStopped",
    "ScoreTaken",
    "StateChanged",
    "SymbolEnded",
    "TransferBooked",
    "WakeConditionsSet",
    "WakeRaised",
    "kind_of",
]

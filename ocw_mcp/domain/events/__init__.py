"""What is journaled: wakes, decisions, orders, fills and states, as canonical events.

Candles are not journaled; the market is named by its identity and position. Every event has a `kind` and is appended
once; whatever else the store shows is rebuilt from them. `run.*` events tell of processes, not of trading: they are
journaled and left out of the fingerprint.
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
    """The event's kind: `order.filled`."""
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

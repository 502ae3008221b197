"""What is journaled: wakes, decisions, orders, fills and states, as canonical events.

Candles are not journaled; the market is named by its identity and position. Every event has a `kind` and is appended
once; whatever else the store shows is rebuilt from them. `run.*` events tell of processes, not of trading: they are
journaled and left out of the fingerprint.
"""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.asks import CallerRequest
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import OrderIntent, OrderRef
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.domain.snapshot import WakeReason
from ocw_mcp.domain.state import DeskState


class _Event(msgspec.Struct, frozen=True, tag_field="kind"):
    pass


class RunStarted(_Event, frozen=True, tag="run.started"):
    """A process took the book for the first time."""

    version: str
    agent: str
    policy_hash: str


class RunResumed(_Event, frozen=True, tag="run.resumed"):
    """A process took the book again."""

    version: str
    agent: str
    policy_hash: str


class RunStopped(_Event, frozen=True, tag="run.stopped"):
    """A process let go of the book in good order."""

    why: str


class PoliciesLoaded(_Event, frozen=True, tag="policies.loaded"):
    """The limits in force from here on, by the hash of their text; the hash of the prompts stands beside it."""

    name: str
    policy_hash: str
    prompts_hash: str


class DayOpened(_Event, frozen=True, tag="day.opened"):
    """A UTC day began with this equity; the daily loss is held against it."""

    day: str
    equity: Decimal


class DailyLossReached(_Event, frozen=True, tag="daily_loss.reached"):
    """Entries are closed until the next UTC day."""

    day: str
    equity: Decimal
    floor: Decimal


class DrawdownReached(_Event, frozen=True, tag="drawdown.reached"):
    """Equity fell so far from its peak that the desk halts until a person resumes."""

    equity: Decimal
    peak: Decimal


class EntriesPaused(_Event, frozen=True, tag="entries.paused"):
    """So many trades lost in a row that entries pause until a time (ms)."""

    until: int


class HoleFound(_Event, frozen=True, tag="market.hole"):
    """Candles of a symbol are missing: none opened in [since, until)."""

    symbol: str
    since: int
    until: int


class WakeRaised(_Event, frozen=True, tag="wake.raised"):
    """The gate woke the agent."""

    wake_id: int
    reasons: tuple[WakeReason, ...]


class DecisionMade(_Event, frozen=True, tag="decision.made"):
    """An answer to a wake, `thinking_ms` after it, from whoever decides. A failure to decide is a HOLD with a cause.

    Where the rules stood in for an agent, the decider is `rules`, and the cause tells why.
    """

    wake_id: int
    decider: str
    thinking_ms: int
    decision: Decision
    cost_usd: Decimal = ZERO
    """What the thinking cost."""


class DecisionCorrected(_Event, frozen=True, tag="decision.corrected"):
    """Legs that were refused were decided on once more, by whoever had decided."""

    wake_id: int
    decider: str
    decision: Decision


class DecisionDiscarded(_Event, frozen=True, tag="decision.discarded"):
    """An answer came that nobody waited for any more, or a second one."""

    wake_id: int
    why: str
    cost_usd: Decimal = ZERO
    """What its thinking cost all the same."""


class WakeConditionsSet(_Event, frozen=True, tag="wake_conditions.set"):
    """The agent's wake conditions were replaced; `refused` tells what was wrong with those that were not taken."""

    wake_id: int
    armed: int
    refused: tuple[str, ...]


class OrderIntended(_Event, frozen=True, tag="order.intended"):
    """An order passed every policy. Durable before a byte leaves."""

    ref: OrderRef
    intent: OrderIntent
    policy_hash: str


class OrderRefused(_Event, frozen=True, tag="order.refused"):
    """An order did not pass; nothing was sent."""

    intent: OrderIntent
    refusal: Refusal
    policy_hash: str


class OrderAccepted(_Event, frozen=True, tag="order.accepted"):
    """The venue has the order."""

    ref: OrderRef
    venue_order_id: str


class OrderRejected(_Event, frozen=True, tag="order.rejected"):
    """The venue proved that it does not have the order."""

    ref: OrderRef
    code: str
    text: str


class OrderUnknown(_Event, frozen=True, tag="order.unknown"):
    """Nobody knows; the budget stays reserved."""

    ref: OrderRef
    why: str


class OrderCancelRequested(_Event, frozen=True, tag="order.cancel_requested"):
    """The desk asked the venue to take an order off."""

    ref: OrderRef
    why: str


class OrderCanceled(_Event, frozen=True, tag="order.canceled"):
    """The rest of an order is gone."""

    ref: OrderRef
    why: str


class OrderFilled(_Event, frozen=True, tag="order.filled"):
    """A fill, with the position it led to. Price and fee in quote currency; `realised` before fees."""

    ref: OrderRef
    fill_id: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    traded_at: int
    maker: bool
    realised: Decimal
    position: Decimal
    base_fee: Decimal = ZERO
    """What the fee took of a spot purchase, in the base asset."""


class PositionUnprotected(_Event, frozen=True, tag="position.unprotected"):
    """A position has no live stop; at `deadline` it is closed."""

    symbol: str
    deadline: int


class PositionProtected(_Event, frozen=True, tag="position.protected"):
    """A live stop covers the position."""

    symbol: str
    stop: OrderRef
    trigger_price: Decimal


class PositionClosed(_Event, frozen=True, tag="position.closed"):
    """A position is flat again. `pnl` is net of all fees and funding since it was opened, in quote currency."""

    symbol: str
    opened_at: int
    pnl: Decimal
    fees: Decimal
    funding: Decimal = ZERO
    """What funding added to `pnl`; below 0 it was paid."""


class FundingBooked(_Event, frozen=True, tag="funding.booked"):
    """Funding was settled on a position. `amount` (quote) is what the wallet gained: below 0 it paid."""

    symbol: str
    amount: Decimal
    rate: Decimal
    quantity: Decimal
    mark: Decimal
    settled_at: int
    assumed: bool
    """The market told no rate, and the venue assumed one."""


class OutsideFilled(_Event, frozen=True, tag="outside.filled"):
    """Somebody traded on this account without an order of ours: the venue itself, or its owner."""

    fill_id: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    traded_at: int
    cause: str
    realised: Decimal
    position: Decimal


class TransferBooked(_Event, frozen=True, tag="transfer.booked"):
    """Money came into the account (`amount` above 0, quote) or left it; day and drawdown are measured net of it."""

    transfer_id: str
    amount: Decimal
    transferred_at: int


class CallerAsked(_Event, frozen=True, tag="caller.asked"):
    """Somebody attached to the engine asked for something outside any wake; what came of it follows."""

    request: CallerRequest
    after_frame: int
    """The time (ms) of the frame after which it was taken: a resumed run gives it at the same place."""


class RequestRefused(_Event, frozen=True, tag="request.refused"):
    """What was asked for under `key` was not done; a refused order has an event of its own."""

    key: str
    refusal: Refusal


class ApprovalAsked(_Event, frozen=True, tag="approval.asked"):
    """An order waits for a person: it passed every other limit at the mark price `price` (quote)."""

    approval_id: str
    intent: OrderIntent
    price: Decimal
    expires_at: int
    """When (ms) no answer counts as no."""


class ApprovalEnded(_Event, frozen=True, tag="approval.ended"):
    """An order waits for a person no more: approved, denied, unanswered, or superseded by another one."""

    approval_id: str
    outcome: str
    by: str


class BudgetSpent(_Event, frozen=True, tag="budget.spent"):
    """Thinking has cost what it may; the rules decide until a time (ms)."""

    spent_usd: Decimal
    until: int


class ScoreTaken(_Event, frozen=True, tag="score.taken"):
    """The rules' score of a position came into another band; `worst` is the part that adds most."""

    symbol: str
    score: float
    band: str
    worst: str


class ExitDecided(_Event, frozen=True, tag="exit.decided"):
    """The guard closes a position: which rule of the policy file it is that ends it, and one clause for people."""

    symbol: str
    rule: str
    why: str


class Incident(_Event, frozen=True, tag="incident"):
    """Something that should not happen did: one sentence for a person."""

    text: str


class CommandTaken(_Event, frozen=True, tag="command.taken"):
    """A person's command reached the engine, at a position of the market."""

    command_id: str
    verb: str
    by: str
    after_frame: int
    """The time (ms) of the frame after which it took effect: a resumed run gives it at the same place."""
    subject: str = ""
    """What it was about: an approval, or a symbol."""


class StateChanged(_Event, frozen=True, tag="state.changed"):
    """The desk's state went up or down, and why."""

    before: DeskState
    after: DeskState
    why: str


LifecycleEvent = RunStarted | RunResumed | RunStopped

DomainEvent = (
    PoliciesLoaded
    | DayOpened
    | DailyLossReached
    | DrawdownReached
    | EntriesPaused
    | HoleFound
    | WakeRaised
    | DecisionMade
    | DecisionCorrected
    | DecisionDiscarded
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

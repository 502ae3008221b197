"""The events of orders, fills, funding and transfers."""

from decimal import Decimal

from ocw_mcp.domain.event_types import DomainEvent
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import OrderIntent, OrderRef
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.domain.reject_reasons import RejectReason


class OrderIntended(DomainEvent, frozen=True, tag="order.intended"):
    """An order passed every policy. The event is durable before the order is sent."""

    ref: OrderRef
    intent: OrderIntent
    policy_hash: str


class OrderRefused(DomainEvent, frozen=True, tag="order.refused"):
    """An order was refused by the policies and not sent."""

    intent: OrderIntent
    refusal: Refusal
    policy_hash: str


class OrderAccepted(DomainEvent, frozen=True, tag="order.accepted"):
    """The venue accepted the order under this id; an order that the venue knows under several ids has several."""

    ref: OrderRef
    venue_order_id: str


class EntryContinued(DomainEvent, frozen=True, tag="entry.continued"):
    """The order `ref` takes the place of `previous` in a chased entry, which began with the order `first`."""

    ref: OrderRef
    previous: OrderRef
    first: OrderRef


class EntryLapsed(DomainEvent, frozen=True, tag="entry.lapsed"):
    """A chased entry, whose last order is `ref`, ended before all of it had filled; `left` is in the base asset."""

    ref: OrderRef
    left: Decimal
    why: str


class OrderRejected(DomainEvent, frozen=True, tag="order.rejected"):
    """The venue proved that it does not have the order, or OCW did not send it; `text` is in the venue's words."""

    ref: OrderRef
    reason: RejectReason
    text: str


class OrderTriggered(DomainEvent, frozen=True, tag="order.triggered"):
    """The trigger of a conditional order was reached; the order now trades at the venue under this further id."""

    ref: OrderRef
    venue_order_id: str


class OrderUnknown(DomainEvent, frozen=True, tag="order.unknown"):
    """It is unknown whether the venue has the order; its budget stays reserved."""

    ref: OrderRef
    why: str


class OrderCancelRequested(DomainEvent, frozen=True, tag="order.cancel_requested"):
    """The order manager sent a cancel request to the venue."""

    ref: OrderRef
    why: str


class OrderCancelRefused(DomainEvent, frozen=True, tag="order.cancel_refused"):
    """The venue did not cancel the order, which counts as live again until the venue reports what became of it."""

    ref: OrderRef
    why: str


class OrderCanceled(DomainEvent, frozen=True, tag="order.canceled"):
    """The unfilled part of an order was cancelled. Only market entries set `untraded` (base) and `limit` (quote)."""

    ref: OrderRef
    why: str
    untraded: Decimal | None = None
    limit: Decimal | None = None


class OrderFilled(DomainEvent, frozen=True, tag="order.filled"):
    """A fill, and the position after it. Price and fee in quote currency; `realised` is before fees."""

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
    """The part of the quantity of a spot purchase that was deducted as fee."""
    fee_asset: str = ""
    fee_amount: Decimal = ZERO
    """The asset in which the venue charged the fee, and how much of it; `fee` is its value (quote). See `Filled`."""


class FundingBooked(DomainEvent, frozen=True, tag="funding.booked"):
    """Funding was settled on a position. `amount` (quote) is received by the wallet; below 0 it is paid."""

    symbol: str
    amount: Decimal
    rate: Decimal | None
    quantity: Decimal | None
    mark: Decimal | None
    settled_at: int
    assumed: bool
    """Whether the market reported no rate, and the venue assumed one."""
    transaction_id: str = ""


class OutsideFilled(DomainEvent, frozen=True, tag="outside.filled"):
    """A fill on this account that no order of the engine made: a trade of the venue or of the account's owner."""

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
    base_fee: Decimal = ZERO
    fee_asset: str = ""
    fee_amount: Decimal = ZERO


class TransferBooked(DomainEvent, frozen=True, tag="transfer.booked"):
    """A deposit (`amount` above 0, quote) or withdrawal; daily loss and drawdown are measured net of it."""

    transfer_id: str
    amount: Decimal
    transferred_at: int

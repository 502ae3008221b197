"""Events about orders, fills, positions and money."""

from decimal import Decimal

from ocw_mcp.domain.events.event import Event
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import OrderIntent, OrderRef
from ocw_mcp.domain.reasons import Refusal


class OrderIntended(Event, frozen=True, tag="order.intended"):
    """An order passed every policy. Durable before a byte leaves."""

    ref: OrderRef
    intent: OrderIntent
    policy_hash: str


class OrderRefused(Event, frozen=True, tag="order.refused"):
    """An order did not pass; nothing was sent."""

    intent: OrderIntent
    refusal: Refusal
    policy_hash: str


class OrderAccepted(Event, frozen=True, tag="order.accepted"):
    """The venue has the order."""

    ref: OrderRef
    venue_order_id: str


class OrderRejected(Event, frozen=True, tag="order.rejected"):
    """The venue proved that it does not have the order."""

    ref: OrderRef
    code: str
    text: str


class OrderUnknown(Event, frozen=True, tag="order.unknown"):
    """Nobody knows; the budget stays reserved."""

    ref: OrderRef
    why: str


class OrderCancelRequested(Event, frozen=True, tag="order.cancel_requested"):
    """The desk asked the venue to take an order off."""

    ref: OrderRef
    why: str


class OrderCanceled(Event, frozen=True, tag="order.canceled"):
    """The rest of an order is gone. Of a market entry: how much did not trade (base asset), and its limit (quote)."""

    ref: OrderRef
    why: str
    untraded: Decimal | None = None
    limit: Decimal | None = None


class OrderFilled(Event, frozen=True, tag="order.filled"):
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


class PositionUnprotected(Event, frozen=True, tag="position.unprotected"):
    """A position has no live stop; at `deadline` it is closed."""

    symbol: str
    deadline: int


class PositionProtected(Event, frozen=True, tag="position.protected"):
    """A live stop covers the position."""

    symbol: str
    stop: OrderRef
    trigger_price: Decimal


class PositionClosed(Event, frozen=True, tag="position.closed"):
    """A position is flat again. `pnl` is net of all fees and funding since it was opened, in quote currency."""

    symbol: str
    opened_at: int
    pnl: Decimal
    fees: Decimal
    funding: Decimal = ZERO
    """What funding added to `pnl`; below 0 it was paid."""
    mfe: float | None = None
    mae: float | None = None
    """How far it went at most for and against it, as shares of its price; None in books of before it was told."""


class FundingBooked(Event, frozen=True, tag="funding.booked"):
    """Funding was settled on a position. `amount` (quote) is what the wallet gained: below 0 it paid."""

    symbol: str
    amount: Decimal
    rate: Decimal
    quantity: Decimal
    mark: Decimal
    settled_at: int
    assumed: bool
    """The market told no rate, and the venue assumed one."""


class OutsideFilled(Event, frozen=True, tag="outside.filled"):
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


class TransferBooked(Event, frozen=True, tag="transfer.booked"):
    """Money came into the account (`amount` above 0, quote) or left it; day and drawdown are measured net of it."""

    transfer_id: str
    amount: Decimal
    transferred_at: int

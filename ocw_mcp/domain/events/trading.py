"""Events about orders, fills, positions and money."""

from decimal import Decimal

from ocw_mcp.domain.events.event import Event
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import OrderIntent, OrderRef
from ocw_mcp.domain.reasons import Refusal


class OrderIntended(Event, frozen=True, tag="order.intended"):
    """An order passed every policy. The event is durable before the order is sent."""

    ref: OrderRef
    intent: OrderIntent
    policy_hash: str


class OrderRefused(Event, frozen=True, tag="order.refused"):
    """An order was refused by the policies and not sent."""

    intent: OrderIntent
    refusal: Refusal
    policy_hash: str


class OrderAccepted(Event, frozen=True, tag="order.accepted"):
    """The venue accepted the order."""

    ref: OrderRef
    venue_order_id: str


class OrderRejected(Event, frozen=True, tag="order.rejected"):
    """The venue proved that it does not have the order."""

    ref: OrderRef
    code: str
    text: str


class OrderUnknown(Event, frozen=True, tag="order.unknown"):
    """It is unknown whether the venue has the order; its budget stays reserved."""

    ref: OrderRef
    why: str


class OrderCancelRequested(Event, frozen=True, tag="order.cancel_requested"):
    """The order manager sent a cancel request to the venue."""

    ref: OrderRef
    why: str


class OrderCanceled(Event, frozen=True, tag="order.canceled"):
    """The rest of an order was cancelled. A market entry has its unfilled quantity (base asset) and limit (quote)."""

    ref: OrderRef
    why: str
    untraded: Decimal | None = None
    limit: Decimal | None = None


class OrderFilled(Event, frozen=True, tag="order.filled"):
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
    """The part of a spot purchase that was deducted as fee, in the base asset."""


class PositionUnprotected(Event, frozen=True, tag="position.unprotected"):
    """A position has no live stop; it will be closed at `deadline` (ms)."""

    symbol: str
    deadline: int


class PositionProtected(Event, frozen=True, tag="position.protected"):
    """A live stop covers the position."""

    symbol: str
    stop: OrderRef
    trigger_price: Decimal


class PositionClosed(Event, frozen=True, tag="position.closed"):
    """A position was closed. `pnl` (quote) is net of all fees and funding since its opening."""

    symbol: str
    opened_at: int
    pnl: Decimal
    fees: Decimal
    funding: Decimal = ZERO
    """Funding received, as contained in `pnl`; below 0 it was paid."""
    mfe: float | None = None
    mae: float | None = None
    """The largest and the smallest gain, as shares of the average price; None in books of earlier versions."""


class FundingBooked(Event, frozen=True, tag="funding.booked"):
    """Funding was settled on a position. `amount` (quote) is received by the wallet; below 0 it is paid."""

    symbol: str
    amount: Decimal
    rate: Decimal
    quantity: Decimal
    mark: Decimal
    settled_at: int
    assumed: bool
    """Whether the market reported no rate, and the venue assumed one."""


class OutsideFilled(Event, frozen=True, tag="outside.filled"):
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


class TransferBooked(Event, frozen=True, tag="transfer.booked"):
    """A deposit (`amount` above 0, quote) or withdrawal; daily loss and drawdown are measured net of it."""

    transfer_id: str
    amount: Decimal
    transferred_at: int

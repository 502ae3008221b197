"""The rows of answers and the events of the account on spot as typed values. Times are in ms.

Fields that OCW does not use are ignored, and a field that the exchange leaves out has a default.
"""

from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import field

from ocw_mcp.adapters.venues.binance.rest_wire import BalanceRow, OrderRow, TradeRow
from ocw_mcp.adapters.venues.binance.user_wire import UnreadableEvent
from ocw_mcp.domain.money import ZERO


def spot_order(row: OrderRow) -> OrderRow:
    """Return an order as both products have it. A sale can only reduce: spot has no short positions."""
    # An order that the matching engine has not taken yet counts as open.
    status = "NEW" if row.status == "PENDING_NEW" else row.status
    return msgspec.structs.replace(row, status=status, reduce_only=row.side == "SELL")


class SpotTradeRow(msgspec.Struct, frozen=True):
    """A trade, as `/api/v3/myTrades` answers it."""

    id: int
    order_id: int = field(name="orderId")
    symbol: str
    price: Decimal
    quantity: Decimal = field(name="qty")
    at: int = field(name="time")
    fee: Decimal = field(name="commission", default=ZERO)
    fee_asset: str = field(name="commissionAsset", default="")
    buys: bool = field(name="isBuyer", default=False)
    maker: bool = field(name="isMaker", default=False)

    def row(self) -> TradeRow:
        """Return the trade as both products have it."""
        return TradeRow(
            self.id,
            self.order_id,
            self.symbol,
            "BUY" if self.buys else "SELL",
            self.price,
            self.quantity,
            self.at,
            self.fee,
            self.fee_asset,
            self.maker,
        )


class _SpotBalance(msgspec.Struct, frozen=True):
    asset: str
    free: Decimal
    locked: Decimal = ZERO

    def row(self) -> BalanceRow:
        return BalanceRow(self.asset, self.free + self.locked, self.free)


class SpotAccountRow(msgspec.Struct, frozen=True):
    """The account, as `/api/v3/account` answers it."""

    balances: list[_SpotBalance]
    may_trade: bool = field(name="canTrade", default=False)
    kind: str = field(name="accountType", default="SPOT")
    permissions: list[str] = field(default_factory=list)
    uid: int = 0
    """The exchange's number of the account."""


class _Member(msgspec.Struct, frozen=True):
    id: int = field(name="orderId")
    client_id: str = field(name="clientOrderId")


class OrderListRow(msgspec.Struct, frozen=True):
    """An order list, as `/api/v3/orderList` answers it."""

    id: int = field(name="orderListId")
    client_id: str = field(name="listClientOrderId")
    symbol: str
    status: str = field(name="listOrderStatus")
    orders: list[_Member] = field(default_factory=list)


class ListedSymbol(msgspec.Struct, frozen=True):
    """What exchangeInfo says of a symbol."""

    symbol: str
    types: list[str] = field(name="orderTypes", default_factory=list)
    lists: bool = field(name="ocoAllowed", default=True)
    spot: bool = field(name="isSpotTradingAllowed", default=True)


class Listing(msgspec.Struct, frozen=True):
    """exchangeInfo."""

    symbols: list[ListedSymbol] = field(default_factory=list)


class Execution(msgspec.Struct, frozen=True):
    """executionReport: an order, and its trade if there was one."""

    symbol: str = field(name="s")
    name: str = field(name="c")
    side: str = field(name="S")
    type: str = field(name="o")
    kind: str = field(name="x")
    """What happened: NEW, TRADE, CANCELED, EXPIRED, REJECTED, REPLACED, TRADE_PREVENTION."""
    status: str = field(name="X")
    id: int = field(name="i")
    at: int = field(name="T")
    original_name: str = field(name="C", default="")
    """The client id of the order, if the event is about its cancel: `name` is then that of the cancel."""
    quantity: Decimal = field(name="q", default=ZERO)
    filled: Decimal = field(name="z", default=ZERO)
    """The quantity of all trades of the order so far."""
    trade: int = field(name="t", default=-1)
    traded: Decimal = field(name="l", default=ZERO)
    price: Decimal = field(name="L", default=ZERO)
    """The price of the trade (quote)."""
    fee: Decimal = field(name="n", default=ZERO)
    fee_asset: str | None = field(name="N", default=None)
    maker: bool = field(name="m", default=False)
    reason: str = field(name="r", default="NONE")
    list_id: int = field(name="g", default=-1)

    @property
    def client_id(self) -> str:
        """The client id of the order."""
        return self.original_name or self.name

    def row(self) -> TradeRow | None:
        """Return the trade as both products have it, or None if there was none."""
        if self.kind != "TRADE" or self.trade < 0:
            return None
        return TradeRow(
            self.trade,
            self.id,
            self.symbol,
            self.side,
            self.price,
            self.traded,
            self.at,
            self.fee,
            self.fee_asset or "",
            self.maker,
        )


class ListStatus(msgspec.Struct, frozen=True):
    """listStatus."""

    symbol: str = field(name="s")
    id: int = field(name="g")
    name: str = field(name="C")
    kind: str = field(name="l")
    status: str = field(name="L")
    """EXECUTING, ALL_DONE or REJECT."""
    reason: str = field(name="r", default="NONE")


class BalanceChange(msgspec.Struct, frozen=True):
    """balanceUpdate: a deposit, a withdrawal, or a transfer between accounts."""

    asset: str = field(name="a")
    change: Decimal = field(name="d")
    at: int = field(name="T")


class AccountPosition(msgspec.Struct, frozen=True):
    """outboundAccountPosition: the balances that may have changed."""

    at: int = field(name="u", default=0)


class StreamEnds(msgspec.Struct, frozen=True):
    """eventStreamTerminated or serverShutdown: no further events come, or soon none will."""

    event: str = field(name="e")


SpotEvent = Execution | ListStatus | BalanceChange | AccountPosition | StreamEnds


class _Envelope(msgspec.Struct):
    event: msgspec.Raw = msgspec.Raw(b"")
    kind: str = field(name="e", default="")


class _Kind(msgspec.Struct):
    kind: str = field(name="e", default="")


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope, strict=False)
_KIND: Final = msgspec.json.Decoder(_Kind, strict=False)
_ENDS: Final = msgspec.json.Decoder(StreamEnds, strict=False)
_DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "executionReport": msgspec.json.Decoder(Execution, strict=False),
    "listStatus": msgspec.json.Decoder(ListStatus, strict=False),
    "balanceUpdate": msgspec.json.Decoder(BalanceChange, strict=False),
    "outboundAccountPosition": msgspec.json.Decoder(AccountPosition, strict=False),
    "externalLockUpdate": msgspec.json.Decoder(AccountPosition, strict=False),
    "eventStreamTerminated": _ENDS,
    "serverShutdown": _ENDS,
}
"""By name, the events that OCW reads."""


def decode_event(raw: bytes | str) -> SpotEvent | None:
    """Return an event, or None for a message that OCW does not read. Raises UnreadableEvent."""
    data = raw.encode() if isinstance(raw, str) else bytes(raw)
    name = "a message"
    try:
        envelope = _ENVELOPE.decode(data)
        if bytes(envelope.event):
            data = bytes(envelope.event)
        name = _KIND.decode(data).kind[:40] or name
        decoder = _DECODERS.get(name)
        if decoder is None:
            return None
        event: SpotEvent = decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise UnreadableEvent(f"{name}: {str(error)[:160]}") from None
    return event

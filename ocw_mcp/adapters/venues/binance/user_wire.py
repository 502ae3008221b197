"""The events of the user data stream of USD-M futures as typed values.

Fields that OCW does not use are ignored, and a field that the exchange leaves out has a default. Times are in ms.
"""

from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import field

from ocw_mcp.domain.money import ZERO

COIN_MARGINED: Final = 2
"""The value of `st` in events of coin-margined futures, which share the stream."""


class OrderEvent(msgspec.Struct, frozen=True):
    """The order of ORDER_TRADE_UPDATE, and its trade if there was one."""

    symbol: str = field(name="s")
    client_id: str = field(name="c")
    side: str = field(name="S")
    type: str = field(name="o")
    execution: str = field(name="x")
    """What happened: NEW, TRADE, CALCULATED (a liquidation), CANCELED, EXPIRED, REJECTED, AMENDMENT."""
    status: str = field(name="X")
    id: int = field(name="i")
    at: int = field(name="T")
    original_type: str = field(name="ot", default="")
    """The type before a trigger, such as STOP_MARKET for the market order of a stop."""
    in_force: str = field(name="f", default="")
    quantity: Decimal = field(name="q", default=ZERO)
    filled: Decimal = field(name="z", default=ZERO)
    """The quantity of all trades of the order so far."""
    trade: int = field(name="t", default=0)
    traded: Decimal = field(name="l", default=ZERO)
    price: Decimal = field(name="L", default=ZERO)
    """The price of the trade (quote)."""
    fee: Decimal = field(name="n", default=ZERO)
    fee_asset: str = field(name="N", default="")
    maker: bool = field(name="m", default=False)
    reason: str = field(name="rm", default="")
    system: int = field(name="st", default=1)


class OrderUpdate(msgspec.Struct, frozen=True):
    """ORDER_TRADE_UPDATE."""

    order: OrderEvent = field(name="o")
    at: int = field(name="T", default=0)
    system: int = field(name="st", default=1)


class AlgoEvent(msgspec.Struct, frozen=True):
    """The order of ALGO_UPDATE."""

    client_id: str = field(name="caid")
    id: int = field(name="aid")
    symbol: str = field(name="s")
    side: str = field(name="S")
    type: str = field(name="o")
    status: str = field(name="X")
    """NEW, TRIGGERING, TRIGGERED, FINISHED, CANCELED, EXPIRED or REJECTED."""
    quantity: Decimal = field(name="q", default=ZERO)
    order_id: str = field(name="ai", default="")
    """The id of the order that it became when it triggered; empty before."""
    executed: Decimal | None = field(name="aq", default=None)
    closes: bool = field(name="cp", default=False)
    """Whether it closes the whole position."""
    reason: str = field(name="rm", default="")
    system: int = field(name="st", default=1)


class AlgoUpdate(msgspec.Struct, frozen=True):
    """ALGO_UPDATE."""

    order: AlgoEvent = field(name="o")
    at: int = field(name="T", default=0)
    system: int = field(name="st", default=1)


class BalanceEvent(msgspec.Struct, frozen=True):
    """A balance of ACCOUNT_UPDATE."""

    asset: str = field(name="a")
    wallet: Decimal = field(name="wb", default=ZERO)


class PositionEvent(msgspec.Struct, frozen=True):
    """A position of ACCOUNT_UPDATE."""

    symbol: str = field(name="s")
    quantity: Decimal = field(name="pa", default=ZERO)
    margin_type: str = field(name="mt", default="")
    position_side: str = field(name="ps", default="BOTH")


class _AccountChange(msgspec.Struct, frozen=True):
    reason: str = field(name="m", default="")
    balances: list[BalanceEvent] = field(name="B", default_factory=list)
    positions: list[PositionEvent] = field(name="P", default_factory=list)


class AccountUpdate(msgspec.Struct, frozen=True):
    """ACCOUNT_UPDATE."""

    change: _AccountChange = field(name="a")
    at: int = field(name="T", default=0)
    system: int = field(name="st", default=1)


class _Leverage(msgspec.Struct, frozen=True):
    symbol: str = field(name="s")
    leverage: int = field(name="l")


class _AssetMode(msgspec.Struct, frozen=True):
    multi: bool = field(name="j")


class ConfigUpdate(msgspec.Struct, frozen=True):
    """ACCOUNT_CONFIG_UPDATE: a new leverage of a symbol, or another asset mode."""

    leverage: _Leverage | None = field(name="ac", default=None)
    assets: _AssetMode | None = field(name="ai", default=None)
    at: int = field(name="T", default=0)
    system: int = field(name="st", default=1)


class _Called(msgspec.Struct, frozen=True):
    symbol: str = field(name="s")
    quantity: Decimal = field(name="pa", default=ZERO)


class MarginCall(msgspec.Struct, frozen=True):
    """MARGIN_CALL."""

    positions: list[_Called] = field(name="p", default_factory=list)
    at: int = field(name="E", default=0)
    system: int = field(name="st", default=1)


class KeyExpired(msgspec.Struct, frozen=True):
    """listenKeyExpired: the connection stays open and mute."""

    key: str = field(name="listenKey", default="")
    at: int = field(name="E", default=0)
    system: int = field(name="st", default=1)


UserEvent = OrderUpdate | AlgoUpdate | AccountUpdate | ConfigUpdate | MarginCall | KeyExpired


class _Kind(msgspec.Struct):
    event: str = field(name="e", default="")
    data: msgspec.Raw = msgspec.Raw(b"")


class UnreadableEvent(Exception):  # noqa: N818
    """An event of the user data stream that cannot be decoded; the text names its kind and the fault."""


_KIND: Final = msgspec.json.Decoder(_Kind, strict=False)
_DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "ORDER_TRADE_UPDATE": msgspec.json.Decoder(OrderUpdate, strict=False),
    "ALGO_UPDATE": msgspec.json.Decoder(AlgoUpdate, strict=False),
    "ACCOUNT_UPDATE": msgspec.json.Decoder(AccountUpdate, strict=False),
    "ACCOUNT_CONFIG_UPDATE": msgspec.json.Decoder(ConfigUpdate, strict=False),
    "MARGIN_CALL": msgspec.json.Decoder(MarginCall, strict=False),
    "listenKeyExpired": msgspec.json.Decoder(KeyExpired, strict=False),
}
"""By name, the events that OCW reads. TRADE_LITE says the same as ORDER_TRADE_UPDATE, with less."""


def decode_event(raw: bytes | str) -> UserEvent | None:
    """Return an event, or None for one that OCW does not read. Raises UnreadableEvent."""
    data = raw.encode() if isinstance(raw, str) else bytes(raw)
    name = "a message"
    try:
        kind = _KIND.decode(data)
        if not kind.event and bytes(kind.data):
            # The same event in the envelope of a combined stream.
            return decode_event(bytes(kind.data))
        name = kind.event[:40] or name
        decoder = _DECODERS.get(kind.event)
        if decoder is None:
            return None
        event: UserEvent = decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise UnreadableEvent(f"{name}: {str(error)[:160]}") from None
    inner = getattr(getattr(event, "order", None), "system", 1)
    return None if COIN_MARGINED in (event.system, inner) else event

"""The events of the user data stream of USD-M futures as typed values.

Fields that OCW does not use are ignored, and a field that the exchange leaves out has a default. Times are in ms.
"""

from decimal import Decimal
from typing import Any, Final

import msgspec

from ocw_mcp.domain.money import ZERO

_name = msgspec.field
COIN_MARGINED: Final = 2
"""The value of `st` in events of coin-margined futures, which share the stream."""


class OrderEvent(msgspec.Struct, frozen=True):
    """The order of ORDER_TRADE_UPDATE, and its trade if there was one."""

    symbol: str = _name(name="s")
    client_id: str = _name(name="c")
    side: str = _name(name="S")
    type: str = _name(name="o")
    execution: str = _name(name="x")
    """What happened: NEW, TRADE, CALCULATED (a liquidation), CANCELED, EXPIRED, REJECTED, AMENDMENT."""
    status: str = _name(name="X")
    id: int = _name(name="i")
    at: int = _name(name="T")
    original_type: str = _name(name="ot", default="")
    """The type before a trigger, such as STOP_MARKET for the market order of a stop."""
    in_force: str = _name(name="f", default="")
    quantity: Decimal = _name(name="q", default=ZERO)
    filled: Decimal = _name(name="z", default=ZERO)
    """The quantity of all trades of the order so far."""
    trade: int = _name(name="t", default=0)
    traded: Decimal = _name(name="l", default=ZERO)
    price: Decimal = _name(name="L", default=ZERO)
    """The price of the trade (quote)."""
    fee: Decimal = _name(name="n", default=ZERO)
    fee_asset: str = _name(name="N", default="")
    maker: bool = _name(name="m", default=False)
    reason: str = _name(name="rm", default="")
    system: int = _name(name="st", default=1)


class OrderUpdate(msgspec.Struct, frozen=True):
    """ORDER_TRADE_UPDATE."""

    order: OrderEvent = _name(name="o")
    at: int = _name(name="T", default=0)
    system: int = _name(name="st", default=1)


class AlgoEvent(msgspec.Struct, frozen=True):
    """The order of ALGO_UPDATE."""

    client_id: str = _name(name="caid")
    id: int = _name(name="aid")
    symbol: str = _name(name="s")
    side: str = _name(name="S")
    type: str = _name(name="o")
    status: str = _name(name="X")
    """NEW, TRIGGERING, TRIGGERED, FINISHED, CANCELED, EXPIRED or REJECTED."""
    quantity: Decimal = _name(name="q", default=ZERO)
    order_id: str = _name(name="ai", default="")
    """The id of the order that it became when it triggered; empty before."""
    executed: Decimal | None = _name(name="aq", default=None)
    closes: bool = _name(name="cp", default=False)
    """Whether it closes the whole position."""
    reason: str = _name(name="rm", default="")
    system: int = _name(name="st", default=1)


class AlgoUpdate(msgspec.Struct, frozen=True):
    """ALGO_UPDATE."""

    order: AlgoEvent = _name(name="o")
    at: int = _name(name="T", default=0)
    system: int = _name(name="st", default=1)


class BalanceEvent(msgspec.Struct, frozen=True):
    """A balance of ACCOUNT_UPDATE."""

    asset: str = _name(name="a")
    wallet: Decimal = _name(name="wb", default=ZERO)


class PositionEvent(msgspec.Struct, frozen=True):
    """A position of ACCOUNT_UPDATE."""

    symbol: str = _name(name="s")
    quantity: Decimal = _name(name="pa", default=ZERO)
    margin_type: str = _name(name="mt", default="")
    position_side: str = _name(name="ps", default="BOTH")


class _AccountChange(msgspec.Struct, frozen=True):
    reason: str = _name(name="m", default="")
    balances: list[BalanceEvent] = _name(name="B", default_factory=list)
    positions: list[PositionEvent] = _name(name="P", default_factory=list)


class AccountUpdate(msgspec.Struct, frozen=True):
    """ACCOUNT_UPDATE."""

    change: _AccountChange = _name(name="a")
    at: int = _name(name="T", default=0)
    system: int = _name(name="st", default=1)


class _Leverage(msgspec.Struct, frozen=True):
    symbol: str = _name(name="s")
    leverage: int = _name(name="l")


class _AssetMode(msgspec.Struct, frozen=True):
    multi: bool = _name(name="j")


class ConfigUpdate(msgspec.Struct, frozen=True):
    """ACCOUNT_CONFIG_UPDATE: a new leverage of a symbol, or another asset mode."""

    leverage: _Leverage | None = _name(name="ac", default=None)
    assets: _AssetMode | None = _name(name="ai", default=None)
    at: int = _name(name="T", default=0)
    system: int = _name(name="st", default=1)


class _Called(msgspec.Struct, frozen=True):
    symbol: str = _name(name="s")
    quantity: Decimal = _name(name="pa", default=ZERO)


class MarginCall(msgspec.Struct, frozen=True):
    """MARGIN_CALL."""

    positions: list[_Called] = _name(name="p", default_factory=list)
    at: int = _name(name="E", default=0)
    system: int = _name(name="st", default=1)


class KeyExpired(msgspec.Struct, frozen=True):
    """listenKeyExpired: the connection stays open and mute."""

    key: str = _name(name="listenKey", default="")
    at: int = _name(name="E", default=0)
    system: int = _name(name="st", default=1)


UserEvent = OrderUpdate | AlgoUpdate | AccountUpdate | ConfigUpdate | MarginCall | KeyExpired


class _Kind(msgspec.Struct):
    event: str = _name(name="e", default="")
    data: msgspec.Raw | None = None


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
        if not kind.event and kind.data is not None:
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

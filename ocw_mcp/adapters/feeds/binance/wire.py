"""The messages of the exchange's streams as typed values, each decoded once.

A number that is written as text becomes a float. A message that cannot be decoded raises WireFault with its kind; the
caller counts it.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, Literal

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import span_name


class StreamKind(StrEnum):
    """The kinds of streams that the feed reads."""

    KLINE = "kline"
    TRADE = "trade"
    MARK = "mark"
    QUOTE = "quote"
    LIQUIDATION = "liquidation"


class KlineBar(msgspec.Struct, gc=False):
    """The candle of a kline message; `close` is the last price while it is not closed."""

    symbol: str = msgspec.field(name="s")
    open_time: int = msgspec.field(name="t")
    interval: str = msgspec.field(name="i")
    open: float = msgspec.field(name="o")
    high: float = msgspec.field(name="h")
    low: float = msgspec.field(name="l")
    close: float = msgspec.field(name="c")
    volume: float = msgspec.field(name="v")
    taker_volume: float = msgspec.field(name="V")
    closed: bool = msgspec.field(name="x")


class Kline(msgspec.Struct, gc=False):
    """A candle, forming or closed; its event time is in ms."""

    event: Literal["kline"] = msgspec.field(name="e")
    at: int = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    bar: KlineBar = msgspec.field(name="k")
    system: int = msgspec.field(name="st", default=1)
    """1 on USD-M, 2 on coin-margined futures; absent on spot."""


class Trade(msgspec.Struct, gc=False):
    """An aggregate trade."""

    event: Literal["aggTrade"] = msgspec.field(name="e")
    at: int = msgspec.field(name="T")
    symbol: str = msgspec.field(name="s")
    id: int = msgspec.field(name="a")
    price: float = msgspec.field(name="p")
    quantity: float = msgspec.field(name="q")
    buyer_is_maker: bool = msgspec.field(name="m")
    system: int = msgspec.field(name="st", default=1)


class MarkUpdate(msgspec.Struct, gc=False):
    """A mark price, with the funding rate that the next funding would have now."""

    event: Literal["markPriceUpdate"] = msgspec.field(name="e")
    at: int = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    price: float = msgspec.field(name="p")
    rate: float = msgspec.field(name="r")
    next_funding_at: int = msgspec.field(name="T")
    system: int = msgspec.field(name="st", default=1)


class Quote(msgspec.Struct, gc=False):
    """The best bid and ask with their quantities; spot sends no event type and no time."""

    id: int = msgspec.field(name="u")
    symbol: str = msgspec.field(name="s")
    bid: float = msgspec.field(name="b")
    bid_quantity: float = msgspec.field(name="B")
    ask: float = msgspec.field(name="a")
    ask_quantity: float = msgspec.field(name="A")
    event: Literal["bookTicker"] = msgspec.field(name="e", default="bookTicker")
    at: int = msgspec.field(name="E", default=0)
    system: int = msgspec.field(name="st", default=1)


class LiquidationOrder(msgspec.Struct, gc=False):
    """The order of a forced liquidation: a sell order closes a long position."""

    symbol: str = msgspec.field(name="s")
    side: Literal["BUY", "SELL"] = msgspec.field(name="S")
    quantity: float = msgspec.field(name="q")
    price: float = msgspec.field(name="ap")
    at: int = msgspec.field(name="T")


class Liquidation(msgspec.Struct, gc=False):
    """A forced liquidation, the latest of a symbol in each second."""

    event: Literal["forceOrder"] = msgspec.field(name="e")
    at: int = msgspec.field(name="E")
    order: LiquidationOrder = msgspec.field(name="o")
    system: int = msgspec.field(name="st", default=1)

    @property
    def symbol(self) -> str:
        return self.order.symbol


Message = Kline | Trade | MarkUpdate | Quote | Liquidation


class _Loose(msgspec.Struct, gc=False):
    """A frame without a stream name: an answer to a subscription, or a notice of the server."""

    event: str = msgspec.field(name="e", default="")
    stream: str = ""
    id: int | str | None = None
    error: Any = None
    data: Any = None


class WireFault(Exception):  # noqa: N818
    """A message that is not used: `kind` names the fault, `stream` the stream, if known."""

    def __init__(self, kind: str, stream: str, detail: str) -> None:
        self.kind, self.stream, self.detail = kind, stream, detail
        super().__init__(f"{kind} on {stream or 'a frame without a stream'}: {detail}")


class Answer(msgspec.Struct, frozen=True):
    """The answer to the subscription request `id`, with the exchange's error, if any."""

    id: int | str | None
    error: str | None


class Shutdown(msgspec.Struct, frozen=True):
    """The server's notice that it closes the connection soon."""


class Route:
    """One stream of the feed, and what is known about its liveness."""

    __slots__ = ("decoder", "kind", "name", "refusal", "refused_at", "seen", "symbol", "whole_since")

    def __init__(self, name: str, kind: StreamKind, symbol: str) -> None:
        self.name, self.kind, self.symbol = name, kind, symbol
        self.decoder = _DECODERS[kind]
        self.seen: float | None = None
        """The loop time (s) of its last valid message; None before the first."""
        self.refused_at: float | None = None
        """The loop time (s) of its last message that was not used."""
        self.refusal = ""
        """Why that message was not used."""
        self.whole_since: float | None = None
        """The loop time (s) since which its messages come without a hole; None while there is no connection."""

    def refuse(self, why: str, at: float) -> None:
        """Note a message that is not used, at a loop time (s)."""
        self.refused_at, self.refusal = at, why


class _Enveloped(msgspec.Struct, gc=False):
    """A combined-stream frame; the stream's name is read from the raw bytes before."""


class _KlineFrame(_Enveloped, gc=False):
    data: Kline


class _TradeFrame(_Enveloped, gc=False):
    data: Trade


class _MarkFrame(_Enveloped, gc=False):
    data: MarkUpdate


class _QuoteFrame(_Enveloped, gc=False):
    data: Quote


class _LiquidationFrame(_Enveloped, gc=False):
    data: Liquidation


_DECODERS: Final[dict[StreamKind, msgspec.json.Decoder[Any]]] = {
    StreamKind.KLINE: msgspec.json.Decoder(_KlineFrame, strict=False),
    StreamKind.TRADE: msgspec.json.Decoder(_TradeFrame, strict=False),
    StreamKind.MARK: msgspec.json.Decoder(_MarkFrame, strict=False),
    StreamKind.QUOTE: msgspec.json.Decoder(_QuoteFrame, strict=False),
    StreamKind.LIQUIDATION: msgspec.json.Decoder(_LiquidationFrame, strict=False),
}
_LOOSE: Final = msgspec.json.Decoder(_Loose, strict=False)
_PREFIX: Final = b'{"stream":"'
_AT: Final = len(_PREFIX)
_ROUTED: Final[dict[Product, dict[str, tuple[StreamKind, ...]]]] = {
    Product.UM: {
        "/market": (StreamKind.KLINE, StreamKind.TRADE, StreamKind.MARK, StreamKind.LIQUIDATION),
        "/public": (StreamKind.QUOTE,),
    },
    Product.SPOT: {"": (StreamKind.KLINE, StreamKind.TRADE, StreamKind.QUOTE)},
}
"""By product and path, the kinds of streams that the path carries: another path acknowledges them and stays mute."""


def routes_of(product: Product, symbols: Sequence[str], interval: int) -> dict[str, list[Route]]:
    """Return the streams of some symbols by the path that carries them; `interval` (ms) is that of the candles."""
    suffixes = {
        StreamKind.KLINE: f"kline_{span_name(interval)}",
        StreamKind.TRADE: "aggTrade",
        StreamKind.MARK: "markPrice@1s",
        StreamKind.QUOTE: "bookTicker",
        StreamKind.LIQUIDATION: "forceOrder",
    }
    return {
        path: [Route(f"{symbol.lower()}@{suffixes[kind]}", kind, symbol) for kind in kinds for symbol in symbols]
        for path, kinds in _ROUTED[product].items()
    }


class Wire:
    """The decoding of raw messages into typed ones, for a fixed set of streams."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = {route.name.encode(): route for route in routes}

    def decode(self, raw: bytes | bytearray | memoryview | str) -> tuple[Route, Message] | Answer | Shutdown:
        """Return a message with its stream, an answer, or the notice of a shutdown. Raises WireFault."""
        data = raw if isinstance(raw, bytes) else raw.encode() if isinstance(raw, str) else bytes(raw)
        if not data.startswith(_PREFIX):
            return self._decode_loose(data)
        name = data[_AT : data.find(b'"', _AT)]
        route = self._routes.get(name)
        if route is None:
            return self._decode_loose(data)
        try:
            message: Message = route.decoder.decode(data).data
        except msgspec.ValidationError as error:
            raise WireFault("other fields than expected", route.name, str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WireFault("malformed", route.name, str(error)) from None
        if message.symbol != route.symbol:
            raise WireFault("data of another symbol", route.name, f"its data are of {message.symbol[:20]!r}")
        if message.system != 1:
            raise WireFault("data of another product", route.name, f"st is {message.system}")
        return route, message

    def _decode_loose(self, data: bytes) -> tuple[Route, Message] | Answer | Shutdown:
        """Decode a frame that does not begin with the name of a stream of this feed."""
        try:
            loose = _LOOSE.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WireFault("malformed", "", str(error)) from None
        event = loose.event or (loose.data.get("e", "") if isinstance(loose.data, dict) else "")
        if event == "serverShutdown":
            return Shutdown()
        route = self._routes.get(loose.stream.encode())
        if route is not None:
            # The same frame with its fields in another order, or with blanks.
            body = msgspec.json.encode({"data": loose.data})
            return self.decode(_PREFIX + route.name.encode() + b'",' + body[1:])
        if loose.stream or event:
            raise WireFault("unknown", loose.stream[:60], f"the event is {str(event)[:40]!r}")
        if loose.error is not None:
            return Answer(loose.id, str(loose.error)[:200])
        if loose.id is None:
            raise WireFault("unknown", "", "the frame has neither a stream nor an id")
        return Answer(loose.id, None)

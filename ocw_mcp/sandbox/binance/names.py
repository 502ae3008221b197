"""The names of the exchange's streams, and the paths of its stream connections."""

import re
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl, unquote

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND

INTERVALS: Final = {
    "1s": SECOND,
    **{f"{each}m": each * MINUTE for each in (1, 3, 5, 15, 30)},
    **{f"{each}h": each * HOUR for each in (1, 2, 4, 6, 8, 12)},
    "1d": DAY,
    "3d": 3 * DAY,
    "1w": 7 * DAY,
}
"""The lengths (ms) of the candles that the sandbox streams; seconds on spot only. A stream of months stays mute."""
UPDATES: Final = {"": 250, "@0ms": 100, "@100ms": 100, "@250ms": 250, "@500ms": 500}
"""The period (ms) of an order book on futures, by the end of its stream's name.

The exchange calls `@0ms` real time (its change log of 2020-01-06); the sandbox has no more than one state in 100 ms.
"""
SPOT_UPDATES: Final = {"": SECOND, "@100ms": 100, "@1000ms": SECOND}
"""The same on spot."""
LEVELS: Final = 1_000
"""The levels a side that a stream of changes of the order book covers."""


class Route(StrEnum):
    """The parts of the futures host, each with its own streams. Spot has one part with all streams.

    `ALL` is a part of the sandbox only, for clients that read all streams of another host on one path.
    """

    PUBLIC = "public"
    MARKET = "market"
    PRIVATE = "private"
    SPOT = "spot"
    ALL = "all"


class Topic(StrEnum):
    """What a stream reports."""

    KLINE = "kline"
    CONTINUOUS_KLINE = "continuousKline"
    AGG_TRADE = "aggTrade"
    TRADE = "trade"
    MARK_PRICE = "markPrice"
    BOOK_TICKER = "bookTicker"
    DEPTH = "depth"
    PARTIAL_DEPTH = "partialDepth"
    TICKER = "ticker"
    MINI_TICKER = "miniTicker"
    FORCE_ORDER = "forceOrder"


_PUBLIC: Final = {Topic.BOOK_TICKER, Topic.DEPTH, Topic.PARTIAL_DEPTH, Topic.TRADE}
_FUTURES_ONLY: Final = {Topic.CONTINUOUS_KLINE, Topic.MARK_PRICE, Topic.FORCE_ORDER}
_OF_ALL: Final = {
    "!markPrice@arr": (Topic.MARK_PRICE, 3 * SECOND),
    "!markPrice@arr@1s": (Topic.MARK_PRICE, SECOND),
    "!ticker@arr": (Topic.TICKER, SECOND),
    "!miniTicker@arr": (Topic.MINI_TICKER, SECOND),
    "!forceOrder@arr": (Topic.FORCE_ORDER, SECOND),
    "!bookTicker": (Topic.BOOK_TICKER, 5 * SECOND),
}
"""The topic and the period (ms) of each stream of all symbols."""
_OF_ONE: Final = {
    "aggTrade": (Topic.AGG_TRADE, 100),
    "trade": (Topic.TRADE, 100),
    "bookTicker": (Topic.BOOK_TICKER, 100),
    "ticker": (Topic.TICKER, 2 * SECOND),
    "miniTicker": (Topic.MINI_TICKER, 2 * SECOND),
    "forceOrder": (Topic.FORCE_ORDER, SECOND),
    "markPrice": (Topic.MARK_PRICE, 3 * SECOND),
    "markPrice@1s": (Topic.MARK_PRICE, SECOND),
}
"""The topic and the period (ms) of each stream of one symbol."""


class Stream(msgspec.Struct, frozen=True):
    """A stream that reports something."""

    name: str
    topic: Topic
    route: Route
    every: int
    """The shortest time (ms) between two messages of one symbol."""
    symbol: str | None = None
    """None for a stream of all symbols."""
    interval: str = ""
    """The exchange's name of a candle's length; empty if the stream has no candles."""
    levels: int = 0
    """The levels a side of an order book."""


def parse_stream(name: str, product: Product) -> Stream | None:
    """Return the stream of a name such as `btcusdt@kline_1m`; None for a name that the exchange does not have."""
    if name in _OF_ALL:
        topic, every = _OF_ALL[name]
        return _stream(name, product, topic, every, None)
    symbol, at, rest = name.partition("@")
    if not at or symbol != symbol.lower() or not symbol:
        return None
    if rest in _OF_ONE:
        topic, every = _OF_ONE[rest]
        if product is Product.SPOT and topic in (Topic.TICKER, Topic.MINI_TICKER):
            every = SECOND
        return _stream(name, product, topic, every, symbol.upper())
    if found := re.fullmatch(r"kline_(\w+)", rest):
        # Spot reports a candle every 2 s, futures every 250 ms.
        every = 250 if product is Product.UM else 2 * SECOND
        return _candles(name, product, Topic.KLINE, every, symbol, found[1])
    if found := re.fullmatch(r"continuousKline_(\w+)", rest):
        pair, _, contract = symbol.partition("_")
        return _candles(name, product, Topic.CONTINUOUS_KLINE, 250, pair, found[1]) if contract == "perpetual" else None
    if found := re.fullmatch(r"depth(5|10|20)?(@\d+ms)?", rest):
        every_by_name = UPDATES if product is Product.UM else SPOT_UPDATES
        period = every_by_name.get(found[2] or "")
        if period is None or (found[1] and found[2] == "@0ms"):
            return None
        topic = Topic.PARTIAL_DEPTH if found[1] else Topic.DEPTH
        return _stream(name, product, topic, period, symbol.upper(), levels=int(found[1] or LEVELS))
    return None


def _candles(name: str, product: Product, topic: Topic, every: int, symbol: str, interval: str) -> Stream | None:
    known = interval in INTERVALS and (interval != "1s" or product is Product.SPOT)
    return _stream(name, product, topic, every, symbol.upper(), interval=interval) if known else None


def _stream(
    name: str, product: Product, topic: Topic, every: int, symbol: str | None, interval: str = "", levels: int = 0
) -> Stream | None:
    if product is Product.SPOT:
        spot_lacks = topic in _FUTURES_ONLY or (symbol is None and topic is Topic.BOOK_TICKER)
        return None if spot_lacks else Stream(name, topic, Route.SPOT, every, symbol, interval, levels)
    route = Route.PUBLIC if topic in _PUBLIC else Route.MARKET
    return Stream(name, topic, route, every, symbol, interval, levels)


class StreamPath(msgspec.Struct, frozen=True):
    """What the path of a connection asks for."""

    route: Route
    combined: bool
    """Whether each payload is wrapped with the name of its stream."""
    streams: tuple[str, ...]
    """The names in the path, known to the exchange or not."""
    listen_key: str | None = None
    events: tuple[str, ...] = ()
    """The events of user data that the connection asks for; all if it is empty."""


def parse_path(path: str, product: Product) -> StreamPath | None:
    """Return what a path with its query asks for; None if no stream connection is served at the path.

    On futures a path without a part, such as `/ws`, is served as `/public`.
    """
    place, _, query = path.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    parts = [unquote(part) for part in place.strip("/").split("/")]
    route = Route.SPOT if product is Product.SPOT else Route.PUBLIC
    if product is Product.UM and parts[0] in (Route.PUBLIC, Route.MARKET, Route.PRIVATE, Route.ALL):
        route = Route(parts.pop(0))
    if not parts or parts[0] not in ("ws", "stream"):
        return None
    combined = parts[0] == "stream"
    names = given.get("streams", "").split("/") if combined else parts[1:]
    streams = tuple(dict.fromkeys(name for name in names if name))
    events = tuple(name for name in given.get("events", "").split("/") if name)
    key = given.get("listenKey")
    if route is Route.PRIVATE and key is None and streams:
        key = streams[0]
    return StreamPath(route, combined, streams, key, events)

"""A small scripted exchange as the transport of the live feed, on a loop in virtual time.

Its candles are a function of symbol and minute. A test mutes streams, breaks REST, or sends messages of its own.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from ocw_mcp.adapters.binance.transport import RestResponse, pause
from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import MINUTE

BEGIN = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""
SYMBOLS = ("BTCUSDT", "ETHUSDT")
_BASES = {"BTCUSDT": 90_000, "ETHUSDT": 3_000, "SOLUSDT": 200}


# Each run reads the same day of history, and each message of a stream its candle.
@lru_cache(maxsize=8_192)
def source_candle(symbol: str, open_time: int) -> Candle:
    """Return the source's candle, whose values have few decimals and differ from minute to minute."""
    minute, base = open_time // MINUTE, _BASES[symbol]
    opening = base * (1 + (minute * 7_919 % 211 - 105) / 10_000)
    closing = base * (1 + ((minute + 1) * 7_919 % 211 - 105) / 10_000)
    values = (opening, max(opening, closing) * 1.0004, min(opening, closing) * 0.9996, closing)
    volume = float(minute % 97 + 3)
    taker = round(volume * (0.2 + minute % 7 / 10), 3)
    opened, high, low, closed = (round(each, 2) for each in values)
    return Candle(symbol, open_time, MINUTE, opened, high, low, closed, volume, taker)


def kline_text(candle: Candle, at: int, *, closed: bool, price: float | None = None, **changed: Any) -> str:
    """Return the combined-stream message of a kline; `changed` replaces fields of the candle."""
    bar = {
        "t": candle.open_time,
        "T": candle.close_time - 1,
        "s": candle.symbol,
        "i": "1m",
        "o": f"{candle.open:.2f}",
        "h": f"{candle.high:.2f}",
        "l": f"{candle.low:.2f}",
        "c": f"{candle.close if price is None else price:.2f}",
        "v": f"{candle.volume:.3f}",
        "n": 2,
        "x": closed,
        "V": f"{candle.taker_volume or 0:.3f}",
        **changed,
    }
    data = {"e": "kline", "E": at, "s": candle.symbol, "k": bar, "st": 1}
    return msgspec.json.encode({"stream": f"{candle.symbol.lower()}@kline_1m", "data": data}).decode()


def text_of(stream: str, data: Mapping[str, Any]) -> str:
    """Return a combined-stream message."""
    return msgspec.json.encode({"stream": stream, "data": data}).decode()


def quote_text(symbol: str, number: int, bid: float, ask: float, at: int) -> str:
    """Return the message of a best bid and ask."""
    prices = {"b": f"{bid:.2f}", "B": "5", "a": f"{ask:.2f}", "A": "7"}
    return text_of(f"{symbol.lower()}@bookTicker", {"e": "bookTicker", "u": number, "s": symbol, **prices, "E": at})


def mark_text(symbol: str, price: float, at: int, rate: float = 0.0001) -> str:
    """Return the message of a mark price; funding is every eight hours."""
    eight = 480 * MINUTE
    fields = {"p": f"{price:.2f}", "i": "1", "P": "1", "r": f"{rate:.8f}", "T": (at // eight + 1) * eight}
    return text_of(f"{symbol.lower()}@markPrice@1s", {"e": "markPriceUpdate", "E": at, "s": symbol, **fields, "st": 1})


@lru_cache(maxsize=8_192)
def row_of(candle: Candle) -> tuple[Any, ...]:
    """Return a candle as REST writes it."""
    prices = [f"{each:.2f}" for each in (candle.open, candle.high, candle.low, candle.close)]
    rest = [candle.close_time - 1, "1", 2, f"{candle.taker_volume:.3f}", "1", "0"]
    return candle.open_time, *prices, f"{candle.volume:.3f}", *rest


class ScriptedMarket:
    """The transport. `start` (ms) is the exchange's time at the beginning of the loop."""

    host_class = "loopback"

    def __init__(self, start: int = BEGIN, symbols: Sequence[str] = SYMBOLS) -> None:
        self.start, self.symbols = start, tuple(symbols)
        self.ahead_ms = 0
        """By how much the machine's clock is ahead."""
        self.muted: list[str] = []
        """Patterns of streams that are silent."""
        self.rest: Callable[[str, Mapping[str, str | int]], RestResponse | None] = lambda path, query: None
        """Returns an answer in place of the usual one, or None; it may raise MarketUnreachable."""
        self.refuses_streams = False
        self.timeout_s = 10.0
        self.filters = dict.fromkeys(self.symbols, ("0.10", "0.001", "0.001", "5"))
        self.status = dict.fromkeys(self.symbols, "TRADING")
        self.days: list[Candle] = []
        """The daily candles that REST has, oldest first."""
        self.requests: list[tuple[str, dict[str, str | int]]] = []
        self.connections: list[ScriptedConnection] = []
        self.opened: list[str] = []
        """The paths of all connections so far."""
        self.every_ms = 500
        """The time between two deliveries."""

    def exchange_ms(self) -> int:
        """Return the exchange's time, ms."""
        return self.start + round(asyncio.get_running_loop().time() * 1_000)

    def now_ms(self) -> int:
        return self.exchange_ms() + self.ahead_ms

    async def get(self, path: str, query: Mapping[str, str | int]) -> RestResponse:
        self.requests.append((path, dict(query)))
        await pause(0.02)
        if (answer := self.rest(path, query)) is not None:
            return answer
        body = self._answer(path, query)
        return RestResponse(200, msgspec.json.encode(body), {"x-mbx-used-weight-1m": "5"})

    def _answer(self, path: str, query: Mapping[str, str | int]) -> Any:
        now = self.exchange_ms()
        match path.rsplit("/", 1)[-1]:
            case "time":
                return {"serverTime": now}
            case "exchangeInfo":
                limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2_400}
                return {"rateLimits": [limit], "symbols": [self._listing(each) for each in self.symbols]}
            case "fundingInfo":
                return []
            case "fundingRate":
                symbol, eight = str(query["symbol"]), 480 * MINUTE
                first = -(-int(query["startTime"]) // eight) * eight
                times = range(first, min(int(query["endTime"]), now) + 1, eight)
                return [{"symbol": symbol, "fundingTime": at + 3, "fundingRate": "0.00020000"} for at in times]
            case "klines" if query["interval"] == "1d":
                since, until = int(query["startTime"]), int(query["endTime"])
                days = [each for each in self.days if since <= each.open_time <= until]
                return [self.row(each) for each in days if each.symbol == query["symbol"]][: int(query["limit"])]
            case "klines":
                return self._klines(str(query["symbol"]), int(query["startTime"]), int(query["endTime"]), now)
            case "openInterestHist" | "topLongShortPositionRatio" | "topLongShortAccountRatio" | "basis":
                return []
            case "globalLongShortAccountRatio" | "takerlongshortRatio":
                return []
            case "premiumIndex" if "symbol" not in query:
                return [self._answer(path, {"symbol": each}) for each in self.symbols]
            case "premiumIndex":
                price = source_candle(str(query["symbol"]), now // MINUTE * MINUTE).close
                row = {"symbol": query["symbol"], "markPrice": f"{price}", "lastFundingRate": "0.0001"}
                return {**row, "nextFundingTime": (now // (480 * MINUTE) + 1) * 480 * MINUTE, "time": now}
            case "bookTicker":
                price = source_candle(str(query["symbol"]), now // MINUTE * MINUTE).close
                sizes = {"bidQty": "5", "askQty": "7", "time": now, "lastUpdateId": now}
                return {"symbol": query["symbol"], "bidPrice": f"{price}", "askPrice": f"{price + 0.1}", **sizes}
        raise AssertionError(f"the feed asked for {path}")

    def _listing(self, symbol: str) -> dict[str, Any]:
        tick, step, least, notional = self.filters[symbol]
        filters = [
            {"filterType": "PRICE_FILTER", "tickSize": tick},
            {"filterType": "LOT_SIZE", "stepSize": step, "minQty": least},
            {"filterType": "MIN_NOTIONAL", "notional": notional},
        ]
        return {"symbol": symbol, "status": self.status[symbol], "contractType": "PERPETUAL", "filters": filters}

    def _klines(self, symbol: str, since: int, until: int, now: int) -> list[tuple[Any, ...]]:
        first = -(-since // MINUTE) * MINUTE
        return [row_of(source_candle(symbol, at)) for at in range(first, min(until, now) + 1, MINUTE)]

    def row(self, candle: Candle) -> list[Any]:
        """Return a candle as REST writes it."""
        return list(row_of(candle))

    async def connect(self, path: str) -> "ScriptedConnection":
        await pause(0.02)
        if self.refuses_streams:
            raise MarketUnreachable("refused")
        self.opened.append(path)
        connection = ScriptedConnection(self, parse_qs(urlsplit(path).query)["streams"][0].split("/"))
        self.connections.append(connection)
        return connection

    async def close(self) -> None:
        for connection in self.connections:
            await connection.close()

    def send(self, stream_pattern: str, *texts: str) -> None:
        """Send messages of the test on the newest connection that has a stream of this pattern."""
        for connection in reversed(self.connections):
            if not connection.closed and any(fnmatchcase(each, stream_pattern) for each in connection.streams):
                connection.say(*texts)
                return
        raise AssertionError(f"no connection has {stream_pattern}")


class ScriptedConnection:
    """One connection: it says what its streams say since it was last read."""

    def __init__(self, market: ScriptedMarket, streams: list[str]) -> None:
        self.market, self.streams, self.closed = market, streams, False
        self.sent: list[dict[str, Any]] = []
        self._extra: list[str] = []
        self._at = market.exchange_ms()

    def say(self, *texts: str) -> None:
        """Add messages to the next delivery."""
        self._extra.extend(texts)

    async def receive(self) -> Sequence[bytes | str]:
        while True:
            every = self.market.every_ms
            await pause((every - self.market.exchange_ms() % every) / 1_000)
            if self.closed:
                raise MarketUnreachable("closed by the exchange")
            since, self._at = self._at, self.market.exchange_ms()
            texts, self._extra = [*self._said(since, self._at), *self._extra], []
            if texts:
                return texts

    def _said(self, since: int, until: int) -> list[str]:
        said: list[tuple[int, str]] = []
        for stream in self.streams:
            if any(fnmatchcase(stream, pattern) for pattern in self.market.muted):
                continue
            symbol, kind = stream.split("@")[0].upper(), stream.split("@")[1]
            step = max(500, self.market.every_ms)
            for at in range(since // step * step + step, until + 1, step):
                said += [(at, text) for text in self._of(kind, symbol, at)]
        return [text for _, text in sorted(said, key=lambda each: each[0])]

    def _of(self, kind: str, symbol: str, at: int) -> list[str]:
        if kind == "forceOrder":
            return []
        candle = source_candle(symbol, (at - 1) // MINUTE * MINUTE)
        part = (at - candle.open_time) / MINUTE
        price = candle.open + (candle.close - candle.open) * part
        if kind == "kline_1m":
            if at == candle.close_time:
                return [kline_text(candle, at, closed=True)]
            return [kline_text(candle, at, closed=False, price=price)] if at % 2_000 == 0 else []
        if kind == "markPrice" and at % 1_000 == 0:
            return [mark_text(symbol, price, at)]
        if kind == "bookTicker":
            return [quote_text(symbol, at, price, price + 0.1, at)]
        if kind == "aggTrade" and at % 1_000 == 0:
            fields = {"a": at, "p": f"{price:.2f}", "q": "0.5", "f": 1, "l": 1, "T": at, "m": at % 3_000 == 0}
            return [text_of(f"{symbol.lower()}@aggTrade", {"e": "aggTrade", "E": at, "s": symbol, **fields})]
        return []

    async def send(self, text: str) -> None:
        if self.closed:
            raise MarketUnreachable("closed")
        message = msgspec.json.decode(text)
        self.sent.append(message)
        self.say(msgspec.json.encode({"result": None, "id": message["id"]}).decode())

    async def close(self) -> None:
        self.closed = True

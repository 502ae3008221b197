"""Stream messages of a busy market as encoded WebSocket frames, and the candles that must come out of them.

The messages have the exchange's shapes and the mixture of a busy day: of a thousand, about 780 are quotes, 200 trades,
15 candles and 4 mark prices, and each symbol has a forced liquidation every ten seconds.
"""

import math
from collections.abc import Iterator, Sequence
from random import Random  # noqa: TID251 - seeded; it makes a stand-in for a market
from typing import Final, NamedTuple

import msgspec

from ocw_mcp.domain.market import Candle, Product
from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance import payloads
from ocw_mcp.sandbox.binance.payloads import Texts
from ocw_mcp.sandbox.binance.values import Kline, Liquidation, MarkPrice, Quote, Trade

MARKET: Final = "/market"
PUBLIC: Final = "/public"
"""The paths of the streams; quotes come on PUBLIC, all others on MARKET."""
_QUOTES_PER_TRADE: Final = 4
_FUNDING_EVERY: Final = 8 * HOUR
_LAG_MS: Final = 8
"""The time (ms) from the end of a candle to its message."""
_LAST_QUOTE_MS: Final = 5_200
"""The time (ms) from the end of the last minute to the last quotes."""
_MOVE: Final = 0.0006
"""The usual relative move of a price in a minute."""
_UNIT: Final = 100
"""A price is a multiple of 1 / _UNIT (quote)."""
_LOT: Final = 1_000
"""A quantity is a multiple of 1 / _LOT (base asset)."""
_TEXTS: Final = Texts(lambda price: f"{price:.2f}", lambda quantity: f"{quantity:.3f}", lambda value: f"{value:.4f}")


class TrafficSpec(msgspec.Struct, frozen=True):
    """The arguments of traffic. The same arguments give the same messages in every process."""

    prices: dict[str, float]
    """The first price (quote) of each symbol."""
    begin: int
    """The time (ms) of the first minute, a multiple of a minute."""
    minutes: int
    per_minute: int
    """Messages of all symbols in a minute of the market, without the burst; at least 50 for each symbol.

    After the last minute there is one more quote of each symbol.
    """
    per_write: int
    """Messages that are written to the sockets at once."""
    burst: int = 0
    """Messages of all symbols in the last second of the last minute, besides the usual ones."""
    malformed: int = 0
    """After every so many messages of a minute, one is added that ends in the middle; 0 adds none."""

    @property
    def messages(self) -> int:
        """The number of valid messages."""
        symbols = len(self.prices)
        return (self.minutes * (self.per_minute // symbols) + self.burst // symbols + 1) * symbols


class Write(NamedTuple):
    """What is written to the two sockets at once."""

    market: bytes
    public: bytes
    messages: int
    """Valid messages."""
    closed_at: int
    """The close time (ms) of the candles that are in it, the same for all symbols; 0 without candles."""
    in_burst: bool
    """True for messages of the burst, which are written at once instead of at their time."""


class _Message(NamedTuple):
    at: int
    path: str
    data: bytes
    closed_at: int = 0


class Traffic:
    """The messages of some minutes of a market. The counters and candles are known when `writes` has ended."""

    def __init__(self, spec: TrafficSpec) -> None:
        self._spec = spec
        # Each symbol has prices of its own.
        self._lines = [
            _Line(symbol, price, Random(f"{symbol} {spec.begin}")) for symbol, price in sorted(spec.prices.items())
        ]
        self.candles: list[Candle] = []
        """The closed candles, by time and symbol."""
        self.messages = 0
        """The valid messages."""
        self.malformed = 0

    def writes(self) -> Iterator[Write]:
        """Yield the messages in the order of their times. The closed candles of a minute are in one write."""
        spec, waiting, symbols = self._spec, list[_Message](), len(self._lines)
        usual = spec.per_minute // symbols
        for number in range(spec.minutes):
            opened, closes = spec.begin + number * MINUTE, 0
            burst = spec.burst // symbols if number == spec.minutes - 1 else 0
            bursts_at = opened + MINUTE - SECOND if burst else math.inf
            found = sorted(
                (message for line in self._lines for message in line.minute(opened, usual, burst)),
                key=lambda each: each.at,
            )
            self.messages += len(found)
            self.candles += [line.closed for line in self._lines]
            for place, message in enumerate(found, 1):
                waiting.append(message)
                closes += message.closed_at > 0
                if spec.malformed and place % spec.malformed == 0:
                    waiting.append(_Message(message.at, message.path, message.data[: len(message.data) // 2]))
                    self.malformed += 1
                if closes == symbols or (len(waiting) >= spec.per_write and closes == 0):
                    yield _write(waiting, message.at >= bursts_at)
                    waiting.clear()
        # A later quote lets the feed yield the prices before it.
        ends = spec.begin + spec.minutes * MINUTE + _LAST_QUOTE_MS
        waiting += [line.quote(ends) for line in self._lines]
        self.messages += symbols
        yield _write(waiting, in_burst=False)


class _Line:
    """The prices of one symbol: a random walk of trades, with a quote around each price."""

    def __init__(self, symbol: str, price: float, random: Random) -> None:
        self._symbol, self._random = symbol, random
        self._tick = max(_UNIT, round(price * _UNIT))
        self._trades = self._quotes = self._step = 0
        self._opened = self._open = self._high = self._low = self._lots = self._bought = self._first = 0
        self.closed: Candle
        """The candle of the last minute."""

    def minute(self, opened: int, count: int, burst: int) -> Iterator[_Message]:
        """Yield `count` messages of a minute, and `burst` more of its last second; the closed candle is the last."""
        self._opened, self._first = opened, self._trades + 1
        self._open = self._high = self._low = self._tick
        self._lots = self._bought = 0
        # A trade moves the price uniformly within this many ticks; independent moves add up to `_MOVE`.
        self._step = max(1, round(self._tick * _MOVE * math.sqrt(3 * _QUOTES_PER_TRADE / count)))
        steps = sorted([*_steps(opened, MINUTE, count - 1), *_steps(opened + MINUTE - SECOND, SECOND, burst)])
        for at, kind in steps:
            match kind:
                case "quote":
                    yield self.quote(at)
                case "trade":
                    yield self._message(at, "aggTrade", self._trade(at))
                case "kline":
                    yield self._message(at, "kline_1m", self._kline(at, closed=False))
                case "mark":
                    yield self._message(at, "markPrice@1s", self._mark(at))
                case _:
                    yield self._message(at, "forceOrder", self._liquidation(at))
        closed_at = opened + MINUTE
        row = self._row(closed=True)
        prices = (row.open, row.high, row.low, row.close)
        self.closed = Candle(self._symbol, opened, MINUTE, *prices, row.volume, row.taker_volume)
        yield self._message(
            closed_at + _LAG_MS, "kline_1m", self._kline(closed_at + _LAG_MS, closed=True), MARKET, closed_at
        )

    def quote(self, at: int) -> _Message:
        """Return a quote around the last price."""
        return self._message(at, "bookTicker", self._quote(at), PUBLIC)

    def _message(self, at: int, stream: str, payload: str, path: str = MARKET, closed_at: int = 0) -> _Message:
        data = f'{{"stream":"{self._symbol.lower()}@{stream}","data":{payload}}}'
        return _Message(at, path, data.encode(), closed_at)

    def _trade(self, at: int) -> str:
        self._tick = max(_UNIT, self._tick + self._random.randint(-self._step, self._step))
        self._high, self._low = max(self._high, self._tick), min(self._low, self._tick)
        lots, maker = self._random.randint(1, 2_000), self._random.random() < 0.5
        self._lots += lots
        self._bought += 0 if maker else lots
        self._trades += 1
        trade = Trade(self._trades, self._tick / _UNIT, lots / _LOT, at, maker)
        return payloads.agg_trade(at, self._symbol, trade, _TEXTS, Product.UM)

    def _quote(self, at: int) -> str:
        self._quotes += 1
        bid, ask = (self._tick - self._random.randint(0, 1)) / _UNIT, (self._tick + 1) / _UNIT
        sizes = self._random.randint(1, 50_000) / _LOT, self._random.randint(1, 50_000) / _LOT
        quote = Quote(bid, sizes[0], ask, sizes[1], self._quotes)
        return payloads.book_ticker(at, self._symbol, quote, _TEXTS, Product.UM)

    def _kline(self, at: int, *, closed: bool) -> str:
        return payloads.kline("kline", at, self._row(closed=closed), "1m", _TEXTS)

    def _row(self, *, closed: bool) -> Kline:
        prices = (self._open / _UNIT, self._high / _UNIT, self._low / _UNIT, self._tick / _UNIT)
        volume, taken = self._lots / _LOT, self._bought / _LOT
        return Kline(
            self._symbol,
            MINUTE,
            self._opened,
            *prices,
            volume,
            volume * prices[0],
            self._trades - self._first + 1,
            taken,
            taken * prices[0],
            self._first,
            self._trades,
            closed,
        )

    def _mark(self, at: int) -> str:
        price = self._tick / _UNIT
        mark = MarkPrice(price, price * 0.9999, 0.0001, (at // _FUNDING_EVERY + 1) * _FUNDING_EVERY)
        return payloads.mark_price(at, self._symbol, mark)

    def _liquidation(self, at: int) -> str:
        price = self._tick / _UNIT
        order = Liquidation(at, self._random.random() < 0.5, price, price, self._random.randint(1, 5_000) / _LOT)
        return payloads.force_order(at, self._symbol, order, _TEXTS, of_all=False)


def _steps(since: int, span: int, count: int) -> Iterator[tuple[int, str]]:
    """Yield the times (ms) and kinds of `count` messages, each kind spread evenly over a span that begins at `since`.

    The streams that must not be silent have at least as many messages as the feed expects of them.
    """
    if count <= 0:
        return
    marks, klines = max(8, min(60, count // 20)), max(2, min(239, count // 20))
    liquidations = min(6, count // 500)
    rest = count - marks - klines - liquidations
    trades = rest // (_QUOTES_PER_TRADE + 1)
    kinds = {"mark": marks, "kline": klines, "liquidation": liquidations, "trade": trades, "quote": rest - trades}
    for kind, number in kinds.items():
        for place in range(number):
            yield since + (2 * place + 1) * span // (2 * number), kind


def _write(messages: Sequence[_Message], in_burst: bool) -> Write:
    """Return messages as WebSocket frames."""
    by_path = {MARKET: bytearray(), PUBLIC: bytearray()}
    valid = 0
    for message in messages:
        by_path[message.path] += _frame(message.data)
        valid += message.data.endswith(b"}}")
    closed_at = max(message.closed_at for message in messages)
    return Write(bytes(by_path[MARKET]), bytes(by_path[PUBLIC]), valid, closed_at, in_burst)


def _frame(data: bytes) -> bytes:
    """Return one unmasked text frame, as a server sends it."""
    length = len(data)
    return (bytes((0x81, length)) if length < 126 else b"\x81\x7e" + length.to_bytes(2, "big")) + data

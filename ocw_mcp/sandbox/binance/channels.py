"""The messages of one stream between two times.

The messages depend on the market and the times only, however the time is divided into calls.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Final
from zlib import crc32

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, MINUTE, SECOND
from ocw_mcp.sandbox.binance import payloads
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.names import INTERVALS, Stream, Topic
from ocw_mcp.sandbox.binance.payloads import Day, Texts

Said = Iterable[tuple[int, str]]
"""Times (ms) and payloads, in the order of time."""
TRADE_LAG: Final = 5
"""The time (ms) from a trade to its message."""
MONDAY: Final = 4 * DAY
"""The first Monday since 1970 (ms): candles of a week open on Mondays."""
Source = Callable[[int, int], Said]
"""Gives the messages of a stream with since < time <= until; each call continues the one before it."""


def close_lag(symbol: str) -> int:
    """Return the time (ms) from the end of a symbol's candle to the message that it has closed: 5 to 44."""
    return 5 + crc32(symbol.encode()) % 40


def grid(since: int, until: int, step: int, origin: int = 0) -> range:
    """Return the multiples of `step`, counted from `origin`, with since < time <= until."""
    return range(since + step - (since - origin) % step, until + 1, step)


AHEAD: Final = 10 * SECOND
"""The times (ms) to which messages are made in advance are multiples of this."""


class Channels:
    """Makes the messages of the streams of one market."""

    def __init__(self, market: SandboxMarket, thin: int = 1) -> None:
        """`thin` multiplies the time between the messages of a stream that repeats its state, such as a candle."""
        self._market = market
        self._thin = thin
        self.texts: Callable[[str], Texts] = cache(self._texts)

    def _texts(self, symbol: str) -> Texts:
        market = self._market
        return Texts(
            lambda price: market.price_text(symbol, price),
            lambda quantity: market.quantity_text(symbol, quantity),
            lambda value: market.quote_text(symbol, value),
        )

    def source(self, stream: Stream) -> Source:
        """Return the function that yields the messages of a stream with since < time <= until.

        The function has a memory: each call must continue where the call before it ended.
        """
        if stream.symbol is not None and stream.symbol not in self._market.symbols:
            return lambda since, until: ()
        return _Ahead(_SOURCES[stream.topic](self, stream))

    def _every(self, stream: Stream) -> int:
        return stream.every * self._thin

    def _candles(self, stream: Stream) -> Source:
        market, symbol, product = self._market, stream.symbol or "", self._market.product
        event = "kline" if stream.topic is Topic.KLINE else "continuous_kline"
        interval, texts, lag = INTERVALS[stream.interval], self.texts(symbol), close_lag(symbol)
        every, origin = min(self._every(stream), interval), MONDAY if stream.interval == "1w" else 0

        def forming(since: int, until: int) -> Iterator[int]:
            """Yield the times at which a candle has changed since the last time of the grid."""
            last = grid(since, until, every)
            if not last:
                return
            changed = 0
            for trade in market.trades(symbol, last[0] - every, last[-1]):
                at = trade.at + -trade.at % every
                if at != changed and (at - origin) % interval:
                    yield at
                changed = at

        def between(since: int, until: int) -> Said:
            # A time is that of a closed candle's message or of a forming candle's, never both: lags are below 250 ms.
            closes = grid(since - lag, until - lag, interval, origin)
            for at, close in _merged(closes, lag, forming(since, until)):
                begin = close - interval if close is not None else at - (at - origin) % interval
                row = market.kline(symbol, interval, begin, at)
                if row is not None:
                    yield at, payloads.kline(event, at, row, stream.interval, texts)

        assert product is Product.UM or event == "kline"
        return between

    def _trades(self, stream: Stream) -> Source:
        market, symbol, product = self._market, stream.symbol or "", self._market.product
        write = payloads.agg_trade if stream.topic is Topic.AGG_TRADE else payloads.single_trade
        texts = self.texts(symbol)

        def between(since: int, until: int) -> Said:
            for trade in market.trades(symbol, since - TRADE_LAG, until - TRADE_LAG):
                at = trade.at + TRADE_LAG
                yield at, write(at, symbol, trade, texts, product)

        return between

    def _marks(self, stream: Stream) -> Source:
        market, every = self._market, self._every(stream)
        symbols = market.symbols if stream.symbol is None else (stream.symbol,)

        def between(since: int, until: int) -> Said:
            for at in grid(since, until, every):
                marks = ((symbol, market.mark(symbol, at)) for symbol in symbols)
                texts = [payloads.mark_price(at, symbol, mark) for symbol, mark in marks if mark is not None]
                if texts:
                    yield at, texts[0] if stream.symbol is not None else f"[{','.join(texts)}]"

        return between

    def _quotes(self, stream: Stream) -> Source:
        market, product = self._market, self._market.product
        if stream.symbol is None:
            return self._quotes_of_all(stream)
        symbol, texts, every = stream.symbol, self.texts(stream.symbol), self._every(stream)

        def changes(since: int, until: int) -> Said:
            for at, quote in market.quotes(symbol, since, until):
                yield at, payloads.book_ticker(at, symbol, quote, texts, product)

        def thinned(since: int, until: int) -> Said:
            times = grid(since, until, every)
            states = market.quotes(symbol, times[0] - every, times[-1]) if times else []
            latest = {at + -at % every: quote for at, quote in states}
            for at, quote in latest.items():
                yield at, payloads.book_ticker(at, symbol, quote, texts, product)

        return changes if self._thin == 1 else thinned

    def _quotes_of_all(self, stream: Stream) -> Source:
        market, every = self._market, self._every(stream)
        sent: dict[str, int] = {}

        def between(since: int, until: int) -> Said:
            for at in grid(since, until, every):
                for symbol in market.symbols:
                    quote = market.quote(symbol, at)
                    if quote is not None and sent.get(symbol) != quote.update_id:
                        sent[symbol] = quote.update_id
                        yield at, payloads.book_ticker(at, symbol, quote, self.texts(symbol), market.product)
                yield at, payloads.foreign_book_ticker(at)

        return between

    def _partial_depth(self, stream: Stream) -> Source:
        market, product = self._market, self._market.product
        symbol, every, texts = stream.symbol or "", self._every(stream), self.texts(stream.symbol or "")

        def between(since: int, until: int) -> Said:
            for at in grid(since, until, every):
                before, now = market.quote(symbol, at - every), market.quote(symbol, at)
                if before is not None and now is not None and before != now:
                    bids, asks, last = market.depth(symbol, at, stream.levels)
                    ids = (before.update_id + 1, last, before.update_id)
                    yield at, payloads.partial_depth(at, symbol, ids, bids, asks, texts, product)

        return between

    def _depth(self, stream: Stream) -> Source:
        market, product = self._market, self._market.product
        symbol, every, texts = stream.symbol or "", self._every(stream), self.texts(stream.symbol or "")
        sides: tuple[dict[float, float], dict[float, float]] | None = None
        last = 0

        def between(since: int, until: int) -> Said:
            nonlocal sides, last
            if sides is None:
                bids, asks, last = market.depth(symbol, since, stream.levels)
                sides = dict(bids), dict(asks)
            for at in grid(since, until, every):
                quote = market.quote(symbol, at)
                if quote is None or quote.update_id == last:
                    continue
                before = last
                bids, asks, last = market.depth(symbol, at, stream.levels)
                changed = _changes(sides[0], bids, -1), _changes(sides[1], asks, 1)
                yield at, payloads.depth(at, symbol, (before + 1, last, before), *changed, texts, product)

        return between

    def _tickers(self, stream: Stream) -> Source:
        market, every, mini = self._market, self._every(stream), stream.topic is Topic.MINI_TICKER
        symbols = market.symbols if stream.symbol is None else (stream.symbol,)

        def text(symbol: str, at: int) -> str | None:
            day, quote = self.day(symbol, at), market.quote(symbol, at)
            if day is None or quote is None:
                return None
            if mini:
                return payloads.mini_ticker(symbol, day, self.texts(symbol), market.product)
            return payloads.ticker(symbol, day, quote, self.texts(symbol), market.product)

        def between(since: int, until: int) -> Said:
            for at in grid(since, until, every):
                texts = [each for symbol in symbols if (each := text(symbol, at)) is not None]
                if stream.symbol is None and market.product is Product.UM:
                    texts.append(payloads.foreign_ticker(at, mini=mini))
                if texts:
                    yield at, texts[0] if stream.symbol is not None else f"[{','.join(texts)}]"

        return between

    def day(self, symbol: str, at: int) -> Day | None:
        """Return the statistics of the 24 hours before `at`, which begin at a full minute; None without data."""
        until = at - at % MINUTE + MINUTE
        row, last = self._market.window(symbol, until - DAY, until, at), self._market.last_trade(symbol, at)
        return Day(row, last, at) if row is not None and last is not None else None

    def _liquidations(self, stream: Stream) -> Source:
        market, of_all = self._market, stream.symbol is None
        symbols = market.symbols if stream.symbol is None else (stream.symbol,)

        def between(since: int, until: int) -> Said:
            for at in grid(since, until, SECOND):
                for symbol in symbols:
                    orders = market.liquidations(symbol, at - SECOND, at)
                    if orders:
                        # The exchange reports the latest liquidation of a symbol and second.
                        yield at, payloads.force_order(at, symbol, orders[-1], self.texts(symbol), of_all=of_all)
                        if of_all:
                            yield at, payloads.foreign_force_order(at)

        return between


class _Ahead:
    """A source that makes the messages of the next seconds at once, which is faster than many short times."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._made: deque[tuple[int, str]] = deque()
        self._until: int | None = None
        """The time (ms) until which messages were made; None before the first call."""
        self._next = 0
        """The earliest time (ms) at which there is something to do: a message, or the next ones to make."""

    def __call__(self, since: int, until: int) -> Said:
        """Return the messages with since < time <= until; each call continues the one before it."""
        if until < self._next:
            return ()
        made = since if self._until is None else self._until
        if made < until:
            end = until + AHEAD - until % AHEAD
            self._made.extend(self._source(made, end))
            self._until = made = end
        said = []
        while self._made and self._made[0][0] <= until:
            said.append(self._made.popleft())
        self._next = self._made[0][0] if self._made else made + 1
        return said


def _merged(closes: range, lag: int, forming: Iterator[int]) -> Iterator[tuple[int, int | None]]:
    """Yield the times of messages in order, with the end of the candle if the message is that it has closed."""
    at = next(forming, None)
    for close in closes:
        while at is not None and at < close + lag:
            yield at, None
            at = next(forming, None)
        yield close + lag, close
    while at is not None:
        yield at, None
        at = next(forming, None)


def _changes(known: dict[float, float], new: payloads.Levels, sign: int) -> payloads.Levels:
    """Return the levels of `new` that differ from the known ones, and update those.

    A removed level has a quantity of 0. Levels beyond the range of `new` stay as they are.
    """
    after = dict(new)
    edge = new[-1][0] * sign if new else 0.0
    gone = [(price, 0.0) for price in known if price not in after and price * sign <= edge]
    changed = gone + [(price, size) for price, size in new if known.get(price) != size]
    for price, _ in gone:
        del known[price]
    known.update(after)
    return changed


_SOURCES: Final = {
    Topic.KLINE: Channels._candles,
    Topic.CONTINUOUS_KLINE: Channels._candles,
    Topic.AGG_TRADE: Channels._trades,
    Topic.TRADE: Channels._trades,
    Topic.MARK_PRICE: Channels._marks,
    Topic.BOOK_TICKER: Channels._quotes,
    Topic.DEPTH: Channels._depth,
    Topic.PARTIAL_DEPTH: Channels._partial_depth,
    Topic.TICKER: Channels._tickers,
    Topic.MINI_TICKER: Channels._tickers,
    Topic.FORCE_ORDER: Channels._liquidations,
}

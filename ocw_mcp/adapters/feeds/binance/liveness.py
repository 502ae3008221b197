"""Whether every stream gives data: a mute one is subscribed to again, replaced by REST, and at last reported.

An acknowledged subscription is no sign of data. So each stream has a longest silence of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from ocw_mcp.adapters.binance.clock import MEASURED_EVERY_S
from ocw_mcp.adapters.binance.transport import pause
from ocw_mcp.adapters.feeds.binance.board import Board
from ocw_mcp.adapters.feeds.binance.candles import CandleStore
from ocw_mcp.adapters.feeds.binance.clock import LIMIT_MS, FeedClock
from ocw_mcp.adapters.feeds.binance.dispatch import Dispatcher
from ocw_mcp.adapters.feeds.binance.notices import CLOCK, Notices
from ocw_mcp.adapters.feeds.binance.rest import Priority, RestClient
from ocw_mcp.adapters.feeds.binance.sockets import StreamSocket
from ocw_mcp.adapters.feeds.binance.wire import MarkUpdate, Quote, Route, StreamKind
from ocw_mcp.domain.errors import FeedError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import SECOND, iso

_CHECK_EVERY_S: Final = 2.0
_POLL_EVERY_S: Final = 5.0
"""How often REST is asked in place of a mute stream."""
_MOST_POLL_DOUBLINGS: Final = 4
_POLL_TIMEOUT_S: Final = 5.0
_RENEW_AFTER: Final = 1
"""After so many vain subscriptions, a mute stream gets a new connection."""
_OVERDUE_MS: Final = 20 * SECOND
"""A candle that is not known so long (ms) after its close makes the symbol's data unreliable."""
_REMEASURE_EVERY_S: Final = 10.0
_NOT_MEASURED: Final = "clock not measured"
_MUTE: Final = "mute"
"""The kind of incident of a stream that gives no messages."""
_UNUSABLE: Final = "unusable"
"""The kind of incident of a stream that gives only messages that are refused."""
_POLLED: Final = {StreamKind.MARK, StreamKind.QUOTE}
_MOST_DOUBLINGS: Final = 6
"""The pause between two tries to revive a mute stream doubles so often."""


class _Premium(msgspec.Struct):
    symbol: str
    price: float = msgspec.field(name="markPrice")
    rate: float = msgspec.field(name="lastFundingRate")
    next_funding_at: int = msgspec.field(name="nextFundingTime")
    at: int = msgspec.field(name="time")


class _Ticker(msgspec.Struct):
    symbol: str
    bid: float = msgspec.field(name="bidPrice")
    bid_quantity: float = msgspec.field(name="bidQty")
    ask: float = msgspec.field(name="askPrice")
    ask_quantity: float = msgspec.field(name="askQty")
    at: int = msgspec.field(name="time", default=0)
    id: int = msgspec.field(name="lastUpdateId", default=-1)


class _Silence(msgspec.Struct):
    """The steps that were taken against one mute stream, with their times on the event loop (s)."""

    resubscribed_at: float = -1.0
    attempts: int = 0
    polled_at: float = -1.0
    failures: int = 0
    """The polls in a row that gave no value: the pause between two doubles with each."""
    confirmed: bool = False
    """Whether something shows that the stream lacks data, and not only that nothing happened."""


def longest_silence_s(kind: StreamKind, interval: int) -> float | None:
    """Return the longest usual silence (s) of a stream; None for one that may be silent for hours."""
    return {
        StreamKind.KLINE: 1.25 * interval / SECOND,
        StreamKind.TRADE: 2.0 * interval / SECOND,
        StreamKind.MARK: 10.0,
        StreamKind.QUOTE: 30.0,
        StreamKind.LIQUIDATION: None,
    }[kind]


class Liveness:
    """The watch over all streams and the clock of a feed."""

    def __init__(
        self,
        sockets: Sequence[StreamSocket],
        rest: RestClient,
        product: Product,
        store: CandleStore,
        board: Board,
        dispatcher: Dispatcher,
        clock: FeedClock,
        notices: Notices,
        loop_s: Callable[[], float],
    ) -> None:
        self._sockets, self._rest, self._product = sockets, rest, product
        self._store, self._board, self._dispatcher = store, board, dispatcher
        self._clock, self._notices, self._loop_s = clock, notices, loop_s
        self._silences: dict[str, _Silence] = {}
        self._awaited: dict[str, float] = {}
        """By stream without data so far, the loop time (s) of its first connection."""
        self._clock_tried_at = loop_s()
        self._checked_offset = 0

    async def run(self) -> None:
        """Check the streams and the clock, until the task is cancelled."""
        while True:
            await pause(_CHECK_EVERY_S)
            await self._check_clock()
            for socket in self._sockets:
                await self._check_streams(socket)
            self.check_candles()

    async def _check_clock(self) -> None:
        now = self._loop_s()
        jumped = abs(self._clock.offset_ms - self._checked_offset) > LIMIT_MS / 2
        due = now - self._clock_tried_at >= MEASURED_EVERY_S
        wrong = abs(self._checked_offset) > LIMIT_MS
        doubted = wrong or jumped or self._dispatcher.clock_doubted or not self._clock.measured
        if due or (doubted and now - self._clock_tried_at >= _REMEASURE_EVERY_S):
            self._clock_tried_at = now
            self._dispatcher.clock_doubted = False
            try:
                await self._clock.measure()
                self._notices.end(_NOT_MEASURED, CLOCK)
            except FeedError as error:
                self._notices.incident(CLOCK, _NOT_MEASURED, str(error)[:200], until=CLOCK)
        self.check_offset()

    def check_offset(self) -> None:
        """Report the offset of the machine's clock if it passes or leaves the limit."""
        offset = self._checked_offset = self._clock.offset_ms
        text = f"the machine's clock is {abs(offset)} ms {'ahead of' if offset > 0 else 'behind'} the exchange's"
        if abs(offset) > LIMIT_MS:
            self._notices.degrade(CLOCK, CLOCK, f"{text}; at most {LIMIT_MS} ms: set the clock, for example by NTP")
        else:
            self._notices.restore(CLOCK, CLOCK, text)

    async def _check_streams(self, socket: StreamSocket) -> None:
        mute, polls, connected_at = list[Route](), list[Awaitable[None]](), socket.connected_at
        for route in socket.routes:
            longest = longest_silence_s(route.kind, self._store.interval)
            if longest is None:
                continue
            now = self._loop_s()
            begin = route.seen
            if begin is None and connected_at is not None:
                # A later connection does not end the silence of a stream that has never given data.
                begin = self._awaited.setdefault(route.name, connected_at)
            silent = now - begin if begin is not None else longest + 1.0
            if silent <= longest:
                self._end_silence(route)
                continue
            silence = self._silences.setdefault(route.name, _Silence(resubscribed_at=now - longest))
            pause_s = longest * 2.0 ** min(silence.attempts, _MOST_DOUBLINGS)
            if route.kind is StreamKind.TRADE:
                silence.confirmed = self._traded_since(route.symbol)
            elif route.kind is not StreamKind.QUOTE:
                silence.confirmed = True
            settled = connected_at is not None and now - connected_at > longest
            if silence.confirmed and settled and now - silence.resubscribed_at >= pause_s:
                silence.resubscribed_at = now
                silence.attempts += 1
                mute.append(route)
                if silence.attempts > _RENEW_AFTER:
                    socket.renew(f"{route.name} gives no valid message")
                self._report(route, silence, silent)
            poll_every_s = _POLL_EVERY_S * 2.0 ** min(silence.failures, _MOST_POLL_DOUBLINGS)
            if route.kind in _POLLED and now - silence.polled_at >= poll_every_s:
                silence.polled_at = now
                polls.append(self._poll(route, silence, silent))
        await asyncio.gather(*polls)
        if mute:
            await socket.resubscribe(mute)

    def _end_silence(self, route: Route) -> None:
        if self._silences.pop(route.name, None) is not None:
            for kind in (_MUTE, _UNUSABLE):
                self._notices.end(kind, route.name)
            self._notices.restore(route.symbol, route.kind, f"{route.name} gives data again")

    def _report(self, route: Route, silence: _Silence, silent: float) -> None:
        """Report a stream without valid messages for a time (s), and what is done about it."""
        done = "a new connection is opened" if silence.attempts > _RENEW_AFTER else "subscribed again"
        kind = _UNUSABLE if self._comes(route) else _MUTE
        detail = f"{self._lack(route, silent)}: {done}"[:300]
        self._notices.incident(route.symbol, kind, detail, part=route.kind, until=route.name)

    def _comes(self, route: Route) -> bool:
        """Return whether the stream gives messages, all of which are refused."""
        longest = longest_silence_s(route.kind, self._store.interval)
        refused_at = route.refused_at
        if longest is None or refused_at is None or (route.seen is not None and refused_at < route.seen):
            return False
        return self._loop_s() - refused_at <= longest

    def _lack(self, route: Route, silent: float) -> str:
        """Return what the stream lacks since `silent` s: messages, or only valid ones."""
        if self._comes(route):
            return f"{route.name} has given only messages that are refused for {silent:.0f} s ({route.refusal})"
        return f"{route.name} is silent for {silent:.0f} s"

    async def _poll(self, route: Route, silence: _Silence, silent: float) -> None:
        """Ask REST in place of a mute stream, and report the symbol as degraded if that fails, too."""
        fetch = self._premium if route.kind is StreamKind.MARK else self._ticker
        try:
            async with asyncio.timeout(_POLL_TIMEOUT_S):
                message = await fetch(route.symbol)
            if isinstance(message, Quote) and self._board.has_quote(route.symbol, message.bid, message.ask):
                # The stream is silent because the quote has not changed.
                route.seen = self._loop_s()
            else:
                silence.confirmed = True
            why = "" if self._dispatcher.take_rest(route, message) else "its value is refused"
        except TimeoutError:
            why = f"no answer in {_POLL_TIMEOUT_S:.0f} s"
        except FeedError as error:
            why = str(error)
        except msgspec.DecodeError as error:
            why = f"its answer has other fields than expected: {error}"
        if why:
            silence.confirmed = True
            silence.failures += 1
            detail = f"{self._lack(route, silent)}, and REST gives no value: {why}"
            self._notices.degrade(route.symbol, route.kind, detail[:300])
        else:
            silence.failures = 0
            lack = "whose messages are refused" if self._comes(route) else "which is silent"
            self._notices.restore(route.symbol, route.kind, f"REST replaces {route.name}, {lack}")

    def _traded_since(self, symbol: str) -> bool:
        """Return whether a candle after the last trade of the stream has volume."""
        kline, flow = self._dispatcher.forming.get(symbol), self._dispatcher.flows[symbol]
        return kline is not None and kline.bar.volume > 0 and kline.bar.open_time > flow.open_time

    async def _premium(self, symbol: str) -> MarkUpdate | Quote:
        body = await self._rest.get("/fapi/v1/premiumIndex", {"symbol": symbol}, weight=1, priority=Priority.URGENT)
        row = msgspec.json.decode(body, type=_Premium, strict=False)
        return MarkUpdate("markPriceUpdate", row.at, symbol, row.price, row.rate, row.next_funding_at)

    async def _ticker(self, symbol: str) -> MarkUpdate | Quote:
        path = "/fapi/v1/ticker/bookTicker" if self._product is Product.UM else "/api/v3/ticker/bookTicker"
        body = await self._rest.get(path, {"symbol": symbol}, weight=2, priority=Priority.URGENT)
        row = msgspec.json.decode(body, type=_Ticker, strict=False)
        # The `time` of an unchanged quote is that of its last change: the quote is true now.
        return Quote(row.id, symbol, row.bid, row.bid_quantity, row.ask, row.ask_quantity)

    def check_candles(self) -> None:
        """Report the symbols whose last closed candle is not known in time, and those whose candles are known again."""
        interval, now = self._store.interval, self._clock.now_ms()
        lacking = set(self._store.lacking((now - _OVERDUE_MS) // interval * interval))
        for symbol in sorted(self._dispatcher.guards):
            if symbol in lacking:
                missing = iso(self._store.next_open(symbol))
                why = self._rest.last_error or "REST has none"
                detail = f"the candle of {missing} is missing {_OVERDUE_MS // SECOND} s after its close: {why}"
                self._notices.degrade(symbol, "candles", detail[:300])
            else:
                self._notices.restore(symbol, "candles", "all closed candles are known again")

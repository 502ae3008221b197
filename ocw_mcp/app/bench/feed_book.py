"""A live book that reads the messages of a generator, on an event loop whose time follows their time stamps.

The market of the generator runs faster than real time. The book is the real one: sockets, feed, inbox, input log,
engine with gate and rules, and the paper venue. Only REST is answered in process, and keepalive pings are off.
"""

import asyncio
import threading
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from itertools import count
from typing import Final

import msgspec

from ocw_mcp.adapters.binance.network import NetworkTransport
from ocw_mcp.adapters.binance.transport import Connection, RestResponse
from ocw_mcp.adapters.feeds.binance import BinanceFeed, hosts_of
from ocw_mcp.adapters.feeds.binance.feed import WARMUP_DAYS
from ocw_mcp.adapters.feeds.binance.notices import MARKET
from ocw_mcp.adapters.venues.instruments import paper_brackets
from ocw_mcp.app.bench.feed_generator import Generator, Sent
from ocw_mcp.app.bench.feed_traffic import TrafficSpec
from ocw_mcp.app.bench.feed_waits import CoreWaits, core_waits
from ocw_mcp.app.bench.fixtures import open_book
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.domain.market import Candle, Frame, MarketIdentity, Product
from ocw_mcp.domain.time import SECOND
from ocw_mcp.runtime.clock import LiveClock
from ocw_mcp.sandbox.binance.exchange import Exchange, Request

AHEAD_MS: Final = 5 * SECOND
"""How far (ms) the book's time is after the begin of the first minute when the book starts."""
STEP_MS: Final = 1_500
"""The most market time (ms) that passes at once. The feed refuses messages that are two seconds ahead."""
_TURNS: Final = 10
"""Turns of the event loop between two steps."""
_STAMP: Final = b'"E":'
_DIGITS: Final = 13
_SPEED: Final = 0.02
"""The seconds of the market that pass in a second without messages."""
_GIVEN_UP_S: Final = 10.0
"""The real time (s) after the last message was sent at which those that did not arrive are given up."""
_TURN_S: Final = 0.000_1


class StampedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the newest time stamp of the messages, and passes slowly between two of them.

    So the market does not go on while this process or the generator waits for a core.
    """

    def __init__(self, start: int) -> None:
        """`start` is the market's time (ms) now."""
        self._ahead_s = start / SECOND - _real_s() * _SPEED
        super().__init__()

    def time(self) -> float:
        """Return the market's time, s."""
        return _real_s() * _SPEED + self._ahead_s

    def jump(self, to: int) -> None:
        """Go to a time (ms), unless it is in the past."""
        self._ahead_s = max(self._ahead_s, to / SECOND - _real_s() * _SPEED)


class StampedClock(LiveClock):
    """The engine's clock: the time of a StampedLoop."""

    def __init__(self, loop: StampedLoop) -> None:
        super().__init__()
        self._loop = loop

    def present(self) -> int:
        """Return the market's time, ms."""
        return int(self._loop.time() * SECOND)


class _StampedConnection:
    """A connection that moves the time of the loop to the time stamps of its messages.

    Messages that have waited, because this process or its core was busy, are returned in steps of market time.
    """

    def __init__(self, connection: Connection, loop: StampedLoop, waits: CoreWaits) -> None:
        self._connection, self._loop, self._waits = connection, loop, waits
        self._waiting: Sequence[bytes | str] = ()
        self.send, self.close = connection.send, connection.close

    async def receive(self) -> Sequence[bytes | str]:
        """Return the messages that have arrived, at least one, and of more than `STEP_MS` a part."""
        self._waits.note()
        if self._waiting:
            for _ in range(_TURNS):
                await asyncio.sleep(0)  # noqa: TID251 - the other connection reads, and the engine takes what is closed
        else:
            self._waiting = await self._connection.receive()
        batch = self._waiting
        until = max(self._loop.time() * SECOND, _stamp(batch[0])) + STEP_MS
        if _stamp(batch[-1]) > until:
            # The messages are in the order of their times, but for some milliseconds.
            batch = batch[: max(1, bisect_right(batch, until, key=_stamp))]
        self._waiting = self._waiting[len(batch) :]
        self._loop.jump(_stamp(batch[-1]))
        return batch


def _stamp(message: bytes | str) -> int:
    """Return the time (ms) of an event; 0 for one that is cut off before its time."""
    text = message if isinstance(message, bytes) else message.encode()
    found = text.rfind(_STAMP) + len(_STAMP)
    stamp = text[found : found + _DIGITS]
    return int(stamp) if found >= len(_STAMP) and len(stamp) == _DIGITS and stamp.isdigit() else 0


class StampedTransport:
    """The streams of a generator, and the REST answers of a sandbox exchange in this process."""

    def __init__(self, exchange: Exchange, address: str, loop: StampedLoop, waits: CoreWaits) -> None:
        self._exchange, self._loop, self._waits = exchange, loop, waits
        self._network = NetworkTransport(hosts_of(Product.UM, address), self.now_ms, keepalive=False)
        self.host_class, self.timeout_s = self._network.host_class, self._network.timeout_s

    def now_ms(self) -> int:
        """Return the market's time, ms."""
        return int(self._loop.time() * SECOND)

    async def get(self, path: str, query: Mapping[str, str | int]) -> RestResponse:
        """Answer a GET request."""
        request = Request("GET", path, {name: str(value) for name, value in query.items()})
        response = self._exchange.handle(request, self.now_ms())
        return RestResponse(response.status, response.body, {k.lower(): v for k, v in response.headers.items()})

    async def connect(self, path: str) -> _StampedConnection:
        """Open a stream connection. Raises MarketUnreachable."""
        return _StampedConnection(await self._network.connect(path), self._loop, self._waits)

    async def close(self) -> None:
        """Close the network."""
        await self._network.close()


class MeasuredFeed:
    """The live feed, which starts the generator when it is connected, and ends when all messages are taken."""

    def __init__(self, feed: BinanceFeed, generator: Generator, spec: TrafficSpec, rate: int, waits: CoreWaits) -> None:
        self._feed, self._generator, self._rate, self._waits = feed, generator, rate, waits
        self._begin, self._begins = spec.begin, asyncio.Event()
        self._messages, self._candles = spec.messages, spec.minutes * len(spec.prices)
        self.watch, self.resume_at = feed.watch, feed.resume_at
        self.taken: dict[int, float] = {}
        """By close time (ms), when the consumer had finished with the closed candles (s of `time.perf_counter`)."""
        self._waited: dict[int, float] = {}
        self.closed: list[Candle] = []
        self.late = self.stored = self.connections = 0
        self.incidents: dict[str, int] = {}
        self.began_s = self.began_cpu_s = self.wall_s = self.cpu_s = self.ended_s = 0.0
        self._sent: Sent | None = None
        self._watch: threading.Thread | None = None
        self._ended = threading.Event()
        self._gives_up = False

    @property
    def identity(self) -> MarketIdentity:
        return self._feed.identity

    def sent(self) -> Sent:
        """Return what the generator has sent, after the run. Raises MarketUnreachable if it did not send all."""
        if self._watch is not None:
            self._watch.join()
        if self._sent is None:
            raise MarketUnreachable("the process that sends the messages has ended before all were sent")
        return self._sent

    def waited(self) -> dict[int, float]:
        """Return by close time (ms) how long this thread waited for a core until the candles were taken (s)."""
        closes = self.sent().closes
        return {at: self._waits.since(closes[at], total) for at, total in self._waited.items() if at in closes}

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """Yield the frames, and note when the consumer asks for the next one after closed candles."""
        starting = asyncio.ensure_future(self._start())
        try:
            async with aclosing(self._feed.frames(after)) as frames:
                async for frame in frames:
                    yield frame
                    now = _real_s()
                    if frame.history:
                        if frame.at >= self._begin:
                            self._begins.set()
                        continue
                    if frame.closed:
                        self.taken[frame.at] = now
                        self._waited[frame.at] = self._waits.note()
                        self.closed += frame.closed
                        self.late += frame.late
                    session = self._feed.session
                    assert session is not None
                    self.stored = session.dispatcher.messages
                    complete = self.stored >= self._messages and len(self.closed) >= self._candles
                    if complete or self._gives_up:
                        self.ended_s = now
                        self.wall_s, self.cpu_s = now - self.began_s, _cpu_s() - self.began_cpu_s
                        self.incidents = dict(session.notices.counts)
                        self.connections = sum(socket.opened for socket in session.sockets)
                        return
        finally:
            self._ended.set()
            starting.cancel()

    async def _start(self) -> None:
        """Start the generator when both connections are open and the history is taken."""
        await self._begins.wait()
        while (session := self._feed.session) is None or any(each.connected_at is None for each in session.sockets):
            await asyncio.sleep(_TURN_S)  # noqa: TID251 - before the measured time
        self.began_s, self.began_cpu_s = _real_s(), _cpu_s()
        self._generator.send(self._rate)
        self._watch = threading.Thread(target=self._await_sent, args=(asyncio.get_running_loop(),), daemon=True)
        self._watch.start()

    def _await_sent(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until all is sent, and some seconds more; then let the loop give up what has not arrived."""
        with suppress(MarketUnreachable):
            self._sent = self._generator.sent()
        if not self._ended.wait(_GIVEN_UP_S):
            loop.call_soon_threadsafe(self._give_up)

    def _give_up(self) -> None:
        self._gives_up = True
        if self._feed.session is not None:
            # The notice makes the feed yield a frame, after which this one ends.
            self._feed.session.notices.incident(MARKET, "given up", f"{self._messages - self.stored} messages lack")


class BookRun(msgspec.Struct, frozen=True):
    """A run of a live book over the messages of a generator."""

    stored: int
    """Messages that were valid, and whose values were stored."""
    cpu_s: float
    """The CPU time of this process from the first message on."""
    wall_s: float
    ended_s: float
    """When the last message was stored and the last candle taken: `time.perf_counter` (s)."""
    evaluations: int
    """Verdicts of the gate."""
    wakes: int
    late: int
    """Closed candles on which nothing was decided, because they came too late."""
    closed: list[Candle]
    taken: dict[int, float]
    """By close time (ms), when the verdict was known: `time.perf_counter` (s)."""
    waited: dict[int, float]
    """By close time (ms), how much of the time until then this process waited for a core (s)."""
    incidents: dict[str, int]
    sent: Sent


def run_book(
    generator: Generator,
    exchange: Exchange,
    spec: TrafficSpec,
    rate: int,
    warmup_days: int = WARMUP_DAYS,
    tick_ms: int = SECOND,
) -> BookRun:
    """Run a new book over the messages of a generator, which sends `rate` a second.

    Between two closes, the feed yields prices every `tick_ms` of the market's time.
    """
    with core_waits() as waits:
        return _run_book(generator, exchange, spec, rate, warmup_days, tick_ms, waits)


def _run_book(
    generator: Generator,
    exchange: Exchange,
    spec: TrafficSpec,
    rate: int,
    warmup_days: int,
    tick_ms: int,
    waits: CoreWaits,
) -> BookRun:
    loop = StampedLoop(spec.begin + AHEAD_MS)
    numbers = count()
    feed = BinanceFeed(
        Product.UM,
        exchange.market.symbols,
        StampedTransport(exchange, generator.address, loop, waits),
        jitter=lambda: next(numbers) * 0.37 % 1,
        brackets=paper_brackets,
        warmup_days=warmup_days,
        tick_ms=tick_ms,
    )
    measured = MeasuredFeed(feed, generator, spec, rate, waits)
    with open_book(measured, load_policies(None), clock=StampedClock(loop)) as (book, _):
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(book.run.run("bench"))
        gate = book.engine.gate.counters
        return BookRun(
            stored=measured.stored,
            cpu_s=measured.cpu_s,
            wall_s=measured.wall_s,
            ended_s=measured.ended_s,
            evaluations=gate.evaluations,
            wakes=gate.woken,
            late=measured.late,
            closed=measured.closed,
            taken=measured.taken,
            waited=measured.waited(),
            incidents=measured.incidents,
            sent=measured.sent(),
        )


def _real_s() -> float:
    return time.perf_counter()  # noqa: TID251 - the real time of a benchmark


def _cpu_s() -> float:
    return time.process_time()

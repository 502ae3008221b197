"""Live books on the sandbox exchange in virtual time: the whole engine, the real feed and the exchange's faults."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

from ocw_mcp.adapters.feeds.binance import BinanceFeed
from ocw_mcp.adapters.venues.instruments import paper_brackets
from ocw_mcp.core.market.market import Market
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Candle, Frame, MarketIdentity, Product
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import Decider
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.time import DAY, MINUTE, SECOND
from ocw_mcp.runtime.clock import LiveClock
from ocw_mcp.sandbox.binance.exchange import Exchange, Request, Response
from ocw_mcp.sandbox.binance.faults import Fault, parse_fault
from ocw_mcp.sandbox.binance.faulty import FaultyConnection, FaultyExchange
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.streams import Outgoing
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.invariants import never_naked
from tests.support.runs import Run, policies
from tests.support.sandbox_market import StoredFeed
from tests.support.stores import MemoryStore

BEGIN = 1_767_225_600_000
"""The beginning of the market's story, 2026-01-01T00:00:00Z: minute 0. A book starts half a minute later."""
HISTORY = DAY
_THIN = 1 / 2_000
EVERY_CLOSE = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


def market_of(
    closes: Mapping[str, Sequence[float]],
    product: Product = Product.UM,
    minutes: int = 0,
    history: int = HISTORY,
    *,
    thin: Collection[int] = (),
) -> SandboxMarket:
    """Return a market of given closes, by symbol, from minute 0 on; before and after them, the price stands still.

    In the minutes of `thin` there is hardly any volume and depth, so that an order fills in parts. The books of the
    tests share a market: its values are functions of a time.
    """
    shapes = tuple((symbol, tuple(prices)) for symbol, prices in closes.items())
    return _market_of(shapes, product, minutes, history, frozenset(thin))


@lru_cache(maxsize=16)
def _market_of(
    closes: tuple[tuple[str, tuple[float, ...]], ...],
    product: Product,
    minutes: int,
    history: int,
    thin: frozenset[int],
) -> SandboxMarket:
    candles = []
    for symbol, prices in closes:
        before = prices[0]
        steps = [before] * (history // MINUTE) + [*prices] + [prices[-1]] * (minutes - len(prices))
        for number, close in enumerate(steps):
            high, low = max(before, close) * 1.0001, min(before, close) * 0.9999
            opened = BEGIN - history + number * MINUTE
            bar = (before, round(high, 1), round(low, 1), close)
            part = _THIN if number - history // MINUTE in thin else 1.0
            volumes = (20.125 + number % 7) * part, 9.25 * part
            candles.append(Candle(symbol, opened, MINUTE, *bar, *volumes))
            before = close
    return SandboxMarket(StoredFeed(candles, product=product), BEGIN - history)


def fault(kind: str, at_s: float, **more: Any) -> Fault:
    """Return a fault that begins `at_s` seconds after minute 0; `more` are its keys, and `lasts` is its length."""
    keys = {"for" if name == "lasts" else name: value for name, value in more.items()}
    return parse_fault({"kind": kind, "at": f"{round(at_s * 1_000)}ms", **keys})


class ByMinute:
    """Decides by a script: at the wake of a minute, the decision for it. It remembers every request."""

    name = "scripted"

    def __init__(self, script: Mapping[int, Decision]) -> None:
        self._script = script
        self.asked: list[DecisionRequest] = []

    def thinking_ms(self, request: DecisionRequest) -> int:
        return 0

    async def decide(self, request: DecisionRequest) -> Decision:
        self.asked.append(request)
        minute = (request.snapshot.at - BEGIN) // MINUTE
        return self._script.get(minute, Decision(cause=Cause(CauseKind.NOTHING_TO_DO)))


class MachineClock(LiveClock):
    """The live clock of a machine in virtual time."""

    def __init__(self, machine_ms: Callable[[], int]) -> None:
        self._machine_ms = machine_ms
        super().__init__()

    def wall_ms(self) -> float:
        return asyncio.get_running_loop().time() * 1_000

    def machine(self) -> int:
        return self._machine_ms()


class RecordingExchange(FaultyExchange):
    """An exchange that records the whole requests, the paths of the stream connections, and what they receive."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.seen: list[tuple[int, Request]] = []
        self.opened: list[str] = []
        self.sent: list[str] = []
        super().__init__(*arguments, **options)

    def handle(self, request: Request, now: int) -> Response | None:
        self.seen.append((now, request))
        return super().handle(request, now)

    def connect(self, path: str, now: int) -> FaultyConnection | None:
        self.opened.append(path)
        connection = super().connect(path, now)
        if connection is not None:
            receive = connection.receive

            def recorded(text: str, now: int) -> list[Outgoing]:
                self.sent.append(text)
                return receive(text, now)

            connection.receive = recorded  # type: ignore[method-assign]
        return connection


class Given(NamedTuple):
    """A frame of the feed, and the exchange's time (ms) at which it was yielded."""

    at: int
    frame: Frame


class EndingFeed:
    """The real feed, until a time of the exchange. It remembers its frames."""

    def __init__(self, feed: BinanceFeed, until: int, exchange_ms: Callable[[], int]) -> None:
        self.feed, self._until, self._exchange_ms = feed, until, exchange_ms
        self.given: list[Given] = []

    @property
    def identity(self) -> MarketIdentity:
        return self.feed.identity

    def watch(self, levels: Mapping[str, tuple[float, float]]) -> None:
        self.feed.watch(levels)

    def resume_at(self, known: Mapping[str, int]) -> None:
        self.feed.resume_at(known)

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        async with aclosing(self.feed.frames(after)) as frames:
            async for frame in frames:
                if (now := self._exchange_ms()) >= self._until:
                    return
                self.given.append(Given(now, frame))
                yield frame


class LiveBook:
    """What one process of a live book did: its run, the exchange that it saw, its frames and its decider."""

    def __init__(self, run: Run, exchange: RecordingExchange, feed: EndingFeed, decider: Decider) -> None:
        self.run, self.exchange, self.feed, self.decider = run, exchange, feed, decider

    def events(self, kind: type) -> list[Any]:
        return self.run.events(kind)

    def timed(self, kind: type) -> list[tuple[float, Any]]:
        """Return the events of one kind with their times, in seconds since minute 0."""
        return [((at - BEGIN) / SECOND, event) for at, event in self.run.timed(kind)]


Script = Mapping[float, Callable[[InProcessTransport, Run], None]]
"""What happens, by seconds since minute 0."""


def run_live_book(
    market: SandboxMarket,
    minutes: float,
    decider: Decider,
    *,
    faults: Sequence[Fault] = (),
    script: Script | None = None,
    store: MemoryStore | None = None,
    begins_s: float = 30,
    policy: Policies = EVERY_CLOSE,
    thin: int = 5,
    tick_ms: int = SECOND,
    warmup_days: int = 0,
) -> LiveBook:
    """Run a live book from `begins_s` seconds after minute 0 to some minutes after it, under `never_naked`.

    A new book reads `warmup_days` of history before it; without, it begins with the candle of minute 0.
    """

    async def go() -> LiveBook:
        start = BEGIN + round(begins_s * 1_000)
        exchange = RecordingExchange(Exchange(market), BEGIN, faults, thin)
        transport = InProcessTransport(exchange, start)
        clock = MachineClock(transport.now_ms)
        numbers = count()
        feed = BinanceFeed(
            market.product,
            market.symbols,
            transport,
            jitter=lambda: next(numbers) * 0.37 % 1,
            warmup_days=warmup_days,
            tick_ms=tick_ms,
            brackets=paper_brackets,
        )
        clock.follow(feed.exchange_ms)
        ending = EndingFeed(feed, BEGIN + round(minutes * MINUTE), transport.exchange_ms)
        run = never_naked(Run(ending, decider, store=store, policy=policy, clock=clock, live=True))
        loop = asyncio.get_running_loop()
        for second, action in (script or {}).items():
            loop.call_later(max(0.0, second - begins_s), action, transport, run)
        await run.go()
        return LiveBook(run, exchange, ending, decider)

    return run_in_virtual_time(go())


def assert_candles_of_the_source(book: LiveBook, market: SandboxMarket, until: int) -> None:
    """Assert that a book without history has the source's closed candles up to a time (ms), and their indicators."""
    for symbol, known in book.run.engine.market.symbols.items():
        rows = market.klines(symbol, "1m", BEGIN, until - 1, 10_000, until + DAY)
        expected = Market(MINUTE, (symbol,)).symbols[symbol]
        for row in rows:
            prices = row.open, row.high, row.low, row.close
            expected.close(Candle(symbol, row.open_time, MINUTE, *prices, row.volume, row.taker_volume))
        assert known.closed_at == until
        assert known.series(MINUTE).state() == expected.series(MINUTE).state()
        assert known.indicators() == expected.indicators()

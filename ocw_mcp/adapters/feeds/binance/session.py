"""One run of the live feed: it starts the parts, and turns what they store into frames."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from ocw_mcp.adapters.binance.transport import Transport, pause
from ocw_mcp.adapters.binance.weights import Weights
from ocw_mcp.adapters.feeds.binance.board import Board
from ocw_mcp.adapters.feeds.binance.candles import CandleStore
from ocw_mcp.adapters.feeds.binance.clock import FeedClock
from ocw_mcp.adapters.feeds.binance.days import fetch_days
from ocw_mcp.adapters.feeds.binance.derivatives import DerivativesMonitor
from ocw_mcp.adapters.feeds.binance.dispatch import Dispatcher
from ocw_mcp.adapters.feeds.binance.exchange_info import ExchangeInfo, fetch_funding_hours, fetch_info, unlisted
from ocw_mcp.adapters.feeds.binance.fill import GRACE_MS, Filler
from ocw_mcp.adapters.feeds.binance.liveness import Liveness
from ocw_mcp.adapters.feeds.binance.notices import MARKET, Notices
from ocw_mcp.adapters.feeds.binance.rest import Priority, RestClient, back_off_s
from ocw_mcp.adapters.feeds.binance.sockets import StreamSocket
from ocw_mcp.adapters.feeds.binance.wire import Answer, Shutdown, routes_of
from ocw_mcp.domain.errors import FeedError, MarketUnreachable
from ocw_mcp.domain.margin import Brackets
from ocw_mcp.domain.market import Candle, Frame, Funding, Instrument, Product
from ocw_mcp.domain.time import DAY, HOUR, SECOND, iso

PATIENCE_MS: Final = 1_000
"""How long (ms) after a close the frame of the candles that have arrived waits for the others."""
SLACK_MS: Final = 10_000
"""A candle that is known later than this (ms) after its close is late: nothing is decided on it."""
LONGEST_GAP_MS: Final = 60 * DAY
"""The longest time (ms) that is filled after a restart; the engine treats the rest as a hole."""
INFO_EVERY_S: Final = DAY / SECOND
_LONGEST_WAIT_S: Final = 1.0
_LONGEST_UNPRICED_S: Final = 30.0
"""How long (s) the prices of an existing book wait for the candles that it missed."""


class Plan(msgspec.Struct, frozen=True):
    """The arguments of a session: market, history and the functions that it calls."""

    product: Product
    symbols: tuple[str, ...]
    """Sorted."""
    interval: int
    warmup_ms: int
    """The length of a new book's history (ms)."""
    tick_ms: int
    brackets: Callable[[str], Brackets | None]
    jitter: Callable[[], float]
    """Returns a number from 0 to below 1."""
    progress: Callable[[float], None]
    """Gets the part of the history, or of the time since the last run, that was fetched: 0 to 1."""
    derivatives: bool = True
    """Whether open interest, ratios and index prices are polled on futures."""


class Session:
    """The connections and stores of one call of `BinanceFeed.frames`."""

    def __init__(self, plan: Plan, transport: Transport, weights: Weights | None = None) -> None:
        self._plan, self._transport = plan, transport
        loop = asyncio.get_running_loop()
        product, symbols = plan.product, plan.symbols
        self._woken = asyncio.Event()
        self.rest = RestClient(transport, product, plan.jitter, weights)
        self.clock = FeedClock(transport, self.rest, product)
        self.notices = Notices(self.clock.now_ms, loop.time, self._woken.set)
        self.store = CandleStore(symbols, plan.interval)
        self.board = Board(symbols, product is Product.UM, plan.tick_ms)
        routes = routes_of(product, symbols, plan.interval)
        every = [route for group in routes.values() for route in group]
        self.dispatcher = Dispatcher(every, self.store, self.board, self.notices, self.clock.now_ms, loop.time)
        self.filler = Filler(
            self.rest,
            product,
            self.store,
            self.dispatcher,
            self.notices,
            self.clock.now_ms,
            self._woken.set,
            plan.jitter,
        )
        self.derivatives: DerivativesMonitor | None = None
        """The monitor of derivatives; None on spot, and if the plan has none."""
        if product is Product.UM and plan.derivatives:
            client = RestClient(transport, product, plan.jitter, self.rest.weights)
            parts = (self.notices, self.clock.now_ms, self._woken.set, plan.jitter, self.filler.set_hours)
            self.derivatives = DerivativesMonitor(client, symbols, *parts)
        self.sockets = [
            StreamSocket(transport, path, group, self._deliver, self.notices, plan.jitter)
            for path, group in routes.items()
        ]
        self._tasks = set[asyncio.Task[None]]()
        self._instruments: dict[str, Instrument] = {}
        self._changed: dict[str, Instrument] = {}
        """The instruments that changed and were not reported yet."""
        self._days: tuple[Candle, ...] = ()
        self._history_until = -1
        """Candles that close at this time (ms) at the latest are history."""
        self._live = False
        """Whether history is complete, so that notices are yielded."""
        self._priced = False
        """Whether prices are yielded: the candles that an existing book missed come before them."""
        self._last_at = -1

    def _deliver(self, batch: Sequence[bytes | str]) -> tuple[int, list[Answer | Shutdown]]:
        result = self.dispatcher.take(batch)
        if self.dispatcher.new_candles or self.board.ready(self.clock.now_ms()):
            self._woken.set()
        return result

    async def frames(
        self, after: int | None, known: Mapping[str, int], days_of: str | None = None
    ) -> AsyncGenerator[Frame, None]:
        """Yield the frames of a new book, or those after a time (ms); `known` has later times of single symbols.

        The first frame of a new book has the days of the symbol `days_of`, if they can be had.
        """
        if after is None:
            await self._prepare(Priority.URGENT)
            if days_of is not None:
                await self._fetch_days(days_of)
        self._live = after is not None
        self._spawn(self._work(after, known))
        while True:
            self._woken.clear()
            yielded = False
            for frame in self._collect():
                yielded = True
                yield frame
            for task in [task for task in self._tasks if task.done()]:
                self._tasks.discard(task)
                task.result()
            if yielded:
                # More may have become ready while the consumer was busy; candles come first again.
                continue
            try:
                async with asyncio.timeout(self._wait_s()):
                    await self._woken.wait()
            except TimeoutError:
                pass

    def wake(self) -> None:
        """Look for frames that are ready."""
        self._woken.set()

    async def close(self) -> None:
        """Stop all tasks and close the connections."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.exception()
        self._tasks.clear()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._woken.set())

    async def _work(self, after: int | None, known: Mapping[str, int]) -> None:
        """Catch up with the market, then keep up with it; the parts run as tasks of their own."""
        if after is not None:
            await self._prepare_patiently()
        interval, now = self._plan.interval, self.clock.now_ms()
        present = now // interval * interval
        if after is None:
            self._history_until = present
        else:
            self._spawn(self._price_without_candles())
        earliest = present - LONGEST_GAP_MS
        for symbol in self._plan.symbols:
            since = present - self._plan.warmup_ms if after is None else known.get(symbol, after)
            if since < earliest:
                left_out = f"candles before {iso(earliest)} are left out: the last known one is of {iso(since)}"
                self.notices.incident(symbol, "long gap", left_out)
            self.store.begin(symbol, max(since, earliest) // interval * interval)
        begin = min(self.store.next_open(symbol) for symbol in self._plan.symbols)
        for socket in self.sockets:
            self._spawn(socket.run())
        # The last candle may need a moment to reach REST.
        await pause(max(0, present + GRACE_MS - now) / SECOND)

        def report(reached: int) -> None:
            self._plan.progress(min(1.0, (reached - begin) / max(1, present - begin)))

        await self.filler.catch_up(present, report, urgent=after is None)
        self._live = self._priced = True
        self._spawn(self.filler.run())
        if self.derivatives is not None:
            self._spawn(self.derivatives.run())
        self._spawn(self._follow_info())
        liveness = Liveness(
            self.sockets,
            self.rest,
            self._plan.product,
            self.store,
            self.board,
            self.dispatcher,
            self.clock,
            self.notices,
            asyncio.get_running_loop().time,
        )
        liveness.check_offset()
        self._woken.set()
        self._spawn(liveness.run())

    async def _fetch_days(self, symbol: str) -> None:
        """Fetch the days before a new book. Without them it begins, too, and the regime is unknown."""
        try:
            self._days = await fetch_days(self.rest, self._plan.product, symbol, self.clock.now_ms())
        except FeedError as error:
            self.notices.incident(symbol, "daily candles", f"{error}; the regime stays unknown"[:300])

    async def _price_without_candles(self) -> None:
        """Yield prices after a time even if missed candles still lack: the stops of positions depend on prices."""
        await pause(_LONGEST_UNPRICED_S)
        self._priced = True
        self._woken.set()

    async def _prepare(self, priority: Priority) -> None:
        """Measure the clock and fetch the filters. Raises MarketUnreachable, or FeedError for an unlisted symbol."""
        await self.clock.measure(priority)
        info = await self._fetch_info(priority)
        if (error := unlisted(info, self._plan.symbols, self._plan.product)) is not None:
            raise error
        self._take_info(info)

    async def _prepare_patiently(self) -> None:
        """Prepare an existing book: wait for an exchange that cannot be reached, and report that."""
        attempt = 0
        while True:
            try:
                await self.clock.measure()
                info = await self._fetch_info(Priority.URGENT)
            except MarketUnreachable as error:
                detail = f"the exchange cannot be reached: {error}"
                self.notices.degrade(MARKET, "unreachable", detail[:300])
                await pause(max(back_off_s(attempt, self._plan.jitter), self.rest.weights.blocked_s))
                attempt += 1
                continue
            self.notices.restore(MARKET, "unreachable", "the exchange can be reached")
            self._take_info(info)
            return

    async def _fetch_info(self, priority: Priority) -> ExchangeInfo:
        plan = self._plan
        info = await fetch_info(self.rest, plan.product, plan.symbols, plan.brackets, priority)
        if plan.product is Product.UM:
            self.filler.set_hours(await fetch_funding_hours(self.rest, priority))
        return info

    def _take_info(self, info: ExchangeInfo) -> None:
        """Note the changed filters, and report the symbols that do not trade."""
        for symbol, instrument in info.instruments.items():
            if self._instruments.get(symbol) != instrument:
                self._instruments[symbol] = self._changed[symbol] = instrument
        for symbol in self._plan.symbols:
            status = info.status.get(symbol, "not listed")
            if status == "TRADING":
                self.notices.restore(symbol, "status", "the exchange trades it again")
            else:
                self.notices.degrade(symbol, "status", f"the exchange does not trade it: {status[:40]}")
        if info.weight_limit is not None:
            self.rest.weights.set_limit(info.weight_limit)
        self._woken.set()

    async def _follow_info(self) -> None:
        """Fetch the filters once a day."""
        while True:
            await pause(INFO_EVERY_S * (1 - 0.02 * self._plan.jitter()))
            try:
                self._take_info(await self._fetch_info(Priority.PATIENT))
            except FeedError as error:
                self.notices.incident(MARKET, "exchangeInfo", str(error)[:300])

    def _collect(self) -> Iterator[Frame]:
        """Yield what is ready: closed candles in order, then one frame of the newest prices and notices."""
        self.dispatcher.new_candles = False
        now = self.clock.now_ms()
        for released in self.store.take(now, PATIENCE_MS, self.filler.held):
            closed_at, history = released.closed_at, released.closed_at <= self._history_until
            self._last_at = max(self._last_at, closed_at)
            funding: tuple[Funding, ...] = ()
            if self._plan.product is Product.UM and closed_at % HOUR == 0:
                funding = self.filler.fundings_at(closed_at, [candle.symbol for candle in released.candles])
            liquidations = self.dispatcher.take_liquidations([each.symbol for each in released.candles], closed_at)
            if self.derivatives is not None:
                self.derivatives.note(released.candles, liquidations)
            yield Frame(
                self._last_at,
                released.candles,
                funding=funding,
                history=history,
                days=self._take_days(),
                late=not history and closed_at < self.clock.now_ms() - SLACK_MS,
                instruments=self._take_changed(),
                liquidations=liquidations,
            )
        if not self._live:
            return
        if self.derivatives is not None and self.derivatives.waiting:
            metrics = self.derivatives.take()
            yield Frame(max(self.clock.now_ms(), *(row.at for row in metrics)), metrics=metrics)
        now = self.clock.now_ms()
        if (self._priced and self.board.ready(now)) or self.notices.waiting or self._changed:
            marks, books = self.board.take(now) if self._priced else ((), ())
            notices, instruments = self.notices.take(), self._take_changed()
            if marks or books or notices or instruments:
                yield Frame(now, marks=marks, books=books, notices=notices, instruments=instruments)

    def _take_days(self) -> tuple[Candle, ...]:
        taken, self._days = self._days, ()
        return taken

    def _take_changed(self) -> tuple[Instrument, ...]:
        if not self._changed:
            return ()
        taken = tuple(self._changed[symbol] for symbol in sorted(self._changed))
        self._changed.clear()
        return taken

    def _wait_s(self) -> float:
        """Return how long (s) no frame becomes ready without new data."""
        now, longest = self.clock.now_ms(), _LONGEST_WAIT_S * SECOND
        # Candles that are held wait for REST, which wakes this task.
        due = None if self.filler.held else self.store.due(PATIENCE_MS)
        times = [due, self.board.next_tick(now) if self._priced else None]
        waits = [max(each - now, 20) for each in times if each is not None]
        return min([*waits, longest]) / SECOND

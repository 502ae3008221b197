"""An exchange that outlives the process of a book, and books that trade there in virtual time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from decimal import Decimal

from msgspec.structs import replace

from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Frame, Instrument, Product
from ocw_mcp.domain.orders import (
    Accepted,
    AccountSeen,
    Balance,
    Canceled,
    CancelRefused,
    Filled,
    Order,
    OrderRef,
    OrderSeen,
    OrderType,
    OutcomeUnknown,
    PositionSeen,
    Rejected,
    RejectReason,
    Side,
    VenueReport,
)
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import KnownOrder
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.step import Engine
from ocw_mcp.runtime.run import BookRun
from tests.support.accounts import ETH
from tests.support.deciders import Scripted
from tests.support.exchange_requests import LoopClock
from tests.support.live import ListedLive
from tests.support.markets import START
from tests.support.runs import Commands, policies
from tests.support.stores import MemoryStore

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
WAY_S = 0.05
"""The time (s) of a request to the exchange, and of a report back."""
LOST = "lost"
RAISES = "raises"
NEVER_ARRIVES = "never arrives"


class Exchange:
    """Fills market orders and immediate entries at once at `prices`, and lets other orders rest.

    `faults` has, by reference, a time (s) that the request takes in addition, LOST (the answer does not come),
    NEVER_ARRIVES, or RAISES.
    """

    def __init__(self) -> None:
        self.prices: dict[str, Decimal] = {}
        self.positions: dict[str, Decimal] = {}
        self.quote = Decimal(10_000)
        self.averages: dict[str, Decimal] = {}
        self.leverages: dict[str, int] = {}
        self.live: dict[OrderRef, Order] = {}
        self.said: dict[OrderRef, list[VenueReport]] = {}
        """All reports on each order."""
        self.arrived: list[tuple[str, float]] = []
        """The requests in order, a cancel with an X before it, and when each arrived (s)."""
        self.faults: dict[str, float | str] = {}
        self.session: Session | None = None
        self.faulty: list[str] = []
        """What a book must never do: send an order twice, or before the venue is open."""

    @property
    def requests(self) -> list[str]:
        return [what for what, _ in self.arrived]

    def at(self, what: str) -> float:
        """Return when a request arrived (s)."""
        return dict(reversed(self.arrived))[what]

    def protected(self, symbol: str) -> bool:
        """Return whether live stops cover the position of a symbol."""
        stops = [each for each in self.live.values() if each.symbol == symbol and each.trigger_price is not None]
        return sum((each.quantity for each in stops), Decimal(0)) >= abs(self.positions.get(symbol, Decimal(0)))

    def take(self, order: Order) -> None:
        """Take an order that arrives."""
        self.arrived.append((str(order.ref), asyncio.get_running_loop().time()))
        if order.ref in self.said:
            self.faulty.append(f"{order.ref} was sent twice")
        held = self.positions.get(order.symbol, Decimal(0))
        if not order.reduce_only:
            self.leverages[order.symbol] = order.leverage
        if order.reduce_only and held * order.side.sign >= 0:
            self._say(Rejected(order.ref, RejectReason.REDUCE_ONLY, "no position"))
            return
        self._say(Accepted(order.ref, f"v-{order.ref}"))
        if order.type is OrderType.MARKET or order.immediate:
            self._fill(order)
        else:
            self.live[order.ref] = order

    def fill(self, ref: OrderRef) -> None:
        """Fill a resting order."""
        self._fill(self.live.pop(ref))

    def cancel(self, ref: OrderRef) -> None:
        """Take a cancel that arrives."""
        self.arrived.append((f"X{ref}", asyncio.get_running_loop().time()))
        if self.live.pop(ref, None) is None:
            self._say(CancelRefused(ref, "unknown order"))
        else:
            self._say(Canceled(ref, "on request"))

    def account(self, at: int) -> AccountSeen:
        held = [
            PositionSeen(name, size, self.averages[name], self.leverages.get(name, 1))
            for name, size in self.positions.items()
            if size
        ]
        orders = [_seen(each) for each in self.live.values()]
        return AccountSeen(at, (Balance("USDT", self.quote, self.quote),), tuple(held), tuple(orders))

    def _fill(self, order: Order) -> None:
        held = self.positions.get(order.symbol, Decimal(0))
        quantity = min(order.quantity, abs(held)) if order.reduce_only else order.quantity
        self.positions[order.symbol] = held + quantity * order.side.sign
        price = self.prices[order.symbol]
        if order.limit_price is not None:
            price = min(price, order.limit_price) if order.side is Side.BUY else max(price, order.limit_price)
        self._pay(order, held, quantity, price)
        at = START + round(asyncio.get_running_loop().time() * SECOND)
        self._say(Filled(order.ref, f"f-{order.ref}", quantity, price, Decimal(0), at))

    def _pay(self, order: Order, held: Decimal, quantity: Decimal, price: Decimal) -> None:
        """Book the result of the part of a position that a fill closes, and the average price of what is open."""
        name, signed = order.symbol, quantity * order.side.sign
        if held * signed < 0:
            self.quote += min(quantity, abs(held)) * (price - self.averages[name]) * (1 if held > 0 else -1)
        elif signed:
            before = self.averages.get(name, price)
            self.averages[name] = (abs(held) * before + quantity * price) / abs(held + signed)

    def _say(self, report: Accepted | Rejected | Filled | Canceled | CancelRefused) -> None:
        self.said.setdefault(report.ref, []).append(report)
        lost = self.faults.get(str(report.ref)) == LOST and not isinstance(report, Canceled)
        if self.session is not None and not lost:
            asyncio.get_running_loop().call_later(WAY_S, self.session.hear, report)


def _seen(order: Order) -> OrderSeen:
    name, ref = f"v-{order.ref}", order.ref
    return OrderSeen(
        name, str(ref), ref, order.symbol, order.side, order.type, order.quantity, Decimal(0), order.reduce_only
    )


class Session:
    """The venue of one process. `refuses` are the errors of the next attempts to open it, oldest first."""

    name = "scripted"

    def __init__(self, exchange: Exchange, clock: LoopClock, refuses: Sequence[Exception] = ()) -> None:
        self._exchange = exchange
        self._clock = clock
        self._heard = asyncio.Queue[VenueReport | Exception]()
        self._refuses = list(refuses)
        self.opened_with: list[tuple[list[KnownOrder], int | None]] = []
        self.opened = self.closed = False
        self.shown_at: list[int] = []
        """The times (ms) of the reports of the account."""
        self.filters: list[Instrument] = []

    def hear(self, report: VenueReport | Exception) -> None:
        if not self.closed:
            self._heard.put_nowait(report)

    def instrument(self, symbol: str, price: float) -> Instrument:
        return replace(ETH, symbol=symbol, min_notional=Decimal(5))

    def set_instruments(self, instruments: Sequence[Instrument]) -> None:
        self.filters += instruments

    async def open(self, orders: Sequence[KnownOrder], since: int | None) -> None:
        self.opened_with.append((list(orders), since))
        await self._clock.pause(WAY_S * SECOND)
        if self._refuses:
            raise self._refuses.pop(0)
        self.opened, self._exchange.session = True, self
        for each in orders:
            ref = each.order.ref
            never = [Rejected(ref, RejectReason.NEVER_ARRIVED, "it is not at the exchange")]
            for report in self._exchange.said.get(ref, never):
                self.hear(report)
        self.shown_at.append(self._clock.now())
        self.hear(self._exchange.account(self.shown_at[-1]))

    async def close(self) -> None:
        self.closed = True
        if self._exchange.session is self:
            self._exchange.session = None

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        order = cleared.redeem(now)
        if not self.opened:
            self._exchange.faulty.append(f"{order.ref} was sent before the venue was open")
        fault = self._exchange.faults.get(str(order.ref), 0.0)
        if fault == RAISES:
            raise ValueError("a bug")
        more_s = fault if isinstance(fault, float) else 0.0
        if fault != NEVER_ARRIVES:
            # The request goes on if this process dies.
            asyncio.get_running_loop().call_later(WAY_S + more_s, self._exchange.take, order)
        await self._clock.pause((2 * WAY_S + more_s) * SECOND)
        if fault in (LOST, NEVER_ARRIVES):
            self.hear(OutcomeUnknown(order.ref, "no answer"))

    async def cancel(self, ref: OrderRef, now: int) -> None:
        if not self.opened:
            self._exchange.faulty.append(f"the cancel of {ref} was sent before the venue was open")
        fault = self._exchange.faults.get(f"X{ref}", 0.0)
        if fault != NEVER_ARRIVES:
            asyncio.get_running_loop().call_later(WAY_S, self._exchange.cancel, ref)
        await self._clock.pause(2 * WAY_S * SECOND)

    def withdraw(self, ref: OrderRef) -> None:
        """Do nothing: no order waits for another try here."""

    async def cancel_foreign(self, order: OrderSeen, now: int) -> None:
        self._exchange.arrived.append((f"X{order.venue_order_id}", asyncio.get_running_loop().time()))

    async def reports(self) -> AsyncIterator[VenueReport]:
        while True:
            report = await self._heard.get()
            if isinstance(report, Exception):
                raise report
            yield report


class TimedLive(ListedLive):
    """A live feed that yields each frame at its time of the event loop, and sets the exchange's prices."""

    def __init__(self, frames: Iterable[Frame], exchange: Exchange, symbols: Sequence[str]) -> None:
        super().__init__(frames, symbols)
        self._exchange = exchange
        self._loop_clock = LoopClock()

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        for frame in self._frames:
            missed = frame.at < self._loop_clock.present()
            if missed and not (frame.history and after is None):
                continue
            await self._loop_clock.wait_until(frame.at)
            for mark in frame.marks:
                self._exchange.prices[mark.symbol] = Decimal(str(mark.price))
            for candle in frame.closed:
                self._exchange.prices[candle.symbol] = Decimal(str(candle.close))
            yield frame


class Process:
    """One process of a book at an exchange."""

    def __init__(
        self,
        exchange: Exchange,
        frames: Sequence[Frame],
        script: dict[int, Decision],
        *,
        store: MemoryStore | None = None,
        refuses: Sequence[Exception] = (),
        symbols: Sequence[str] = ("BTCUSDT",),
        policy: Policies = WAKES,
        product: Product = Product.UM,
    ) -> None:
        self.store = store or MemoryStore()
        self._exchange = exchange
        self.clock = LoopClock()
        self.venue = Session(exchange, self.clock, refuses)
        self.feed = TimedLive(frames, exchange, symbols)
        self.commands = Commands()
        config = EngineConfig(
            policies=policy,
            policy_hash="policy",
            prompts_hash="prompts",
            product=product,
            interval=self.feed.identity.interval,
            symbols=tuple(symbols),
            start_equity=Decimal(10_000),
            agent="test",
            instruments=self.venue.instrument,
            live=True,
        )
        self.engine = Engine(config)
        self.decider = Scripted(script)
        self.run = BookRun(self.engine, self.feed, self.venue, self.store, self.clock, self.decider, self.commands)

    async def go(self, until_s: float | None = None) -> "Process":
        """Run to the end of the market, or end cleanly at `until_s` of the loop."""
        running = asyncio.ensure_future(self.run.run("test"))
        if until_s is not None:
            await self._wait_until(until_s)
            self.run.stop()
        await running
        assert self._exchange.faulty == []
        return self

    async def killed_at(self, at_s: float) -> MemoryStore:
        """Run until the process dies at `at_s` of the loop, and return the store as the next process reads it."""
        running = asyncio.ensure_future(self.run.run("test"))
        await self._wait_until(at_s)
        store = self.store.reopened()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return store

    async def _wait_until(self, at_s: float) -> None:
        await self.clock.wait_until(START + round(at_s * SECOND))

    @property
    def positions(self) -> dict[str, Decimal]:
        return {name: each.quantity for name, each in self.engine.account.ledger.positions.items()}

"""An exchange venue that only notes the requests it gets, and an outbox before it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from msgspec.structs import replace

from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.market import Instrument
from ocw_mcp.domain.orders import GUARD, OrderIntent, OrderRef, OrderSeen, OrderType, Purpose, Side, VenueReport
from ocw_mcp.domain.protocols import KnownOrder
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.runtime.clock import LiveClock
from ocw_mcp.runtime.outbox import Outbox
from tests.support.accounts import ETH
from tests.support.entries import LIMITED, LONG, account
from tests.support.markets import START


class LoopClock(LiveClock):
    """A live clock that shows the time of an event loop in virtual time, which begins at `began` (ms)."""

    def __init__(self, began: int = START) -> None:
        self._first_ms = began
        super().__init__()

    def present(self) -> int:
        try:
            return self._first_ms + round(asyncio.get_running_loop().time() * 1_000)
        except RuntimeError:
            return self._first_ms

    def wall_ms(self) -> float:
        return float(self.present())


class Arrived(NamedTuple):
    """A request that was handed over, and when (s of the loop)."""

    what: str
    at: float


class Noting:
    """Notes each request. A request whose text is in `hanging` ends after that time (s), or raises that exception."""

    name = "noting"

    def __init__(self) -> None:
        self.requests: list[Arrived] = []
        self.withdrawn: list[str] = []
        self.hanging: dict[str, float | Exception] = {}
        self.under_way = 0
        self.most_under_way = 0

    @property
    def arrived(self) -> list[str]:
        """The requests in order, an order as its reference, a cancel with an X before it."""
        return [each.what for each in self.requests]

    def at(self, what: str) -> float:
        """Return when a request was handed over (s of the loop)."""
        return next(each.at for each in self.requests if each.what == what)

    def instrument(self, symbol: str, price: float) -> Instrument:
        return replace(ETH, symbol=symbol)

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        await self._take(str(cleared.redeem(now).ref))

    async def cancel(self, ref: OrderRef, now: int) -> None:
        await self._take(f"X{ref}")

    def withdraw(self, ref: OrderRef) -> None:
        self.withdrawn.append(str(ref))

    async def cancel_foreign(self, order: OrderSeen, now: int) -> None:
        await self._take(f"X{order.venue_order_id}")

    async def _take(self, what: str) -> None:
        self.requests.append(Arrived(what, asyncio.get_running_loop().time()))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            comes = self.hanging.get(what, 0.05)
            if isinstance(comes, Exception):
                raise comes
            await LiveClock().pause(comes * 1_000)
        finally:
            self.under_way -= 1

    async def reports(self) -> AsyncIterator[VenueReport]:
        await asyncio.Event().wait()
        for each in list[VenueReport]():
            yield each

    async def open(self, orders: Sequence[KnownOrder], since: int | None) -> None:
        pass

    async def close(self) -> None:
        pass

    def set_instruments(self, instruments: Sequence[Instrument]) -> None:
        pass


class Desk:
    """An outbox before a `Noting` venue. `refuses` is the answer to entries that are checked again, if any."""

    def __init__(self, *, stops_lock: bool = False, opened: bool = True) -> None:
        self.venue = Noting()
        self.reports: list[VenueReport] = []
        self.refuses: Refusal | None = None
        self.symbols: dict[OrderRef, str] = {}
        """The symbol of each order."""
        self.checked_again: list[OrderRef] = []
        self.clock = LoopClock()
        self.officer = RiskOfficer(LIMITED)
        self.outbox = Outbox(self.venue, self.clock, self.reports.append, self._clear_again, stops_lock=stops_lock)
        if opened:
            self.outbox.open()

    def _clear_again(self, cleared: ClearedOrder, now: int) -> ClearedOrder | Refusal:
        self.checked_again.append(cleared.order.ref)
        return self.refuses or self.officer.clear_again(cleared, LONG, account(now=now))

    def enter(self, n: int) -> OrderRef:
        """Send an entry."""
        now = self.clock.now()
        cleared = self.officer.check_entry(LONG, account(now=now), OrderRef(n, Purpose.ENTRY), now)
        assert isinstance(cleared, ClearedOrder)
        return self._send(cleared)

    def stop(self, n: int, revision: int = 0, *, quantity: str = "1", symbol: str = "ETHUSDT") -> OrderRef:
        """Send a stop of a long position."""
        return self.reduce(OrderRef(n, Purpose.STOP, revision), OrderType.STOP_MARKET, quantity, symbol)

    def exit(self, n: int, *, symbol: str = "ETHUSDT") -> OrderRef:
        """Send an exit of a long position."""
        return self.reduce(OrderRef(n, Purpose.EXIT), OrderType.MARKET, "1", symbol)

    def reduce(self, ref: OrderRef, kind: OrderType, quantity: str, symbol: str) -> OrderRef:
        """Send an order that reduces a long position."""
        trigger = Decimal(970) if kind is OrderType.STOP_MARKET else None
        terms = ("", GUARD, symbol, Side.SELL, kind, ref.leg, Decimal(quantity))
        view = account(quantity=Decimal(quantity), instrument=replace(ETH, symbol=symbol))
        intent = OrderIntent(*terms, trigger_price=trigger)
        cleared = self.officer.clear_reduction(intent, view, ref, self.clock.now())
        assert isinstance(cleared, ClearedOrder)
        return self._send(cleared)

    def _send(self, cleared: ClearedOrder) -> OrderRef:
        self.symbols[cleared.order.ref] = cleared.order.symbol
        self.outbox.send(cleared, self.clock.wall_ms())
        return cleared.order.ref

    async def rest(self, seconds: float) -> None:
        """Let virtual time pass (s)."""
        await self.clock.pause(seconds * 1_000)


async def rest_until(until_s: float) -> None:
    """Let virtual time pass until `until_s` of the loop."""
    await LoopClock().wait_until(START + round(until_s * 1_000))

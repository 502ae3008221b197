"""The outbox: the orders and cancels that wait to be sent to an exchange, by priority.

A reduction is sent before a cancel, and a cancel before an entry. Only a few requests are under way at a time, and half
of the places are kept for reductions, so that a slow entry delays no stop. Nothing waits in the engine's loop: each
request is a task, and what comes of it is put into the inbox as a report.
"""

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Final

import msgspec

from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import (
    Order,
    OrderRef,
    OutcomeUnknown,
    Purpose,
    Rejected,
    RejectReason,
    VenueNotice,
    VenueNoticeKind,
    VenueReport,
)
from ocw_mcp.domain.protocols import Clock, ExchangeVenue
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.domain.time import SECOND

MOST_REQUESTS: Final = 12
MOST_CANCELS_AND_ENTRIES: Final = 6
MOST_ENTRIES: Final = 3
"""The largest numbers of requests under way. The difference to MOST_REQUESTS is kept for reductions."""
FRESH_S: Final = 1.0
"""The time (s) after which an entry that waited is checked again before it is sent."""
OLDEST_ENTRY_S: Final = 60.0
"""The time (s) after which an entry is not sent any more."""
IN_ORDER_S: Final = 2.0
"""The longest time (s) for which a reduction waits for the answer to the one before it of the same symbol."""
LONGEST_ENTRY_S: Final = 60.0
LONGEST_REQUEST_S: Final = 600.0
"""The times (s) after which the request of an entry, or of a reduction or a cancel, counts as failed without an end.

The venue adapter has shorter timeouts, but a reduction may wait there for the end of a ban, so that it is sent at once.
"""


class Priority(IntEnum):
    """The order in which waiting requests are sent."""

    REDUCTION = 0
    CANCEL = 1
    ENTRY = 2


class Handed(msgspec.Struct, frozen=True):
    """When an order was handed to the venue adapter. Times are monotonic, in ms; see `Clock.wall_ms`."""

    ref: OrderRef
    cleared_ms: float
    """The time at which its effect was carried out, before its intent was committed."""
    durable_ms: float
    """The time at which its intent was durable and it entered the outbox."""
    handed_ms: float


class OutboxStats(msgspec.Struct, frozen=True):
    """How full the outbox is, and how long orders waited in it (ms of real time, from durable to handed over)."""

    waiting: int
    under_way: int
    sent: int
    last_wait_ms: float
    longest_wait_ms: float


class _Request(msgspec.Struct, eq=False):
    """An order or a cancel that waits or is under way. Times: `since` in s of the loop, `cleared_ms` as in `Handed`."""

    ref: OrderRef
    symbol: str
    priority: Priority
    since: float
    at: int
    """Engine time (ms) at which it came."""
    cleared: ClearedOrder | None = None
    """The order; None for a cancel."""
    cleared_ms: float = 0.0
    durable_ms: float = 0.0
    begun: float = 0.0
    """The time (s of the loop) at which it was sent."""


class Outbox:
    """Sends orders and cancels to one exchange, each in a task of its own. Nothing leaves before `open`."""

    def __init__(
        self,
        venue: ExchangeVenue,
        clock: Clock,
        report: Callable[[VenueReport], None],
        clear_again: Callable[[ClearedOrder, int], ClearedOrder | Refusal],
        *,
        stops_lock: bool,
    ) -> None:
        """`report` takes what becomes of requests; `clear_again` checks an entry that waited, at a time (ms).

        `stops_lock` is True if a resting stop locks what an exit sells, as on spot: a cancel of a stop then keeps its
        place before the exit that needs it.
        """
        self._venue = venue
        self._clock = clock
        self._report = report
        self._clear_again = clear_again
        self._stops_lock = stops_lock
        self._waiting: dict[Priority, list[_Request]] = {each: [] for each in Priority}
        self._under_way: dict[_Request, asyncio.Task[None]] = {}
        self._opened = self._ending = self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._sent = 0
        self._last_wait_ms = self._longest_wait_ms = 0.0
        self.on_handed: Callable[[Handed], None] = lambda handed: None
        """Is called for each order when it is handed to the venue adapter, for measurements."""

    def open(self) -> None:
        """Begin to send: the venue has been opened."""
        self._opened = True
        self._send_next()

    @property
    def opened(self) -> bool:
        """Whether the venue has been opened, so that requests leave."""
        return self._opened

    @property
    def busy(self) -> bool:
        """Whether something is under way, or waits and can be sent."""
        return bool(self._under_way) or (self._opened and any(self._waiting.values()))

    @property
    def stats(self) -> OutboxStats:
        """How full the outbox is, and how long orders waited in it."""
        waiting = sum(map(len, self._waiting.values()))
        return OutboxStats(waiting, len(self._under_way), self._sent, self._last_wait_ms, self._longest_wait_ms)

    def send(self, cleared: ClearedOrder, cleared_ms: float) -> None:
        """Send an order whose intent is durable; `cleared_ms` as in `Handed`.

        A stop that waits is not sent if this order is a stop that takes its place.
        """
        order = cleared.order
        priority = Priority.REDUCTION if order.reduce_only else Priority.ENTRY
        request = self._new(order.ref, order.symbol, priority)
        request.cleared, request.cleared_ms, request.durable_ms = cleared, cleared_ms, self._clock.wall_ms()
        if priority is Priority.ENTRY and self._ending:
            self._not_sent(request, "the run is ending")
            return
        waiting = self._waiting[priority]
        older = next((each for each in waiting if each.cleared and _replaces(order, each.cleared.order)), None)
        if older is None:
            waiting.append(request)
        else:
            # The newer stop has the place of the older one, and protects at least the same quantity.
            waiting[waiting.index(older)] = request
            self._not_sent(older, f"{order.ref} takes its place")
        self._send_next()

    def cancel(self, ref: OrderRef, symbol: str) -> None:
        """Ask the venue to cancel an order. An order that still waits is taken out instead, and never sent.

        A reduction that waits in the venue for the end of a ban is withdrawn at once, on both products.
        """
        for lane in self._waiting.values():
            for each in lane:
                if each.ref == ref and each.cleared is not None:
                    lane.remove(each)
                    self._not_sent(each, "it was cancelled before it was sent")
                    self._send_next()
                    return
        if any(each.ref == ref and each.cleared is None for each in (*self._all_waiting(), *self._under_way)):
            return
        if any(each.ref == ref for each in self._under_way):
            self._venue.withdraw(ref)
        unlocks = self._stops_lock and ref.leg.reduces
        priority = Priority.REDUCTION if unlocks else Priority.CANCEL
        self._waiting[priority].append(self._new(ref, symbol, priority))
        self._send_next()

    def end_entries(self) -> None:
        """Reject the entries that wait, and all that come: the run is ending."""
        self._ending = True
        entries, self._waiting[Priority.ENTRY] = self._waiting[Priority.ENTRY], []
        for each in entries:
            self._not_sent(each, "the run ended before it was sent")

    async def close(self) -> None:
        """Send nothing more, and give up the requests under way: the next run looks up what became of them."""
        self._closed = self._ending = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _new(self, ref: OrderRef, symbol: str, priority: Priority) -> _Request:
        return _Request(ref, symbol, priority, asyncio.get_running_loop().time(), self._clock.now())

    def _all_waiting(self) -> list[_Request]:
        return [each for lane in self._waiting.values() for each in lane]

    def _not_sent(self, request: _Request, why: str) -> None:
        self._report(Rejected(request.ref, RejectReason.NOT_SENT, why))

    def _send_next(self) -> None:
        """Send what can be sent now, and come back when a time is over after which more can be."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        entries = self._waiting[Priority.ENTRY]
        while entries and now >= entries[0].since + OLDEST_ENTRY_S:  # As the timer, which rounds in the same way.
            self._not_sent(entries.pop(0), f"it waited for {OLDEST_ENTRY_S:g} s")
        while self._opened and (request := self._next(now)) is not None:
            self._waiting[request.priority].remove(request)
            request.begun = now
            self._under_way[request] = asyncio.ensure_future(self._carry(request))
        times = [each.since + OLDEST_ENTRY_S for each in entries[:1]]
        if self._opened and self._waiting[Priority.REDUCTION]:
            times += [each.begun + IN_ORDER_S for each in self._under_way if each.begun + IN_ORDER_S > now]
        if times:
            self._timer = loop.call_at(min(times), self._send_next)

    def _next(self, now: float) -> _Request | None:
        """Return the waiting request that is sent next; None if none can be sent."""
        taken = [each.priority for each in self._under_way]
        if len(taken) >= MOST_REQUESTS:
            return None
        # A reduction waits for the one before it of its symbol; other symbols pass it.
        symbols = {
            each.symbol
            for each in self._under_way
            if each.priority is Priority.REDUCTION and now < each.begun + IN_ORDER_S
        }
        for each in self._waiting[Priority.REDUCTION]:
            if each.symbol not in symbols:
                return each
        others = len(taken) - taken.count(Priority.REDUCTION)
        if others >= MOST_CANCELS_AND_ENTRIES:
            return None
        being_sent = {each.ref for each in self._under_way}
        for each in self._waiting[Priority.CANCEL]:
            # A cancel that overtook its order would find nothing, and leave the order live.
            if each.ref not in being_sent:
                return each
        if taken.count(Priority.ENTRY) >= MOST_ENTRIES:
            return None
        return next(iter(self._waiting[Priority.ENTRY]), None)

    async def _carry(self, request: _Request) -> None:
        """Send one request. An exception of the adapter is a fault of OCW, and never loses an order."""
        try:
            cleared = request.cleared
            if cleared is not None and request.priority is Priority.ENTRY and self._is_old(request):
                checked = self._clear_again(cleared, self._clock.now())
                if isinstance(checked, Refusal):
                    self._not_sent(request, f"it waited and would be refused now: {checked}")
                    return
                cleared = checked
            longest_s = LONGEST_ENTRY_S if request.priority is Priority.ENTRY else LONGEST_REQUEST_S
            async with asyncio.timeout(longest_s):
                if cleared is None:
                    await self._venue.cancel(request.ref, self._clock.now())
                else:
                    self._note(request)
                    await self._venue.submit(cleared, self._clock.now())
        except Exception as error:
            self._fail(request, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        finally:
            del self._under_way[request]
            self._send_next()

    def _is_old(self, request: _Request) -> bool:
        waited_s = asyncio.get_running_loop().time() - request.since
        return max(waited_s, (self._clock.now() - request.at) / SECOND) >= FRESH_S

    def _note(self, request: _Request) -> None:
        handed_ms = self._clock.wall_ms()
        self._sent += 1
        self._last_wait_ms = handed_ms - request.durable_ms
        self._longest_wait_ms = max(self._longest_wait_ms, self._last_wait_ms)
        self.on_handed(Handed(request.ref, request.cleared_ms, request.durable_ms, handed_ms))

    def _fail(self, request: _Request, why: str) -> None:
        what = "the cancel of order" if request.cleared is None else "order"
        if request.cleared is not None:
            self._report(OutcomeUnknown(request.ref, why))
        self._report(VenueNotice(VenueNoticeKind.INCIDENT, f"{what} {request.ref} failed in the venue adapter: {why}"))


def _replaces(newer: Order, older: Order) -> bool:
    """Return whether a newer stop does all that an older one would: of the same kind, and for no smaller quantity."""
    if newer.ref.leg is not Purpose.STOP or older.ref.leg is not Purpose.STOP or newer.quantity < older.quantity:
        return False
    return _kind(newer) == _kind(older)


def _kind(stop: Order) -> Order:
    """Return a stop without what a later one may change."""
    anonymous = OrderRef(0, Purpose.STOP)
    return msgspec.structs.replace(stop, ref=anonymous, trigger_price=None, take_at=None, quantity=ZERO)

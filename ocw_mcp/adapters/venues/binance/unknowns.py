"""Orders of which it is not known what became of them: they are looked up with growing pauses until that is known.

The exchange may show an order late, so one answer that it does not exist proves nothing. An order counts as never
arrived if, in two looks, neither its endpoints nor the lists of open orders show it, no trade carries its id, and all
trades that are known explain the position; the second look is at least `ABSENT_AFTER_S` after the request. A query that
fails proves nothing. An order is never sent again; if it shows up later, what it does is reported.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from ocw_mcp.adapters.venues.binance.live_orders import LiveOrder
from ocw_mcp.adapters.venues.binance.looking import OrderLook, Witness
from ocw_mcp.adapters.venues.binance.queries import AccountQueries, NotShown, QueryFailed
from ocw_mcp.adapters.venues.binance.reports import Reports
from ocw_mcp.adapters.venues.binance.rest_wire import OrderRow
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    Filled,
    OrderRef,
    Rejected,
    RejectReason,
    Triggered,
    VenueReport,
)
from ocw_mcp.domain.time import HOUR, SECOND

PAUSES_S: Final = (1, 2, 4, 8, 16, 32)
LONGEST_PAUSE_S: Final = 60
"""The pauses (s) before the looks: those of `PAUSES_S`, and then always this."""
WITNESSED_AFTER_S: Final = 20
"""The age (s) of a request from which the second witness is read, too: before, an order may be on its way."""
ABSENT_AFTER_S: Final = 120
"""The age (s) of a request from which its absence may be believed.

It is far longer than the window of a request (4 s) and five more seconds, because the exchange may show orders late: an
order that appears after 90 s (requirement E03) is still adopted as what it is.
"""
_WARNED_AFTER_MS: Final = HOUR


class _Job:
    """The look-up of one order."""

    def __init__(self, live: LiveOrder, since: int, *, to_the_end: bool) -> None:
        self.live, self.since = live, since
        self.to_the_end = to_the_end
        """Whether it is sought until the order is over: after a refused cancel, being alive is no answer."""
        self.looks = 0
        """The number of looks since the last reason to look sooner."""
        self.previous: Witness | None = None
        self.warned = self.faulty = False
        self._settled, self._sooner = asyncio.Event(), asyncio.Event()

    def settled(self) -> bool:
        """Return whether it is known what became of the order."""
        return self._settled.is_set()

    def settle(self) -> None:
        """Note that it is known what became of the order."""
        self._settled.set()
        self._sooner.set()

    def hurry(self) -> None:
        """Look soon, and begin again with short pauses."""
        self.looks = 0
        self._sooner.set()

    async def wait(self, least_s: float) -> None:
        """Wait for the next look, at least for a time (s) unless there is a reason to look sooner."""
        pause = PAUSES_S[self.looks] if self.looks < len(PAUSES_S) else LONGEST_PAUSE_S
        self.looks += 1
        try:
            async with asyncio.timeout(max(pause, least_s)):
                await self._sooner.wait()
        except TimeoutError:
            return
        self._sooner.clear()


class LookUps:
    """The look-ups that are under way."""

    def __init__(
        self,
        queries: AccountQueries,
        look: OrderLook,
        reports: Reports,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """`spawn` runs a task of the venue."""
        self._queries, self._look, self._reports = queries, look, reports
        self._spawn = spawn
        self._jobs: dict[OrderRef, _Job] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def start(self, live: LiveOrder, *, to_the_end: bool = False) -> None:
        """Look an order up until it is known what became of it; with `to_the_end`, until it is over if it ever is."""
        ref = live.order.ref
        job = self._jobs.get(ref)
        if job is not None:
            job.to_the_end = job.to_the_end or to_the_end
            job.hurry()
            return
        since = self._queries.now_ms() if live.seen else live.sent_at
        self._jobs[ref] = _Job(live, since, to_the_end=to_the_end)
        self._spawn(self._follow(self._jobs[ref]))

    async def resolve(self, live: LiveOrder) -> bool:
        """Look an order up now, and go on later if the exchange does not show all of it; return whether it is known.

        Raises QueryFailed.
        """
        try:
            if await self._look.found(live):
                return True
        except NotShown:
            self.start(live, to_the_end=True)
            return True
        self.start(live)
        return False

    def in_part(self, orders: Iterable[OrderRow]) -> set[OrderRef]:
        """Return the orders of the book of which only a part is among open orders, so that they have to be resolved."""
        return self._look.in_part(orders)

    def heard(self, report: VenueReport) -> None:
        """Take a report on an order, which may settle its look-up."""
        match report:
            case Canceled(ref=ref) | Rejected(ref=ref):
                over = True
            case Accepted(ref=ref) | Triggered(ref=ref) | Filled(ref=ref):
                over = False
            case _:
                return
        job = self._jobs.get(ref)
        if job is not None and (over or not job.to_the_end):
            job.settle()

    async def _follow(self, job: _Job) -> None:
        ref, until = job.live.order.ref, 0
        try:
            while not job.settled():
                await job.wait((until - self._queries.now_ms()) / SECOND)
                if job.settled():
                    break
                try:
                    await self._look_once(job)
                    until = 0
                except QueryFailed as error:
                    until = error.until
                except Exception as error:
                    self._fault(job, error)
                self._warn(job)
        finally:
            if self._jobs.get(ref) is job:
                del self._jobs[ref]

    async def _look_once(self, job: _Job) -> None:
        live = job.live
        if await self._look.found(live):
            # An order that is still open after a refused cancel lives on; the engine asks again if it wants to.
            job.settle()
            return
        age = self._queries.now_ms() - job.since
        if age < WITNESSED_AFTER_S * SECOND:
            return
        witness = await self._look.witness(live.order.symbol)
        ref = live.order.ref
        previous = job.previous
        if previous is not None and previous.at == witness.at:
            # The same reading again is no second one.
            return
        job.previous = witness
        if ref in witness.refs:
            # The list shows what the order's endpoint does not: the next look, or an event, says more.
            job.previous = None
        elif previous is None or previous.unexplained != witness.unexplained or age < ABSENT_AFTER_S * SECOND:
            return
        elif job.settled():
            # A report came while the lists were read.
            return
        elif live.seen:
            self._reports.add(Canceled(ref, "the exchange does not have it any more, and it has no other trades"))
            job.settle()
        else:
            text = f"{age // SECOND} s after it was sent, no query, list or trade of the exchange shows it"
            self._reports.add(Rejected(ref, RejectReason.NEVER_ARRIVED, text))
            job.settle()

    def _fault(self, job: _Job, error: Exception) -> None:
        """Report a fault of OCW, once for each order: the order is looked up on, because nothing else would find it."""
        if not job.faulty:
            job.faulty = True
            what = f"{type(error).__name__}: {error}"
            self._reports.incident(f"looking up order {job.live.order.ref} failed, and goes on: {what}")

    def _warn(self, job: _Job) -> None:
        if not job.settled() and not job.warned and self._queries.now_ms() - job.since > _WARNED_AFTER_MS:
            job.warned = True
            text = f"it is still not known what became of order {job.live.order.ref} after an hour; it is looked up on"
            self._reports.incident(text)

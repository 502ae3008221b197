"""The way of a live book to an exchange: it opens the venue, takes its reports, and sends through the outbox.

A restarted book opens the venue while it runs already, because commands and stops must not wait for an exchange that
does not answer. Nothing leaves the outbox before the venue is open.
"""

import asyncio
from collections.abc import Collection, Sequence
from functools import partial
from typing import Final

import msgspec

from ocw_mcp.domain.errors import FeedError, MarketUnreachable
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.orders import AccountSeen, OrderRef, OrderSeen, VenueNotice, VenueNoticeKind
from ocw_mcp.domain.protocols import CancelsForeign, Clock, ExchangeVenue, KnownOrder
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.step import Engine
from ocw_mcp.engine.waiting_entries import clear_again
from ocw_mcp.runtime.inbox import Inbox, MarketEnded
from ocw_mcp.runtime.outbox import Outbox

LONGEST_PAUSE_S: Final = 10
"""The longest pause (s) between two attempts to open the venue."""
MOST_FAILURES: Final = 5
"""The number of failures of the venue's reports, without a report between them, after which the run ends."""


class _State(msgspec.Struct):
    """What a checkpoint keeps of the link."""

    complete_until: int | None
    instruments: list[Instrument]


class ExchangeLink:
    """One exchange venue with its outbox. `inbox` gets its reports."""

    def __init__(self, venue: ExchangeVenue, engine: Engine, clock: Clock, inbox: Inbox) -> None:
        self.venue = venue
        self._engine = engine
        self._clock = clock
        self._inbox = inbox
        spot = engine.config.product is Product.SPOT
        self.outbox = Outbox(venue, clock, inbox.put, partial(clear_again, engine.manager), stops_lock=spot)
        self._tasks: list[asyncio.Task[None]] = []
        self._foreign: set[asyncio.Task[None]] = set()
        self._complete_until: int | None = None
        """The exchange's time (ms) until which the engine has every fill, payment and transfer; None before any."""
        self.looking = False
        """Whether a restarted book has not seen its account yet: until then it does not know which stops it has."""
        self._instruments: dict[str, Instrument] = {}
        """The filters by symbol, which the exchange reported last."""

    async def open_new(self) -> None:
        """Open the venue for a new book. Raises VenueRefused and MarketUnreachable."""
        await self.venue.open((), None)
        self._tasks.append(asyncio.ensure_future(self._listen()))
        self.outbox.open()

    def note(self, seen: AccountSeen) -> None:
        """Note that the engine took a report of the account, before which everything until its time was reported."""
        self._complete_until = max(seen.at, self._complete_until or seen.at)
        self.looking = False

    def set_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Let the venue use the filters that the exchange reports from now on."""
        self._instruments |= {each.symbol: each for each in instruments}
        self.venue.set_instruments(instruments)

    def state(self) -> bytes:
        """Return for a checkpoint the time until which the engine knows everything, and the filters.

        A restarted book repeats its inputs with the filters that it had, before the exchange reports them again.
        """
        return msgspec.msgpack.encode(_State(self._complete_until, list(self._instruments.values())))

    def restore(self, state: bytes) -> None:
        """Restore a state that `state` returned. Raises msgspec's errors."""
        saved = msgspec.msgpack.decode(state, type=_State)
        self._complete_until = saved.complete_until
        self.set_instruments(saved.instruments)

    def reopen(self) -> None:
        """Begin to open the venue for a restarted book, which has repeated its inputs.

        The venue reports what happened since the last report of the account, not since the last input: a run that never
        reached the exchange took prices, but no fills.
        """
        refs = frozenset(each.ref for each in self._engine.orders.live())
        began_at = self._engine.counters.began_at
        since = (began_at or self._engine.now) if self._complete_until is None else self._complete_until
        self.looking = True
        self._tasks.append(asyncio.ensure_future(self._listen()))
        self._tasks.append(asyncio.ensure_future(self._reopen(refs, since)))

    def cancel(self, ref: OrderRef) -> None:
        """Ask for the cancellation of an order through the outbox."""
        tracked = self._engine.orders.get(ref) or self._engine.orders.recall(ref)
        self.outbox.cancel(ref, "" if tracked is None else tracked.order.symbol)

    def cancel_foreign(self, order: OrderSeen) -> None:
        """Ask for the cancellation of an order of others; the engine asks again while a later report still shows it."""
        if not isinstance(self.venue, CancelsForeign):
            text = f"{self.venue.name} cannot cancel {order.venue_order_id}, which is not of this book; cancel it there"
            self._inbox.put(VenueNotice(VenueNoticeKind.INCIDENT, text))
            return
        task = asyncio.ensure_future(self.venue.cancel_foreign(order, self._clock.now()))
        self._foreign.add(task)
        task.add_done_callback(self._foreign.discard)

    async def close(self) -> None:
        """Send nothing more, and close the venue; its orders stay there."""
        tasks = [*self._tasks, *self._foreign]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.outbox.close()
        await self.venue.close()

    async def _reopen(self, refs: Collection[OrderRef], since: int) -> None:
        """Open the venue with the orders `refs` that may be live there, and ask again for cancels without an answer.

        An exchange that does not answer is tried again without end, because a position may be open there.
        """
        pause_s, failed = 1, False
        while True:
            known = [each for each in self._engine.orders.live() if each.ref in refs]
            orders = [
                KnownOrder(each.order, tuple(each.venue_order_ids), each.cancel_requested, each.unknown_since)
                for each in known
            ]
            try:
                await self.venue.open(orders, since)
                break
            except MarketUnreachable as error:
                if not failed:
                    failed = True
                    why = f"the exchange's account cannot be read: {error}; it is tried again"
                    self._inbox.put(VenueNotice(VenueNoticeKind.DEGRADED, why))
                # A ban ends at a time that the exchange named; the venue itself asks for nothing before.
                left_ms = LONGEST_PAUSE_S * SECOND if error.until_ms is None else error.until_ms - self._clock.now()
                await self._clock.pause(min(pause_s * SECOND, max(left_ms, SECOND)))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except Exception as error:
                self._inbox.put(MarketEnded(error))
                return
        if failed:
            self._inbox.put(VenueNotice(VenueNoticeKind.RESTORED, "the exchange's account can be read again"))
        for each in self._engine.orders.live():
            if each.ref in refs and each.cancel_requested:
                self.cancel(each.ref)
        self.outbox.open()

    async def _listen(self) -> None:
        """Put everything that the venue reports into the inbox.

        If that fails, it begins again, because a run that ends leaves its positions alone; the venue reports again what
        was lost. The run ends if it fails repeatedly.
        """
        failures = 0
        while True:
            why = "they ended"
            try:
                async for report in self.venue.reports():
                    failures = 0
                    self._inbox.put(report)
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
            failures += 1
            if failures >= MOST_FAILURES:
                text = f"the reports of the venue {self.venue.name} cannot be read ({why}); start the book again"
                self._inbox.put(MarketEnded(FeedError(text)))
                return
            text = f"reading the venue's reports failed and begins again: {why}"
            self._inbox.put(VenueNotice(VenueNoticeKind.INCIDENT, text))
            await self._clock.pause(SECOND)

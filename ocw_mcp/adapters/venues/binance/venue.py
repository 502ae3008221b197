"""The Binance venue: it sends through the sender, and sees through user data and REST together.

A product (`FuturesProduct`, `SpotProduct`) has what is different on USD-M futures and on spot.

The venue keeps nothing on disk. A client id names its order, so every report can be read again from the exchange.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from ocw_mcp.adapters.binance.transport import pause
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.errors import Banned, CallFailed, Refused
from ocw_mcp.adapters.venues.binance.futures import FuturesProduct
from ocw_mcp.adapters.venues.binance.live_orders import KnownOrders, LiveOrder, LiveOrders
from ocw_mcp.adapters.venues.binance.product import Ties, VenueProduct
from ocw_mcp.adapters.venues.binance.queries import PERIOD_S, Pace, QueryFailed
from ocw_mcp.adapters.venues.binance.reconcile import MARGIN_MS, Reconciler, Shown
from ocw_mcp.adapters.venues.binance.reports import Reports
from ocw_mcp.adapters.venues.binance.sender import Sender
from ocw_mcp.adapters.venues.binance.settings_watch import SettingsWatch
from ocw_mcp.adapters.venues.binance.spot.product import SpotProduct
from ocw_mcp.adapters.venues.binance.terms import Terms
from ocw_mcp.adapters.venues.binance.trades import TradeReader
from ocw_mcp.adapters.venues.binance.unknowns import LookUps
from ocw_mcp.adapters.venues.binance.user_stream import UserStream
from ocw_mcp.adapters.venues.instruments import PaperInstruments
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.orders import (
    Canceled,
    CancelRefused,
    Filled,
    OrderRef,
    OrderSeen,
    OutcomeUnknown,
    Rejected,
    VenueNotice,
    VenueNoticeKind,
    VenueReport,
)
from ocw_mcp.domain.protocols import KnownOrder
from ocw_mcp.domain.time import SECOND

MUTE_AFTER_MS: Final = 5 * SECOND
"""The age (ms) of a change that REST shows, from which a stream counts as mute that has not reported it."""
_OPENED_ERROR_MS: Final = 250
"""The error (ms) of the time at which the stream was opened."""
_OPEN_S: Final = 20.0
"""The time (s) in which the user data stream has to open at the start of a new book."""
_STREAM_S: Final = 5.0
"""The time (s) for which a restarted book waits for the user data stream."""
_RETRY_S: Final = 3.0
_LONGEST_RETRY_S: Final = 24.0
"""The time (s) after which a reading that failed is tried again: it doubles from `_RETRY_S` to this."""
_BLIND_AFTER_S: Final = 75.0
"""The time (s) without a reading of the account from which the venue counts as degraded."""
_STREAM, _REST = "stream", "rest"


class _Price(msgspec.Struct):
    price: Decimal


def product_of(client: SignedClient, symbols: Sequence[str], rights: SignedClient | None) -> VenueProduct:
    """Return the client's product, with the queries of its account."""
    return SpotProduct(client, symbols) if client.product is Product.SPOT else FuturesProduct(client, symbols, rights)


class BinanceVenue:
    """One account on USD-M futures or on spot; it implements `ExchangeVenue`."""

    name = "binance"

    def __init__(
        self,
        client: SignedClient,
        book: str,
        symbols: Sequence[str],
        *,
        rights: SignedClient | None = None,
        jitter: Callable[[], float] = lambda: 0.5,
    ) -> None:
        """`book` is the six characters in its client ids. `jitter` returns a number from 0 to below 1.

        `rights` is a client of the host that knows the rights of the key, if that is not the host of `client`.
        """
        self._client, self._rights = client, rights
        self._product = product_of(client, symbols, rights)
        self._queries = self._product.queries
        self._live, identities = LiveOrders(), self._product.identities(book)
        self._known = KnownOrders(self._live, client.now_ms)
        self._reports = Reports(self._live, self._product.fees, client.now_ms)
        self._reports.listener = self._heard
        trades = TradeReader(self._queries, identities, self._live, self._reports)
        terms = Terms(lambda symbol, leverage: self._sender.leverage_seen(symbol, leverage))
        ties = Ties(identities, self._live, self._reports, trades, terms, self.reconcile, self._spawn)
        self._lookups = LookUps(self._queries, self._product.look(ties), self._reports, self._spawn)
        self._events = self._product.events(ties)
        self._stream = UserStream(self._product.channel, client.now_ms, self._events.take, self._stream_changed, jitter)
        self._events.stream_over = self._stream.replace
        self._reconciler = Reconciler(
            self._queries,
            identities,
            self._live,
            self._reports,
            trades,
            self._lookups,
            self._events,
            self._known,
            self._price,
            symbols,
        )
        self._sender = Sender(client, book, self._known, self._say, self, self._product.forms)
        self._sender.leverage_set = terms.set_leverage
        self._instruments = PaperInstruments(client.product)
        self._tasks: set[asyncio.Task[None]] = set()
        self._demanded = asyncio.Event()
        self._up = asyncio.Event()
        self._blind: dict[str, str] = {}
        """Why the account cannot be seen at once, by what is missing."""
        self._is_open = False
        self._pace = Pace(self._queries.budget)
        self._noticed = ""
        """The last refusal of a query that was reported."""

    # Protocol of a venue

    def instrument(self, symbol: str, price: float) -> Instrument:
        """Return the filters that the exchange reported last; before the first report, those that are known."""
        return self._instruments.get(symbol, price)

    def set_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Use the filters that the exchange reports from now on."""
        for each in instruments:
            self._instruments.set(each)

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        """Send an order. What the exchange says about it comes as a report."""
        await self._sender.submit(cleared, now)

    async def cancel(self, ref: OrderRef, now: int) -> None:
        """Ask for the cancellation of an order. What the exchange says about it comes as a report."""
        await self._sender.cancel(ref, now)

    def withdraw(self, ref: OrderRef) -> None:
        """Reject an order that waits to be sent again; a cancel of it follows."""
        self._sender.withdraw(ref)

    async def cancel_foreign(self, order: OrderSeen, now: int) -> None:
        """Ask for the cancellation of an order that is not of this book; the next AccountSeen shows whether it went."""
        request = self._product.cancel_foreign(order)
        try:
            await self._client.call(request.method, request.path, request.params, weight=request.weight, reduces=True)
        except CallFailed as error:
            self._reports.incident(f"order {order.venue_order_id} of {order.symbol} was not cancelled: {error}")
        else:
            # After a failure, a reading at once would show the order again, and it would be cancelled without a pause.
            self.reconcile("an order of others was cancelled")

    def reports(self) -> AsyncIterator[VenueReport]:
        """Yield everything that the exchange says, asked for or not; never end."""
        return self._reports.each()

    async def open(self, orders: Sequence[KnownOrder], since: int | None) -> None:
        """Connect, and report what became of `orders`, what happened since `since` (ms), and AccountSeen.

        Raises VenueRefused if settings or key forbid trading, and MarketUnreachable if the exchange does not answer;
        then it can be called again.
        """
        await self._stop()
        try:
            self._reconciler.terms.take(await self._product.check())
            now = self._client.now_ms()
            self._reconciler.begin(now if since is None else since - MARGIN_MS)
            self._spawn(self._always(self._client.keep_time))
            self._spawn(self._always(self._stream.run))
            await self._await_stream(required=since is None)
            for known in orders:
                self._recover(known)
            await self._reconciler.read(everything=True)
        except BaseException as error:
            await self._stop()
            if isinstance(error, TimeoutError):
                why = self._blind.get(_STREAM, "no answer")
                raise MarketUnreachable(f"the user data stream did not open in {_OPEN_S:.0f} s: {why}") from None
            if isinstance(error, QueryFailed):
                raise MarketUnreachable(f"the account could not be read: {error}", error.until or None) from error
            raise
        self._is_open = True
        why = self._blind.get(_STREAM, "it has ended")
        self._blind.clear()
        if self._stream.opened_at is None:
            self._lose(_STREAM, f"the user data stream is not open: {why}")
        else:
            self._demanded.clear()
        self._spawn(self._always(self._keep_reading))
        self._spawn(self._always(SettingsWatch(self._product.check_again, self._say).run))

    async def _await_stream(self, *, required: bool) -> None:
        """Wait for the user data stream. Raises TimeoutError if it does not open and is `required`, as by a new book.

        A restarted book may have a position without a stop: it goes on with REST alone.
        """
        try:
            async with asyncio.timeout(_OPEN_S if required else _STREAM_S):
                await self._up.wait()
        except TimeoutError:
            if required:
                raise

    async def close(self) -> None:
        """Close all connections. Orders stay at the exchange."""
        await self._stop()
        await self._client.transport.close()
        if self._rights is not None:
            await self._rights.transport.close()

    # Protocol of the sender's witness

    def look_up(self, ref: OrderRef, why: str) -> None:
        """Find out what became of an order, and report it."""
        live, order = self._live.get(ref), self._known.get(ref)
        if live is None and order is not None:
            live = LiveOrder(order, self._client.now_ms(), seen=True)
        if live is None:
            self._reports.incident(f"order {ref} cannot be looked up, because it is not known here: {why}")
            return
        if not live.seen:
            # A reduction may have waited for the end of a ban before its request.
            live.sent_at = self._client.now_ms()
        self._lookups.start(live, to_the_end=live.seen)
        self.reconcile(f"order {ref}: {why}")

    def reconcile(self, why: str) -> None:
        """Read the whole account as soon as possible, and report it."""
        self._demanded.set()

    # Start

    def _recover(self, known: KnownOrder) -> None:
        """Let the next reading find out what became of an order that was live when the process ended."""
        self._known.add(known.order)
        live = self._live.get(known.order.ref)
        if live is not None:
            live.recovered = True
            live.seen = live.seen or bool(known.venue_order_ids)
            live.sent_at = min(live.sent_at, known.unknown_since or live.sent_at)

    # While it is open

    async def _keep_reading(self) -> None:
        """Read the account in each period, and at once if that was asked for."""
        wait, read_at, failures = PERIOD_S, _loop_s(), 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._demanded.wait()
            self._demanded.clear()
            spent, began, before = self._queries.spent, self._client.now_ms(), self._reconciler.shown
            blind, is_open = _STREAM in self._blind, self._stream.opened_at is not None
            try:
                await self._reconciler.read(everything=blind and is_open, blind=blind)
            except QueryFailed as error:
                self._failed(error, _loop_s() - read_at)
                banned_s = (error.until - self._client.now_ms()) / SECOND
                await pause(banned_s if banned_s > 0 else min(_RETRY_S * 2**failures, _LONGEST_RETRY_S))
                wait, failures = 0.0, min(failures + 1, 10)
                continue
            read_at, failures = _loop_s(), 0
            self._see(_REST)
            opened = self._stream.opened_at
            if not self._is_mute(before) and opened is not None and opened <= began:
                # Whatever happened while the stream was down has been read.
                self._see(_STREAM)
            period = self._queries.budget.period_s(len(self._reconciler.symbols))
            paced = min(self._pace.wait_s(self._queries.spent - spent, read_at), period)
            await pause(paced)
            wait = period - paced

    def _failed(self, error: QueryFailed, blind_s: float) -> None:
        """Report what a failed reading means, once."""
        cause, text = error.__cause__, str(error)
        if isinstance(cause, Banned):
            self._sender.throttled(cause)
        if isinstance(cause, Refused) and cause.verdict.notice is not None and self._noticed != str(cause):
            self._noticed = str(cause)
            self._say(VenueNotice(cause.verdict.notice, text[:300]))
        if blind_s > _BLIND_AFTER_S:
            self._lose(_REST, f"the account could not be read for {blind_s:.0f} s: {text}")

    def _is_mute(self, before: Shown | None) -> bool:
        """Return whether the stream has not reported an old trade that REST shows; if so, replace it.

        Another change that no event has announced may be too young for that: it is waited for its event.
        """
        opened, now, shown = self._stream.opened_at, self._client.now_ms(), self._reconciler.shown
        if opened is None:
            return False
        lost = [row.at for row in self._reconciler.unheard if opened + _OPENED_ERROR_MS < row.at < now - MUTE_AFTER_MS]
        if lost:
            self._replace_mute(f"a trade {(now - max(lost)) / SECOND:.0f} s ago")
        elif shown is not None and before is not None and opened < before.at and shown.is_unheard(before):
            self._spawn(self._wait_for_event(shown.events, opened))
        return bool(lost)

    async def _wait_for_event(self, events: int, opened: int) -> None:
        """Replace the stream if it stays silent."""
        await pause(MUTE_AFTER_MS / SECOND)
        if self._events.count == events and self._stream.opened_at == opened:
            self._replace_mute("a change of the account")

    def _replace_mute(self, what: str) -> None:
        self._lose(_STREAM, f"the user data stream is open and mute: REST shows {what}, the stream does not")
        self._stream.replace("it is mute")

    def _stream_changed(self, up: bool, why: str) -> None:
        if up:
            self._up.set()
            self.reconcile("the user data stream is open again")
        else:
            self._up.clear()
            self._lose(_STREAM, why)

    def _lose(self, what: str, why: str) -> None:
        """Report that the account cannot be seen at once, unless that was reported."""
        if self._is_open and not self._blind:
            self._say(VenueNotice(VenueNoticeKind.DEGRADED, why[:300]))
        self._blind.setdefault(what, why)

    def _see(self, what: str) -> None:
        """Report that the account can be seen again, if nothing else is missing."""
        if self._blind.pop(what, None) is not None and not self._blind:
            self._say(VenueNotice(VenueNoticeKind.RESTORED, "the account was read, and its events are received"))

    def _say(self, report: VenueReport) -> None:
        """Add a report of the sender, unless an event of the stream has said more already."""
        if isinstance(report, OutcomeUnknown | CancelRefused):
            live = self._live.get(report.ref)
            if live is None or (live.seen and isinstance(report, OutcomeUnknown)):
                return
        self._reports.add(report)

    async def _price(self, symbol: str) -> Decimal | None:
        """Return the last price (quote) of a symbol, or None if it cannot be had now; the request is not signed."""
        try:
            body = await self._client.get(self._product.price_path, {"symbol": symbol}, weight=2)
            return msgspec.json.decode(body, type=_Price, strict=False).price
        except (CallFailed, msgspec.MsgspecError):
            return None

    async def _always(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run work that should never end; if it fails, report that, and begin it again."""
        while True:
            try:
                await work()
            except Exception as error:
                self._failed_part(error)
            await pause(_RETRY_S)

    def _failed_part(self, error: BaseException) -> None:
        self._reports.incident(f"a part of the venue failed, and goes on: {type(error).__name__}: {error}")
        self.reconcile("a part of the venue failed")

    def _heard(self, report: VenueReport) -> None:
        self._lookups.heard(report)
        match report:
            case Canceled(ref=ref) | Rejected(ref=ref):
                self._known.finished(ref)
            case Filled(ref=ref) if ref not in self._live:
                self._known.finished(ref)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Forget a task; report one that failed."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed_part(error)

    async def _stop(self) -> None:
        """End all tasks."""
        self._is_open = False
        self._up.clear()
        for task in (tasks := tuple(self._tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _loop_s() -> float:
    return asyncio.get_running_loop().time()

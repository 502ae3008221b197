"""Sends orders and cancels, and reports what the answers prove. An order is never sent twice."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from ocw_mcp.adapters.binance.transport import pause
from ocw_mcp.adapters.venues.binance import orders as futures
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.errors import Banned, Outcome, Refused, Unanswered
from ocw_mcp.adapters.venues.binance.live_orders import KnownOrders
from ocw_mcp.adapters.venues.binance.orders import OPEN, REJECTED, OrderForms, OrderRequest
from ocw_mcp.adapters.venues.binance.terms import SET_UP
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    CancelRefused,
    Order,
    OrderRef,
    OutcomeUnknown,
    Rejected,
    RejectReason,
    Throttled,
    VenueNotice,
    VenueReport,
)
from ocw_mcp.domain.time import SECOND

WAITS_S: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The waits before another try of a reduction or a cancel that certainly had no effect."""
LONGEST_WAIT_S: Final = 300.0
"""How long (s) a reduction or a cancel waits for the end of bans, in all; after that the engine decides anew."""
_POSITION_DIFFERS: Final = frozenset(
    {
        RejectReason.REDUCE_ONLY,
        RejectReason.NO_POSITION,
        RejectReason.STOP_EXISTS,
        RejectReason.BLOCKED_BY_ORDERS,
        RejectReason.INSUFFICIENT_BALANCE,
    }
)
"""Rejections which mean that positions or orders at the exchange are not what the book has."""


class Witness(Protocol):
    """What reads orders and the account at the exchange. Both calls only start the work; it reports later."""

    def look_up(self, ref: OrderRef, why: str) -> None:
        """Find out what became of an order, and report it."""

    def reconcile(self, why: str) -> None:
        """Read the whole account as soon as possible, and report it."""


class _Submission:
    """The sending of an order, with as many tries as it needs."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()
        self.waits = False
        """True while the order waits to be sent again."""

    def is_withdrawn(self) -> bool:
        """Return whether the order must not be sent again."""
        return self._ended.is_set()

    def withdraw(self) -> None:
        """Send the order no more, and end its wait."""
        self._ended.set()

    async def wait(self, wait: float) -> None:
        """Wait (s) for another try, or until the order is withdrawn."""
        self.waits = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._ended.wait()
        self.waits = False


class Sender:
    """Sends the orders of one book. What an exchange answers becomes a report, never an error."""

    def __init__(
        self,
        client: SignedClient,
        book: str,
        known: KnownOrders,
        say: Callable[[VenueReport], None],
        witness: Witness,
        forms: OrderForms = futures,
    ) -> None:
        self._client, self._book, self._known, self._say, self._witness = client, book, known, say, witness
        self._forms = forms
        self._leverage: dict[str, int] = {}
        self.leverage_set: Callable[[str, int], None] = self.leverage_seen
        """Is called with symbol and leverage when the exchange has set one."""
        self._throttled_until = 0
        self._submitted: dict[OrderRef, _Submission] = {}
        """The orders whose `submit` runs."""
        self._withdrawn: set[OrderRef] = set()
        """The orders that were withdrawn, and whose cancel has not come yet."""

    def leverage_seen(self, symbol: str, leverage: int) -> None:
        """Note the leverage that a symbol has at the exchange."""
        self._leverage[symbol] = leverage

    def throttled(self, banned: Banned) -> None:
        """Report that the exchange takes no entries until a time, once for each such time."""
        if banned.until_ms > self._throttled_until:
            self._throttled_until = banned.until_ms
            self._say(Throttled(banned.until_ms, banned.why))

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        """Send an order, and report its outcome; on an unknown one the witness looks the order up."""
        order = cleared.redeem(now)
        if self._known.get(order.ref) is not None:
            self._unknown(order.ref, "an order with this reference was sent before, and it is not sent again")
            return
        self._known.add(order)
        submission = self._submitted[order.ref] = _Submission()
        try:
            await self._submit(order, submission)
        except BaseException as error:
            # The caller reports that the outcome is unknown, and does not ask again.
            self._witness.look_up(order.ref, f"its request was broken off: {type(error).__name__}")
            raise
        finally:
            del self._submitted[order.ref]

    def withdraw(self, ref: OrderRef) -> None:
        """Reject an order whose `submit` runs, instead of sending it again; its cancel follows when that has ended."""
        if ref in self._submitted:
            self._withdrawn.add(ref)
            self._submitted[ref].withdraw()

    async def _submit(self, order: Order, submission: _Submission) -> None:
        reduces = order.reduce_only or order.close_position
        if not reduces and not await self._prepare(order):
            return
        if submission.is_withdrawn():
            self._reject(order.ref, RejectReason.NOT_SENT, "cancelled before it was sent")
            return
        request = self._forms.place_request(order, self._book)
        tries, latest = iter(WAITS_S), _loop_s() + LONGEST_WAIT_S
        while True:
            try:
                body = await self._send(request, reduces)
            except Unanswered as error:
                if error.sent:
                    self._unknown(order.ref, error.why)
                    return
                wait, reason, why = next(tries, None), RejectReason.NOT_SENT, error.why
            except Banned as banned:
                self.throttled(banned)
                wait, reason, why = self._until(banned, latest), RejectReason.RATE_LIMITED, banned.why
            except Refused as refused:
                if refused.verdict.reason is not RejectReason.OVERLOADED or not reduces:
                    self._refused(order, refused)
                    return
                wait, reason, why = next(tries, None), RejectReason.OVERLOADED, refused.text
            else:
                self._answered(order, body)
                return
            if not reduces or wait is None:
                self._reject(order.ref, reason, why)
                return
            await submission.wait(wait)
            if submission.is_withdrawn():
                self._reject(order.ref, RejectReason.NOT_SENT, f"cancelled before it was sent, after: {why}")
                return

    async def cancel(self, ref: OrderRef, now: int) -> None:
        """Cancel an order, and report whether the exchange did; if that is not certain, the witness looks it up."""
        submission, order = self._submitted.get(ref), self._known.get(ref)
        if submission is not None and submission.waits:
            submission.withdraw()
            return
        was_withdrawn = ref in self._withdrawn
        self._withdrawn.discard(ref)
        if order is None and was_withdrawn:
            return
        if order is None:
            self._not_cancelled(ref, "the order is not known here")
            return
        request = self._forms.cancel_request(order, self._book)
        tries, latest = iter(WAITS_S), _loop_s() + LONGEST_WAIT_S
        while True:
            try:
                body = await self._send(request, reduces=True)
            except Banned as banned:
                self.throttled(banned)
                wait, why = self._until(banned, latest), banned.why
            except Unanswered as error:
                # A second cancel of the same order does no harm.
                wait, why = next(tries, None), error.why
            except Refused as refused:
                overloaded = refused.verdict.reason is RejectReason.OVERLOADED
                self._notify(refused)
                wait, why = next(tries, None) if overloaded else None, _text(refused)
            else:
                self._cancelled(order, body)
                return
            if wait is None:
                self._not_cancelled(ref, why)
                return
            await pause(wait)

    async def _send(self, request: OrderRequest, reduces: bool) -> bytes:
        return await self._client.call(
            request.method, request.path, request.params, weight=request.weight, orders=request.orders, reduces=reduces
        )

    def _until(self, banned: Banned, latest: float) -> float | None:
        """Return how long (s) a ban still lasts; None if it ends after `latest`, a time of the loop (s)."""
        wait = max(0, banned.until_ms - self._client.now_ms()) / SECOND
        return wait if _loop_s() + wait <= latest else None

    async def _prepare(self, order: Order) -> bool:
        """Set the leverage of an entry if it differs. Return whether the entry may be sent; if not, it is rejected."""
        request = self._forms.leverage_request(order.symbol, order.leverage)
        if request is None or self._leverage.get(order.symbol) == order.leverage:
            return True
        self._leverage.pop(order.symbol, None)
        try:
            await self._send(request, reduces=False)
        except Refused as refused:
            self._notify(refused)
            text = f"leverage {order.leverage} was refused: {_text(refused)}"
            self._reject(order.ref, RejectReason.WRONG_SETTINGS, text)
            return False
        except Banned as banned:
            self.throttled(banned)
            self._reject(order.ref, RejectReason.RATE_LIMITED, banned.why)
            return False
        except Unanswered as error:
            self._reject(order.ref, RejectReason.NOT_SENT, f"it is unknown whether the leverage was set: {error.why}")
            return False
        self.leverage_set(order.symbol, order.leverage)
        return True

    def _answered(self, order: Order, body: bytes) -> None:
        answer = self._forms.placed(order, self._book, body)
        if answer is None:
            self._unknown(order.ref, "the answer to the order could not be read")
        elif answer.status == REJECTED:
            self._reject(order.ref, RejectReason.OTHER, "the exchange rejected it without a reason")
        else:
            self._say(Accepted(order.ref, answer.venue_order_id))
            if answer.status not in OPEN and answer.status != "FILLED" and not answer.executed:
                self._say(Canceled(order.ref, f"it ended without a fill: {answer.status}", answer.executed))

    def _cancelled(self, order: Order, body: bytes) -> None:
        answer = self._forms.cancelled(order, self._book, body)
        if answer is None:
            self._not_cancelled(order.ref, "the answer to the cancel could not be read")
        elif answer.executed:
            # Its fills are reported first: they may not have arrived yet.
            self._witness.look_up(order.ref, "it was cancelled after a part of it had filled")
        else:
            self._say(Canceled(order.ref, "it was cancelled on request", answer.executed))

    def _refused(self, order: Order, refused: Refused) -> None:
        verdict = refused.verdict
        if verdict.outcome is Outcome.ALREADY_THERE:
            self._unknown(order.ref, f"the exchange has an order with this id already: {_text(refused)}")
            return
        self._reject(order.ref, verdict.reason, _text(refused))
        # After a notice the engine cancels its entries: this one is over already.
        self._notify(refused)
        if verdict.reason in _POSITION_DIFFERS:
            self._witness.reconcile(f"{order.ref} was rejected: {_text(refused)}")

    def _notify(self, refused: Refused) -> None:
        if (kind := refused.verdict.notice) is not None:
            mends = f"; {SET_UP}" if refused.verdict.reason is RejectReason.WRONG_SETTINGS else ""
            self._say(VenueNotice(kind, f"{_text(refused)}{mends}"))

    def _reject(self, ref: OrderRef, reason: RejectReason, text: str) -> None:
        self._known.forget(ref)
        self._say(Rejected(ref, reason, text))

    def _unknown(self, ref: OrderRef, why: str) -> None:
        self._say(OutcomeUnknown(ref, why))
        self._witness.look_up(ref, why)

    def _not_cancelled(self, ref: OrderRef, why: str) -> None:
        self._say(CancelRefused(ref, why))
        self._witness.look_up(ref, why)


def _loop_s() -> float:
    return asyncio.get_running_loop().time()


def _text(refused: Refused) -> str:
    return f"{refused.text or 'no text'} ({refused.code or refused.status})"

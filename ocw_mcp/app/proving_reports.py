"""The orders of a proving order, and what the exchange reports about them and about the account."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple

from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.errors import VenueRefused
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import (
    Accepted,
    AccountSeen,
    Canceled,
    Filled,
    FundingPaid,
    OrderRef,
    OutcomeUnknown,
    OutsideFill,
    Purpose,
    Rejected,
    Side,
    Transferred,
    VenueReport,
)
from ocw_mcp.domain.protocols import ExchangeVenue

PATIENCE_S: Final = 90.0
"""How long (s) a step waits for its reports."""
SETTLE_S: Final = 270.0
"""The age (s) of an order until which its outcome is awaited.

The venue believes that an order never arrived after 120 s and two looks, which are at most 60 s apart.
"""
ENTRY, STOP, EXIT = (OrderRef(1, leg) for leg in (Purpose.ENTRY, Purpose.STOP, Purpose.EXIT))
SECOND_EXIT: Final = OrderRef(1, Purpose.EXIT, 1)


class _Sent(NamedTuple):
    quantity: Decimal
    at: float
    """The time of the event loop, s."""


class ProvingReports:
    """Sends the orders of one proving order, and keeps the reports of its venue."""

    def __init__(self, venue: ExchangeVenue, now: Callable[[], int], say: Callable[[str], None]) -> None:
        self._venue, self._now, self._say = venue, now, say
        self.fills: dict[str, Filled] = {}
        self.outside: list[OutsideFill] = []
        self.seen: list[AccountSeen] = []
        self.ends: dict[OrderRef, Canceled | Rejected] = {}
        self.accepted: set[OrderRef] = set()
        self.sent: dict[OrderRef, _Sent] = {}
        self.moved = ZERO
        """Funding, deposits and withdrawals during the proving."""
        self._moves: set[str] = set()
        self._news = asyncio.Event()
        self._failure: Exception | None = None

    async def listen(self) -> None:
        """Take the reports of the venue until the task is cancelled."""
        try:
            async for report in self._venue.reports():
                self._take(report)
                self._news.set()
        except Exception as error:
            self._failure = error
            self._news.set()

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        """Send an order. It counts as sent even if this is cancelled."""
        order = cleared.order
        self.sent[order.ref] = _Sent(order.quantity, asyncio.get_running_loop().time())
        await self._venue.submit(cleared, now)

    async def cancel(self, ref: OrderRef) -> None:
        """Ask for the cancellation of an order that was sent and is not settled."""
        if not self.settled(ref):
            await self._venue.cancel(ref, self._now())

    async def until(self, reached: Callable[[], bool], otherwise: str, patience_s: float = PATIENCE_S) -> None:
        """Wait for reports until a condition holds. Raises TimeoutError, and VenueRefused if the reports end."""
        try:
            async with asyncio.timeout(patience_s):
                while not reached():
                    if self._failure is not None:
                        raise VenueRefused(f"the reports of the exchange ended: {self._failure}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"{otherwise} in {patience_s:.0f} s") from None

    async def settle(self, ref: OrderRef) -> bool:
        """Wait until an order is settled or `SETTLE_S` old, and return whether it is settled."""
        if not self.settled(ref):
            left_s = self.sent[ref].at + SETTLE_S - asyncio.get_running_loop().time()
            try:
                await self.until(lambda: self.settled(ref), "no outcome", max(left_s, 0.0))
            except (TimeoutError, VenueRefused):
                return False
        return True

    async def account(self) -> bool:
        """Wait for the next report of the account, and return whether it came."""
        known = len(self.seen)
        try:
            await self.until(lambda: len(self.seen) > known, "the account was not reported")
        except (TimeoutError, VenueRefused):
            return False
        return True

    def settled(self, ref: OrderRef) -> bool:
        """Return whether an order was not sent, or is over with all its fills reported."""
        if ref not in self.sent:
            return True
        filled = sum((each.quantity for each in self.fills.values() if each.ref == ref), ZERO)
        end = self.ends.get(ref)
        if isinstance(end, Canceled) and end.filled is not None:
            return filled >= end.filled
        return end is not None or filled >= self.sent[ref].quantity

    def unsettled(self, *refs: OrderRef) -> list[OrderRef]:
        """Return the orders that are not settled, of these or of all."""
        return [ref for ref in refs or self.sent if not self.settled(ref)]

    def why(self, ref: OrderRef) -> str:
        """Return how an order ended, in the words of the exchange."""
        end = self.ends[ref]
        return f"{end.reason}: {end.text}" if isinstance(end, Rejected) else end.why

    def filled(self, ref: OrderRef) -> Decimal:
        """Return what was filled of the orders of a leg."""
        return sum((each.quantity for each in self._of(ref)), ZERO)

    def average(self, ref: OrderRef) -> Decimal:
        """Return the average price of a leg; zero without a fill."""
        worth = sum((each.quantity * each.price for each in self._of(ref)), ZERO)
        return worth / self.filled(ref) if self.filled(ref) else ZERO

    @property
    def sold(self) -> Decimal:
        """What was sold, by the stop, too."""
        return self.filled(EXIT) + self.filled(STOP)

    @property
    def owned(self) -> Decimal:
        """What was bought and not sold yet, less a fee in the base asset."""
        return self.filled(ENTRY) - sum((each.base_fee for each in self._of(ENTRY)), ZERO) - self.sold

    def worth(self, side: Side) -> Decimal:
        """Return what was bought or sold, in quote currency."""
        legs = (ENTRY,) if side is Side.BUY else (EXIT, STOP)
        return sum((each.quantity * each.price for leg in legs for each in self._of(leg)), ZERO)

    def _of(self, ref: OrderRef) -> list[Filled]:
        return [each for each in self.fills.values() if (each.ref.n, each.ref.leg) == (ref.n, ref.leg)]

    def _take(self, report: VenueReport) -> None:
        match report:
            case Accepted():
                self.accepted.add(report.ref)
            case Filled():
                self.fills[report.fill_id] = report
            case Canceled() | Rejected():
                self.ends[report.ref] = report
            case OutcomeUnknown():
                self._say(f"the outcome of {report.ref} is unknown, and is looked up: {report.why}")
            case OutsideFill():
                self.outside.append(report)
            case AccountSeen():
                self.seen.append(report)
            case FundingPaid():
                self._move(report.transaction_id or f"{report.symbol} {report.at}", report.amount)
            case Transferred():
                self._move(report.transfer_id, report.amount)

    def _move(self, name: str, amount: Decimal) -> None:
        if name not in self._moves:
            self._moves.add(name)
            self.moved += amount


def total(seen: AccountSeen, asset: str) -> Decimal:
    """Return what the account has of an asset."""
    return next((each.total for each in seen.balances if each.asset == asset), ZERO)

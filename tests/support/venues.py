"""Paper venues with a fault."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple, cast

from msgspec.structs import replace

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.market import Candle, Opening, Product
from ocw_mcp.domain.orders import (
    Order,
    OrderRef,
    OrderType,
    OutcomeUnknown,
    Purpose,
    Rejected,
    VenueReport,
)
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.time import MINUTE
from tests.support.stores import Crash

LOST = "lost"
"""Used in place of a code: the outcome of the order is unknown."""


class Flawed(PaperVenue):
    """A paper venue with the initial equity of test runs."""

    def __init__(self, product: Product = Product.UM) -> None:
        super().__init__(product, Decimal(10_000), patience_ms=5 * MINUTE)


class _Unbounded(NamedTuple):
    """A cleared order without its limit."""

    cleared: ClearedOrder

    @property
    def order(self) -> Order:
        return replace(self.cleared.order, type=OrderType.MARKET, limit_price=None, immediate=False, post_only=False)

    def redeem(self, now: int) -> Order:
        self.cleared.redeem(now)
        return self.order


class IgnoresLimits(Flawed):
    """Fills every limit entry at the next opening, at any price."""

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        if cleared.order.limit_price is not None:
            return await super().submit(cast(ClearedOrder, _Unbounded(cleared)), now)
        return await super().submit(cleared, now)


class RefusesStops(Flawed):
    """Rejects stops with a code, or loses them: the first `first` ones."""

    def __init__(self, code: str, *, first: int = 1_000) -> None:
        super().__init__()
        self._code = code
        self._left = first

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        if cleared.order.type is OrderType.STOP_MARKET and self._left:
            self._left -= 1
            order = cleared.redeem(now)
            if self._code == LOST:
                return self.say(OutcomeUnknown(order.ref, "timeout"))
            return self.say(Rejected(order.ref, RejectReason(self._code), "no"))
        return await super().submit(cleared, now)


class DropsStops(Flawed):
    """Accepts each stop and cancels it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped: list[int] = []
        """The times (ms) of these cancellations."""

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        await super().submit(cleared, now)
        if cleared.order.type is not OrderType.STOP_MARKET:
            return
        self.dropped.append(now)
        assert len(self.dropped) < 50, "stops are placed without end"
        await self.cancel(cleared.order.ref, now)


class TooLateToCancel(RefusesStops):
    """Never cancels an entry in time; with a code, it also rejects stops."""

    def __init__(self, code: str = "") -> None:
        super().__init__(code, first=1_000 if code else 0)

    async def cancel(self, ref: OrderRef, now: int) -> None:
        if ref.leg is not Purpose.ENTRY:
            await super().cancel(ref, now)


class SilentOnCancels(Flawed):
    """Ignores the first cancel requests without an answer."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self._left = first
        self.asked: list[tuple[int, OrderRef]] = []
        """The time (ms) and the order of each cancel request."""

    async def cancel(self, ref: OrderRef, now: int) -> None:
        self.asked.append((now, ref))
        if self._left:
            self._left -= 1
            return
        await super().cancel(ref, now)


class RejectsExits(Flawed):
    """Rejects every stop, and the first exits."""

    def __init__(self, exits: int) -> None:
        super().__init__()
        self._exits = exits

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        leg = cleared.order.ref.leg
        if leg is Purpose.STOP or (leg is Purpose.EXIT and self._exits):
            self._exits -= leg is Purpose.EXIT
            return self.say(Rejected(cleared.redeem(now).ref, RejectReason.TOO_MANY_STOPS, "no"))
        return await super().submit(cleared, now)


class LosesExits(Flawed):
    """Does not answer the first exits. With `arrives` they are executed together with the next exit.

    Without `stops` it also rejects stops.
    """

    def __init__(self, exits: int, *, arrives: bool, stops: bool = True, product: Product = Product.UM) -> None:
        super().__init__(product)
        self._lost = exits
        self._stops = stops
        self._arrives = arrives
        self._late: list[tuple[ClearedOrder, int]] = []

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        if cleared.order.ref.leg is Purpose.STOP and not self._stops:
            return self.say(Rejected(cleared.redeem(now).ref, RejectReason.TOO_MANY_STOPS, "no"))
        if cleared.order.ref.leg is not Purpose.EXIT:
            return await super().submit(cleared, now)
        if self._lost:
            self._lost -= 1
            if self._arrives:
                self._late.append((cleared, now))
            else:
                cleared.redeem(now)
            return self.say(OutcomeUnknown(cleared.order.ref, "timeout"))
        late, self._late = self._late, []
        for each, sent_at in late:
            await super().submit(each, sent_at)
            self.collect()
        return await super().submit(cleared, now)


class Mortal(Flawed):
    """The process crashes at touch number `die_at` of this venue, before or after it executes the request."""

    def __init__(self, die_at: int | None = None, product: Product = Product.UM) -> None:
        super().__init__(product)
        self.touches = 0
        self._die_at = die_at

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        self._touch()
        await super().submit(cleared, now)
        self._touch()

    async def cancel(self, ref: OrderRef, now: int) -> None:
        self._touch()
        await super().cancel(ref, now)
        self._touch()

    def on_candle(self, candle: Candle, now: int) -> Iterable[VenueReport]:
        self._touch()
        return super().on_candle(candle, now)

    def on_opening(self, opening: Opening, now: int) -> Sequence[VenueReport]:
        reports = super().on_opening(opening, now)
        self._touch()
        return reports

    def _touch(self) -> None:
        self.touches += 1
        if self.touches == self._die_at:
            raise Crash

"""Paper venues with a flaw."""

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
from ocw_mcp.domain.time import MINUTE
from tests.support.stores import Crash

LOST = "lost"
"""In place of a code: nobody knows what became of the order."""


class Flawed(PaperVenue):
    """A paper venue with the money that test runs begin with."""

    def __init__(self, product: Product = Product.UM) -> None:
        super().__init__(product, Decimal(10_000), patience_ms=5 * MINUTE)


class _Unbounded(NamedTuple):
    """An approved order without its limit."""

    cleared: ClearedOrder

    @property
    def order(self) -> Order:
        return replace(self.cleared.order, type=OrderType.MARKET, limit_price=None, immediate=False, post_only=False)

    def redeem(self, now: int) -> Order:
        self.cleared.redeem(now)
        return self.order


class IgnoresLimits(Flawed):
    """Fills every limit entry at the next opening, wherever that is."""

    async def submit(self, cleared: ClearedOrder, now: int) -> Sequence[VenueReport]:
        if cleared.order.limit_price is not None:
            return await super().submit(cast(ClearedOrder, _Unbounded(cleared)), now)
        return await super().submit(cleared, now)


class RefusesStops(Flawed):
    """Answers stops with one code, or loses them; all, or as many as it is told."""

    def __init__(self, code: str, *, first: int = 1_000) -> None:
        super().__init__()
        self._code = code
        self._left = first

    async def submit(self, cleared: ClearedOrder, now: int) -> Sequence[VenueReport]:
        if cleared.order.type is OrderType.STOP_MARKET and self._left:
            self._left -= 1
            order = cleared.redeem(now)
            if self._code == LOST:
                return [OutcomeUnknown(order.ref, "timeout")]
            return [Rejected(order.ref, self._code, "no")]
        return await super().submit(cleared, now)


class DropsStops(Flawed):
    """Takes a stop and throws it out again in the same breath."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped: list[int] = []
        """When (ms)."""

    async def submit(self, cleared: ClearedOrder, now: int) -> Sequence[VenueReport]:
        reports = await super().submit(cleared, now)
        if cleared.order.type is not OrderType.STOP_MARKET:
            return reports
        self.dropped.append(now)
        assert len(self.dropped) < 50, "there is no end to it"
        return [*reports, *await self.cancel(cleared.order.ref, now)]


class TooLateToCancel(RefusesStops):
    """No cancellation of an entry ever arrives in time; with a code, it refuses stops, too."""

    def __init__(self, code: str = "") -> None:
        super().__init__(code, first=1_000 if code else 0)

    async def cancel(self, ref: OrderRef, now: int) -> Sequence[VenueReport]:
        return [] if ref.leg is Purpose.ENTRY else await super().cancel(ref, now)


class SilentOnCancels(Flawed):
    """Says nothing to the first cancels, and does nothing about them."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self._left = first
        self.asked: list[tuple[int, OrderRef]] = []
        """When (ms), and for which order."""

    async def cancel(self, ref: OrderRef, now: int) -> Sequence[VenueReport]:
        self.asked.append((now, ref))
        if self._left:
            self._left -= 1
            return []
        return await super().cancel(ref, now)


class RejectsExits(Flawed):
    """Refuses every stop, and the first exits."""

    def __init__(self, exits: int) -> None:
        super().__init__()
        self._exits = exits

    async def submit(self, cleared: ClearedOrder, now: int) -> Sequence[VenueReport]:
        leg = cleared.order.ref.leg
        if leg is Purpose.STOP or (leg is Purpose.EXIT and self._exits):
            self._exits -= leg is Purpose.EXIT
            return [Rejected(cleared.redeem(now).ref, "-4045", "no")]
        return await super().submit(cleared, now)


class LosesExits(Flawed):
    """Does not answer the first exits. Where they arrive all the same, they do so together with the one after them.

    It may refuse stops, too.
    """

    def __init__(self, exits: int, *, arrives: bool, stops: bool = True, product: Product = Product.UM) -> None:
        super().__init__(product)
        self._lost = exits
        self._stops = stops
        self._arrives = arrives
        self._late: list[ClearedOrder] = []

    async def submit(self, cleared: ClearedOrder, now: int) -> Sequence[VenueReport]:
        if cleared.order.ref.leg is Purpose.STOP and not self._stops:
            return [Rejected(cleared.redeem(now).ref, "-4045", "no")]
        if cleared.order.ref.leg is not Purpose.EXIT:
            return await super().submit(cleared, now)
        if self._lost:
            self._lost -= 1
            if self._arrives:
                self._late.append(cleared)
            else:
                cleared.redeem(now)
            return [OutcomeUnknown(cleared.order.ref, "timeout")]
        late, self._late = self._late, []
        for each in late:
            # Its approval was for the moment it was sent at.
            await super().submit(each, each.expires_at)
        return await super().submit(cleared, now)


class Mortal(Flawed):
    """The process dies as this venue is touched for the `die_at`th time, before or after it did what was asked."""

    def __init__(self, die_at: int | None = None) -> None:
        super().__init__()
        self.touches = 0
        self._die_at = die_at

    async def submit(self, cleared: ClearedOrder, now: int) -> Sequence[VenueReport]:
        self._touch()
        reports = await super().submit(cleared, now)
        self._touch()
        return reports

    async def cancel(self, ref: OrderRef, now: int) -> Sequence[VenueReport]:
        self._touch()
        reports = await super().cancel(ref, now)
        self._touch()
        return reports

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

"""The way that a price is taken to have gone through a candle: from open to one extreme, to the other, to the close.

A candle does not say which extreme came first. The matching chooses the one that is worse for the account; this is the
arithmetic of the way.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.orders import OrderRef


class PathSegment(msgspec.Struct, frozen=True):
    """One part of the way, on which the price only falls, or only rises, to `end` (quote)."""

    end: Decimal
    falls: bool

    def reaches(self, price: Decimal) -> bool:
        """Whether the price comes to this one by the end of the leg; one that is behind it counts as reached."""
        return self.end <= price if self.falls else self.end >= price

    def goes_beyond(self, limit: Decimal, begin: Decimal) -> bool:
        """Whether the price goes strictly beyond a limit and, where it begins beyond it, farther than there."""
        return self.end < min(limit, begin) if self.falls else self.end > max(limit, begin)

    def nearness(self, price: Decimal) -> Decimal:
        """A number by which prices sort in the order in which the leg comes to them."""
        return -price if self.falls else price

    def moved(self, begin: Decimal, price: Decimal) -> Decimal:
        """Where the price stands after it was met at `price`: there, or where it was if that lies behind."""
        return min(begin, price) if self.falls else max(begin, price)


class CandlePath:
    """The way through one candle, as far as the price has come."""

    def __init__(self, candle: Candle, *, down_first: bool) -> None:
        self.candle = candle
        self.price = exact(candle.open)
        """Where the price stands (quote)."""
        self.met: set[OrderRef] = set()
        """The orders that the price has come to: each is met once."""
        self.laid: set[OrderRef] = set()
        """The orders that came while the price was on its way: they meet the rest of it."""
        low, high, close = exact(candle.low), exact(candle.high), exact(candle.close)
        first, second = PathSegment(low, falls=True), PathSegment(high, falls=False)
        self._legs = (first, second, PathSegment(close, falls=True))
        if not down_first:
            self._legs = (second, first, PathSegment(close, falls=False))

    def legs(self) -> Iterator[PathSegment]:
        """The legs one after the other; the price stands at the end of each once the next one is asked for."""
        for leg in self._legs:
            yield leg
            self.price = leg.end

    def knows(self, ref: OrderRef, since: int) -> bool:
        """Whether an order that came at `since` (ms) meets prices of this candle other than its close.

        One that came while the candle was open, from outside, knows nothing of the range before that.
        """
        return since <= self.candle.open_time or ref in self.laid

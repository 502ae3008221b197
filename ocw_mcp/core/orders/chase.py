"""The state of a chased entry, and the prices of its orders."""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.money import ONE, ZERO, ceil_to, floor_to
from ocw_mcp.domain.orders import OrderIntent, OrderRef, Side
from ocw_mcp.domain.policy_execution import ExecutionPolicy


class Chase(msgspec.Struct):
    """An entry that is carried out by several orders, one after the other. Quantities in the base asset."""

    intent: OrderIntent
    """The entry as it was requested, with the quantity that was checked: all of its orders together fill no more."""
    bound: Decimal
    """The worst price (quote) that was checked: no order of the entry trades at a worse one."""
    worst: Decimal
    """The price (quote) at which the budget of the entry stays reserved."""
    began_at: int
    """The time (ms) of the first order, which counts as the one entry that was sent."""
    first_price: Decimal
    adds: bool = False
    """Whether it enlarges a position."""
    orders: list[OrderRef] = []
    """Its orders, oldest first. The last one is live, or is about to be replaced."""
    filled: Decimal = ZERO
    """The quantity that all of its orders have filled."""
    steps: int = 0
    """The number of times that it was due to get a new price."""
    moving: bool = False
    """Whether its own cancel of the last order is under way, or was answered and the next order was not sent yet."""
    lost: bool = False
    """Whether the outcome of the last order is or was unknown: if it shows up it is cancelled, and no other is sent."""
    expected: Decimal | None = None
    """The quantity that the cancelled last order had filled, as the venue said; None while that is not known."""

    @property
    def current(self) -> OrderRef:
        """The last order."""
        return self.orders[-1]

    @property
    def left(self) -> Decimal:
        """The quantity that has not filled."""
        return max(ZERO, self.intent.quantity - self.filled)

    @property
    def has_position(self) -> bool:
        """Whether there is a position that the entry has opened or enlarges, unless that was closed meanwhile."""
        return self.adds or self.filled > ZERO

    def price(self, best: Decimal, tick: Decimal, policy: ExecutionPolicy) -> Decimal:
        """Return the price of the next post-only order at the `best` price of its own side, within all bounds."""
        return maker_price(self.intent.side, best, self.first_price, self.bound, tick, policy)


def maker_price(
    side: Side, best: Decimal, first: Decimal, bound: Decimal, tick: Decimal, policy: ExecutionPolicy
) -> Decimal:
    """Return the `best` price, but none that is worse than `bound` or too far behind the `first` one."""
    if side is Side.BUY:
        return floor_to(min(best, bound, first * (ONE + policy.follow)), tick)
    return ceil_to(max(best, bound, first * (ONE - policy.follow)), tick)

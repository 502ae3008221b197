"""The names of orders: each position has a number, and the orders that reduce it have revisions within it."""

from typing import Final

import msgspec

from ocw_mcp.core.orders.table import OrderTable, TrackedOrder
from ocw_mcp.domain.orders import OrderIntent, OrderRef, Purpose

SKIPPED: Final = 1_000
"""The revisions that a restart leaves out: a process whose disk was full may have sent orders that no journal has."""


class Group(msgspec.Struct):
    """The parts of the order names of one position: its number `n`, and the next revision number of each purpose."""

    n: int
    revisions: dict[Purpose, int] = {}


class OrderNames:
    """Gives each order a name that no other order of the book has."""

    def __init__(self, orders: OrderTable) -> None:
        self._orders = orders
        self.groups: dict[str, Group] = {}
        """The group of each symbol's position."""

    def next(self, intent: OrderIntent) -> OrderRef:
        """Return the name of an order, if it is sent."""
        purpose = intent.purpose
        if purpose is Purpose.ENTRY:
            return OrderRef(self._orders.last_n + 1, purpose)
        group = self.groups.get(intent.symbol) or Group(self._orders.last_n + 1)
        return OrderRef(group.n, purpose, group.revisions.get(purpose, 0))

    def use(self, symbol: str, ref: OrderRef) -> None:
        """Note that an order that reduces a position was sent under a name."""
        self.groups.setdefault(symbol, Group(ref.n)).revisions[ref.leg] = ref.revision + 1

    def skip(self) -> None:
        """Leave out the names that a process before may have used."""
        for group in self.groups.values():
            for purpose in (Purpose.STOP, Purpose.TARGET, Purpose.EXIT):
                group.revisions[purpose] = group.revisions.get(purpose, 0) + SKIPPED

    def of_position(self, tracked: TrackedOrder) -> bool:
        """Return whether an order was placed for the present position of its symbol, and not for an earlier one."""
        group = self.groups.get(tracked.order.symbol)
        return group is not None and group.n == tracked.ref.n

    def end(self, symbol: str) -> None:
        """Note that the position of a symbol has ended, or was turned around."""
        self.groups.pop(symbol, None)

    def begin(self, symbol: str, n: int) -> None:
        """Note that the entry `n` has opened a position."""
        self.groups[symbol] = Group(n)

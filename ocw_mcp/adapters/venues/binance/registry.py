"""The orders that the adapter may have to name to the exchange, by their references."""

import re
from collections.abc import Iterator

from ocw_mcp.domain.orders import Order, OrderRef, Purpose

_REF = re.compile(r"(\d{1,12})-([estx])-(\d{1,6})")


def ref_of(client_id: str, book: str) -> OrderRef | None:
    """Return the reference that a client id of a book names; None for any other id."""
    start = f"ocw-{book}-"
    match = _REF.fullmatch(client_id.removeprefix(start)) if client_id.startswith(start) else None
    return None if match is None else OrderRef(int(match[1]), Purpose(match[2]), int(match[3]))


class Registry:
    """The orders of a book that may be live at the exchange. Reports of other orders need no entry."""

    def __init__(self, book: str) -> None:
        self.book = book
        self._orders: dict[OrderRef, Order] = {}

    def add(self, order: Order) -> None:
        """Keep an order."""
        self._orders[order.ref] = order

    def get(self, ref: OrderRef) -> Order | None:
        """Return an order; None if it is not kept."""
        return self._orders.get(ref)

    def forget(self, ref: OrderRef) -> None:
        """Drop an order that is over."""
        self._orders.pop(ref, None)

    def __iter__(self) -> Iterator[Order]:
        return iter(tuple(self._orders.values()))

    def __len__(self) -> int:
        return len(self._orders)

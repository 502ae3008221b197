"""The orders that the adapter may have to name to the exchange, by their references."""

from collections.abc import Iterator

from ocw_mcp.domain.orders import Order, OrderRef


class Registry:
    """The orders of a book that may be live at the exchange. Reports of other orders need no entry."""

    def __init__(self) -> None:
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

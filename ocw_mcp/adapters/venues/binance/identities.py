"""Which of the account's orders are orders of this book, by client id and by the exchange's ids."""

from collections import OrderedDict
from typing import Final

import msgspec

from ocw_mcp.domain.orders import OrderRef, OutsideCause, ref_of

MOST: Final = 20_000
"""The number of orders that are remembered; an older one is looked up again."""
CONDITIONAL: Final = frozenset({"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"})
"""The types of algo orders, and the original type of the order that one becomes when it triggers."""
_FORCED: Final = {
    "autoclose-": OutsideCause.LIQUIDATION,
    "adl_autoclose": OutsideCause.DELEVERAGING,
    "settlement_autoclose-": OutsideCause.ENDED,
    "delivery_autoclose-": OutsideCause.ENDED,
}
"""By the beginning of a client id that the exchange gives its own orders, the cause of their trades."""


def outside_cause(client_id: str) -> OutsideCause:
    """Return the cause of a trade of an order that is not of this book."""
    for beginning, cause in _FORCED.items():
        if client_id.startswith(beginning):
            return cause
    return OutsideCause.OTHER_TRADER


class Identity(msgspec.Struct, frozen=True):
    """What an order of the account is: an order of this book, or one of others."""

    client_id: str
    ref: OrderRef | None


class Identities:
    """The orders of the account by the exchange's ids, each of which is unique within its symbol.

    An order that triggered has the reference of its algo order.
    """

    def __init__(self, book: str) -> None:
        """`book` is the six characters in the client ids of the book."""
        self._book = book
        self._orders: OrderedDict[tuple[str, int], Identity] = OrderedDict()

    def ref(self, client_id: str) -> OrderRef | None:
        """Return the order of this book that a client id names, or None."""
        return ref_of(client_id, self._book)

    def client_id(self, ref: OrderRef) -> str:
        """Return the client id of an order of this book."""
        return ref.client_id(self._book)

    def add(self, symbol: str, order_id: int, client_id: str) -> Identity:
        """Note the client id of an order, and return what the order is. A binding to an algo order stays."""
        known = self._orders.get((symbol, order_id))
        if known is not None and known.ref is not None:
            return known
        return self._keep(symbol, order_id, Identity(client_id, self.ref(client_id)))

    def bind(self, symbol: str, order_id: int, ref: OrderRef) -> bool:
        """Note that an order is what an algo order of this book became. Return whether that is news."""
        known = self._orders.get((symbol, order_id))
        self._keep(symbol, order_id, Identity(self.client_id(ref), ref))
        return known is None or known.ref != ref

    def get(self, symbol: str, order_id: int) -> Identity | None:
        """Return what an order is, or None if it is not known."""
        return self._orders.get((symbol, order_id))

    def _keep(self, symbol: str, order_id: int, identity: Identity) -> Identity:
        self._orders[symbol, order_id] = identity
        self._orders.move_to_end((symbol, order_id))
        if len(self._orders) > MOST:
            self._orders.popitem(last=False)
        return identity

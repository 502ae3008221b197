"""The client ids of an order list: a stop and a target under one reference of the book.

The list has the client id of the reference, the stop and the target have it with a suffix. So each of the three ids at
the exchange can be found by an id of ours, and any of them leads back to the reference. The ids of orders and of lists
need not differ from each other at the exchange; they do here.
"""

from enum import StrEnum
from typing import Final

from ocw_mcp.adapters.venues.binance.identities import Identities
from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.orders import OrderRef

LONGEST: Final = 36
"""The most characters that the exchange takes in a client id."""


class Leg(StrEnum):
    """An order of a list. Its value is the suffix of its client id: a reference never ends with a letter."""

    STOP = "-s"
    TARGET = "-t"


def leg_id(name: str, leg: Leg) -> str:
    """Return the client id of an order of the list with the client id `name`. Raises InvariantError."""
    found = f"{name}{leg}"
    if len(found) > LONGEST:
        raise InvariantError(f"the client id {found} has {len(found)} characters; the exchange takes {LONGEST}")
    return found


def leg_of(client_id: str) -> Leg | None:
    """Return which order of a list has a client id; None for a single order."""
    return next((leg for leg in Leg if client_id.endswith(leg)), None)


class SpotIdentities(Identities):
    """The orders of the account on spot: both orders of a list have the reference of the list."""

    def ref(self, client_id: str) -> OrderRef | None:
        """Return the order of this book that a client id names, or None."""
        leg = leg_of(client_id)
        return super().ref(client_id if leg is None else client_id.removesuffix(leg))

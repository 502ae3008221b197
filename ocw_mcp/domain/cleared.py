"""The only order that a venue accepts: one that the risk officer has cleared.

The constructor requires the risk seal, an object that can be claimed only once: `core.risk` claims it when it is
imported. A test over the syntax tree proves that no other module calls the constructor.
"""

from typing import Final

from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.orders import Order

_SEAL: Final = object()
_claimed = False


def claim_risk_seal() -> object:
    """Return the risk seal. Raises InvariantError on a second call in this process."""
    global _claimed
    if _claimed:
        raise InvariantError("the risk seal was claimed twice; only core.risk may claim it, once")
    _claimed = True
    return _SEAL


class ClearedOrder:
    """An order that passed every policy at `cleared_at` (ms); valid once, on one version of the account.

    An entry is valid until `expires_at` (ms). A reduction has no such time: it is valid until it is used, however long
    it waits to be sent.
    """

    __slots__ = ("_order", "_used", "cleared_at", "expires_at", "version")

    def __init__(self, seal: object, order: Order, version: int, cleared_at: int, expires_at: int | None) -> None:
        if seal is not _SEAL:
            raise InvariantError("a ClearedOrder was created without the risk seal; only core.risk may create one")
        self._order = order
        self.version = version
        self.cleared_at = cleared_at
        self.expires_at = expires_at
        self._used = False

    @property
    def order(self) -> Order:
        """The order, for reading only; a venue executes what `redeem` returns."""
        return self._order

    def redeem(self, now: int) -> Order:
        """Return the order for execution. Raises InvariantError on a second use or after `expires_at`."""
        if self.expires_at is not None and now > self.expires_at:
            raise InvariantError(f"order {self.order.ref} was cleared until {self.expires_at} ms; the time is {now} ms")
        return self.withdraw()

    def withdraw(self) -> Order:
        """Return the order and end its clearance, so that it can be cleared again. Raises InvariantError if used."""
        if self._used:
            raise InvariantError(f"order {self.order.ref} was cleared for one use and is used twice")
        self._used = True
        return self.order

    def __repr__(self) -> str:
        return f"ClearedOrder({self.order}, version={self.version}, expires_at={self.expires_at})"

"""The one thing a venue accepts: an order that the risk room has passed.

The constructor asks for the risk seal. The seal is given out once, to `core.risk` when it is imported; a test over the
syntax tree proves that nobody else calls the constructor, and at run time nobody else has the seal.
"""

from typing import Final

from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.orders import Order


class RiskSeal:
    """Proof of being the risk room."""

    __slots__ = ()


_SEAL: Final = RiskSeal()
_claimed = False


def claim_risk_seal() -> RiskSeal:
    """Hand out the seal, once in the life of the process.

    Raises HouseRuleError when it has been claimed already.
    """
    global _claimed
    if _claimed:
        raise InvariantError("the risk seal is given out once, to core.risk")
    _claimed = True
    return _SEAL


class ClearedOrder:
    """An order that passed every policy: for one use, until `expires_at` (ms), on one version of the account."""

    __slots__ = ("_order", "_used", "expires_at", "version")

    def __init__(self, seal: RiskSeal, order: Order, version: int, expires_at: int) -> None:
        if seal is not _SEAL:
            raise InvariantError("an ApprovedOrder is made by core.risk and by nobody else")
        self._order = order
        self._used = False
        self.version = version
        self.expires_at = expires_at

    @property
    def order(self) -> Order:
        """The order, to look at; a venue that means to carry it out calls `redeem`."""
        return self._order

    def redeem(self, now: int) -> Order:
        """The order, to carry out, once and in time.

        Raises HouseRuleError on a second use or after `expires_at`.
        """
        if self._used:
            raise InvariantError(f"order {self._order.ref} was approved for one use and is used twice")
        if now > self.expires_at:
            raise InvariantError(f"the approval of order {self._order.ref} expired at {self.expires_at}, it is {now}")
        self._used = True
        return self._order

    def __repr__(self) -> str:
        return f"ApprovedOrder({self._order}, version={self.version}, expires_at={self.expires_at})"

"""How each position is protected, and how large it may be."""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.money import ZERO


class Protection(msgspec.Struct):
    """How one position is protected. Prices in quote currency."""

    trigger: Decimal
    target: Decimal | None
    protected: bool = False
    deadline: int | None = None
    """While unprotected: when (ms) the position is closed."""
    retried_at: int | None = None
    """When (ms) a stop was last put back: once a second at most, meanwhile the deadline decides."""
    target_retried_at: int | None = None
    """The same of a target: its stop stands meanwhile."""
    most: Decimal | None = None
    """The largest quantity (base asset, unsigned) that may stay, while more than that is held; the rest is sold."""
    beyond: Decimal = ZERO
    """Notional (quote) that the fills of its entries took beyond what was cleared for them."""
    exceeded: list[str] = []
    """The limits that its fills were reported to exceed: each is reported once."""

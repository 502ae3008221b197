"""The limits of new orders per account: on futures 300 in ten seconds and 1,200 in a minute."""

from typing import Any, Final

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, MINUTE, SECOND

ORDER_LIMITS: Final = {
    Product.UM: {"10S": (10 * SECOND, 300), "1M": (MINUTE, 1_200)},
    Product.SPOT: {"10S": (10 * SECOND, 100), "1D": (DAY, 200_000)},
}
"""By the end of the header's name: the span (ms) and the most new orders in it."""
_RULES: Final = {"10S": ("SECOND", 10), "1M": ("MINUTE", 1), "1D": ("DAY", 1)}


class OrderCounts:
    """Counts the new orders of an account in the present spans."""

    def __init__(self, product: Product) -> None:
        self._limits = ORDER_LIMITS[product]
        self._used = dict.fromkeys(self._limits, (-1, 0))

    def used(self, name: str, now: int) -> int:
        """Return the orders in the present span of a limit."""
        span, used = self._used[name]
        return used if span == now // self._limits[name][0] else 0

    def charge(self, orders: tuple[int, int], now: int) -> str | None:
        """Count new orders at a time (ms); return the text of the error -1015 if they exceed a limit, else None.

        `orders` counts for the limit of ten seconds, and for the longer one.
        """
        text = None
        for (name, (span, most)), number in zip(self._limits.items(), orders, strict=True):
            used = self.used(name, now) + number
            self._used[name] = now // span, used
            if used > most and text is None:
                unit, length = _RULES[name]
                text = f"Too many new orders; current limit is {most} orders per {length} {unit}."
        return text

    def headers(self, now: int) -> dict[str, str]:
        """Return the headers that report the counts."""
        return {f"X-MBX-ORDER-COUNT-{name}": str(self.used(name, now)) for name in self._limits}

    def rules(self) -> list[dict[str, Any]]:
        """Return the limits as `/fapi/v1/rateLimit/order` answers them."""
        return [
            {"rateLimitType": "ORDERS", "interval": _RULES[name][0], "intervalNum": _RULES[name][1], "limit": most}
            for name, (_, most) in self._limits.items()
        ]

"""The value of a commission in quote currency."""

from decimal import Decimal
from typing import Final

from ocw_mcp.domain.money import ZERO

DOLLARS: Final = frozenset({"USDT", "USDC", "FDUSD", "BUSD", "BNFCR", "USD1"})
"""Assets that count as one unit of the quote currency."""
FEE_ASSET: Final = "BNB"
"""The asset in which the exchange takes fees at a discount, if the account has some of it."""
ASSUMED_RATE: Final = Decimal("0.0005")
"""The commission, as a share of the value, of a fee in an asset without a known price: the rate of a taker."""


class FeeValues:
    """Values commissions by the last known prices of their assets."""

    def __init__(self) -> None:
        self._prices: dict[str, Decimal] = {}
        self.wanted: set[str] = set()
        """The assets in which commissions were paid, other than dollars: their prices have to be read."""

    def set_price(self, asset: str, price: Decimal) -> None:
        """Note the price (quote) of an asset."""
        if price.is_finite() and price > ZERO:
            self._prices[asset] = price

    def value(self, asset: str, amount: Decimal, value: Decimal) -> Decimal:
        """Return the value (quote) of a commission on a trade worth `value`.

        Without a price of the asset, the commission counts as `ASSUMED_RATE` of the trade.
        """
        if not amount or asset in DOLLARS or not asset:
            return amount
        self.wanted.add(asset)
        price = self._prices.get(asset)
        return value * ASSUMED_RATE if price is None else amount * price

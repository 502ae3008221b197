"""The value of a commission in quote currency."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from ocw_mcp.adapters.venues.binance.rest_wire import TradeRow
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.symbols import assets_of

DOLLARS: Final = frozenset({"USDT", "USDC", "FDUSD", "BUSD", "BNFCR", "USD1"})
"""Assets that count as one unit of the quote currency."""
FEE_ASSET: Final = "BNB"
"""The asset in which the exchange takes fees at a discount, if the account has some of it."""


class FeeValues:
    """Values commissions by the last known prices of their assets."""

    assumed_rate = Decimal("0.0005")
    """The commission, as a share of the value, of a fee in an asset without a known price: the rate of a taker."""

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

        Without a price of the asset, the commission counts as `assumed_rate` of the trade.
        """
        if not amount or asset in DOLLARS or not asset:
            return amount
        self.wanted.add(asset)
        price = self._prices.get(asset)
        return value * self.assumed_rate if price is None else amount * price

    def base_fee(self, trade: TradeRow) -> Decimal:
        """Return the part of a purchase (base asset) that was kept as its commission: none on futures."""
        return ZERO

    def position_change(self, asset: str, amount: Decimal) -> tuple[str, Decimal] | None:
        """Return the symbol whose position a commission reduced, with the change (base asset): none on futures."""
        return None


class SpotFees(FeeValues):
    """Commissions on spot, which are taken from what a trade brings, or in BNB."""

    assumed_rate = Decimal("0.001")

    def __init__(self, symbols: Iterable[str]) -> None:
        """`symbols` are those that the book trades."""
        super().__init__()
        self._symbols = {assets_of(symbol)[0]: symbol for symbol in symbols}

    def base_fee(self, trade: TradeRow) -> Decimal:
        """Return the part of a purchase (base asset) that was kept as its commission."""
        return trade.fee if trade.side == "BUY" and trade.fee_asset == assets_of(trade.symbol)[0] else ZERO

    def position_change(self, asset: str, amount: Decimal) -> tuple[str, Decimal] | None:
        """Return the symbol whose base asset a commission took, with the change."""
        return (self._symbols[asset], -amount) if amount and asset in self._symbols else None

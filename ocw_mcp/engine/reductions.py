"""Orders that close a position or a part of it, and how much of it is being closed already."""

from decimal import Decimal

from ocw_mcp.core.orders.machine import OrderStatus
from ocw_mcp.core.orders.table import OrderTable, TrackedOrder
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.prices import smallest
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ZERO, floor_to, plain
from ocw_mcp.domain.orders import OrderIntent, OrderType, Purpose, Side
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.price_board import PriceBoard

NO_PRICE = Refusal(RefusalCode.NO_PRICE, limit="a price", actual="none")
EXIT_UNDER_WAY = Refusal(RefusalCode.EXIT_PENDING, limit="no exit under way", actual="under way")
SECOND_EXIT = Refusal(RefusalCode.EXIT_PENDING, limit="one exit", actual="under way")

_REDUCES_BY = {
    Purpose.STOP: OrderType.STOP_MARKET,
    Purpose.TARGET: OrderType.TAKE_PROFIT_MARKET,
    Purpose.EXIT: OrderType.MARKET,
}


class Reductions:
    """The part of the order manager that reads the positions and their live exits."""

    def __init__(self, config: EngineConfig, account: Account, prices: PriceBoard) -> None:
        self.config = config
        self.account = account
        self.prices = prices
        self.orders = OrderTable()
        self.spot = config.product is Product.SPOT

    def reduction(
        self,
        symbol: str,
        purpose: Purpose,
        principal: str,
        *,
        key: str = "",
        trigger: Decimal | None = None,
        target: Decimal | None = None,
        wake_id: int | None = None,
    ) -> OrderIntent:
        """Return the order that would close a symbol's whole position; a stop with a `target` is an OCO order (spot).

        The quantity of an exit excludes the part that other exits are closing already. On spot the quantity of a stop
        excludes it as well, because one balance cannot be sold twice.
        """
        quantity = self.account.ledger.quantity(symbol)
        left = abs(quantity) - (self.selling(symbol) if self.spot or purpose is Purpose.EXIT else ZERO)
        return OrderIntent(
            idempotency_key=key,
            principal=principal,
            symbol=symbol,
            side=Side.SELL if quantity > 0 else Side.BUY,
            type=_REDUCES_BY[purpose],
            purpose=purpose,
            quantity=left if left > ZERO else abs(quantity),
            trigger_price=trigger,
            target_at=target,
            wake_id=wake_id,
        )

    def selling(self, symbol: str) -> Decimal:
        """Return how much (base asset) of a position is being closed by exits that count."""
        exits = self.orders.live(symbol, Purpose.EXIT)
        return sum((each.remaining for each in exits if counts(each)), ZERO)

    def exit_under_way(self, symbol: str) -> bool:
        """Return whether an exit that counts is live."""
        return self.selling(symbol) > ZERO

    def closing(self, symbol: str) -> bool:
        """Return whether live exits close all of a position that can be sold."""
        selling = self.selling(symbol)
        return selling > ZERO and selling >= self._on_step(symbol, abs(self.account.ledger.quantity(symbol)))

    def to_cover(self, symbol: str) -> Decimal:
        """Return how much (base asset) of a position its stop has to cover, on the step.

        On spot, the part that is being sold does not count.
        """
        selling = self.selling(symbol) if self.spot else ZERO
        return self._on_step(symbol, max(ZERO, abs(self.account.ledger.quantity(symbol)) - selling))

    def _on_step(self, symbol: str, quantity: Decimal) -> Decimal:
        instrument = self.prices.instruments.get(symbol)
        return quantity if instrument is None else floor_to(quantity, instrument.step)

    def least_sold(self, symbol: str) -> Decimal:
        """Return the smallest part (base asset) of a position that can be sold.

        The exchange accepts a reduction of any notional on futures, and on spot none below its minimum.
        """
        instrument = self.prices.instruments[symbol]
        return smallest(instrument, self.account.ledger.marks[symbol]) if self.spot else instrument.min_quantity

    def part(self, symbol: str, quantity: Decimal, account: AccountView) -> Decimal | Refusal:
        """Return how much of a position is sold if `quantity` (base asset) is asked for, or why nothing is.

        It is all of the position if too little would stay. Nothing is sold while another exit may still trade, because
        both together could sell too much. On futures an exit of unknown outcome does not count.
        """
        instrument, held, spot = account.instrument, abs(account.quantity), self.spot
        if not (quantity.is_finite() and quantity > ZERO):
            return Refusal(RefusalCode.BAD_SIZE, limit="a quantity above 0", actual=str(quantity))
        if any(self.orders.live(symbol, Purpose.EXIT)) if spot else self.exit_under_way(symbol):
            return EXIT_UNDER_WAY
        least, sold = self.least_sold(symbol), floor_to(min(quantity, held), instrument.step)
        if held - sold < smallest(instrument, account.price):
            return held
        if sold < least:
            return Refusal(RefusalCode.BELOW_MINIMUM, limit=f"{plain(least)} units", actual=f"{plain(sold)} units")
        return sold


def counts(tracked: TrackedOrder) -> bool:
    """Return whether a live exit counts: its outcome is known, and it is not being cancelled."""
    return tracked.status is not OrderStatus.UNKNOWN and not tracked.cancel_requested

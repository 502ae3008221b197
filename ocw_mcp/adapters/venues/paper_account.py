"""The paper venue's account: wallet, positions, isolated margin, liquidation prices and funding."""

from collections.abc import Collection, Sequence
from decimal import Decimal

import msgspec

from ocw_mcp.adapters.venues.instruments import PaperInstruments
from ocw_mcp.adapters.venues.paper_funding import NEVER, DueStamp, FundingStamps, FundingState
from ocw_mcp.core.matching.funding import assumed_payment, payment
from ocw_mcp.core.orders.ledger import Ledger
from ocw_mcp.domain.margin import bankruptcy_price
from ocw_mcp.domain.market import Funding, Product
from ocw_mcp.domain.money import ZERO, ceil_to, exact, floor_to
from ocw_mcp.domain.orders import Filled, FundingPaid, Order, OutsideCause, OutsideFill, Side


class PaperAccountState(msgspec.Struct):
    """The saved state of an account."""

    ledger: Ledger
    instruments: PaperInstruments
    last: dict[str, float]
    funding: FundingState


class Liquidation(msgspec.Struct, frozen=True):
    """The liquidation price of a position (quote), and whether the price must fall to it."""

    price: Decimal
    falls: bool
    near: float
    """The price as a float, for a fast comparison."""

    def reached(self, low: float, high: float) -> bool:
        """Return whether a range of prices includes the liquidation price, or lies beyond it."""
        return low <= self.near if self.falls else high >= self.near

    def before(self, trigger: Decimal) -> bool:
        """Return whether the price reaches the liquidation price no later than a stop's trigger."""
        return trigger <= self.price if self.falls else trigger >= self.price


class PaperAccount:
    """One account of one product."""

    def __init__(self, product: Product, wallet: Decimal) -> None:
        self.product = product
        self.ledger = Ledger(wallet)
        self.instruments = PaperInstruments(product)
        self.last: dict[str, float] = {}
        """Each symbol's last price, which is also its mark price."""
        self._stamps = FundingStamps()
        self.liquidations: dict[str, Liquidation] = {}
        """By symbol, for each position that can be liquidated."""

    def last_price(self, symbol: str) -> Decimal | None:
        """Return a symbol's last price (quote), or None before the first."""
        seen = self.last.get(symbol)
        return None if seen is None else exact(seen)

    def leverage(self, order: Order) -> int:
        """Return the leverage at which an order opens: that of an open position, else its own. On spot it is 1."""
        position = self.ledger.positions.get(order.symbol)
        return position.leverage if position else 1 if self.product is Product.SPOT else order.leverage

    def book(self, order: Order, fill: Filled) -> None:
        """Book a fill of an order."""
        self.ledger.book(
            order.symbol,
            order.side,
            fill.quantity,
            fill.price,
            fill.fee,
            fill.traded_at,
            leverage=self.leverage(order),
            base_fee=fill.base_fee,
        )
        self._update_liquidation(order.symbol)

    def bankruptcy(self, symbol: str) -> Decimal:
        """Return the price (quote) at which a position's margin is used up, rounded to the tick before it."""
        position = self.ledger.positions[symbol]
        price = bankruptcy_price(position.quantity, position.cost, position.margin)
        tick = self.instruments.filters[symbol].tick
        return ceil_to(price, tick) if position.quantity > 0 else floor_to(price, tick)

    def liquidate(self, symbol: str, fill_id: str, at: int) -> OutsideFill:
        """Close a position at its bankruptcy price: its margin is lost, except for the rounding to the tick.

        The fee is 0, because the exchange takes its fee from the margin.
        """
        held, price = self.ledger.quantity(symbol), self.bankruptcy(symbol)
        return self._close(symbol, held, price, ZERO, fill_id, at, OutsideCause.LIQUIDATION)

    def close_out(self, symbol: str, quantity: Decimal, fee_share: Decimal, at: int) -> OutsideFill:
        """Close a signed quantity of a position at its last price, for a fee as a share of its value."""
        price = exact(self.last[symbol])
        fee = abs(quantity) * price * fee_share
        return self._close(symbol, quantity, price, fee, f"paper-end-{at}", at, OutsideCause.ENDED)

    @property
    def next_funding(self) -> int:
        """The next stamp (ms) that may have to be settled; NEVER on spot."""
        return NEVER if self.product is Product.SPOT else self._stamps.state().next

    def note_position(self, symbol: str, at: int) -> None:
        """Record the position before an opening at `at` (ms) trades: a funding stamp of this hour settles on it."""
        if self.product is not Product.SPOT:
            self._stamps.note_position(symbol, at, self.ledger.quantity(symbol), self.last.get(symbol))

    def settle_funding(
        self, until: int, rates: Sequence[Funding], symbols: Collection[str] | None = None
    ) -> list[FundingPaid]:
        """Settle the stamps up to `until` (ms) of some symbols, or of all, at the known rates or an assumed one.

        Rates of other symbols are kept until their stamps are settled.
        """
        if self.product is Product.SPOT:
            return []
        stamps, reports = self._stamps, list[FundingPaid]()
        stamps.add_rates(rates, self.ledger.positions)
        for symbol in sorted(self.ledger.positions.keys() | stamps.state().known.keys()):
            if symbols is None or symbol in symbols:
                for due in stamps.take_due(symbol, until, held=symbol in self.ledger.positions):
                    reports += self._fund(symbol, due)
        stamps.schedule_next(self.ledger.positions, until)
        return reports

    def state(self) -> PaperAccountState:
        """Return the state to save."""
        return PaperAccountState(self.ledger, self.instruments, self.last, self._stamps.state())

    def restore(self, state: PaperAccountState) -> None:
        """Restore a saved state."""
        self.ledger = state.ledger
        self.instruments = state.instruments
        self.last = state.last
        self._stamps.restore(state.funding)
        self.liquidations = {}
        for symbol in self.ledger.positions:
            self._update_liquidation(symbol)

    def _close(
        self, symbol: str, quantity: Decimal, price: Decimal, fee: Decimal, fill_id: str, at: int, cause: OutsideCause
    ) -> OutsideFill:
        """Book the closing of a signed quantity without an order."""
        side, size = Side.SELL if quantity > 0 else Side.BUY, abs(quantity)
        self.ledger.book(symbol, side, size, price, fee, at)
        self._update_liquidation(symbol)
        return OutsideFill(fill_id, symbol, side, size, price, fee, at, cause)

    def _fund(self, symbol: str, due: DueStamp) -> list[FundingPaid]:
        if due.held is not None:
            held, mark = due.held.quantity, due.held.mark
        else:
            held, mark = self.ledger.quantity(symbol), exact(self.last[symbol])
        if not held:
            return []
        amount = assumed_payment(held, mark) if due.assumed else payment(held, mark, due.rate)
        self.ledger.fund(symbol, amount)
        self._update_liquidation(symbol)
        return [FundingPaid(symbol, amount, due.rate, held, mark, due.at, due.assumed)]

    def _update_liquidation(self, symbol: str) -> None:
        """Recompute the liquidation price after a position or its margin changed."""
        self.liquidations.pop(symbol, None)
        position = self.ledger.positions.get(symbol)
        brackets = None if position is None else self.instruments.filters[symbol].brackets
        if position is None or brackets is None:
            return
        price = brackets.liquidation_price(position.quantity, position.cost, position.margin)
        if price is not None:
            self.liquidations[symbol] = Liquidation(price, position.quantity > 0, float(price))

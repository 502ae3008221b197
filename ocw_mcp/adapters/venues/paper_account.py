"""The paper venue's account: its money, its positions, what is isolated for them, and the funding it pays and gets."""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

import msgspec

from ocw_mcp.adapters.venues.instruments import PaperInstruments
from ocw_mcp.adapters.venues.paper_funding import NEVER, Due, FundingStamps, FundingState
from ocw_mcp.core.matching.funding import assumed_payment, payment
from ocw_mcp.core.orders.ledger import Ledger, LedgerState, Position
from ocw_mcp.domain.margin import bankruptcy_price
from ocw_mcp.domain.market import Funding, Instrument, Product
from ocw_mcp.domain.money import ZERO, ceil_to, exact, floor_to
from ocw_mcp.domain.orders import Filled, FundingPaid, Order, OutsideCause, OutsideFill, Side


class PaperAccountState(msgspec.Struct):
    """An account, to be restored."""

    ledger: LedgerState
    instruments: PaperInstruments
    last: dict[str, float]
    funding: FundingState


class Liquidation(msgspec.Struct, frozen=True):
    """Where a position is taken over: its liquidation price (quote), and whether the price has to fall to it."""

    price: Decimal
    falls: bool
    near: float
    """The price, near enough to see at a glance that nothing has come to it."""

    def reached(self, low: float, high: float) -> bool:
        """Whether a range of prices came to it."""
        return low <= self.near if self.falls else high >= self.near

    def before(self, trigger: Decimal) -> bool:
        """Whether the price comes to it no later than to a stop's trigger."""
        return trigger <= self.price if self.falls else trigger >= self.price


class PaperAccount:
    """One account of one product."""

    def __init__(self, product: Product, wallet: Decimal) -> None:
        self.product = product
        self.ledger = Ledger(wallet)
        self.filters = PaperInstruments(product)
        """Of each symbol: tick, step and the smallest order."""
        self.last: dict[str, float] = {}
        """Each symbol's last price, which is its mark, too."""
        self._stamps = FundingStamps()
        self.liquidations: dict[str, Liquidation] = {}
        """Of each position that a price could take away."""

    def instrument(self, symbol: str, price: float) -> Instrument:
        """The filters of a symbol as they are now; `price` counts as its first where the market has shown none yet."""
        return self.filters.get(symbol, price)

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """The filters of every symbol that was asked for, as they are now."""
        return self.filters.filters

    def leverage(self, order: Order) -> int:
        """At which an order opens: an open position has its own, whatever the order says. Spot has none."""
        position = self.ledger.positions.get(order.symbol)
        return position.leverage if position else 1 if self.product is Product.SPOT else order.leverage

    def book(self, order: Order, fill: Filled) -> None:
        """Book what an order traded."""
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
        self._look_at_margin(order.symbol)

    def bankruptcy(self, symbol: str) -> Decimal:
        """The price (quote) at which a position's margin is all gone, on the tick before it."""
        position = self.ledger.positions[symbol]
        price = bankruptcy_price(position.quantity, position.cost, position.margin)
        tick = self.instruments[symbol].tick
        return ceil_to(price, tick) if position.quantity > 0 else floor_to(price, tick)

    def liquidate(self, symbol: str, fill_id: str, at: int) -> OutsideFill:
        """Have a position taken over: its margin is gone, but for what the tick leaves of it.

        The fee is 0, since the exchange takes its own from the margin.
        """
        held, price = self.ledger.quantity(symbol), self.bankruptcy(symbol)
        side, quantity = Side.SELL if held > 0 else Side.BUY, abs(held)
        self.ledger.book(symbol, side, quantity, price, ZERO, at)
        self._look_at_margin(symbol)
        return OutsideFill(fill_id, symbol, side, quantity, price, ZERO, at, OutsideCause.LIQUIDATION)

    def close_out(self, symbol: str, quantity: Decimal, fee_share: Decimal, at: int) -> OutsideFill:
        """Close so much of a position (signed) at its last price, for a fee as a share of its value."""
        side, price, size = Side.SELL if quantity > 0 else Side.BUY, exact(self.last[symbol]), abs(quantity)
        fee = size * price * fee_share
        self.ledger.book(symbol, side, size, price, fee, at)
        self._look_at_margin(symbol)
        return OutsideFill(f"paper-end-{at}", symbol, side, size, price, fee, at, OutsideCause.ENDED)

    @property
    def next_funding(self) -> int:
        """The next stamp (ms) that may have to be settled; NEVER on spot."""
        return NEVER if self.product is Product.SPOT else self._stamps.state().next

    def opens(self, symbol: str, at: int) -> None:
        """Note what is held before an opening at `at` (ms) trades: a funding stamp of this hour is settled on it."""
        if self.product is not Product.SPOT:
            self._stamps.opens(symbol, at, self.ledger.quantity(symbol), self.last.get(symbol))

    def settle_funding(
        self, until: int, told: Sequence[Funding], symbols: Collection[str] | None = None
    ) -> list[FundingPaid]:
        """Settle the stamps up to `until` (ms) of some symbols, or of all, with the rates `told` or an assumed one.

        Rates of other symbols are kept until theirs are settled.
        """
        if self.product is Product.SPOT:
            return []
        stamps, reports = self._stamps, list[FundingPaid]()
        stamps.learn(told, self.ledger.positions)
        for symbol in sorted(self.ledger.positions.keys() | stamps.state().known.keys()):
            if symbols is None or symbol in symbols:
                for due in stamps.due(symbol, until, held=symbol in self.ledger.positions):
                    reports += self._fund(symbol, due)
        stamps.wait_for(self.ledger.positions, until)
        return reports

    def state(self) -> PaperAccountState:
        """All of the account."""
        return PaperAccountState(self.ledger.state(), self.filters, self.last, self._stamps.state())

    def restore(self, state: PaperAccountState) -> None:
        """Put back what `state` gave."""
        self.ledger.restore(state.ledger)
        self.filters = state.instruments
        self.last = state.last
        self._stamps.restore(state.funding)
        self.liquidations = {}
        for symbol in self.ledger.positions:
            self._look_at_margin(symbol)

    def _fund(self, symbol: str, due: Due) -> list[FundingPaid]:
        if due.held is not None:
            held, mark = due.held.quantity, due.held.mark
        else:
            held, mark = self.ledger.quantity(symbol), exact(self.last[symbol])
        if not held:
            return []
        amount = assumed_payment(held, mark) if due.assumed else payment(held, mark, due.rate)
        self.ledger.fund(symbol, amount)
        self._look_at_margin(symbol)
        return [FundingPaid(symbol, amount, due.rate, held, mark, due.at, due.assumed)]

    def _look_at_margin(self, symbol: str) -> None:
        """A position or its margin changed, and with it where it is liquidated."""
        self.liquidations.pop(symbol, None)
        position = self.ledger.positions.get(symbol)
        price = None if position is None else self._liquidation_price(position)
        if position is not None and price is not None:
            self.liquidations[symbol] = Liquidation(price, position.quantity > 0, float(price))

    def _liquidation_price(self, position: Position) -> Decimal | None:
        brackets = self.instruments[position.symbol].brackets
        if brackets is None:
            return None
        return brackets.liquidation_price(position.quantity, position.cost, position.margin)

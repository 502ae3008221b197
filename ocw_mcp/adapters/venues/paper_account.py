"""The paper venue's account: wallet, positions, isolated margin, liquidation prices and funding."""

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.adapters.venues.instruments import PaperInstruments
from ocw_mcp.adapters.venues.paper_funding import RATE_WAIT_MS, FundingTimes, HeldQuantity
from ocw_mcp.core.matching.funding import ASSUMED_RATE, assumed_payment, payment
from ocw_mcp.core.orders.ledger import Ledger
from ocw_mcp.domain.margin import bankruptcy_price
from ocw_mcp.domain.market import Funding, Instrument, Mark, Product
from ocw_mcp.domain.money import ZERO, ceil_to, exact, floor_to
from ocw_mcp.domain.orders import Filled, FundingPaid, Order, OutsideCause, OutsideFill, Side

NEVER: Final = 1 << 62


class PaperAccountState(msgspec.Struct):
    """The saved state of an account."""

    ledger: Ledger
    instruments: PaperInstruments
    last: dict[str, float]
    funding: FundingTimes
    marks: dict[str, float] = {}


class Liquidation(msgspec.Struct, frozen=True):
    """The liquidation price of a position (quote), also as a float (`near`), and whether the market must fall to it."""

    price: Decimal
    falls: bool
    near: float

    def reached(self, low: float, high: float) -> bool:
        """Return whether a range of prices includes the liquidation price, or lies beyond it."""
        return low <= self.near if self.falls else high >= self.near

    def before(self, trigger: Decimal) -> bool:
        """Return whether the price reaches the liquidation price no later than a stop's trigger."""
        return trigger <= self.price if self.falls else trigger >= self.price


class PaperAccount:
    """One account, for spot or for futures."""

    def __init__(self, product: Product, wallet: Decimal, *, live: bool = False) -> None:
        self.product = product
        self._rate_wait_ms = RATE_WAIT_MS if live else 0
        self.ledger = Ledger(wallet)
        self.instruments = PaperInstruments(product)
        self.last: dict[str, float] = {}
        """Each symbol's last price, which is also its mark price without another one."""
        self.marks: dict[str, float] = {}
        """Each symbol's mark price on a live market."""
        self._funding = FundingTimes()
        self.known_until: Callable[[str, int], int] = lambda symbol, now: now
        """Returns the time (ms), up to a given one, until which a symbol's position is known; later than `now` never.

        On a live market, an order may have filled in a time without prices, which only a later candle shows.
        """
        self.liquidations: dict[str, Liquidation] = {}
        """The liquidation of each position that can be liquidated, by symbol."""

    def last_price(self, symbol: str) -> Decimal | None:
        """Return a symbol's last price (quote), or None before the first."""
        seen = self.last.get(symbol)
        return None if seen is None else exact(seen)

    def leverage(self, order: Order) -> int:
        """Return the leverage at which an order opens: that of an open position, else the order's; 1 on spot."""
        position = self.ledger.positions.get(order.symbol)
        return position.leverage if position else 1 if self.product is Product.SPOT else order.leverage

    def book(self, order: Order, fill: Filled) -> None:
        """Book a fill of an order."""
        traded = (order.symbol, order.side, fill.quantity, fill.price, fill.fee, fill.traded_at)
        self.ledger.book(*traded, leverage=self.leverage(order), base_fee=fill.base_fee)
        self._update_liquidation(order.symbol)

    def bankruptcy(self, symbol: str) -> Decimal:
        """Return the price (quote) at which a position's margin is used up, rounded to the tick reached first."""
        position = self.ledger.positions[symbol]
        price = bankruptcy_price(position.quantity, position.cost, position.margin)
        tick = self.instruments.filters[symbol].tick
        return ceil_to(price, tick) if position.quantity > 0 else floor_to(price, tick)

    def liquidate(self, symbol: str, fill_id: str, at: int) -> OutsideFill:
        """Close a position at its bankruptcy price: its margin, which includes the fee of the exchange, is lost."""
        held, price = self.ledger.quantity(symbol), self.bankruptcy(symbol)
        return self._close(symbol, held, price, ZERO, fill_id, at, OutsideCause.LIQUIDATION)

    def close_out(self, symbol: str, quantity: Decimal, fee_share: Decimal, at: int) -> OutsideFill:
        """Close a signed quantity of a position at its last price; the fee is `fee_share` of its value."""
        price = exact(self.last[symbol])
        fee = abs(quantity) * price * fee_share
        return self._close(symbol, quantity, price, fee, f"paper-end-{at}", at, OutsideCause.ENDED)

    @property
    def next_funding(self) -> int:
        """The next funding time (ms) that may have to be settled; NEVER on spot."""
        return NEVER if self.product is Product.SPOT else self._funding.next

    def note_position(self, symbol: str, at: int) -> None:
        """Record the position just before the opening at `at` (ms), on which funding of this hour is settled."""
        if self.product is not Product.SPOT:
            self._funding.note_position(symbol, at, self.ledger.quantity(symbol), self.last.get(symbol))

    def take_mark(self, mark: Mark, now: int) -> None:
        """Record a mark price of a live market, and the funding that it names."""
        # The exchange names its next funding time by its own clock, which may be ahead of ours.
        consistent = mark.next_funding_at is not None and mark.at < mark.next_funding_at
        self.pass_time(mark.symbol, max(now, mark.at) if consistent else now)
        self.marks[mark.symbol] = mark.price
        self.last[mark.symbol] = mark.price if mark.last is None else mark.last
        if self.product is not Product.SPOT:
            self._funding.schedule(mark, self._rate_wait_ms)

    def pass_time(self, symbol: str, now: int) -> None:
        """Record the position at a funding time of a live market that is over at `now` (ms)."""
        if self.product is not Product.SPOT:
            mark, known = self.marks.get(symbol, self.last.get(symbol)), self.known_until(symbol, now)
            self._funding.pass_time(symbol, now, known, self.ledger.quantity(symbol), mark)

    def set_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Use the exchange's filters of some symbols from now on. Raises ValueError for another product."""
        for instrument in instruments:
            self.instruments.set(instrument)
            if instrument.symbol in self.ledger.positions:
                self._update_liquidation(instrument.symbol)

    def settle_funding(
        self, until: int, rates: Sequence[Funding], symbols: Collection[str] | None = None
    ) -> list[FundingPaid]:
        """Settle the funding up to `until` (ms) of some symbols, or of all, at the known rates or an assumed one.

        A funding time a little after a whole hour is settled on the position at the hour; the mark price is the last
        price before the hour. Each funding time is settled once. Rates of symbols not in `symbols` are kept for later.

        On a live market, all symbols are settled: at the settled rate, or without one at the last rate of the mark
        prices before the funding time, and each on the position and the mark price at the funding time, once these are
        known.
        """
        if self.product is Product.SPOT:
            return []
        funding, positions, reports = self._funding, self.ledger.positions, list[FundingPaid]()
        wait, live = self._rate_wait_ms, self._rate_wait_ms > 0
        for symbol in list(funding.scheduled):
            self.pass_time(symbol, until)
        funding.add_rates(rates, positions)
        for symbol in sorted(positions.keys() | funding.known.keys() | funding.passed.keys()):
            if live or symbols is None or symbol in symbols:
                known = self.known_until(symbol, until)
                for due in funding.take_due(symbol, until, known, held=symbol in positions, wait=wait):
                    reports += self._fund(symbol, *due)
        funding.schedule_next(positions, until, wait)
        return reports

    def state(self) -> PaperAccountState:
        """Return the state to save."""
        return PaperAccountState(self.ledger, self.instruments, self.last, self._funding, self.marks)

    def restore(self, state: PaperAccountState) -> None:
        """Restore a saved state."""
        self.ledger = state.ledger
        self.instruments = state.instruments
        self.last = state.last
        self.marks = state.marks
        self._funding = state.funding
        self.liquidations = {}
        for symbol in self.ledger.positions:
            self._update_liquidation(symbol)

    def _close(
        self, symbol: str, quantity: Decimal, price: Decimal, fee: Decimal, fill_id: str, at: int, cause: OutsideCause
    ) -> OutsideFill:
        """Book the closing of a signed quantity without an order."""
        fill = (symbol, Side.SELL if quantity > 0 else Side.BUY, abs(quantity), price, fee, at)
        self.ledger.book(*fill)
        self._update_liquidation(symbol)
        return OutsideFill(fill_id, *fill, cause)

    def _fund(self, symbol: str, at: int, known: Decimal | None, noted: HeldQuantity | None) -> list[FundingPaid]:
        mark = self.marks.get(symbol, self.last[symbol])
        held = noted or HeldQuantity(at, self.ledger.quantity(symbol), exact(mark))
        if not held.quantity:
            return []
        if known is None:
            rate, amount = ASSUMED_RATE, assumed_payment(held.quantity, held.mark)
        else:
            rate, amount = known, payment(held.quantity, held.mark, known)
        self.ledger.fund(symbol, amount)
        self._update_liquidation(symbol)
        return [FundingPaid(symbol, amount, rate, held.quantity, held.mark, at, known is None)]

    def _update_liquidation(self, symbol: str) -> None:
        """Recompute the liquidation price after a position or its margin changed."""
        self.liquidations.pop(symbol, None)
        position = self.ledger.positions.get(symbol)
        if position is None or (brackets := self.instruments.filters[symbol].brackets) is None:
            return
        price = brackets.liquidation_price(position.quantity, position.cost, position.margin)
        if price is not None:
            self.liquidations[symbol] = Liquidation(price, position.quantity > 0, float(price))

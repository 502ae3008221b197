"""The paper venue: an exchange in this process, trading against the frames of the feed.

It keeps an account of its own and believes nobody: reduce-only is cut down to the position it knows, what its money
cannot carry is rejected, and a position whose margin is used up is liquidated. Fills are `core.matching`'s.
"""

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.adapters.venues.instruments import FOLLOWED_BELOW
from ocw_mcp.adapters.venues.paper_account import PaperAccount, PaperAccountState
from ocw_mcp.adapters.venues.paper_filters import filtered
from ocw_mcp.adapters.venues.paper_margin import too_large, unaffordable
from ocw_mcp.adapters.venues.paper_matching import PaperMatching
from ocw_mcp.adapters.venues.paper_orders import (
    NO_IMMEDIATE,
    NO_OCO,
    OCO_PRICES,
    STOP_CROSSED,
    WOULD_TAKE,
    PaperOrders,
    Refused,
    Resting,
)
from ocw_mcp.adapters.venues.paper_trading import PaperMarketState
from ocw_mcp.core.matching.on_candles import TERMS, FillTerms, falls_to, passed, would_take
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.market import Candle, Funding, Instrument, Opening, OrderBook, Product
from ocw_mcp.domain.money import ZERO, exact
from ocw_mcp.domain.orders import Accepted, Canceled, Order, OrderRef, OrderType, Rejected, Side, VenueReport

_BEFORE_KEPT: Final = 16
"""So many stops one after the other within a candle are remembered."""
STATE_FORMAT: Final = 3
"""Changes with what is saved, and with what it means."""


class PaperState(msgspec.Struct):
    """The venue, to be restored."""

    format: int
    counter: int
    account: PaperAccountState
    orders: PaperOrders
    market: PaperMarketState


def read_state(state: bytes) -> PaperState:
    """Return a saved venue. Raises ValueError, msgspec's own among them, for one that another version saved."""
    saved = msgspec.msgpack.decode(state, type=PaperState)
    if saved.format != STATE_FORMAT:
        raise ValueError(f"the paper venue's has format {saved.format}, expected {STATE_FORMAT}")
    return saved


class PaperVenue:
    """One paper account; an entry at the market waits `patience_ms` at most for a price to be filled at."""

    name = "paper"

    def __init__(
        self,
        product: Product,
        wallet: Decimal,
        patience_ms: int,
        terms: FillTerms | None = None,
    ) -> None:
        self.product = product
        self.terms = terms or TERMS[product]
        self.account = PaperAccount(product, wallet)
        self.next_funding = self.account.next_funding
        """The next stamp (ms) that may have to be settled. Asked for at every frame."""
        self._followed_below = FOLLOWED_BELOW[product]
        self._counter = 0
        self._gone: tuple[Resting, int] | None = None
        """The last order that was taken off, and when (ms)."""
        self._orders = PaperOrders()
        self._matching = PaperMatching(self.account, self._orders, self.terms, patience_ms)

    def instrument(self, symbol: str, price: float) -> Instrument:
        """The filters of a symbol as they are now; `price` counts as its first where the market has shown none yet."""
        return self.account.instrument(symbol, price)

    @property
    def pays_funding(self) -> bool:
        """Whether any position is held on which funding is settled."""
        return self.product is not Product.SPOT and bool(self.account.ledger.positions)

    @property
    def orders(self) -> list[Order]:
        """All that has not traded or gone: market orders, limits, then conditional ones."""
        return [each.order for each in self._orders]

    async def submit(self, cleared: ClearedOrder, now: int) -> Sequence[VenueReport]:
        """Take an order: a market or immediate one waits for the next opening, a limit and a conditional one rest.

        One whose name is there already is not taken again. The answer is the order that is there, and no rejection,
        which would say that there is none.
        """
        order = cleared.redeem(now)
        there = self._orders.find(order.ref)
        if there is not None:
            return [Accepted(order.ref, there.venue_order_id)]
        resting = Resting(order, f"paper-{self._counter + 1}", now, now + self.terms.latency_ms)
        refused = self._malformed(order)
        if refused is not None:
            return [refused]
        refused = self._refusal(order)
        if refused is not None:
            return [refused]
        self._counter += 1
        self._rest(resting)
        return [Accepted(order.ref, resting.venue_order_id)]

    async def cancel(self, ref: OrderRef, now: int) -> Sequence[VenueReport]:
        """Take an order off; an order that is not there any more answers nothing."""
        there = self._orders.find(ref)
        if there is None:
            return []
        self._orders.forget(there)
        self._gone = there, now
        return [Canceled(ref, "on request")]

    def settle_funding(
        self, until: int, told: Sequence[Funding] = (), symbols: Collection[str] | None = None
    ) -> Sequence[VenueReport]:
        """Settle the stamps up to `until` (ms) of some symbols, or of all, with the rates `told` or an assumed one.

        A stamp a little after a whole hour settles what was held at the hour. The mark is the last price before it.
        Each stamp is settled once. Rates of other symbols are kept until theirs are settled. Spot has no funding.
        """
        reports = self.account.settle_funding(until, told, symbols)
        self.next_funding = self.account.next_funding
        return reports

    def on_books(self, books: Sequence[OrderBook]) -> None:
        """Note the best prices of this moment: half of what lies between them is what a taker pays."""
        self._matching.trading.on_books(books)

    def on_opening(self, opening: Opening, now: int) -> Sequence[VenueReport]:
        """Liquidate, fill what waited for a price, then trigger what the opening has passed."""
        below = self._followed_below.get(opening.symbol)
        if below is None or opening.price < below:
            self.account.filters.take(opening.symbol, opening.price)
        return self._matching.on_opening(opening)

    def fill_reductions(self, now: int) -> Sequence[VenueReport]:
        """Trade the reductions that wait for a price, where the last price is of this very moment (ms)."""
        return self._matching.fill_reductions(now)

    def on_candle(self, candle: Candle, now: int) -> Iterable[VenueReport]:
        """Fill, trigger and liquidate on the price's way through the candle.

        The way goes on only as the reports are taken: what is sent or cancelled between two counts for the rest of it.
        """
        return self._matching.on_candle(candle, now)

    def close_out(self, symbol: str, quantity: Decimal, now: int) -> Sequence[VenueReport]:
        """Close so much of a position at its last price, as a taker: no price of it comes any more."""
        return [self.account.close_out(symbol, quantity, self.terms.taker_fee, now)]

    def state(self) -> bytes:
        """All of the venue."""
        return msgspec.msgpack.encode(
            PaperState(
                STATE_FORMAT, self._counter, self.account.state(), self._orders.state(), self._matching.trading.state()
            )
        )

    def restore(self, state: bytes) -> None:
        """Put back what `state` gave.

        Raises ValueError, msgspec's own among them, for a state that another version gave.
        """
        saved = read_state(state)
        self._counter = saved.counter
        self.account.restore(saved.account)
        self.next_funding = self.account.next_funding
        self._orders.restore(saved.orders)
        self._matching.trading.restore(saved.market)

    def _rest(self, resting: Resting) -> None:
        order = resting.order
        if order.trigger_price is not None:
            resting.trigger, resting.falls = float(order.trigger_price), falls_to(order)
            resting.take = None if order.take_at is None else float(order.take_at)
            resting.before = self._replaced(resting)
            self._orders.conditional.append(resting)
            self._matching.laid(resting)
        elif order.limit_price is not None and not order.immediate:
            resting.trigger, resting.falls = float(order.limit_price), order.side is Side.BUY
            last = self._last(order.symbol)
            resting.takes = last is not None and would_take(order, last)
            self._orders.limits.append(resting)
            self._matching.laid(resting)
        else:
            self._orders.waiting.append(resting)

    def _replaced(self, stop: Resting) -> tuple[tuple[Decimal, int], ...]:
        """Return what a stop has to know of a looser one that is there, or that went at this very moment for it."""
        gone = [self._gone[0]] if self._gone is not None and self._gone[1] == stop.since else []
        order, trigger = stop.order, stop.order.trigger_price
        assert trigger is not None
        for each in [*reversed(self._orders.conditional), *gone]:
            known, looser = each.order, each.order.trigger_price
            same = (known.symbol, known.side, known.type) == (order.symbol, order.side, OrderType.STOP_MARKET)
            if same and order.type is known.type and looser is not None and passed(order, looser):
                return (*each.before, (looser, each.since))[-_BEFORE_KEPT:]
        return ()

    def _malformed(self, order: Order) -> Rejected | None:
        """What the exchange would not take at any price: an order off its filters, or an OCO where there is none."""
        if order.take_at is not None and (self.product is not Product.SPOT or order.type is not OrderType.STOP_MARKET):
            return Rejected(order.ref, *NO_OCO)
        if order.immediate and (order.type is not OrderType.LIMIT or order.post_only):
            return Rejected(order.ref, *NO_IMMEDIATE)
        last = self._last(order.symbol)
        price = last or order.limit_price or order.trigger_price
        if order.symbol not in self.account.instruments and price is None:
            return None
        return filtered(order, self.instrument(order.symbol, float(price or 0)), last)

    def _refusal(self, order: Order) -> Rejected | None:
        refused = self._refused_at(order, self._last(order.symbol))
        return None if refused is None else Rejected(order.ref, *refused)

    def _refused_at(self, order: Order, last: Decimal | None) -> Refused | None:
        if order.trigger_price is not None and last is not None:
            if passed(order, last):
                return STOP_CROSSED
            if order.take_at is not None and would_take(order, last):
                return OCO_PRICES
        if order.post_only and last is not None and would_take(order, last):
            return WOULD_TAKE[self.product]
        price = order.limit_price or last or order.trigger_price
        if price is None:
            return None
        fee = ZERO if self.product is Product.SPOT else order.quantity * price * self.terms.taker_fee
        return too_large(order, order.quantity, price, self.account, self._orders) or unaffordable(
            order, order.quantity, price, fee, self.account, self._orders
        )

    def _last(self, symbol: str) -> Decimal | None:
        seen = self.account.last.get(symbol)
        return None if seen is None else exact(seen)

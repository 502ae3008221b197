"""Trades the paper venue's orders at openings and on a candle's path, by the rules of `core.matching`."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

import msgspec

from ocw_mcp.adapters.venues.paper_account import Liquidation, PaperAccount
from ocw_mcp.adapters.venues.paper_orders import (
    LIMIT,
    LIQUIDATION,
    STOP,
    TARGET,
    PaperOrders,
    PriceHit,
    Resting,
    leverage_refusal,
    money_refusal,
    nearness,
    reachable,
)
from ocw_mcp.core.matching.on_candles import (
    CandlePath,
    FillTerms,
    PathSegment,
    beyond_limit,
    expected_move,
    fillable_volume,
    half_spread,
    largest_within,
    limit_of,
    passed,
    slippage,
    volume_shares,
    worsened,
    would_take,
)
from ocw_mcp.domain.market import Candle, Opening, OrderBook, Product
from ocw_mcp.domain.money import ZERO, exact, plain
from ocw_mcp.domain.orders import Canceled, Filled, OrderType, Rejected, Side, VenueReport
from ocw_mcp.domain.time import HOUR, MINUTE

QUOTE_MAX_AGE_MS = MINUTE
"""The age (ms) up to which the spread of the best prices counts."""
_WORSE = {Side.BUY: "cost more than", Side.SELL: "bring less than"}


class PaperMarketState(msgspec.Struct):
    """The saved state of the market."""

    closed: dict[str, Candle] = {}
    """Each symbol's last closed candle."""
    books: dict[str, OrderBook] = {}
    liquidations: int = 0


class PaperMatching:
    """Matches the orders of one account. A market entry waits at most `patience_ms` for a candle to open."""

    def __init__(self, account: PaperAccount, orders: PaperOrders, terms: FillTerms, patience_ms: int) -> None:
        self.account = account
        self.orders = orders
        self.terms = terms
        self.market = PaperMarketState()
        self._patience_ms = patience_ms
        self._noted_until = dict[str, int]()
        self._path: CandlePath | None = None
        """The path of the candle that is being matched."""

    def on_placed(self, resting: Resting) -> None:
        """Record that an order is placed: it takes part in the rest of the current candle's path, if there is one."""
        if self._path is not None and self._path.candle.symbol == resting.order.symbol:
            self._path.laid.add(resting.order.ref)

    def on_opening(self, opening: Opening) -> Sequence[VenueReport]:
        """Liquidate, fill waiting orders, then resting orders whose price the opening has passed, nearest first."""
        symbol, orders = opening.symbol, self.orders
        seen = opening.price
        if opening.at >= self._noted_until.get(symbol, 0):
            # Every opening comes here, and the position is noted once an hour.
            self._noted_until[symbol] = (opening.at // HOUR + 1) * HOUR
            self.account.note_position(symbol, opening.at)
        self.account.last[symbol] = seen
        gone = self._liquidation(symbol, seen, seen) if self.account.liquidations else None
        if not (orders.waiting or orders.limits or gone) and not (
            orders.conditional and reachable(orders.conditional, symbol, seen, seen)
        ):
            return ()
        reports = self._liquidate(symbol, opening.at) if gone else []
        price = exact(seen)
        for resting in [each for each in orders.waiting if each.order.symbol == symbol]:
            reports += self._waiting_at(resting, opening, price)
        limits = [each for each in orders.limits if each.order.symbol == symbol]
        for resting in sorted(reachable(orders.conditional, symbol, seen, seen) + limits, key=nearness):
            if self.orders.find(resting.order.ref) is resting:
                reports += self._resting_at(resting, opening, price)
        return reports

    def fill_reductions(self, now: int) -> list[VenueReport]:
        """Fill waiting reduce-only orders at the last price, if the candle that closed at `now` (ms) is the latest.

        On a market in real time, the next opening is up to one candle away: too late for a position that is
        closed by hand. A quantity beyond the volume share of one fill trades at the next opening.
        """
        reports: list[VenueReport] = []
        for resting in [each for each in self.orders.waiting if each.order.reduce_only]:
            symbol = resting.order.symbol
            closed = self.market.closed.get(symbol)
            if closed is None or closed.close_time != now or self.terms.latency_ms > closed.interval:
                continue
            reports += self._fill_as_taker(resting, exact(self.account.last[symbol]), now, within_volume=True)
        return reports

    def on_candle(self, candle: Candle, now: int) -> Iterable[VenueReport]:
        """Yield the reports of a candle, one by one along its path; see `PaperVenue.on_candle`."""
        symbol, orders = candle.symbol, self.orders
        self.account.last[symbol] = candle.close
        self.market.closed[symbol] = candle
        if not (orders.conditional or orders.limits or self.account.liquidations):
            return ()
        low, high = candle.low, candle.high
        reached = reachable(orders.conditional, symbol, low, high)
        if orders.limits:
            reached += reachable(orders.limits, symbol, low, high)
        gone = self._liquidation(symbol, low, high)
        return self._walk(candle, now, self._down_first(candle, reached, gone)) if reached or gone else ()

    def _walk(self, candle: Candle, now: int, down_first: bool) -> Iterator[VenueReport]:
        symbol = candle.symbol
        path = self._path = CandlePath(candle, down_first=down_first)
        for leg in path.segments():
            while (hit := self._next(path, leg)) is not None:
                path.price = leg.moved(path.price, hit.price)
                self.account.last[symbol] = float(path.price)
                yield from self._execute(hit, path, now)
        self.account.last[symbol] = candle.close
        for resting in self._came_late(path):
            path.met.add(resting.order.ref)
            if self.orders.find(resting.order.ref) is not resting:
                continue
            if resting.order.trigger_price is not None:
                yield from self._conditional_at(resting, path.price, now)
            elif beyond_limit(resting.order, path.price):
                yield from self._fill_as_maker(resting, now)
        self._path = None

    def _down_first(self, candle: Candle, reached: list[Resting], gone: Liquidation | None) -> bool:
        """Return whether the price is assumed to reach the low before the high: the worse path for the account.

        The stop or the liquidation of a position comes before its target, and the target before an addition. Without a
        position, the side on which the price passes an entry by more comes first, after a side without entries.
        """
        held = self.account.ledger.quantity(candle.symbol)
        if held:
            stops = [
                (each, each.trigger if each.since <= candle.open_time else each.earlier_trigger(candle.open_time))
                for each in reached
                if each.order.type is OrderType.STOP_MARKET and each.order.side.sign * held < 0
            ]
            stopped = any(
                at is not None and (candle.low <= at if each.falls else candle.high >= at) for each, at in stops
            )
            return (held > 0) == (stopped or gone is not None)
        limits = [each for each in reached if each.order.trigger_price is None]
        below = max((each.trigger - candle.low for each in limits if each.order.side is Side.BUY), default=None)
        above = max((candle.high - each.trigger for each in limits if each.order.side is Side.SELL), default=None)
        return below is None or (above is not None and below >= above)

    def _next(self, path: CandlePath, leg: PathSegment) -> PriceHit | None:
        """Return the next price hit on a segment of the candle's path; None if there is none up to its end."""
        symbol, low, high = path.candle.symbol, float(min(path.price, leg.end)), float(max(path.price, leg.end))
        gone = self._threat(symbol)
        if gone is not None and not (gone.falls == leg.falls and gone.reached(low, high)):
            gone = None
        found = [] if gone is None else [PriceHit(gone.price, LIQUIDATION)]
        for resting in reachable(self.orders.conditional, symbol, low, high):
            hit = self._conditional_on(resting, path, leg, gone)
            if hit is not None:
                found.append(hit)
        for resting in reachable(self.orders.limits, symbol, low, high):
            ref, limit = resting.order.ref, limit_of(resting.order)
            if ref in path.met or resting.takes or resting.falls != leg.falls or not path.knows(ref, resting.since):
                continue
            if leg.goes_beyond(limit, path.price):
                found.append(PriceHit(limit, LIMIT, resting))
        return min(found, key=lambda each: (leg.nearness(each.price), each.rank), default=None)

    def _conditional_on(
        self, resting: Resting, path: CandlePath, leg: PathSegment, gone: Liquidation | None
    ) -> PriceHit | None:
        order = resting.order
        assert order.trigger_price is not None
        if order.ref in path.met:
            return None
        is_stop = order.type is OrderType.STOP_MARKET
        if not path.knows(order.ref, resting.since):
            earlier = resting.earlier_trigger(path.candle.open_time)
            if earlier is not None and resting.falls == leg.falls and leg.reaches(earlier):
                # The order replaced a looser stop within the candle, so the price passed one of the two triggers.
                return PriceHit(earlier, STOP, resting)
            # A stop that came within the candle trades if the price must have passed it before the liquidation.
            if gone is None or not is_stop or resting.falls != leg.falls or gone.before(order.trigger_price):
                return None
            return PriceHit(order.trigger_price, STOP, resting)
        if resting.falls == leg.falls:
            reached = leg.reaches(order.trigger_price)
            return PriceHit(order.trigger_price, STOP if is_stop else TARGET, resting) if reached else None
        if order.take_at is not None and leg.goes_beyond(order.take_at, path.price):
            return PriceHit(order.take_at, LIMIT, resting)
        return None

    def _execute(self, hit: PriceHit, path: CandlePath, now: int) -> list[VenueReport]:
        resting = hit.resting
        if resting is None:
            return self._liquidate(path.candle.symbol, now)
        order = resting.order
        path.met.add(order.ref)
        if order.trigger_price is None:
            return self._fill_as_maker(resting, now)
        if hit.rank == LIMIT:
            return self._fill_take_profit(resting, now)
        return self._fill_as_taker(resting, hit.price, now)

    def _came_late(self, path: CandlePath) -> list[Resting]:
        """Return the orders that were sent while the candle was open and whose price its close has passed."""
        candle, resting = path.candle, self.orders.conditional + self.orders.limits
        return [
            each
            for each in reachable(resting, candle.symbol, candle.close, candle.close)
            if each.order.ref not in path.met and not each.takes and not path.knows(each.order.ref, each.since)
        ]

    def _conditional_at(self, resting: Resting, price: Decimal, at: int) -> list[VenueReport]:
        """Fill a conditional order whose trigger or take-profit price is passed at `price` (quote)."""
        order = resting.order
        if passed(order, price):
            return self._fill_as_taker(resting, price, at)
        takes_profit = order.take_at is not None and beyond_limit(order, price)
        return self._fill_take_profit(resting, at) if takes_profit else []

    def _waiting_at(self, resting: Resting, opening: Opening, price: Decimal) -> list[VenueReport]:
        order = resting.order
        if not order.reduce_only and opening.at - resting.since > self._patience_ms:
            return self._cancel(resting, "no price came while it waited")
        if self._is_in_transit(resting, opening):
            return []
        if order.immediate:
            return self._fill_immediate(resting, price, opening.at)
        return self._fill_as_taker(resting, price, opening.at, within_volume=True)

    def _resting_at(self, resting: Resting, opening: Opening, price: Decimal) -> list[VenueReport]:
        order = resting.order
        if order.trigger_price is not None:
            return self._conditional_at(resting, price, opening.at)
        if self._is_in_transit(resting, opening):
            return []
        takes, resting.takes = resting.takes or resting.arrives > opening.at, False
        if not beyond_limit(order, price):
            return []
        if takes and order.post_only:
            return self._cancel(resting, "post-only, and it would have taken when it arrived")
        if takes:
            return self._fill_as_taker(resting, price, opening.at, within_volume=True)
        return self._fill_as_maker(resting, opening.at)

    def _is_in_transit(self, resting: Resting, opening: Opening) -> bool:
        """Return whether the latency is longer than a candle, and the order arrives only after the opening."""
        closed = self.market.closed.get(opening.symbol)
        return resting.arrives > opening.at and closed is not None and self.terms.latency_ms > closed.interval

    def _fill_as_taker(
        self, resting: Resting, price: Decimal, at: int, *, within_volume: bool = False
    ) -> list[VenueReport]:
        """Fill at `price` (quote) plus the cost of taking; if `within_volume`, at most the volume share."""
        order = resting.order
        quantity = self._fillable(resting)
        if not quantity:
            return self._cancel(resting, "reduce-only, and there is no position to reduce")
        if within_volume:
            quantity = self._within_volume(order.symbol, price, quantity)
        if order.limit_price is not None:
            step = self.account.instruments.get(order.symbol, float(price)).step
            quantity = largest_within(
                lambda part: would_take(order, self._taker_price(resting, part, price, at)), quantity, step
            )
        reports = self._fill(resting, quantity, self._taker_price(resting, quantity, price, at), at)
        if order.reduce_only and resting.remaining and not self.account.ledger.quantity(order.symbol):
            reports += self._cancel(resting, "reduce-only, and nothing is left to reduce")
        return reports

    def _fill_immediate(self, resting: Resting, price: Decimal, at: int) -> list[VenueReport]:
        """Fill an immediate-or-cancel order as far as its limit allows; the rest is cancelled."""
        order = resting.order
        reports = self._fill_as_taker(resting, price, at)
        if resting.remaining and self.orders.find(order.ref) is resting:
            reports += self._cancel_rest(resting, price)
        return reports

    def _cancel_rest(self, resting: Resting, price: Decimal) -> list[VenueReport]:
        """Cancel the rest of an immediate-or-cancel order, which its limit does not allow at `price` (quote)."""
        order = resting.order
        why = f"{plain(resting.remaining)} would {_WORSE[order.side]} its limit of {plain(limit_of(order))}"
        return self._cancel(resting, f"immediate or cancel: at {plain(price)}, {why}")

    def _fill_as_maker(self, resting: Resting, at: int) -> list[VenueReport]:
        """Fill a resting limit order at its own price, up to a share of the volume."""
        limit = limit_of(resting.order)
        quantity = self._within_volume(resting.order.symbol, limit, self._fillable(resting))
        return self._fill(resting, quantity, limit, at, maker=True)

    def _fill_take_profit(self, resting: Resting, at: int) -> list[VenueReport]:
        """Fill the take-profit side of an OCO whole, at its own price."""
        return self._fill(resting, resting.remaining, limit_of(resting.order), at, maker=True)

    def _liquidation(self, symbol: str, low: float, high: float) -> Liquidation | None:
        """Return the liquidation of a position if a range of prices reached it."""
        there = self.account.liquidations.get(symbol)
        return there if there is not None and there.reached(low, high) else None

    def _threat(self, symbol: str) -> Liquidation | None:
        """Return the liquidation of a position that the rest of a candle's path may reach."""
        return self.account.liquidations.get(symbol)

    def _liquidate(self, symbol: str, at: int) -> list[VenueReport]:
        """Liquidate a position, and cancel its reduce-only orders."""
        self.market.liquidations += 1
        reports: list[VenueReport] = [self.account.liquidate(symbol, f"liquidation-{self.market.liquidations}", at)]
        for resting in [each for each in self.orders if each.order.symbol == symbol and each.order.reduce_only]:
            reports += self._cancel(resting, "the position is gone")
        return reports

    def _cancel(self, resting: Resting, why: str) -> list[VenueReport]:
        self.orders.remove(resting)
        return [Canceled(resting.order.ref, f"expired: {why}", resting.filled)]

    def _within_volume(self, symbol: str, price: Decimal, quantity: Decimal) -> Decimal:
        """Return the part of a quantity (base asset) that one fill can trade; all of it before the first candle."""
        step = self.account.instruments.get(symbol, float(price)).step
        share = fillable_volume(self.market.closed.get(symbol), step, self.terms)
        return quantity if share is None else min(quantity, share)

    def _taker_price(self, resting: Resting, quantity: Decimal, price: Decimal, at: int) -> Decimal:
        """Return the price (quote) of taking a quantity: with half the spread, slippage and the latency's move."""
        order = resting.order
        closed = self.market.closed.get(order.symbol)
        instrument = self.account.instruments.get(order.symbol, float(price))
        shares = volume_shares(resting.filled + quantity, closed, instrument.step, self.terms)
        late = expected_move(closed, resting.arrives - at) if order.trigger_price is None else ZERO
        book = self.market.books.get(order.symbol)
        spread = half_spread(book) if book is not None and at - book.at <= QUOTE_MAX_AGE_MS else None
        if spread is None:
            # Half of the usual spread, if there is one, is at least half a tick.
            usual = self.terms.half_spread
            spread = max(usual, instrument.tick / 2 / price) if usual else usual
        return worsened(order.side, price, instrument.tick, spread + slippage(self.terms, shares) + late)

    def _fill(
        self, resting: Resting, quantity: Decimal, paid: Decimal, at: int, *, maker: bool = False
    ) -> list[VenueReport]:
        if not quantity:
            return []
        order, spot = resting.order, self.account.product is Product.SPOT
        if not spot and self.account.ledger.quantity(order.symbol) * order.side.sign < 0:
            # Any order that closes a position, reduce-only or not, loses at most its margin.
            worst = self.account.bankruptcy(order.symbol)
            paid = max(paid, worst) if order.side is Side.SELL else min(paid, worst)
        rate = self.terms.maker_fee if maker else self.terms.taker_fee
        # On spot the fee of a purchase is deducted from the bought quantity.
        base_fee = quantity * rate if spot and order.side is Side.BUY else ZERO
        fee = (base_fee or quantity * rate) * paid
        refused = None
        others = [each for each in self.orders if each is not resting]
        if order.type is OrderType.MARKET or order.immediate:
            refused = leverage_refusal(order, quantity, paid, self.account, others)
        refused = refused or money_refusal(order, quantity, paid, ZERO if base_fee else fee, self.account, others)
        if refused is not None:
            expired = self._cancel(resting, f"the rest was refused: {refused[1]}")
            return expired if resting.fills else [Rejected(order.ref, *refused)]
        resting.filled += quantity
        resting.fills += 1
        resting.since = at
        fill_id = f"{resting.venue_order_id}-{resting.fills}"
        filled = Filled(order.ref, fill_id, quantity, paid, fee, at, maker, base_fee)
        self.account.book(order, filled)
        if not resting.remaining:
            self.orders.remove(resting)
        return [filled, *self.size_stops(order.symbol)]

    def size_stops(self, symbol: str) -> list[VenueReport]:
        """Adapt the stops that close a symbol's whole position to a changed position; end them with the position."""
        ending = self.orders.size_stops(symbol, self.account.ledger.quantity(symbol))
        return [report for each in ending for report in self._cancel(each, "its position has ended")]

    def _fillable(self, resting: Resting) -> Decimal:
        """Return the remaining quantity of an order; for a reduce-only order at most the position that it reduces."""
        order = resting.order
        if not order.reduce_only:
            return resting.remaining
        held = self.account.ledger.quantity(order.symbol)
        return min(resting.remaining, abs(held)) if held * order.side.sign < 0 else ZERO

"""Decides when the paper venue's orders trade: at openings, and on a candle's path, by the rules of `core.matching`."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

import msgspec

from ocw_mcp.adapters.venues.paper_account import Liquidation, PaperAccount
from ocw_mcp.adapters.venues.paper_orders import PaperOrders, Resting, reachable
from ocw_mcp.adapters.venues.paper_trading import PaperTrading
from ocw_mcp.core.matching.on_candles import CandlePath, FillTerms, PathSegment, beyond_limit, limit_of, passed
from ocw_mcp.domain.market import Candle, Opening
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.orders import Canceled, OrderType, Side, VenueReport

LIQUIDATION, STOP, TARGET, LIMIT = range(4)
"""The order of execution at one price."""


class PriceHit(msgspec.Struct, frozen=True):
    """A price on a candle's path at which an order trades, or a position is liquidated (`resting` is None)."""

    price: Decimal
    rank: int
    resting: Resting | None = None


class PaperMatching:
    """Matches the orders of one account. A market entry waits at most `patience_ms` for an opening."""

    def __init__(self, account: PaperAccount, orders: PaperOrders, terms: FillTerms, patience_ms: int) -> None:
        self.account = account
        self.orders = orders
        self.trading = PaperTrading(account, orders, terms)
        self._terms = terms
        self._patience_ms = patience_ms
        self._path: CandlePath | None = None
        """The path of the candle that is being matched."""

    def on_placed(self, resting: Resting) -> None:
        """Note that an order came to rest: it takes part in the rest of the current candle's path, if there is one."""
        if self._path is not None and self._path.candle.symbol == resting.order.symbol:
            self._path.laid.add(resting.order.ref)

    def on_opening(self, opening: Opening) -> Sequence[VenueReport]:
        """Liquidate, fill waiting orders, then the resting orders that the opening has passed, the nearest first."""
        symbol, orders = opening.symbol, self.orders
        seen = opening.price
        self.account.note_position(symbol, opening.at)
        self.account.last[symbol] = seen
        gone = self.trading.liquidation(symbol, seen, seen)
        if not (orders.waiting or orders.limits or gone) and not (
            orders.conditional and reachable(orders.conditional, symbol, seen, seen)
        ):
            return ()
        reports = self.trading.liquidate(symbol, opening.at) if gone else []
        price = exact(seen)
        for resting in [each for each in orders.waiting if each.order.symbol == symbol]:
            reports += self._waiting_at(resting, opening, price)
        limits = [each for each in orders.limits if each.order.symbol == symbol]
        for resting in sorted(reachable(orders.conditional, symbol, seen, seen) + limits, key=_nearness):
            reports += self._resting_at(resting, opening, price)
        return reports

    def fill_reductions(self, now: int) -> list[VenueReport]:
        """Fill waiting reductions at the last price, if the candle that closed at `now` (ms) is the latest.

        On a paced market the next opening is up to a candle of real time away, and a person who closes a position
        should not wait for it. The rest of a large reduction trades at the opening.
        """
        reports: list[VenueReport] = []
        for resting in [each for each in self.orders.waiting if each.order.reduce_only]:
            symbol = resting.order.symbol
            closed = self.trading.market.closed.get(symbol)
            if closed is None or closed.close_time != now or self._terms.latency_ms > closed.interval:
                continue
            price = exact(self.account.last[symbol])
            reports += self.trading.fill_as_taker(resting, price, now, self.trading.room(symbol, price))
        return reports

    def on_candle(self, candle: Candle, now: int) -> Iterable[VenueReport]:
        """Yield the reports of a candle, one by one along its path.

        An order that is sent or cancelled between two reports takes part in the rest of the path.
        """
        symbol, orders = candle.symbol, self.orders
        self.account.last[symbol] = candle.close
        self.trading.market.closed[symbol] = candle
        if not (orders.conditional or orders.limits or self.account.liquidations):
            return ()
        low, high = candle.low, candle.high
        reached = reachable(orders.conditional, symbol, low, high) + reachable(orders.limits, symbol, low, high)
        gone = self.trading.liquidation(symbol, low, high)
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
        for resting in self._late(path):
            path.met.add(resting.order.ref)
            yield from self._at_close(resting, path.price, now)
        self._path = None

    def _down_first(self, candle: Candle, reached: list[Resting], gone: Liquidation | None) -> bool:
        """Return whether the price reaches the low before the high: the order that is worse for the account.

        The stop or the liquidation of a position comes before its target, and the target before an addition. Without a
        position, the side on which the price went farther beyond an entry comes first, and a single entry last, so
        that a target placed in answer to it gains nothing.
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
        """Return the next hit on a leg of the path; None if there is none up to its end."""
        symbol, low, high = path.candle.symbol, float(min(path.price, leg.end)), float(max(path.price, leg.end))
        gone = self.account.liquidations.get(symbol)
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
                # A looser stop rested here before it, so the price passed one of the two.
                return PriceHit(earlier, STOP, resting)
            # The price must have passed it before the liquidation.
            passes = gone is not None and is_stop and resting.falls == leg.falls
            certain = passes and gone is not None and not gone.before(order.trigger_price)
            return PriceHit(order.trigger_price, STOP, resting) if certain else None
        if resting.falls == leg.falls:
            reached = leg.reaches(order.trigger_price)
            return PriceHit(order.trigger_price, STOP if is_stop else TARGET, resting) if reached else None
        if order.take_at is not None and leg.goes_beyond(order.take_at, path.price):
            return PriceHit(order.take_at, LIMIT, resting)
        return None

    def _execute(self, hit: PriceHit, path: CandlePath, now: int) -> list[VenueReport]:
        resting = hit.resting
        if resting is None:
            return self.trading.liquidate(path.candle.symbol, now)
        order = resting.order
        path.met.add(order.ref)
        if order.trigger_price is None:
            return self.trading.fill_as_maker(resting, now)
        if hit.rank == LIMIT:
            return self.trading.fill_take_profit(resting, now)
        return self.trading.fill_as_taker(resting, hit.price, now)

    def _late(self, path: CandlePath) -> list[Resting]:
        """Return the orders that came while the candle was open and that its close has passed."""
        candle = path.candle
        resting = self.orders.conditional + self.orders.limits
        return [
            each
            for each in reachable(resting, candle.symbol, candle.close, candle.close)
            if each.order.ref not in path.met and not each.takes and not path.knows(each.order.ref, each.since)
        ]

    def _at_close(self, resting: Resting, close: Decimal, now: int) -> list[VenueReport]:
        order = resting.order
        if order.trigger_price is None:
            return self.trading.fill_as_maker(resting, now) if beyond_limit(order, close) else []
        return self._conditional_at(resting, close, now)

    def _conditional_at(self, resting: Resting, price: Decimal, at: int) -> list[VenueReport]:
        """Fill a conditional order whose trigger or take-profit price is passed at `price` (quote)."""
        order = resting.order
        if passed(order, price):
            return self.trading.fill_as_taker(resting, price, at)
        takes_profit = order.take_at is not None and beyond_limit(order, price)
        return self.trading.fill_take_profit(resting, at) if takes_profit else []

    def _waiting_at(self, resting: Resting, opening: Opening, price: Decimal) -> list[VenueReport]:
        order = resting.order
        if not order.reduce_only and opening.at - resting.since > self._patience_ms:
            self.orders.remove(resting)
            return [Canceled(order.ref, "expired: no price came while it waited")]
        if self._is_in_transit(resting, opening):
            return []
        if order.immediate:
            return self.trading.fill_immediate(resting, price, opening.at)
        return self.trading.fill_as_taker(resting, price, opening.at, self.trading.room(order.symbol, price))

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
            self.orders.remove(resting)
            return [Canceled(order.ref, "expired: post-only, and it would have taken when it arrived")]
        if takes:
            return self.trading.fill_as_taker(resting, price, opening.at, self.trading.room(order.symbol, price))
        return self.trading.fill_as_maker(resting, opening.at)

    def _is_in_transit(self, resting: Resting, opening: Opening) -> bool:
        """Return whether an order has not arrived yet, if the latency is longer than a candle."""
        closed = self.trading.market.closed.get(opening.symbol)
        return resting.arrives > opening.at and closed is not None and self._terms.latency_ms > closed.interval


def _nearness(resting: Resting) -> tuple[bool, float, bool]:
    """Return a sort key: orders below the price first, of each side the nearest first, at one price stops first."""
    near = -resting.trigger if resting.falls else resting.trigger
    return not resting.falls, near, resting.order.type is not OrderType.STOP_MARKET

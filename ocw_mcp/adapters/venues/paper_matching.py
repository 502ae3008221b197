"""When the paper venue's orders trade: at openings, and on a price's way through a candle, as `core.matching` says."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

import msgspec

from ocw_mcp.adapters.venues.paper_account import Liquidation, PaperAccount
from ocw_mcp.adapters.venues.paper_orders import PaperOrders, Resting, touched
from ocw_mcp.adapters.venues.paper_trading import PaperTrading
from ocw_mcp.core.matching.on_candles import FillTerms, beyond_limit, limit_of, passed
from ocw_mcp.core.matching.path import CandlePath, PathSegment
from ocw_mcp.domain.market import Candle, Opening
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.orders import Canceled, Order, OrderType, Side, VenueReport
from ocw_mcp.domain.time import HOUR

LIQUIDATION, STOP, TARGET, LIMIT = range(4)
"""What comes first at one and the same price."""


class Meeting(msgspec.Struct, frozen=True):
    """What the price comes to on its way: an order, or the liquidation where it is None."""

    price: Decimal
    rank: int
    resting: Resting | None = None


class PaperMatching:
    """Fills of one account's orders. An entry at the market waits `patience_ms` at most for an opening."""

    def __init__(self, account: PaperAccount, orders: PaperOrders, terms: FillTerms, patience_ms: int) -> None:
        self.account = account
        self.orders = orders
        self.trading = PaperTrading(account, orders, terms)
        self._terms = terms
        self._patience_ms = patience_ms
        self._noted_until: dict[str, int] = {}
        self._path: CandlePath | None = None
        """The candle that the price is on its way through."""

    def laid(self, resting: Resting) -> None:
        """Note that an order came to rest: it meets what is left of the way through a candle, if there is one."""
        if self._path is not None and self._path.candle.symbol == resting.order.symbol:
            self._path.laid.add(resting.order.ref)

    def on_opening(self, opening: Opening) -> Sequence[VenueReport]:
        """Liquidate, fill what waited for a price, then what rests and the opening has passed, the nearest first."""
        symbol, orders = opening.symbol, self.orders
        seen = opening.price
        if opening.at >= self._noted_until.get(symbol, 0):
            # What is held is noted once an hour: every opening comes here.
            self._noted_until[symbol] = (opening.at // HOUR + 1) * HOUR
            self.account.opens(symbol, opening.at)
        self.account.last[symbol] = seen
        gone = self.trading.liquidation(symbol, seen, seen)
        if not (orders.waiting or orders.limits or gone) and not (
            orders.conditional and touched(orders.conditional, symbol, seen, seen)
        ):
            return ()
        reports = self.trading.liquidate(symbol, opening.at) if gone else []
        price = exact(seen)
        for resting in [each for each in orders.waiting if each.order.symbol == symbol]:
            reports += self._waiting_at(resting, opening, price)
        limits = [each for each in orders.limits if each.order.symbol == symbol]
        for resting in sorted(touched(orders.conditional, symbol, seen, seen) + limits, key=_nearness):
            reports += self._resting_at(resting, opening, price)
        return reports

    def fill_reductions(self, now: int) -> list[VenueReport]:
        """Trade waiting reductions at the last price, where the candle that closed at `now` (ms) is the latest.

        On a paced market the next opening is up to a candle of wall time away: a person who closes does not wait for
        it. What is left of a large one goes on there.
        """
        reports: list[VenueReport] = []
        for resting in [each for each in self.orders.waiting if each.order.reduce_only]:
            symbol = resting.order.symbol
            closed = self.trading.closed.get(symbol)
            if closed is None or closed.close_time != now or self._terms.latency_ms > closed.interval:
                continue
            price = exact(self.account.last[symbol])
            reports += self.trading.take(resting, price, now, self.trading.room(symbol, price))
        return reports

    def on_candle(self, candle: Candle, now: int) -> Iterable[VenueReport]:
        """The reports of a candle, one by one as the price goes its way.

        What is sent or cancelled between two of them counts for the rest of the way.
        """
        symbol, orders = candle.symbol, self.orders
        self.account.last[symbol] = candle.close
        self.trading.closed[symbol] = candle
        if not (orders.conditional or orders.limits or self.account.liquidations):
            return ()
        low, high = candle.low, candle.high
        reached = touched(orders.conditional, symbol, low, high) + touched(orders.limits, symbol, low, high)
        gone = self.trading.liquidation(symbol, low, high)
        return self._walk(candle, now, self._down_first(candle, reached, gone)) if reached or gone else ()

    def _walk(self, candle: Candle, now: int, down_first: bool) -> Iterator[VenueReport]:
        symbol = candle.symbol
        path = self._path = CandlePath(candle, down_first=down_first)
        for leg in path.segments():
            while (meeting := self._next(path, leg)) is not None:
                path.price = leg.moved(path.price, meeting.price)
                self.account.last[symbol] = float(path.price)
                yield from self._meet(meeting, path, now)
        self.account.last[symbol] = candle.close
        for resting in self._late(path):
            path.met.add(resting.order.ref)
            yield from self._at_close(resting, path.price, now)
        self._path = None

    def _down_first(self, candle: Candle, reached: list[Resting], gone: Liquidation | None) -> bool:
        """Return whether the walk goes to the low before the high: the order that is worse for the account.

        A stop or the liquidation of a position comes before its target, the target before what would be added. Without
        a position the side on which the price went farther beyond an entry comes first, and a single entry last, so
        that a target laid in answer to it gains nothing.
        """
        held = self.account.ledger.quantity(candle.symbol)
        if held:
            stops = [
                (each, each.trigger if each.since <= candle.open_time else each.stood(candle.open_time))
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

    def _next(self, path: CandlePath, leg: PathSegment) -> Meeting | None:
        """What the price comes to next on a leg; None where it goes on to the end of it."""
        symbol, low, high = path.candle.symbol, float(min(path.price, leg.end)), float(max(path.price, leg.end))
        gone = self.account.liquidations.get(symbol)
        if gone is not None and not (gone.falls == leg.falls and gone.reached(low, high)):
            gone = None
        found = [] if gone is None else [Meeting(gone.price, LIQUIDATION)]
        for resting in touched(self.orders.conditional, symbol, low, high):
            meeting = self._conditional_on(resting, path, leg, gone)
            if meeting is not None:
                found.append(meeting)
        for resting in touched(self.orders.limits, symbol, low, high):
            ref, limit = resting.order.ref, limit_of(resting.order)
            if ref in path.met or resting.takes or resting.falls != leg.falls or not path.knows(ref, resting.since):
                continue
            if leg.goes_beyond(limit, path.price):
                found.append(Meeting(limit, LIMIT, resting))
        return min(found, key=lambda each: (leg.nearness(each.price), each.rank), default=None)

    def _conditional_on(
        self, resting: Resting, path: CandlePath, leg: PathSegment, gone: Liquidation | None
    ) -> Meeting | None:
        order = resting.order
        assert order.trigger_price is not None
        if order.ref in path.met:
            return None
        is_stop = order.type is OrderType.STOP_MARKET
        if not path.knows(order.ref, resting.since):
            stood = resting.stood(path.candle.open_time)
            if stood is not None and resting.falls == leg.falls and leg.reaches(stood):
                # A looser stop stood here before it, so that the price passed the one or the other.
                return Meeting(stood, STOP, resting)
            # The price must have passed it on its way to the liquidation.
            passes = gone is not None and is_stop and resting.falls == leg.falls
            certain = passes and gone is not None and not gone.before(order.trigger_price)
            return Meeting(order.trigger_price, STOP, resting) if certain else None
        if resting.falls == leg.falls:
            reached = leg.reaches(order.trigger_price)
            return Meeting(order.trigger_price, STOP if is_stop else TARGET, resting) if reached else None
        if order.take_at is not None and leg.goes_beyond(order.take_at, path.price):
            return Meeting(order.take_at, LIMIT, resting)
        return None

    def _meet(self, meeting: Meeting, path: CandlePath, now: int) -> list[VenueReport]:
        resting = meeting.resting
        if resting is None:
            return self.trading.liquidate(path.candle.symbol, now)
        order = resting.order
        path.met.add(order.ref)
        if order.trigger_price is None:
            return self.trading.make(resting, now)
        if meeting.rank == LIMIT:
            return self.trading.take_profit(resting, now)
        return self.trading.take(resting, meeting.price, now)

    def _late(self, path: CandlePath) -> list[Resting]:
        """The orders that came while the candle was open and that its close is through."""
        candle = path.candle
        resting = self.orders.conditional + self.orders.limits
        return [
            each
            for each in touched(resting, candle.symbol, candle.close, candle.close)
            if each.order.ref not in path.met and not each.takes and not path.knows(each.order.ref, each.since)
        ]

    def _at_close(self, resting: Resting, close: Decimal, now: int) -> list[VenueReport]:
        order = resting.order
        if order.trigger_price is not None and passed(order, close):
            return self.trading.take(resting, close, now)
        if order.trigger_price is None and beyond_limit(order, close):
            return self.trading.make(resting, now)
        return self.trading.take_profit(resting, now) if _takes_profit(order, close) else []

    def _waiting_at(self, resting: Resting, opening: Opening, price: Decimal) -> list[VenueReport]:
        order = resting.order
        if not order.reduce_only and opening.at - resting.since > self._patience_ms:
            self.orders.forget(resting)
            return [Canceled(order.ref, "expired: no price came while it waited")]
        if self._under_way(resting, opening):
            return []
        if order.immediate:
            return self.trading.take_at_once(resting, price, opening.at)
        return self.trading.take(resting, price, opening.at, self.trading.room(order.symbol, price))

    def _resting_at(self, resting: Resting, opening: Opening, price: Decimal) -> list[VenueReport]:
        order = resting.order
        if order.trigger_price is None:
            return self._limit_at(resting, opening, price)
        if passed(order, price):
            return self.trading.take(resting, price, opening.at)
        return self.trading.take_profit(resting, opening.at) if _takes_profit(order, price) else []

    def _limit_at(self, resting: Resting, opening: Opening, price: Decimal) -> list[VenueReport]:
        order = resting.order
        if self._under_way(resting, opening):
            return []
        takes, resting.takes = resting.takes or resting.arrives > opening.at, False
        if not beyond_limit(order, price):
            return []
        if takes and order.post_only:
            self.orders.forget(resting)
            return [Canceled(order.ref, "expired: post-only, and it would have taken when it arrived")]
        if takes:
            return self.trading.take(resting, price, opening.at, self.trading.room(order.symbol, price))
        return self.trading.make(resting, opening.at)

    def _under_way(self, resting: Resting, opening: Opening) -> bool:
        """Whether an order that takes longer to arrive than a candle lasts has not arrived yet."""
        closed = self.trading.closed.get(opening.symbol)
        return resting.arrives > opening.at and closed is not None and self._terms.latency_ms > closed.interval


def _nearness(resting: Resting) -> tuple[bool, float, bool]:
    """Orders that a falling price comes to before those for a rising one, of each the nearest first, then stops."""
    near = -resting.trigger if resting.falls else resting.trigger
    return not resting.falls, near, resting.order.type is not OrderType.STOP_MARKET


def _takes_profit(order: Order, price: Decimal) -> bool:
    """Whether a price is through the other side of an OCO."""
    return order.take_at is not None and beyond_limit(order, price)

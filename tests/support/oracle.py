"""An oracle that checks every entry against every limit, without any code of core/risk.

It listens to the journal and counts events. It reads positions and open orders from the ledger and the order table when
an entry is intended, before the entry is sent to the venue.
"""

from decimal import Decimal
from fnmatch import fnmatchcase

from ocw_mcp.core.orders.table import TrackedOrder
from ocw_mcp.domain import events
from ocw_mcp.domain.market import OrderBook
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.orders import Order, OrderRef, Purpose, Side
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import DAY, MINUTE, SECOND
from ocw_mcp.engine.step import Engine

D = Decimal
A_LITTLE = D("1.000000001")


class Oracle:
    """The oracle of one book over all its restarts."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.state = TradingState.ACTIVE
        self.day_opened_at = 0
        self.day_equity = D(0)
        self.day_reached = False
        self.paused_until = 0
        self.entries: list[int] = []
        self.turnover = D(0)
        self.fees = D(0)
        self.closed_at: dict[str, int] = {}
        self.reductions: list[int] = []
        self.books: dict[str, OrderBook] = {}
        """The last order books that the market reported."""
        self.cleared: set[str] = set()
        self.tightest: dict[str, Decimal] = {}
        self.seen: dict[str, int] = {}
        """Number of events of each kind."""

    def hear(self, at: int, event: events.DomainEvent) -> None:
        """Process an event of the journal when it is written."""
        kind = type(event).__name__
        self.seen[kind] = self.seen.get(kind, 0) + 1
        match event:
            case events.StateChanged():
                self.state = event.after
            case events.DayOpened():
                self.day_opened_at, self.day_equity, self.day_reached = at, event.equity, False
                self.turnover = self.fees = D(0)
                self.entries = []
            case events.DailyLossReached():
                self.day_reached = True
            case events.EntriesPaused():
                self.paused_until = event.until
            case events.ApprovalEnded(name, "approved"):
                self.cleared.add(name)
            case events.OrderFilled():
                self.turnover += event.quantity * event.price
                self.fees += event.fee
            case events.OutsideFilled():
                self.turnover += event.quantity * event.price
                self.fees += event.fee
            case events.PositionClosed():
                self.closed_at[event.symbol] = at
                self.tightest.pop(event.symbol, None)
            case events.PositionProtected():
                self._stop_is_not_looser(event)
            case events.OrderRefused() | events.RequestRefused():
                code = f"refused {event.refusal.code}"
                self.seen[code] = self.seen.get(code, 0) + 1
            case events.OrderIntended() if event.ref.leg is Purpose.ENTRY:
                self._within_every_limit(at, event.ref)
                self.entries.append(at)
            case events.OrderIntended():
                self._reduces(at, event)

    def _stop_is_not_looser(self, event: events.PositionProtected) -> None:
        assert self.engine is not None
        quantity = self.engine.account.ledger.quantity(event.symbol)
        before = self.tightest.get(event.symbol)
        if before is not None:
            looser = event.trigger_price < before if quantity > 0 else event.trigger_price > before
            assert not looser, f"the stop of {event.symbol} went from {before} to {event.trigger_price}"
        self.tightest[event.symbol] = event.trigger_price

    def _reduces(self, at: int, event: events.OrderIntended) -> None:
        assert self.engine is not None
        if event.intent.idempotency_key:
            most = self.engine.config.policies.pace.reductions_per_minute
            assert sum(t > at - MINUTE for t in self.reductions) < most
            self.reductions.append(at)
        held = self.engine.account.ledger.quantity(event.intent.symbol)
        assert event.intent.side.sign * held < 0, f"{event.ref} does not reduce risk"

    def _within_every_limit(self, at: int, ref: OrderRef) -> None:
        assert self.engine is not None
        engine, policies = self.engine, self.engine.config.policies
        entry = engine.orders.get(ref)
        assert entry is not None
        intent, order = entry.intent, entry.order
        live = list(engine.orders.live(purpose=Purpose.ENTRY))
        ledger = engine.account.ledger
        equity = ledger.equity()
        candles = engine.market.symbols[order.symbol]
        assert isinstance(candles.last, float)
        assert candles.known_at is not None
        price, price_age_ms = exact(candles.last), at - candles.known_at
        # Conditions under which any entry is allowed.
        assert self.state is engine.account.trading_state is TradingState.ACTIVE
        assert any(fnmatchcase(order.symbol, pattern) for pattern in policies.symbols.allow)
        assert ("long" if order.side is Side.BUY else "short") in policies.symbols.sides
        assert price_age_ms <= engine.config.interval + policies.data.slack_s * SECOND
        assert not self.day_reached
        assert equity > self.day_equity * (1 - policies.daily_loss.max_share)
        assert at < self.day_opened_at + 2 * DAY
        # Pace.
        assert at >= self.paused_until
        assert sum(t > at - MINUTE for t in self.entries) < policies.pace.entries_per_minute
        assert len(self.entries) < policies.pace.entries_per_day
        assert self.fees < policies.pace.max_fees * self.day_equity
        if not ledger.quantity(order.symbol) and order.symbol in self.closed_at:
            assert at - self.closed_at[order.symbol] >= policies.pace.reentry_s * SECOND
        # Size: all positions, and all open entries at their worst price.
        reserved = {each.ref: each.remaining * self._worst(each) for each in live}
        notional = order.quantity * self._worst(entry)
        _at_most(notional, policies.order.max_notional, "order")
        gross = ledger.gross() + sum(reserved.values())
        scaled = min(D(1), policies.scale.regime_unknown * policies.scale.macro_unknown) * equity
        _at_most(gross, policies.exposure.max_gross * scaled, "gross exposure")
        in_symbol = abs(ledger.quantity(order.symbol)) * price + sum(
            reserved[each.ref] for each in live if each.order.symbol == order.symbol
        )
        _at_most(in_symbol, policies.position.max_share * scaled, "position")
        _at_most(self._correlated(order, live, reserved), policies.correlated.max_share * scaled, "correlated")
        symbols = {*ledger.positions, *(each.order.symbol for each in live)}
        assert len(symbols) <= policies.positions.max_open
        _at_most(self.turnover + sum(reserved.values()), policies.pace.max_turnover * self.day_equity, "turnover")
        # The stop, and the loss at the stop.
        stop = intent.protect_at
        assert stop is not None
        begins = price if order.limit_price is None else _better(order, price)
        distance = (begins - stop) / begins * order.side.sign
        assert 0 < distance <= policies.stop.max_distance * A_LITTLE
        way = order.side.sign
        lost = in_symbol * (max(D(0), (begins - stop) * way / begins) + policies.risk.gap_allowance)
        _at_most(lost, policies.risk.max_share * scaled, "risk")
        # Margin.
        assert 1 <= order.leverage <= policies.leverage.max
        margins = sum(reserved[each.ref] / each.order.leverage for each in live)
        free = min(ledger.free(), equity - (ledger.wallet - ledger.free())) - margins
        assert free >= policies.margin.min_free * equity * D("0.999999999"), f"free {free} of {equity}"
        self._survives_to_its_stop(entry, price)
        if policies.mandate is not None:
            _at_most(gross, policies.mandate.amount, "mandate")
        if policies.approval is not None and intent.approval.partition(" ")[0] not in self.cleared:
            _at_most(notional, policies.approval.above_notional, "an order without approval")
        if intent.quoted is not None:
            assert abs(price - intent.quoted) <= policies.price.max_move * intent.quoted * A_LITTLE
        book = self.books.get(order.symbol)
        if book is not None and 0 <= at - book.at <= engine.prices.age_limit_ms:
            spread = D(2 * (book.ask - book.bid) / (book.ask + book.bid))
            _at_most(spread, policies.book.max_spread, "spread")
            depth = book.ask_depth if order.side is Side.BUY else book.bid_depth
            assert depth is not None
            if not order.post_only:
                _at_most(order.quantity, policies.book.max_depth_share * D(depth) * D("1.000001"), "depth")
        if order.limit_price is not None:
            assert abs(order.limit_price - price) <= policies.price.max_deviation * price * A_LITTLE

    def _survives_to_its_stop(self, entry: TrackedOrder, price: Decimal) -> None:
        """Check that the position, with the whole entry, is not liquidated before its stop."""
        assert self.engine is not None
        order, way = entry.order, entry.order.side.sign
        instrument = self.engine.config.instruments(order.symbol, float(price))
        brackets, stop = instrument.margin_brackets, entry.intent.protect_at
        assert brackets is not None
        assert stop is not None
        paid = order.limit_price or price
        position = self.engine.account.ledger.positions.get(order.symbol)
        quantity, cost = way * order.quantity, way * order.quantity * paid
        margin = abs(cost) / order.leverage
        if position is not None:
            quantity, cost, margin = quantity + position.quantity, cost + position.cost, margin + position.margin
        taken = brackets.liquidation_price(quantity, cost, margin)
        if taken is not None:
            buffer = self.engine.config.policies.stop.liquidation_buffer * price
            assert (stop - taken) * way >= buffer * D("0.9999"), f"stop {stop}, liquidated at {taken}"

    def _worst(self, each: TrackedOrder) -> Decimal:
        """Return the worst price of an entry: its limit, or the price with which it is reserved."""
        limit = each.order.limit_price
        return each.worst_price if limit is None else limit

    def _correlated(self, order: Order, live: list[TrackedOrder], reserved: dict[OrderRef, Decimal]) -> Decimal:
        assert self.engine is not None
        patterns = self.engine.config.policies.correlated.symbols

        def is_one(symbol: str) -> bool:
            return any(fnmatchcase(symbol, pattern) for pattern in patterns)

        if not is_one(order.symbol):
            return D(0)
        ledger = self.engine.account.ledger
        held = sum(
            abs(position.quantity) * ledger.marks[symbol]
            for symbol, position in ledger.positions.items()
            if is_one(symbol) and position.quantity * order.side.sign > 0
        )
        coming = sum(reserved[each.ref] for each in live if is_one(each.order.symbol) and each.order.side is order.side)
        return held + D(coming)


def _better(order: Order, price: Decimal) -> Decimal:
    assert order.limit_price is not None
    return min(order.limit_price, price) if order.side is Side.BUY else max(order.limit_price, price)


def _at_most(value: Decimal, limit: Decimal, what: str) -> None:
    assert value <= limit * A_LITTLE, f"{what}: {value} is above {limit}"

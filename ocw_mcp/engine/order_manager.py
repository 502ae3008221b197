"""The one door: every order of every caller goes out here, and every report of the venue comes in here.

An intent becomes an order only through the risk officer. It is recorded, and its budget reserved, within the step that
approved it; the shell makes the record durable before a byte leaves. What the venue reports moves the order on, and its
fills move the ledger.
"""

from decimal import Decimal

import msgspec

from ocw_mcp.core.orders.ledger import Booked
from ocw_mcp.core.orders.machine import OrderStatus
from ocw_mcp.core.orders.table import OrderTable, TableState, TrackedOrder
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.activity import asked_for
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain import events
from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ZERO, floor_to, plain
from ocw_mcp.domain.orders import (
    NOT_JOURNALED,
    Accepted,
    Canceled,
    Filled,
    Order,
    OrderIntent,
    OrderRef,
    OrderReport,
    OutcomeUnknown,
    Purpose,
    Rejected,
    Side,
)
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.snapshot import Feasible
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Timer, TimerKind
from ocw_mcp.domain.time import SECOND
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.account import Account, Opened
from ocw_mcp.engine.booking import book_fill, book_trade
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.effect_buffer import EffectBuffer
from ocw_mcp.engine.exposure import seen_by_risk
from ocw_mcp.engine.idempotency import Answer, AnsweredRequests, SavedAnswer
from ocw_mcp.engine.price_board import PriceBoard
from ocw_mcp.engine.reductions import Reductions, counts

CANCEL_ANSWER_MS = 10 * SECOND
MOST_CANCELS = 4
"""So often the venue is asked to take one order off before a person is told that it says nothing."""


class Group(msgspec.Struct):
    """The counter under which a position's orders are named, and the next revision of each leg."""

    n: int
    revisions: dict[Purpose, int] = {}


class Change(msgspec.Struct, frozen=True):
    """What a report changed."""

    tracked: TrackedOrder
    report: OrderReport
    booked: Booked | None = None
    beyond: Decimal = ZERO
    """Notional (quote) by which the order went further beyond what was cleared for it."""


class OrderManagerState(msgspec.Struct):
    """A desk, to be restored."""

    orders: TableState
    groups: dict[str, Group]
    answers: list[tuple[str, SavedAnswer]]


class OrderManager:
    """Places orders, and follows them."""

    def __init__(self, config: EngineConfig, account: Account, prices: PriceBoard, effects: EffectBuffer) -> None:
        self._config = config
        self._account = account
        self._prices = prices
        self._effects = effects
        self.officer = RiskOfficer(config.policies, config.strict)
        self.orders = OrderTable()
        self._reductions = Reductions(config.product, account, prices, self.orders)
        self.reduction = self._reductions.intent
        self.exit_under_way = self._reductions.under_way
        self.closing = self._reductions.closing
        self.to_cover = self._reductions.to_cover
        self.least_sold = self._reductions.least
        self._groups: dict[str, Group] = {}
        self.answers = AnsweredRequests()

    def submit(self, intent: OrderIntent, now: int, account: AccountView | None = None) -> Answer:
        """Check an intent and send it. The answer is the order's name, or why it did not pass.

        Whoever has looked at the account in this very step hands its view on.

        The same idempotency key gets the same answer again, and nothing is sent twice. An intent without a key, as the
        guard's are, is a new one each time.
        """
        known = self.answers.get(intent.idempotency_key) if intent.idempotency_key else None
        if known is not None:
            return known
        ref = self._name(intent)
        account = account or self.view(intent.symbol, now)
        if account is None:
            return self.refuse(intent, Refusal(RefusalCode.NO_PRICE, limit="a price", actual="none"))
        if intent.purpose.reduces:
            answer = self.officer.approve_reduction(intent, account, ref, now)
        else:
            answer = self.officer.check_entry(intent, account, ref, now)
        if isinstance(answer, Refusal):
            return self.refuse(intent, answer)
        if answer.version != self._account.version:
            raise InvariantError(f"order {ref} was approved on another version of the account than it is placed on")
        if intent.quantity != answer.order.quantity:
            # What is written down is what is sent: an order is through once all of that has traded.
            intent = msgspec.structs.replace(intent, quantity=answer.order.quantity)
        worst = self.officer.worst_of(intent, account) if intent.purpose is Purpose.ENTRY else account.price
        self.orders.add(TrackedOrder(answer.order, intent, worst, cleared_equity=account.equity))
        self._account.version += 1
        if intent.purpose.reduces:
            group = self._groups.setdefault(intent.symbol, Group(ref.n))
            group.revisions[intent.purpose] = ref.revision + 1
            if asked_for(intent):
                self._account.activity.reduced(now)
        else:
            self._account.activity.sent(now)
        self._effects.record(events.OrderIntended(ref, intent, self._config.policy_hash))
        if intent.purpose.reduces and self._config.product is Product.SPOT:
            self._unlock(answer.order)
        self._effects.send(answer)
        if intent.expires_at is not None:
            self._effects.set_timer(Timer(TimerKind.EXPIRY, ref), intent.expires_at)
        return self.answers.remember(intent.idempotency_key, ref)

    def refuse(self, intent: OrderIntent, refusal: Refusal) -> Answer:
        """Write down that an intent did not pass; nothing is sent."""
        self._effects.record(events.OrderRefused(intent, refusal, self._config.policy_hash))
        return self.answers.remember(intent.idempotency_key, refusal)

    def close(
        self, symbol: str, principal: str, now: int, *, key: str | None = None, wake_id: int | None = None
    ) -> Answer:
        """Close a whole position at the market, reduce-only. Its stop stays until it is flat, its entries go.

        Where a part of it is being sold already, the rest is. An exit of unknown outcome does not count, since a second
        cannot do harm: the venue cuts it down to the position.
        """
        self.cancel_entries("the position is being closed", symbol)
        intent = self.reduction(symbol, Purpose.EXIT, principal, key=key, wake_id=wake_id)
        if self.closing(symbol):
            return self._refuse_exit(intent, Refusal(RefusalCode.EXIT_PENDING, limit="one exit", actual="under way"))
        return self.submit(intent, now)

    def reduce(
        self,
        symbol: str,
        quantity: Decimal,
        principal: str,
        now: int,
        *,
        key: str | None = None,
        wake_id: int | None = None,
    ) -> Answer:
        """Sell so much (base asset) of a position at the market, reduce-only; all of it where too little would stay.

        The guard re-sizes its stop and its target. The answer is the order's name, or the refusal.
        """
        known = self.answers.get(key) if key else None
        if known is not None:
            return known
        intent, account = (
            self.reduction(symbol, Purpose.EXIT, principal, key=key, wake_id=wake_id),
            self.view(symbol, now),
        )
        none = Refusal(RefusalCode.NO_PRICE, limit="a price", actual="none")
        part = none if account is None else self._reductions.part(symbol, quantity, account)
        if isinstance(part, Refusal):
            return self._refuse_exit(msgspec.structs.replace(intent, quantity=quantity), part)
        if part >= intent.quantity:
            return self.close(symbol, principal, now, key=key, wake_id=wake_id)
        return self.submit(msgspec.structs.replace(intent, quantity=part), now, account)

    def _refuse_exit(self, intent: OrderIntent, refusal: Refusal) -> Answer:
        # The guard comes back by itself; telling the journal each time would only fill it.
        return self.refuse(intent, refusal) if intent.idempotency_key else refusal

    def cancel(self, tracked: TrackedOrder, why: str) -> None:
        """Ask the venue to take an order off, once."""
        if tracked.status.live and not tracked.cancel_requested:
            tracked.cancel_requested = True
            self._ask_off(tracked.ref, why, 1)

    def on_silence(self, ref: OrderRef, times: int) -> None:
        """Ask again for a cancel that the venue has not answered, or report it after so many times."""
        tracked = self.orders.get(ref)
        if tracked is None or not tracked.status.live:
            return
        if times < MOST_CANCELS:
            self._ask_off(ref, "no answer; asked again", times + 1)
        else:
            self._effects.record(events.Incident(f"asked {times} times to cancel {ref}, the venue says nothing"))

    def _ask_off(self, ref: OrderRef, why: str, times: int) -> None:
        self._effects.record(events.OrderCancelRequested(ref, why))
        self._effects.cancel(ref)
        self._effects.set_timer(Timer(TimerKind.CANCEL, ref, times), self._effects.now + CANCEL_ANSWER_MS)

    def cancel_entries(self, why: str, symbol: str | None = None) -> None:
        """Take off every live entry, or every one of a symbol."""
        for tracked in self.orders.live(symbol, Purpose.ENTRY):
            self.cancel(tracked, why)

    def lower(self, incident: str) -> None:
        """Tell of something that should not happen, and take no new risk until a person resumes."""
        self._effects.record(events.Incident(incident))
        if self._account.trading_state is TradingState.ACTIVE:
            self._account.go(TradingState.REDUCING, incident)
            self.cancel_entries("the desk only reduces")

    def on_expiry(self, ref: OrderRef) -> None:
        """Cancel a limit entry that has expired."""
        tracked = self.orders.get(ref)
        if tracked is not None:
            self.cancel(tracked, "its time is up")

    def apply(self, report: OrderReport, now: int) -> Change | None:
        """Take in what the venue said. None where that changes nothing."""
        known = self.orders.get(report.ref)
        long_over = known is None and isinstance(report, Filled)
        if long_over:
            known = self.orders.recall(report.ref)
        if known is None:
            self._tell(report, f"the venue reported on order {report.ref}, which is not in the book")
            return None
        if isinstance(report, Filled) and report.fill_id in known.fill_ids:
            return None
        reserved = known.remaining if known.status.live else ZERO
        odd = _odd(known, report, long_over=long_over) if isinstance(report, Filled) else ""
        tracked = self.orders.apply(report)
        if tracked is None:
            if not isinstance(report, Accepted | Canceled):
                self._tell(
                    report,
                    f"the venue reported {type(report).__name__} on order {report.ref}, a {known.status} one",
                )
            return None
        self._account.version += 1
        if odd:
            self.lower(f"the venue reported Filled on order {report.ref}, {odd}; it is booked")
            if tracked.status is OrderStatus.REJECTED:
                self._ask_off(report.ref, "it was rejected, and traded all the same", 1)
        if not tracked.status.live:
            self._effects.clear_timer(Timer(TimerKind.EXPIRY, tracked.ref))
            for times in range(1, MOST_CANCELS + 1):
                self._effects.clear_timer(Timer(TimerKind.CANCEL, tracked.ref, times))
        booked, beyond = None, ZERO
        symbol = tracked.order.symbol
        match report:
            case Accepted():
                self._effects.record(events.OrderAccepted(report.ref, report.venue_order_id))
            case Rejected():
                self._effects.record(events.OrderRejected(report.ref, report.code, report.text))
                if report.code == NOT_JOURNALED:
                    self.lower(f"entry {report.ref} was not sent: {report.text}")
            case OutcomeUnknown():
                self._effects.record(events.OrderUnknown(report.ref, report.why))
            case Canceled():
                missed = (tracked.remaining, tracked.order.limit_price) if tracked.order.immediate else ()
                self._effects.record(events.OrderCanceled(report.ref, report.why, *missed))
            case Filled():
                booked = self._book(tracked, report, now)
                beyond = tracked.count(report, reserved)
        sold = isinstance(report, Filled) and tracked.purpose.reduces
        if self._config.product is Product.SPOT and self._is_dust(symbol, sold=sold):
            booked = self._sweep(symbol, booked, now)
        return Change(tracked, report, booked, beyond)

    def view(self, symbol: str, now: int) -> AccountView | None:
        """The account as the risk officer has to see it for one symbol; None where the symbol has no price."""
        quote = self._prices.get(symbol, now)
        if quote is None:
            return None
        return seen_by_risk(symbol, now, self._config, self._account, self._prices, self.orders, quote)

    def inactive(self) -> Refusal | None:
        """Return why the state of the desk lets no entry pass; None while it is ACTIVE."""
        state = self._account.trading_state
        active = state is TradingState.ACTIVE
        return None if active else Refusal(RefusalCode.NOT_ACTIVE, limit=TradingState.ACTIVE, actual=state)

    def feasible(self, symbol: str, now: int) -> Feasible | Unknown:
        """The sizes of an entry that would pass at this moment, given a stop that the policy takes."""
        account = self.view(symbol, now)
        if account is None:
            return Unknown("no price yet")
        if any(each.purpose in (Purpose.ENTRY, Purpose.EXIT) for each in self.orders.live(symbol)):
            return Unknown("an order of this symbol is under way")
        return self.officer.feasible(symbol, account)

    def memory(self) -> OrderManagerState:
        """All that must survive a restart."""
        return OrderManagerState(self.orders.state(), self._groups, self.answers.saved())

    def restore(self, memory: OrderManagerState) -> None:
        """Put back what `memory` gave."""
        self.orders.restore(memory.orders)
        self._groups = memory.groups
        self.answers.put_back(memory.answers)

    def _tell(self, report: OrderReport, incident: str) -> None:
        """Tell of a report that does not fit. Where it is a fill, money moved that is not in the books."""
        if isinstance(report, Filled):
            self.lower(incident)
        else:
            self._effects.record(events.Incident(incident))

    def _name(self, intent: OrderIntent) -> OrderRef:
        if intent.purpose is Purpose.ENTRY:
            return OrderRef(self.orders.last_n + 1, Purpose.ENTRY)
        return self._next(intent.symbol, intent.purpose)

    def _next(self, symbol: str, purpose: Purpose) -> OrderRef:
        group = self._groups.get(symbol) or Group(self.orders.last_n + 1)
        return OrderRef(group.n, purpose, group.revisions.get(purpose, 0))

    def _unlock(self, order: Order) -> None:
        """Take off what locks the balance that an order means to sell; the guard puts a stop back where that fails."""
        for tracked in self.orders.live(order.symbol):
            another_part = tracked.purpose is Purpose.EXIT and counts(tracked)
            if tracked.order.reduce_only and tracked.ref != order.ref and not another_part:
                self.cancel(tracked, f"it locks what {order.ref} sells")

    def _is_dust(self, symbol: str, *, sold: bool) -> bool:
        """Whether a position is left that is too small to be sold, and nothing is on its way that would change that.

        Where it was `sold` down to that it counts as flat even if an entry is: that must not open it anew.
        """
        position = self._account.ledger.positions.get(symbol)
        if position is None:
            return False
        quantity = floor_to(abs(position.quantity), self._prices.instruments[symbol].step)
        instrument, price = self._prices.instruments[symbol], self._account.ledger.marks[symbol]
        if quantity >= instrument.min_quantity and quantity * price >= instrument.min_notional:
            return False
        return not any(
            each.filled or each.purpose is Purpose.EXIT if each.purpose.reduces else not sold
            for each in self.orders.live(symbol)
            # As everywhere, an exit of which nobody knows is not counted on.
            if not (each.purpose is Purpose.EXIT and each.status is OrderStatus.UNKNOWN)
        )

    def _sweep(self, symbol: str, booked: Booked | None, now: int) -> Booked:
        """What is left counts as flat. The trade is closed with it."""
        realised = booked.realised if booked else ZERO
        closed = self._account.ledger.sweep(symbol, self._account.ledger.marks[symbol])
        self._groups.pop(symbol, None)
        book_trade(closed, Side.SELL, self._account, self._effects, now)
        return Booked(realised, ZERO, closed, opened=False)

    def _book(self, tracked: TrackedOrder, fill: Filled, now: int) -> Booked:
        symbol, principal = tracked.order.symbol, tracked.intent.principal
        booked = book_fill(tracked.order, fill, self._account, self._effects, now)
        if booked.closed is not None:
            self._groups.pop(symbol, None)
            self._account.done_with(symbol, principal)
        if booked.opened:
            self._groups.pop(symbol, None)
            if tracked.purpose is Purpose.ENTRY:
                self._account.opened[symbol] = Opened(principal, tracked.order.side)
                if len(tracked.fill_ids) == 1:
                    # The first fill: no other position's orders were named after this entry.
                    self._groups[symbol] = Group(tracked.ref.n)
        return booked


def _odd(known: TrackedOrder, fill: Filled, *, long_over: bool) -> str:
    """What about an order a fill does not fit; empty where it fits."""
    if fill.quantity > known.remaining:
        return f"{plain(fill.quantity)} where {plain(known.remaining)} were left of it"
    if known.status is OrderStatus.REJECTED:
        return "a rejected one"
    return "which was over long ago" if long_over else ""

"""The only way to the venue: every order of every caller is sent here, and every report of the venue is applied here.

The risk officer clears an intent, and in the same step it is recorded and its budget reserved. The shell makes the
record durable before the order is sent.
"""

from decimal import Decimal
from functools import partial

import msgspec

from ocw_mcp.core.orders.chase import Chase
from ocw_mcp.core.orders.ledger import Booked, Position
from ocw_mcp.core.orders.table import OrderStatus, TableState, TrackedOrder
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.counters import asked_for
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain import events
from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import (
    NOT_JOURNALED,
    Accepted,
    Canceled,
    CancelRefused,
    Filled,
    Order,
    OrderIntent,
    OrderRef,
    OrderReport,
    OutcomeUnknown,
    Purpose,
    Rejected,
    Side,
    Triggered,
)
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.snapshot import Sizes, SizesOnDemand
from ocw_mcp.domain.state import ITSELF, MARKET_DATA, Lowered, TradingState
from ocw_mcp.domain.steps import Cancel, Send, Timer, TimerKind
from ocw_mcp.domain.time import SECOND
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.account import Account, Opened, charged_of
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.effect_buffer import EffectBuffer
from ocw_mcp.engine.exposure import NO_PRICE, SECOND_EXIT, Reductions, account_view, split
from ocw_mcp.engine.order_names import Group, OrderNames
from ocw_mcp.engine.price_board import PriceBoard

CANCEL_ANSWER_MS = 10 * SECOND
MOST_CANCELS = 4
"""The number of unanswered, or of refused, cancel requests of one order after which an incident is reported."""
CANCEL_PAUSE_MS = SECOND
"""The time after a refused cancel in which the order's cancel is not requested again."""

Outcome = OrderRef | Refusal
"""The order that was sent, or the reason why none was."""


class Change(msgspec.Struct, frozen=True):
    """The effect of a report on an order and on the ledger."""

    tracked: TrackedOrder
    report: OrderReport
    booked: Booked | None = None
    beyond: Decimal = ZERO
    """Notional (quote) by which this report makes the order exceed its cleared amount."""


class OrderManagerState(msgspec.Struct):
    """The orders and their groups in a saved state."""

    orders: TableState
    groups: dict[str, Group]
    chases: dict[str, Chase] = {}


class OrderManager(Reductions):
    """Sends orders, and applies the venue's reports on them."""

    def __init__(self, config: EngineConfig, account: Account, prices: PriceBoard, effects: EffectBuffer) -> None:
        super().__init__(config, account, prices)
        self.effects = effects
        self.officer = RiskOfficer(config.policies, config.strict)
        self.names = OrderNames(self.orders)

    def submit(
        self, intent: OrderIntent, now: int, account: AccountView | None = None, chase: Chase | None = None
    ) -> Outcome:
        """Check an intent against every limit, and send it if it passes. `account` defaults to the present view.

        An order of a `chase` is bound to the worst price of that entry, and only the first one counts as an entry.
        """
        ref = self.names.next(intent)
        account = account or self.view(intent.symbol, now)
        if account is None:
            return self.refuse(intent, NO_PRICE)
        if intent.purpose.reduces:
            answer = self.officer.clear_reduction(intent, account, ref, now)
        else:
            answer = self.officer.check_entry(intent, account, ref, now, chase.bound if chase else None)
        if isinstance(answer, Refusal):
            return self.refuse(intent, answer)
        if answer.version != self.account.version:
            raise InvariantError(f"order {ref} cleared on account version {answer.version}, now {self.account.version}")
        if intent.quantity != answer.order.quantity:
            # The journal has the quantity that is sent: an order is filled once all of that has traded.
            intent = msgspec.structs.replace(intent, quantity=answer.order.quantity)
        worst = self.officer.worst_of(intent, account) if intent.purpose is Purpose.ENTRY else account.price
        worst = worst if chase is None else max(worst, chase.worst)
        added = TrackedOrder(answer.order, intent, worst, cleared_equity=account.equity)
        added.cleared_regime, added.cleared_macro = account.regime, account.macro
        self.orders.add(added)
        self.account.version += 1
        if intent.purpose.reduces:
            self.names.use(intent.symbol, ref)
            if asked_for(intent):
                self.account.activity.reduced(now)
        elif chase is None or not chase.orders:
            self.account.activity.sent(now)
        self.effects.record(events.OrderIntended(ref, intent, self.config.policy_hash))
        if intent.purpose.reduces and self.spot:
            self._unlock(answer.order)
        self.effects.add(Send(answer))
        if intent.expires_at is not None:
            self.effects.set_timer(Timer(TimerKind.EXPIRY, ref), intent.expires_at)
        return ref

    def refuse(self, intent: OrderIntent, refusal: Refusal) -> Refusal:
        """Journal that an intent was refused; nothing is sent."""
        self.effects.record(events.OrderRefused(intent, refusal, self.config.policy_hash))
        return refusal

    def close(self, symbol: str, principal: str, now: int, *, key: str = "", wake_id: int | None = None) -> Outcome:
        """Close a whole position at the market, reduce-only: cancel its entries, and keep its stop until it is flat.

        A part that a live exit is closing is not sold again, unless the outcome of that exit is unknown: reduce-only
        orders together cannot close more than the position.
        """
        self.cancel_entries("the position is being closed", symbol)
        intent = self.reduction(symbol, Purpose.EXIT, principal, key=key, wake_id=wake_id)
        if self.closing(symbol):
            # The guard, which has no key, tries again by itself; a refusal each time would only fill the journal.
            return self.refuse(intent, SECOND_EXIT) if key else SECOND_EXIT
        return self._submit_exit(intent, now)

    def reduce(
        self, symbol: str, quantity: Decimal, principal: str, now: int, *, key: str = "", wake_id: int | None = None
    ) -> Outcome:
        """Sell a part (base asset) of a position at the market, reduce-only; sell all if the remainder is too small."""
        intent = self.reduction(symbol, Purpose.EXIT, principal, key=key, wake_id=wake_id)
        account = self.view(symbol, now)
        if account is None:
            return NO_PRICE
        part = self.part(symbol, quantity, account)
        if isinstance(part, Refusal):
            return part
        if part >= intent.quantity:
            return self.close(symbol, principal, now, key=key, wake_id=wake_id)
        return self._submit_exit(msgspec.structs.replace(intent, quantity=part), now)

    def _submit_exit(self, intent: OrderIntent, now: int) -> Outcome:
        """Submit an exit in one order or in as few as the venue takes; return the first answer, which has the key."""
        instrument, answers = self.prices.instruments.get(intent.symbol), list[Outcome]()
        quantity = intent.quantity if instrument is None else self._on_step(intent.symbol, intent.quantity)
        for part in split(quantity or intent.quantity, instrument):
            each = msgspec.structs.replace(
                intent, quantity=part, idempotency_key="" if answers else intent.idempotency_key
            )
            answers.append(self.submit(each, now))
            if isinstance(answers[-1], Refusal):
                break
        return answers[0]

    def cancel(self, tracked: TrackedOrder, why: str, *, needed: bool = False) -> None:
        """Ask the venue to cancel an order, once; again if it refused, but not at once, and at most MOST_CANCELS times.

        A cancel that is `needed` for another order is always requested. The cancel of an entry ends its chase.
        """
        if tracked.purpose is Purpose.ENTRY:
            self.end_chase(tracked.order.symbol, why)
        refused = tracked.cancels_refused
        waits = refused and self.effects.now - tracked.cancel_refused_at < CANCEL_PAUSE_MS
        if tracked.status.live and not tracked.cancel_requested and (needed or not (waits or refused >= MOST_CANCELS)):
            tracked.cancel_requested = True
            self._request_cancel(tracked.ref, why, 1)

    def on_silence(self, ref: OrderRef, times: int) -> None:
        """Repeat a cancel request that the venue has not answered, or that it refused while the order is not needed.

        An incident is reported after MOST_CANCELS requests without an answer. After `await_end`, `times` is 0.
        """
        tracked = self.orders.get(ref)
        if tracked is None or not tracked.status.live:
            return
        if not tracked.cancel_requested:
            self.cancel(tracked, "refused; asked again")
        elif times < MOST_CANCELS:
            why = "no answer; asked again" if times else "its position has ended, and the venue did not end it"
            self._request_cancel(ref, why, times + 1)
        else:
            self.effects.record(events.Incident(f"asked {times} times to cancel {ref}, the venue does not answer"))

    def _on_refused_cancel(self, tracked: TrackedOrder, why: str) -> None:
        """Record that an order stays live, and ask again later for its cancel; see `Guard.on_silence`.

        The exchange also refuses the cancel of an order that it has not received yet: while the outcome of an order is
        unknown, its cancel is not requested again, but as soon as the order shows up.
        """
        tracked.cancel_refused_at = self.effects.now
        self.effects.record(events.OrderCancelRefused(tracked.ref, why))
        if tracked.status is OrderStatus.UNKNOWN:
            return
        if tracked.cancels_refused < MOST_CANCELS:
            self.effects.set_timer(Timer(TimerKind.CANCEL, tracked.ref, 1), self.effects.now + CANCEL_ANSWER_MS)
        elif tracked.cancels_refused == MOST_CANCELS:
            times = f"refused {MOST_CANCELS} times to cancel {tracked.ref}"
            self.effects.record(events.Incident(f"the venue {times}; look at the order at the exchange"))

    def _request_cancel(self, ref: OrderRef, why: str, times: int) -> None:
        self.effects.record(events.OrderCancelRequested(ref, why))
        self.effects.add(Cancel(ref))
        self.effects.set_timer(Timer(TimerKind.CANCEL, ref, times), self.effects.now + CANCEL_ANSWER_MS)

    def cancel_entries(self, why: str, symbol: str | None = None) -> None:
        """Cancel every live entry, or every live entry of a symbol."""
        for each in [symbol] if symbol is not None else list(self.chases):
            self.end_chase(each, why)
        for tracked in self.orders.live(symbol, Purpose.ENTRY):
            self.cancel(tracked, why)

    def end_chase(self, symbol: str, why: str) -> None:
        """End the chase of a symbol's entry, if there is one: cancel its order, and send no other one."""
        chase = self.chases.pop(symbol, None)
        if chase is None:
            return
        current = self.orders.get(chase.current)
        if current is not None and current.status.live:
            self.cancel(current, why)
        else:
            self.effects.record(events.EntryLapsed(chase.current, chase.left, why))

    def lower(self, incident: str) -> None:
        """Report an incident, and take no new risk until the operator resumes."""
        account = self.account
        self.effects.record(events.Incident(incident))
        if account.trading_state is TradingState.ACTIVE:
            account.change_state(TradingState.REDUCING, incident)
            self.cancel_entries("the engine only reduces positions")
        elif account.lowered is not None and account.lowered.by == MARKET_DATA:
            # The return of the market data must not end a restriction that an incident requires.
            account.lowered = Lowered(ITSELF, self.effects.now, incident)

    def apply(self, report: OrderReport, now: int) -> Change | None:
        """Apply a report of the venue; return None if the report changes nothing."""
        known = self.orders.get(report.ref)
        long_over = known is None and isinstance(report, Filled)
        if long_over:
            known = self.orders.recall(report.ref)
        if known is None:
            self._report_misfit(report, f"the venue reported on order {report.ref}, which is not in the book")
            return None
        if isinstance(report, Filled) and report.fill_id in known.fill_ids:
            return None
        reserved = known.remaining if known.status.live else ZERO
        misfit = known.misfit(report, long_over=long_over) if isinstance(report, Filled) else ""
        before = known.status
        tracked = self.orders.apply(report)
        if tracked and isinstance(report, Filled) and self.account.booked_before(tracked.order.symbol, report):
            return None
        if tracked is None:
            if not isinstance(report, Accepted | Triggered | Canceled | CancelRefused | OutcomeUnknown):
                kind = type(report).__name__
                self._report_misfit(report, f"the venue reported {kind} on order {report.ref}, a {known.status} one")
            elif known.status is OrderStatus.REJECTED and isinstance(report, Accepted | Triggered):
                self._report_misfit(report, f"order {report.ref} was rejected, but the venue has it")
                self._request_cancel(report.ref, "it was rejected, but the venue has it", 1)
            return None
        self.account.version += 1
        if misfit:
            self.lower(f"the venue reported Filled on order {report.ref}, {misfit}; it is booked")
            if tracked.status is OrderStatus.REJECTED:
                self._request_cancel(report.ref, "it was rejected, but it traded", 1)
        if not tracked.status.live:
            self.effects.clear_timer(Timer(TimerKind.EXPIRY, tracked.ref))
        if not tracked.status.live or isinstance(report, CancelRefused):
            for times in range(MOST_CANCELS + 1):
                self.effects.clear_timer(Timer(TimerKind.CANCEL, tracked.ref, times))
        shows_up = before is OrderStatus.UNKNOWN is not tracked.status and tracked.status.live
        if shows_up and tracked.cancels_refused:
            # Its cancel was refused because the exchange did not have it yet.
            tracked.cancels_refused = 0
            self.effects.set_timer(Timer(TimerKind.CANCEL, tracked.ref, 1), now)
        booked, beyond = None, ZERO
        symbol = tracked.order.symbol
        match report:
            case Accepted():
                self.effects.record(events.OrderAccepted(report.ref, report.venue_order_id))
                if before is tracked.status:
                    return None
            case Triggered():
                self.effects.record(events.OrderTriggered(report.ref, report.venue_order_id))
            case CancelRefused():
                self._on_refused_cancel(tracked, report.why)
            case Rejected():
                self.effects.record(events.OrderRejected(report.ref, report.reason, report.text))
                if report.reason is NOT_JOURNALED:
                    self.lower(f"entry {report.ref} was not sent: {report.text}")
            case OutcomeUnknown():
                tracked.unknown_since = now
                self.effects.record(events.OrderUnknown(report.ref, report.why))
            case Canceled():
                missed = (tracked.remaining, tracked.order.limit_price) if tracked.order.immediate else ()
                self.effects.record(events.OrderCanceled(report.ref, report.why, *missed))
            case Filled():
                booked = self._book(tracked, report, now)
                beyond = tracked.count(report, reserved)
        sold = isinstance(report, Filled) and tracked.purpose.reduces
        if (closed := self.sweep(symbol, now, sold=sold)) is not None:
            booked = Booked(booked.realised if booked else ZERO, ZERO, closed, opened=False)
        return Change(tracked, report, booked, beyond)

    def sweep(self, symbol: str, now: int, *, sold: bool) -> Position | None:
        """Book a spot position that is too small to sell as flat, and close its trade; see `is_dust`.

        Return the position, or None if it is no dust.
        """
        if not (self.spot and self.is_dust(symbol, sold=sold)):
            return None
        closed = self.account.ledger.sweep(symbol, self.account.ledger.marks[symbol])
        self.names.end(symbol)
        self.account.close_trade(closed, Side.SELL, now)
        return closed

    def view(self, symbol: str, now: int) -> AccountView | None:
        """Return the account as the risk officer sees it for one symbol; None if the symbol has no price."""
        quote = self.prices.get(symbol, now)
        return None if quote is None else account_view(self, symbol, quote, now)

    def inactive(self) -> Refusal | None:
        """Return a refusal of every entry unless the engine is ACTIVE."""
        state = self.account.trading_state
        active = state is TradingState.ACTIVE
        return None if active else Refusal(RefusalCode.NOT_ACTIVE, limit=TradingState.ACTIVE, actual=state)

    def sizes(self, symbol: str, now: int) -> Sizes:
        """Return the sizes of an entry that would pass now, with a stop that the policy accepts."""
        account = self.view(symbol, now)
        if account is None:
            return Unknown("no price yet")
        if any(each.purpose in (Purpose.ENTRY, Purpose.EXIT) for each in self.orders.live(symbol)):
            return Unknown("an order of this symbol is under way")
        return SizesOnDemand(partial(self.officer.feasible, symbol, account))

    def state(self) -> OrderManagerState:
        """Return the orders and their groups for a checkpoint."""
        return OrderManagerState(self.orders.state(), self.names.groups, self.chases)

    def restore(self, state: OrderManagerState, /) -> None:
        """Restore a state that `state` returned."""
        self.orders.restore(state.orders)
        self.names.groups, self.chases = state.groups, state.chases

    def _report_misfit(self, report: OrderReport, incident: str) -> None:
        """Record an incident for a venue report that fits no live order; if it is a fill, also take no new risk."""
        if isinstance(report, Filled):
            self.lower(incident)
        else:
            self.effects.record(events.Incident(incident))

    def _unlock(self, order: Order) -> None:
        """Cancel the orders that lock the balance that `order` sells; if `order` fails, the guard places a new stop."""
        for tracked in self.orders.live(order.symbol):
            another_part = tracked.purpose is Purpose.EXIT
            if tracked.order.reduce_only and tracked.ref != order.ref and not another_part:
                self.cancel(tracked, f"it locks the balance that {order.ref} sells", needed=True)

    def _book(self, tracked: TrackedOrder, fill: Filled, now: int) -> Booked:
        order, symbol, principal = tracked.order, tracked.order.symbol, tracked.intent.principal
        traded, leverage = (fill.quantity, fill.price, fill.fee), order.leverage
        booked = self.account.ledger.book(symbol, order.side, *traded, now, leverage=leverage, **charged_of(fill))
        self.account.activity.filled(fill.quantity * fill.price, fill.fee)
        filled = msgspec.structs.asdict(fill) | {"symbol": symbol, "side": order.side}
        self.effects.record(events.OrderFilled(**filled, realised=booked.realised, position=booked.position))
        if booked.closed is not None:
            self.account.close_trade(booked.closed, order.side, now)
            self.names.end(symbol)
            if (opener := self.account.opened.get(symbol)) is not None and opener.principal == principal:
                del self.account.opened[symbol]
        if booked.opened:
            self.names.end(symbol)
            if tracked.purpose is Purpose.ENTRY:
                self.account.opened[symbol] = Opened(principal, order.side)
                if len(tracked.fill_ids) == 1:
                    # The first fill: no order of another position has this entry's number.
                    self.names.begin(symbol, tracked.ref.n)
        return booked

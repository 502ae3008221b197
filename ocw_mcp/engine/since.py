"""What happened since the last wake that the agent answered, from the events that the engine records.

A happening stays until the agent itself makes a decision on a snapshot that contained it. Repeated decisions, failed
ones, and those of the rules in the agent's place leave it for the next wake.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from ocw_mcp.core.orders.table import TrackedOrder
from ocw_mcp.domain import events
from ocw_mcp.domain.asks import DecisionKey
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.happenings import Happening, HappeningKind, RestingOrder
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import ATTACHED, GUARD, RULES, OrderRef, Purpose, Side
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.snapshot import Remark, WakeKind, WakeReason
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.time import iso
from ocw_mcp.engine.leg_executor import LegExecutor
from ocw_mcp.engine.order_manager import OrderManager
from ocw_mcp.engine.protection import on_tick
from ocw_mcp.engine.resting import resting_orders
from ocw_mcp.engine.since_state import (
    REFUSED_KEPT,
    Happenings,
    LiveEntry,
    Mover,
    SinceState,
    action_of,
    closes,
    ended,
    legs_of,
)

_EXPIRED, _BY_VENUE, _NO_FILL, _CHASED = "expired", "venue", "price", "chase"
"""Why an entry lapsed; `price` for a market order, whose price limit the market had left."""


class Since(Stateful[SinceState]):
    """Observes every recorded event."""

    def __init__(self, manager: OrderManager, executor: LegExecutor) -> None:
        super().__init__(SinceState())
        self._manager = manager
        self._executor = executor
        self._config = manager.config
        self._reasons: list[tuple[str, WakeReason]] = []
        self._closed: list[str] = []
        self._turned: Happening | None = None
        """The entry of the fill that turned a position around, until the close of that position, which comes next."""
        self._handlers: dict[type[DomainEvent], Callable[[Any, int], None]] = {
            events.WakeRaised: self._on_wake,
            events.DecisionMade: self._on_decision,
            events.DecisionCorrected: self._on_correction,
            events.OrderIntended: self._on_intent,
            events.OrderRefused: self._on_refusal,
            events.OrderAccepted: self._on_accepted,
            events.OrderRejected: self._on_rejected,
            events.OrderCancelRequested: self._on_cancel_request,
            events.OrderCancelRefused: self._on_cancel_refused,
            events.OrderCanceled: self._on_canceled,
            events.EntryContinued: self._on_continued,
            events.EntryLapsed: self._on_lapsed,
            events.OrderFilled: self._on_fill,
            events.OutsideFilled: self._on_outside_fill,
            events.PositionClosed: self._on_close,
            events.PositionProtected: self._on_protected,
            events.ExitDecided: self._on_exit_rule,
            events.ProtectionSet: self._on_protection_set,
            events.FundingBooked: self._on_funding,
            events.TransferBooked: self._on_transfer,
            events.StateChanged: self._on_state,
            events.DailyLossReached: self._on_daily_loss,
            events.EntriesPaused: self._on_pause,
            events.CommandTaken: self._on_command,
            events.SymbolEnded: self._on_market_end,
            events.WakeConditionsSet: self._on_conditions,
            events.Incident: self._on_incident,
        }

    def observe(self, event: DomainEvent, at: int) -> None:
        """Take an event that the engine records at `at` (ms)."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event, at)

    @property
    def happenings(self) -> Happenings:
        """The happenings since the snapshot of the last answered wake, in the order of their first events."""
        return self._state.shown.with_later(self._state.fresh)

    @property
    def note_refused(self) -> tuple[Happening, ...]:
        """The legs that were refused with the decision that wrote the last note."""
        state = self._state
        return tuple(state.refused if state.noted is None else state.noted)

    def thesis(self, symbol: str) -> Remark | None:
        """Return the reason of the leg that opened the position of a symbol."""
        return self._state.theses.get(symbol)

    def resting(self) -> tuple[RestingOrder, ...]:
        """Return the live entries, oldest first, then those that wait for an approval."""
        return resting_orders(self._manager, self._executor.approvals, self._state.entries)

    @property
    def has_news(self) -> bool:
        """Whether positions were closed, or reasons to wake the agent arose, that were not taken."""
        return bool(self._closed or self._reasons)

    def take_reasons(self) -> list[tuple[str, WakeReason]]:
        """Return the reasons to wake the agent that arose since the last call, each with its symbol."""
        reasons, self._reasons = self._reasons, []
        return reasons

    def take_closed(self) -> list[str]:
        """Return the symbols whose positions were closed since the last call."""
        closed, self._closed = self._closed, []
        return closed

    def _add(self, happening: Happening) -> Happening:
        return self._state.fresh.add(happening)

    def _on_wake(self, event: events.WakeRaised, at: int) -> None:
        held = self._executor.manual_control.held
        self._state.shown, self._state.fresh = self.happenings.split(lambda each: each.shown_without(held))

    def _on_decision(self, made: events.DecisionMade, at: int) -> None:
        state, decision = self._state, made.decision
        if self._answers(made):
            state.wake = made.wake_id
            state.shown = Happenings()
        if state.noted is None:
            state.noted = state.refused
        # A second decision on one wake is that of the rules, after a submission that failed.
        key = DecisionKey(made.wake_id, "rules" if made.wake_id == state.decided else "")
        waiting = {str(each.given.key) for each in self._executor.approvals.pending}
        earlier = {order: leg for order, leg in state.legs.items() if order in waiting}
        state.legs = earlier | legs_of(key, decision, tainted=made.tainted)
        state.decided, state.refused = made.wake_id, []
        if decision.note and not made.tainted:
            state.noted = None

    def _answers(self, made: events.DecisionMade) -> bool:
        """Return whether the agent itself has answered the wake."""
        if made.decider == RULES and self._config.agent != RULES:
            return False
        return made.decision.answered or made.decision.cause_kind is CauseKind.NOTHING_TO_DO

    def _on_correction(self, event: events.DecisionCorrected, at: int) -> None:
        state, symbols = self._state, {leg.symbol for leg in event.decision.legs}
        state.legs |= legs_of(DecisionKey(event.wake_id, "again"), event.decision, tainted=event.tainted)
        if event.decision.note and not event.tainted:
            state.noted = None
        corrected = [each for each in state.refused if each.symbol in symbols]
        state.refused = [each for each in state.refused if each.symbol not in symbols]
        for each in corrected:
            state.fresh.forget(each)

    def _on_intent(self, event: events.OrderIntended, at: int) -> None:
        if event.intent.purpose is not Purpose.ENTRY:
            return
        if str(event.ref) in self._state.entries:
            # It continues a chased entry.
            return
        leg, thesis = self._state.legs.get(event.intent.idempotency_key), None
        if leg is not None and leg.reasoning:
            thesis = Remark(leg.reasoning, event.intent.principal, at)
        self._state.entries[str(event.ref)] = LiveEntry(at, thesis)

    def _on_refusal(self, event: events.OrderRefused, at: int) -> None:
        intent = event.intent
        # An order that only needs an approval is not refused yet: it is among the resting orders.
        if intent.wake_id is None or event.refusal.code is RefusalCode.APPROVAL_REQUIRED:
            return
        leg = self._state.legs.get(intent.idempotency_key)
        action = action_of(intent) if leg is None else leg.action
        kind, code = HappeningKind.REFUSED, str(event.refusal.code)
        refused = Happening(at, kind, intent.symbol, intent.principal, cause=action, code=code)
        self._add(refused)
        if intent.wake_id == self._state.decided and len(self._state.refused) < REFUSED_KEPT:
            self._state.refused.append(refused)

    def _on_accepted(self, event: events.OrderAccepted, at: int) -> None:
        tracked = self._manager.orders.get(event.ref)
        if tracked is None or tracked.purpose not in (Purpose.STOP, Purpose.TARGET):
            return
        order = tracked.order
        target = order.trigger_price if tracked.purpose is Purpose.TARGET else order.take_at
        if target is not None:
            self._moved(HappeningKind.TARGET_MOVED, self._state.targets, order.symbol, target, at)

    def _on_protected(self, event: events.PositionProtected, at: int) -> None:
        self._moved(HappeningKind.STOP_MOVED, self._state.stops, event.symbol, event.trigger_price, at)

    def _moved(self, kind: HappeningKind, known: dict[str, Decimal], symbol: str, price: Decimal, at: int) -> None:
        """Add the move of a stop or a target; the first one of a position is a move only if it was requested later."""
        previous, mover, by = known.get(symbol), self._state.movers.get(symbol), GUARD
        known[symbol] = price
        if mover is not None:
            tick, long = (
                self._manager.prices.instruments[symbol].tick,
                self._manager.account.ledger.quantity(symbol) > 0,
            )
            stop, target = on_tick(mover.stop, mover.target, tick, long=long)
            if price == (stop if kind is HappeningKind.STOP_MOVED else target):
                by = mover.by
        requested = by != GUARD and mover is not None and not mover.opening
        if previous != price and (previous is not None or requested):
            self._add(Happening(at, kind, symbol, by, price=price, previous=previous))

    def _on_rejected(self, event: events.OrderRejected, at: int) -> None:
        tracked = self._manager.orders.get(event.ref)
        if tracked is not None and tracked.purpose is Purpose.STOP:
            order = tracked.order
            rejected = Happening(at, HappeningKind.REJECTED, order.symbol, cause="stop", code=event.reason.value)
            self._add(msgspec.structs.replace(rejected, price=order.trigger_price))
        elif tracked is not None and tracked.purpose is Purpose.ENTRY and not self._goes_on(tracked, event.reason):
            self._state.entries.pop(str(event.ref), None)
            happening = ended(HappeningKind.REJECTED, tracked, at)
            self._add(msgspec.structs.replace(happening, code=event.reason.value))

    def _on_cancel_request(self, event: events.OrderCancelRequested, at: int) -> None:
        tracked, entry = self._entry(event.ref), self._state.entries.get(str(event.ref))
        if tracked is None or entry is None or entry.withdrawn:
            return
        expires_at = tracked.intent.expires_at
        if expires_at is None or at < expires_at:
            entry.withdrawn = event.why

    def _on_cancel_refused(self, event: events.OrderCancelRefused, at: int) -> None:
        tracked, entry = self._entry(event.ref), self._state.entries.get(str(event.ref))
        if tracked is not None and entry is not None and not self._goes_on(tracked):
            entry.withdrawn = ""
            self._add(ended(HappeningKind.NOT_CANCELLED, tracked, at))

    def _goes_on(self, tracked: TrackedOrder, reason: RejectReason | None = None) -> bool:
        """Return whether the end of an order is not that of its entry, which is chased; see `ChasedEntries`."""
        chase = self._manager.chases.get(tracked.order.symbol)
        if chase is None or chase.current != tracked.ref:
            return False
        return not chase.lost and (chase.moving if reason is None else reason is RejectReason.WOULD_TAKE)

    def _on_continued(self, event: events.EntryContinued, at: int) -> None:
        entry, previous = self._state.entries.pop(str(event.previous), None), self._manager.orders.get(event.previous)
        if entry is not None:
            before = entry.before + (ZERO if previous is None else previous.filled)
            self._state.entries[str(event.ref)] = LiveEntry(
                entry.sent_at, entry.thesis, first=event.first, before=before
            )

    def _on_lapsed(self, event: events.EntryLapsed, at: int) -> None:
        tracked, entry = self._entry(event.ref), self._state.entries.pop(str(event.ref), None)
        if tracked is not None:
            lapsed = ended(HappeningKind.CANCELLED, tracked, at, entry)
            self._add(msgspec.structs.replace(lapsed, detail=event.why))
            self._lapsed(tracked, _CHASED, entry)

    def _lapsed(self, tracked: TrackedOrder, cause: str, entry: LiveEntry | None) -> None:
        """Have the agent woken for an entry that has lapsed without a fill, if the policy says so."""
        filled, order = tracked.filled or (entry is not None and entry.before), tracked.order
        if self._config.policies.gate.wake_on_lapse and not filled:
            limit = "" if order.limit_price is None else plain(order.limit_price)
            self._reasons.append((order.symbol, WakeReason(WakeKind.ENTRY_LAPSED, cause, limit)))

    def _on_canceled(self, event: events.OrderCanceled, at: int) -> None:
        tracked = self._entry(event.ref)
        if tracked is not None and self._goes_on(tracked):
            return
        entry = self._state.entries.pop(str(event.ref), None)
        if tracked is None:
            return
        order, expires_at = tracked.order, tracked.intent.expires_at
        if entry is not None and entry.withdrawn:
            happening = ended(HappeningKind.CANCELLED, tracked, at, entry)
            self._add(msgspec.structs.replace(happening, detail=entry.withdrawn))
            return
        expired = expires_at is not None and at >= expires_at
        cause = _EXPIRED if expired else _NO_FILL if order.immediate else _BY_VENUE
        happening = ended(HappeningKind.LAPSED, tracked, at, entry)
        self._add(msgspec.structs.replace(happening, cause=cause))
        self._lapsed(tracked, cause, entry)

    def _entry(self, ref: OrderRef) -> TrackedOrder | None:
        return self._manager.orders.get(ref) if ref.leg is Purpose.ENTRY else None

    def _on_fill(self, fill: events.OrderFilled, at: int) -> None:
        tracked = self._manager.orders.get(fill.ref)
        assert tracked is not None, "a fill is booked on an order of the book"
        intent, entry = tracked.intent, self._state.entries.get(str(fill.ref))
        name = fill.ref if entry is None or entry.first is None else entry.first
        opened = self._book(fill, Happening(at, HappeningKind.FILLED, fill.symbol, intent.principal, order=name))
        if intent.purpose is Purpose.ENTRY and intent.protect_at is not None:
            mover = Mover(intent.principal, intent.protect_at, intent.target_at, opened)
            self._state.movers[fill.symbol] = mover
        if opened and entry is not None and entry.thesis is not None:
            self._state.theses[fill.symbol] = entry.thesis
        if entry is not None and not tracked.status.live:
            del self._state.entries[str(fill.ref)]

    def _on_outside_fill(self, fill: events.OutsideFilled, at: int) -> None:
        self._book(fill, Happening(at, HappeningKind.FILLED, fill.symbol, cause=fill.cause))

    def _book(self, fill: events.OrderFilled | events.OutsideFilled, happening: Happening) -> bool:
        """Add a fill as an enlargement, a reduction, or both. Return whether the fill opened a position."""
        signed = fill.quantity * Side(fill.side).sign
        before = fill.position - signed
        if before * signed < 0:
            closed = -before if abs(signed) > abs(before) else signed
            average = round(fill.price + fill.realised / closed, 8)
            cause = happening.cause
            if isinstance(fill, events.OrderFilled):
                cause = cause or closes(self._manager.orders.get(fill.ref), fill, self._state.rules)
            self._state.reduced[fill.symbol] = self._add(
                msgspec.structs.replace(
                    happening,
                    kind=HappeningKind.REDUCED,
                    cause=cause,
                    price=fill.price,
                    previous=average,
                    quantity=closed,
                    amount=fill.realised - fill.fee,
                )
            )
            signed -= closed
        if signed:
            entered = msgspec.structs.replace(happening, price=fill.price, quantity=signed)
            if before * signed < 0:
                self._turned = entered
            else:
                self._add(entered)
        return bool(signed) and fill.position == signed

    def _on_close(self, event: events.PositionClosed, at: int) -> None:
        state, symbol = self._state, event.symbol
        last = state.reduced.pop(symbol, None) or Happening(at, HappeningKind.REDUCED, symbol)
        closed = msgspec.structs.replace(
            last, at=at, kind=HappeningKind.CLOSED, amount=event.pnl, began_at=event.opened_at
        )
        state.fresh.replace(last, closed)
        if self._turned is not None:
            self._add(self._turned)
            self._turned = None
        for known in (state.stops, state.targets, state.movers, state.rules, state.theses):
            known.pop(symbol, None)
        self._closed.append(symbol)
        if self._config.policies.gate.wake_on_close and not self._closed_by_agent(last):
            self._reasons.append((symbol, WakeReason(WakeKind.POSITION_CLOSED, last.cause, f"{event.pnl:+.2f}")))

    def _closed_by_agent(self, last: Happening) -> bool:
        """Return whether the agent closed the position: by a leg, or as an attached client by a request."""
        agent = self._config.agent
        if last.cause == "leg":
            return last.by != RULES or agent == RULES
        return last.cause == "client" and agent == ATTACHED

    def _on_exit_rule(self, event: events.ExitDecided, at: int) -> None:
        self._state.rules[event.symbol] = event.rule

    def _on_protection_set(self, event: events.ProtectionSet, at: int) -> None:
        self._state.movers[event.symbol] = Mover(event.by, event.stop, event.target)

    def _on_funding(self, event: events.FundingBooked, at: int) -> None:
        self._add(Happening(at, HappeningKind.FUNDING, event.symbol, amount=event.amount))

    def _on_transfer(self, event: events.TransferBooked, at: int) -> None:
        self._add(Happening(at, HappeningKind.TRANSFER, amount=event.amount))

    def _on_state(self, event: events.StateChanged, at: int) -> None:
        self._add(Happening(at, HappeningKind.STATE, cause=event.after.value, detail=event.why))

    def _on_daily_loss(self, event: events.DailyLossReached, at: int) -> None:
        self._add(Happening(at, HappeningKind.LIMIT, cause="daily_loss", detail="no entries until the next UTC day"))

    def _on_pause(self, event: events.EntriesPaused, at: int) -> None:
        detail = f"no entries until {iso(event.until)[:16]}"
        self._add(Happening(at, HappeningKind.LIMIT, cause="losses", until=event.until, detail=detail))

    def _on_command(self, event: events.CommandTaken, at: int) -> None:
        symbol = event.subject if event.subject in self._config.symbols else ""
        self._add(Happening(at, HappeningKind.COMMAND, symbol, event.by, cause=event.verb))

    def _on_market_end(self, event: events.SymbolEnded, at: int) -> None:
        self._add(Happening(at, HappeningKind.MARKET_ENDED, event.symbol))

    def _on_conditions(self, event: events.WakeConditionsSet, at: int) -> None:
        if event.ended:
            self._add(Happening(at, HappeningKind.CONDITIONS_ENDED, detail="; ".join(event.ended)))

    def _on_incident(self, event: events.Incident, at: int) -> None:
        self._add(Happening(at, HappeningKind.INCIDENT, detail=event.text))

"""The position guard: every position has a live stop at the venue, or it is UNPROTECTED and closed at a deadline.

The guard's orders are reductions; no trading state refuses them. A stop is replaced only by an equal or tighter one,
and the old stop is cancelled after the venue has accepted the new one; see `stop_orders`. On spot a resting stop locks
the balance that it sells: the old stop is cancelled first, stop and target are one order, and a position is UNPROTECTED
during its exit.
"""

from decimal import Decimal

from ocw_mcp.core.orders.table import OrderStatus, TrackedOrder
from ocw_mcp.domain.events import Incident
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, floor_to
from ocw_mcp.domain.orders import (
    GUARD,
    Accepted,
    Canceled,
    CancelRefused,
    Filled,
    OrderRef,
    OrderReport,
    OutcomeUnknown,
    Purpose,
    Rejected,
    RejectReason,
)
from ocw_mcp.engine.order_manager import Change, OrderManager, Outcome
from ocw_mcp.engine.protection import (
    GuardState,
    Protection,
    busy,
    crossed,
    hold_to_clearing,
    on_tick,
    protection_timer,
    rejected_as,
    retry_timer,
    trailing_stop,
)
from ocw_mcp.engine.stop_orders import StopOrders

_FOREIGN_WIDE = (
    "the venue has a stop that closes the whole position of {} and is not in the book; a stop with a quantity is placed"
)


class Guard(StopOrders):
    """Keeps every position under a stop."""

    def __init__(self, manager: OrderManager) -> None:
        super().__init__(manager)
        self._config = manager.config

    def state(self) -> GuardState:
        """Return the guard's state for a checkpoint."""
        return GuardState(self.protections, self.flattening)

    def restore(self, state: GuardState, /) -> None:
        """Restore a state that `state` returned."""
        self.protections, self.flattening = state.protections, state.flattening

    def flatten(self, by: str, now: int) -> None:
        """Close every position at the market, and retry until all positions are flat."""
        self.flattening = True
        for symbol in sorted(self._account.ledger.positions):
            for target in self.manager.orders.live(symbol, Purpose.TARGET):
                self.manager.cancel(target, "everything is being closed")
            self.manager.close(symbol, by, now)
            if not self.manager.closing(symbol):
                self._schedule_check(symbol, now)

    def resume(self, now: int) -> None:
        """End a flatten: a position that is still open stays open and gets its target again."""
        if not self.flattening:
            return
        self.flattening = False
        for symbol in sorted(self._account.ledger.positions):
            if self.protections[symbol].protected:
                self._effects.clear_timer(protection_timer(symbol))
                self._effects.clear_timer(retry_timer(symbol))
                self._keep_protection(symbol, now)
                self._reduce_excess(symbol, now)

    def protect(
        self, symbol: str, stop: Decimal | None, target: Decimal | None, trail: Decimal | None, now: int
    ) -> Outcome:
        """Tighten an open position's stop, set its target, and set the trailing distance of its stop.

        None leaves a value as it is. Return the new order, or why none was sent.
        """
        long, tick = self._account.ledger.quantity(symbol) > 0, self.instruments[symbol].tick
        protection = self.protections[symbol]
        stop, target = on_tick(stop, target, tick, long=long)
        if protection.required is None:
            protection.required = protection.trigger
        protection.tighten(stop, target, long=long)
        if trail is not None:
            protection.trail, protection.best = trail, self._account.ledger.marks[symbol]
            stop = trailing_stop(protection.best, trail, tick, long=long)
            protection.tighten(stop, None, long=long)
        held = self._keep_protection(symbol, now)
        if stop is None and isinstance(held, OrderRef):
            # If only a target was requested, the answer is its order; on spot it is part of the stop's order.
            live = self.manager.orders.live(symbol, Purpose.TARGET)
            return next((each.ref for each in live if not each.cancel_requested), held)
        return held

    def on_report(self, change: Change, now: int) -> None:
        """Adapt the protection of a position to a report on one of its orders."""
        tracked, report, symbol = change.tracked, change.report, change.tracked.order.symbol
        self.size_stops(symbol)
        held, failed = self._account.ledger.quantity(symbol), isinstance(report, Rejected | Canceled)
        if symbol in self.protections and not held:
            self.release(symbol)
        elif isinstance(report, Filled):
            self._after_fill(change, report, now)
        elif tracked.purpose is Purpose.EXIT and (failed or isinstance(report, OutcomeUnknown)):
            self._exit_failed(tracked, report, now)
        elif tracked.purpose is Purpose.STOP and held:
            self._after_stop_report(tracked, report, now)
        elif tracked.purpose is Purpose.TARGET and held and crossed(report):
            # The market has reached the target already, so the position is closed now.
            self.manager.close(symbol, GUARD, now)
        elif tracked.purpose is Purpose.TARGET and held and failed and tracked.cancel_requested:
            self._sell_blocked(symbol, now)
        elif tracked.purpose is Purpose.TARGET and held and failed:
            if self.protections[symbol].may_retry("target", now):
                self._place_target(symbol, now)
            else:
                self._schedule_check(symbol, now)

    def on_lost_stop(self, stop: TrackedOrder, now: int) -> None:
        """Replace a stop that is no longer at the exchange; cancel it, because two stops could sell too much."""
        symbol = stop.order.symbol
        self.manager.cancel(stop, "it is not among the orders at the exchange")
        if self._account.ledger.quantity(symbol) and not self._covered(symbol):
            self._unprotect(symbol, now)
            self._replace_lost_stop(symbol, now)

    def adopt(self, symbol: str, now: int, *, close: bool = True, most: Decimal | None = None) -> None:
        """Keep a position that others opened or changed under a stop, or `close` it; `most` (base asset) may stay."""
        if symbol in self.protections:
            self.protections[symbol].most = most or self.protections[symbol].most
            if self._spot:
                # As after a fill: a stop would lock the excess that has to be sold.
                self._reduce_excess(symbol, now)
            self._cover_position(symbol, now)
            self._reduce_excess(symbol, now)
            return
        long, mark = self._account.ledger.quantity(symbol) > 0, self._account.ledger.marks[symbol]
        farthest = mark * (ONE - (1 if long else -1) * self._config.policies.stop.max_distance)
        trigger = (ceil_to if long else floor_to)(farthest, self._config.instruments(symbol, float(mark)).tick)
        self.protections[symbol] = Protection(trigger, target=None)
        self._unprotect(symbol, now)
        if close:
            self.manager.close(symbol, GUARD, now)
        else:
            self._cover_position(symbol, now)

    def on_timer(self, symbol: str, now: int) -> None:
        """Close an unprotected position. For a protected one, sell its excess and place a lost target again."""
        if not self._account.ledger.quantity(symbol):
            return
        if self.protections[symbol].protected and not self.flattening:
            self._reduce_excess(symbol, now)
            if not self.manager.exit_under_way(symbol):
                self._place_target(symbol, now)
            return
        if not self.flattening and self._stands_at_required(symbol):
            self._postpone(symbol, now)
            return
        if self.manager.sweep(symbol, now, sold=False):
            self.release(symbol)
            return
        if self._spot and self.manager.too_small(symbol) and any(self.manager.orders.live(symbol, Purpose.ENTRY)):
            # Nothing of it can be sold yet. Without its entry, the position is dust.
            self.manager.cancel_entries("its filled part is too small for a stop", symbol)
        else:
            self.manager.close(symbol, GUARD, now)
        if not self.manager.exit_under_way(symbol) or self.manager.exit_unknown(symbol):
            self._schedule_check(symbol, now)

    def on_retry(self, symbol: str, now: int) -> None:
        """Send again what the venue rejected: a missing stop, an exit that orders blocked, or one that is overdue."""
        protection = self.protections.get(symbol)
        if protection is None or not self._account.ledger.quantity(symbol):
            return
        overdue = protection.deadline is not None and protection.deadline <= now
        if (self.flattening or overdue or self._too_large(symbol)) and not self.manager.exit_unknown(symbol):
            self.on_timer(symbol, now)
        self._sell_blocked(symbol, now)
        if not (self._covered(symbol) or self._cover_pending(symbol)):
            self._place_stop(symbol, now)
        elif not protection.protected and (stop := self._covering(symbol)) is not None:
            self._protected_by(stop, now)
        self._put_wide_back(symbol, now)
        if protection.blocked:
            self._retry_later(symbol, now)

    def _sell_blocked(self, symbol: str, now: int) -> None:
        """Send the exit again that resting orders blocked, once no target rests."""
        protection = self.protections[symbol]
        if protection.blocked and not any(self.manager.orders.live(symbol, Purpose.TARGET)):
            quantity, protection.blocked = protection.blocked, ZERO
            self.manager.reduce(symbol, quantity, GUARD, now)

    def _unblock(self, exit_order: TrackedOrder, now: int) -> None:
        """Cancel the orders that block an exit: the targets first, then the tighter stops; the wide stop stays."""
        symbol = exit_order.order.symbol
        self.protections[symbol].blocked = exit_order.remaining
        live = [each for each in self.manager.orders.live(symbol) if not each.cancel_requested]
        targets = [each for each in live if each.purpose is Purpose.TARGET]
        wide = any(each.status is OrderStatus.ACCEPTED for each in self._wide(symbol))
        tighter = [each for each in live if each.purpose is Purpose.STOP and not each.order.close_position]
        for each in targets or (tighter if wide else []):
            self.manager.cancel(each, f"it blocks {exit_order.ref}")
        self._retry_later(symbol, now)

    def _after_fill(self, change: Change, fill: Filled, now: int) -> None:
        tracked, booked, exiting = change.tracked, change.booked, self.manager.exit_under_way
        assert booked is not None
        symbol = tracked.order.symbol
        if not booked.position:
            return
        if booked.closed is not None:
            # The fill turned the position around: the stop of the old one is on the wrong side of the new one.
            self.release(symbol)
        if tracked.purpose is Purpose.ENTRY and booked.position * tracked.order.side.sign > 0:
            self._plan(tracked)
            hold_to_clearing(change, self.protections, self.manager)
            if self._spot:
                # A stop would lock the excess that has to be sold: it covers the quantity that stays.
                self._reduce_excess(symbol, now)
            self._cover_position(symbol, now)
            self._reduce_excess(symbol, now)
            if self.flattening:
                self.manager.close(symbol, GUARD, now)
            return
        if symbol not in self.protections:
            # A closing order was larger than the position and opened this one.
            self.adopt(symbol, now)
            return
        protection, left = self.protections[symbol], abs(booked.position)
        if protection.beyond:
            # A sale reduces the excess in proportion.
            protection.beyond *= left / (left + fill.quantity)
        if tracked.purpose is Purpose.EXIT and not (tracked.status.live or self.flattening or exiting(symbol)):
            self._reduce_excess(symbol, now)
            if not exiting(symbol):
                self._resize_protection(symbol, now)
        if protection.protected and not self._covered(symbol):
            # A stop closed only a part, or a finished order traded.
            self._cover_position(symbol, now)
        if self._overdue(symbol):
            # The exit did not cover a quantity that was added meanwhile.
            self.on_timer(symbol, now)

    def _reduce_excess(self, symbol: str, now: int) -> None:
        """Sell the part of a position beyond its allowed size, once no exit is live."""
        protection, held = self.protections[symbol], abs(self._account.ledger.quantity(symbol))
        if not self._too_large(symbol):
            protection.most = None
        elif protection.most and not (self.flattening or self.manager.exit_under_way(symbol)):
            self.manager.reduce(symbol, max(held - protection.most, self.manager.least_sold(symbol)), GUARD, now)
        elif not protection.most:
            self.manager.close(symbol, GUARD, now)
        if self._too_large(symbol) and not self.manager.exit_under_way(symbol):
            self._schedule_check(symbol, now)

    def _plan(self, entry: TrackedOrder) -> None:
        """Plan the stop and the target for the filled part of an entry; an existing stop is never loosened."""
        symbol, intent = entry.order.symbol, entry.intent
        long = self._account.ledger.quantity(symbol) > 0
        stop, target = on_tick(intent.protect_at, intent.target_at, self.instruments[symbol].tick, long=long)
        assert stop is not None
        protection = self.protections.setdefault(symbol, Protection(stop, target))
        protection.tighten(stop, target, long=long)
        if protection.required is not None:
            protection.required = (max if long else min)(protection.required, stop)

    def _keep_protection(self, symbol: str, now: int) -> Outcome:
        """Place a position's stop and target, unless the live ones already match. Return the stop's order."""
        live = self._covering(symbol)
        if live is None or (self._spot and live.order.take_at != self.protections[symbol].target):
            return self._place_stop(symbol, now)
        self._place_target(symbol, now)
        return live.ref

    def _cover_position(self, symbol: str, now: int) -> None:
        """Place a stop for a changed position, unless one of futures covers it.

        If an exit is selling all of it on spot, start only the deadline.
        """
        if self._spot and self.manager.closing(symbol):
            self._unprotect(symbol, now)
        elif self._spot:
            self._place_stop(symbol, now)
        elif (stop := self._covering(symbol)) is not None:
            if self.protections[symbol].protected:
                self._place_target(symbol, now)
            else:
                self._protected_by(stop, now)
        elif not self._cover_pending(symbol):
            self._place_stop(symbol, now)

    def _after_stop_report(self, stop: TrackedOrder, report: OrderReport, now: int) -> None:
        symbol, take_at = stop.order.symbol, stop.order.take_at
        # Spot rejects a stop with a target if the price has reached the target.
        at_target = take_at is not None and self._account.ledger.marks[symbol] >= take_at
        match report:
            case Accepted():
                if stop.order.close_position:
                    self.protections[symbol].foreign_wide = False
                self._protected_by(stop, now)
            case CancelRefused():
                self.check_cover(symbol, now)
            case OutcomeUnknown():
                self._replace_unknown_stop(symbol, now)
            case Rejected() if crossed(report) or at_target:
                self._unprotect(symbol, now)
                self.manager.close(symbol, GUARD, now)
            case Rejected() | Canceled():
                wide = stop.order.close_position
                exists = wide and rejected_as(report, RejectReason.STOP_EXISTS)
                if exists:
                    self.protections[symbol].foreign_wide = True
                    self._effects.record(Incident(_FOREIGN_WIDE.format(symbol)))
                if not self._covered(symbol):
                    self._unprotect(symbol, now)
                    if exists and not self._cover_pending(symbol):
                        self._send_stop(symbol, now)
                    elif busy(report):
                        self._retry_later(symbol, now)
                    elif rejected_as(report, RejectReason.NO_POSITION):
                        # The venue does not show the position yet, or it has none: the next report of the account says.
                        self._retry_later(symbol, now)
                    else:
                        self._place_again(symbol, now, rejected=isinstance(report, Rejected))
                elif wide and busy(report):
                    self._retry_later(symbol, now)
                elif wide and self.protections[symbol].may_retry("wide", now):
                    self._put_wide_back(symbol, now)
                self.note_cover(symbol, now)

    def _exit_failed(self, tracked: TrackedOrder, report: OrderReport, now: int) -> None:
        symbol, failed = tracked.order.symbol, isinstance(report, Rejected | Canceled)
        if not self._account.ledger.quantity(symbol):
            return
        protection = self.protections.get(symbol)
        rests = any(each for each in self.manager.orders.live(symbol, Purpose.TARGET))
        conflict = rejected_as(report, RejectReason.REDUCE_ONLY) and rests
        if protection and not self._spot and (conflict or rejected_as(report, RejectReason.BLOCKED_BY_ORDERS)):
            self._unblock(tracked, now)
        elif protection and not (protection.protected and not self._insists(symbol)):
            overdue = protection.deadline is not None and protection.deadline <= now
            if busy(report) or (failed and (overdue or self.flattening)):
                self._retry_later(symbol, now)
        if protection is None or not protection.protected or self._insists(symbol):
            insists = protection is None or self._insists(symbol)
            what = "may have failed" if tracked.status.live else "failed"
            again = "it is tried again" if insists else "it is tried again only if no stop stands by the deadline"
            self._effects.record(Incident(f"the exit {tracked.ref} of {symbol} {what}; {again}"))
            self._schedule_check(symbol, now)
        if self._spot:
            if protection is not None:
                # Its stop was cancelled for the exit.
                self.check_cover(symbol, now)
        elif not (tracked.status.live or self.flattening) and protection and protection.may_retry("both", now):
            self._resize_protection(symbol, now)

    def _insists(self, symbol: str) -> bool:
        """Return whether a position has to be closed or reduced even while a stop protects it."""
        return self.flattening or self._too_large(symbol) or self.protections[symbol].blocked > ZERO

    def _overdue(self, symbol: str) -> bool:
        """Return whether an unprotected position has neither a deadline timer nor a live exit that will close it."""
        waits = protection_timer(symbol) in self._effects.timers or self.manager.exit_under_way(symbol)
        return not (waits or (self.protections[symbol].protected and not self.flattening))

    def release(self, symbol: str) -> None:
        """Cancel all orders and the deadline of a flat symbol, so that no live addition opens a position again."""
        self.protections.pop(symbol, None)
        self._account.exchange.forget(symbol)
        self._effects.clear_timer(protection_timer(symbol))
        self._effects.clear_timer(retry_timer(symbol))
        for tracked in self.manager.orders.live(symbol):
            if tracked.order.close_position:
                self._await_end(tracked)
            else:
                self.manager.cancel(tracked, "the position is flat")

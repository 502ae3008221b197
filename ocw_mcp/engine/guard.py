"""The position guard: every position has a live stop at the venue, or it is UNPROTECTED and closed at a deadline.

The guard's orders are reductions; no trading state refuses them. A stop is replaced only by an equal or tighter one,
and the old stop is cancelled after the venue has accepted the new one. On spot a resting stop locks the balance that it
sells: the old stop is cancelled first, stop and target are one order, and a position is UNPROTECTED during its exit.
"""

from decimal import Decimal

from ocw_mcp.core.orders.table import OrderStatus, TrackedOrder
from ocw_mcp.domain.events import Incident, PositionProtected, PositionUnprotected
from ocw_mcp.domain.money import ONE, ceil_to, floor_to
from ocw_mcp.domain.orders import (
    GUARD,
    Accepted,
    Canceled,
    Filled,
    OrderRef,
    OrderReport,
    OutcomeUnknown,
    Purpose,
    Rejected,
)
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.order_manager import Change, OrderManager, Outcome
from ocw_mcp.engine.protection import (
    GuardState,
    Protection,
    crossed,
    hold_to_clearing,
    on_tick,
    protection_timer,
    trailing_stop,
)


class Guard:
    """Keeps every position under a stop."""

    def __init__(self, manager: OrderManager) -> None:
        self.manager = manager
        self._config = manager.config
        self._spot = manager.spot
        self._account = manager.account
        self._effects = manager.effects
        self.instruments = manager.prices.instruments
        self._deadline_ms = self._config.policies.stop.deadline_s * SECOND
        self.protections: dict[str, Protection] = {}
        self.flattening = False
        """Whether the operator has ordered every position closed, also positions that open later."""

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
        held, failed = self._account.ledger.quantity(symbol), isinstance(report, Rejected | Canceled)
        if symbol in self.protections and not held:
            self.release(symbol)
        elif isinstance(report, Filled):
            self._after_fill(change, report, now)
        elif tracked.purpose is Purpose.EXIT and (failed or isinstance(report, OutcomeUnknown)):
            self._exit_failed(tracked, now)
        elif tracked.purpose is Purpose.STOP and held:
            self._after_stop_report(tracked, report, now)
        elif tracked.purpose is Purpose.TARGET and held and crossed(report):
            # The market has reached the target already, so the position is closed now.
            self.manager.close(symbol, GUARD, now)
        elif tracked.purpose is Purpose.TARGET and held and failed and not tracked.cancel_requested:
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
        long = self._account.ledger.quantity(symbol) > 0
        mark = self._account.ledger.marks[symbol]
        farthest = mark * (ONE - (1 if long else -1) * self._config.policies.stop.max_distance)
        trigger = (ceil_to if long else floor_to)(farthest, self._config.instruments(symbol, float(mark)).tick)
        self.protections[symbol] = Protection(trigger, target=None)
        self._unprotect(symbol, now)
        if close:
            self.manager.close(symbol, GUARD, now)
        else:
            self._cover_position(symbol, now)

    def on_timer(self, symbol: str, now: int) -> None:
        """Close an unprotected position. For a protected position, sell its excess and place a lost target again."""
        if not self._account.ledger.quantity(symbol):
            return
        if self.protections[symbol].protected and not self.flattening:
            self._reduce_excess(symbol, now)
            if not self.manager.exit_under_way(symbol):
                self._place_target(symbol, now)
            return
        self.manager.close(symbol, GUARD, now)
        if not self.manager.exit_under_way(symbol):
            self._schedule_check(symbol, now)

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

    def _too_large(self, symbol: str) -> bool:
        """Return whether a position is larger than its protection allows."""
        most, held = self.protections[symbol].most, abs(self._account.ledger.quantity(symbol))
        return most is not None and held - most >= self.instruments[symbol].step

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

    def _resize_protection(self, symbol: str, now: int) -> None:
        """Resize a position's stop and target. On futures the old stop stays until the venue accepts the new one."""
        held = self.manager.to_cover(symbol)
        stops = [each for each in self.manager.orders.live(symbol, Purpose.STOP) if self._would_cover(each)]
        if not self._covered(symbol):
            if not self._cover_pending(symbol):
                self._place_stop(symbol, now)
        elif all(each.remaining > held for each in stops):
            self._send_stop(symbol, now)
        else:
            self._place_target(symbol, now)

    def _plan(self, entry: TrackedOrder) -> None:
        """Plan the stop and the target for the filled part of an entry; an existing stop is never loosened."""
        symbol, intent = entry.order.symbol, entry.intent
        long = self._account.ledger.quantity(symbol) > 0
        stop, target = on_tick(intent.protect_at, intent.target_at, self.instruments[symbol].tick, long=long)
        assert stop is not None
        self.protections.setdefault(symbol, Protection(stop, target)).tighten(stop, target, long=long)

    def _keep_protection(self, symbol: str, now: int) -> Outcome:
        """Place a position's stop and target, unless the live ones already match. Return the stop's order."""
        live = next((each for each in self.manager.orders.live(symbol, Purpose.STOP) if self._covers(each)), None)
        if live is None or (self._spot and live.order.take_at != self.protections[symbol].target):
            return self._place_stop(symbol, now)
        self._place_target(symbol, now)
        return live.ref

    def _cover_position(self, symbol: str, now: int) -> None:
        """Place a stop for a changed position; if an exit is selling all of it on spot, start only the deadline."""
        if self._spot and self.manager.closing(symbol):
            self._unprotect(symbol, now)
        else:
            self._place_stop(symbol, now)

    def _place_stop(self, symbol: str, now: int) -> Outcome:
        """Mark a position as unprotected, and place its stop; on spot, stop and target are one order."""
        self._unprotect(symbol, now)
        return self._send_stop(symbol, now)

    def _send_stop(self, symbol: str, now: int) -> Outcome:
        protection = self.protections[symbol]
        protection.fit(self.instruments.get(symbol), long=self._account.ledger.quantity(symbol) > 0)
        target = protection.target if self._spot and not self.flattening else None
        intent = self.manager.reduction(symbol, Purpose.STOP, GUARD, trigger=protection.trigger, target=target)
        answer = self.manager.submit(intent, now)
        if isinstance(answer, Refusal):
            self._effects.record(Incident(f"the stop of {symbol} was refused by the engine itself: {answer}"))
        return answer

    def _after_stop_report(self, stop: TrackedOrder, report: OrderReport, now: int) -> None:
        symbol, take_at = stop.order.symbol, stop.order.take_at
        # Spot rejects a stop with a target if the price has reached the target.
        at_target = take_at is not None and self._account.ledger.marks[symbol] >= take_at
        match report:
            case Accepted():
                self._protected_by(stop, now)
            case Rejected() if crossed(report) or at_target:
                self._unprotect(symbol, now)
                self.manager.close(symbol, GUARD, now)
            case Rejected() | Canceled():
                if not self._covered(symbol):
                    self._unprotect(symbol, now)
                    self._replace_lost_stop(symbol, now)

    def _protected_by(self, stop: TrackedOrder, now: int) -> None:
        symbol = stop.order.symbol
        if not self._covers(stop):
            return
        protection = self.protections[symbol]
        protection.protected = True
        protection.deadline = None
        if not (self.flattening or self._too_large(symbol)):
            # While a part has to be sold, the timer triggers the next attempt.
            self._effects.clear_timer(protection_timer(symbol))
        assert stop.order.trigger_price is not None
        self._effects.record(PositionProtected(symbol, stop.ref, stop.order.trigger_price))
        for other in self.manager.orders.live(symbol, Purpose.STOP):
            if other.ref != stop.ref:
                self.manager.cancel(other, f"replaced by {stop.ref}")
        bare = self._spot and stop.order.take_at is None and protection.target is not None
        if bare and not (self.flattening or self.manager.exit_under_way(symbol)):
            # The stop was sent without its target during a flatten that has ended.
            self._place_stop(symbol, now)
        self._place_target(symbol, now)

    def _place_target(self, symbol: str, now: int) -> None:
        protection = self.protections[symbol]
        if protection.target is None or self.flattening or self._spot:
            return
        held = self._account.ledger.quantity(symbol)
        protection.fit(self.instruments.get(symbol), long=held > 0)
        quantity = abs(held)
        live = [each for each in self.manager.orders.live(symbol, Purpose.TARGET) if not each.cancel_requested]
        if any(each.remaining == quantity and each.order.trigger_price == protection.target for each in live):
            return
        for each in live:
            self.manager.cancel(each, "the position or its target changed")
        intent = self.manager.reduction(symbol, Purpose.TARGET, GUARD, trigger=protection.target)
        self.manager.submit(intent, now)

    def _covered(self, symbol: str) -> bool:
        """Return whether an accepted stop covers the whole position, at the planned trigger or a tighter one."""
        return any(self._covers(stop) for stop in self.manager.orders.live(symbol, Purpose.STOP))

    def _covers(self, stop: TrackedOrder) -> bool:
        return stop.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED) and self._would_cover(stop)

    def _would_cover(self, stop: TrackedOrder) -> bool:
        """Return whether a stop is tight and large enough to cover its position once the venue has accepted it."""
        symbol, trigger = stop.order.symbol, stop.order.trigger_price
        quantity = self._account.ledger.quantity(symbol)
        protection = self.protections.get(symbol)
        if protection is None or trigger is None or stop.cancel_requested:
            return False
        tight = trigger >= protection.trigger if quantity > 0 else trigger <= protection.trigger
        return tight and stop.remaining >= self.manager.to_cover(symbol)

    def _cover_pending(self, symbol: str) -> bool:
        """Return whether a stop for the whole position has been sent; on spot, a full exit also counts."""
        stops = self.manager.orders.live(symbol, Purpose.STOP)
        if any(each.status is OrderStatus.INTENDED and self._would_cover(each) for each in stops):
            return True
        return self._spot and self.manager.closing(symbol)

    def _unprotect(self, symbol: str, now: int) -> None:
        """Mark a position as unprotected, and start its deadline if it is not running."""
        protection = self.protections[symbol]
        protection.protected = False
        if protection.deadline is None:
            protection.deadline = now + self._deadline_ms
            self._effects.record(PositionUnprotected(symbol, protection.deadline))
            self._effects.set_timer(protection_timer(symbol), protection.deadline)

    def _exit_failed(self, tracked: TrackedOrder, now: int) -> None:
        symbol = tracked.order.symbol
        if not self._account.ledger.quantity(symbol):
            return
        protection = self.protections.get(symbol)
        if protection is None or not protection.protected or self.flattening or self._too_large(symbol):
            insists = protection is None or self.flattening or self._too_large(symbol)
            failed = "may have failed" if tracked.status.live else "failed"
            again = "it is tried again" if insists else "it is tried again only if no stop stands by the deadline"
            self._effects.record(Incident(f"the exit {tracked.ref} of {symbol} {failed}; {again}"))
            self._schedule_check(symbol, now)
        if self._spot:
            if protection is not None and not self._covered(symbol):
                # Its stop was cancelled for the exit.
                self._unprotect(symbol, now)
                self._replace_lost_stop(symbol, now)
        elif not (tracked.status.live or self.flattening) and protection and protection.may_retry("both", now):
            self._resize_protection(symbol, now)

    def _replace_lost_stop(self, symbol: str, now: int) -> None:
        """Place a rejected or cancelled stop again, unless another order already covers the position."""
        if not self._cover_pending(symbol) and self.protections[symbol].may_retry("stop", now):
            self._place_stop(symbol, now)

    def _schedule_check(self, symbol: str, now: int) -> None:
        """Set the position's deadline timer, unless the timer is set already."""
        if protection_timer(symbol) not in self._effects.timers:
            self._effects.set_timer(protection_timer(symbol), now + self._deadline_ms)

    def _overdue(self, symbol: str) -> bool:
        """Return whether an unprotected position has neither a deadline timer nor a live exit that will close it."""
        waits = protection_timer(symbol) in self._effects.timers or self.manager.exit_under_way(symbol)
        return not (waits or (self.protections[symbol].protected and not self.flattening))

    def release(self, symbol: str) -> None:
        """Cancel all orders and the deadline of a flat symbol, so that no live addition opens a position again."""
        self.protections.pop(symbol, None)
        self._account.exchange.forget(symbol)
        self._effects.clear_timer(protection_timer(symbol))
        for tracked in self.manager.orders.live(symbol):
            self.manager.cancel(tracked, "the position is flat")

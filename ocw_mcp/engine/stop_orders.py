"""The stops and targets of positions: which orders cover a position, and the orders that replace them.

On futures a position has up to two stops. The wide one closes the whole position, whatever its quantity; it stands at
the trigger that was planned first, never moves, and ends at the venue with its position. A tighter stop is a
reduce-only order with a quantity beside it; only tighter stops replace each other. On spot there is one stop, with a
quantity, which forms one order with the target.
"""

from decimal import Decimal

from msgspec.structs import replace

from ocw_mcp.core.orders.table import OrderStatus, TrackedOrder
from ocw_mcp.domain.events import Incident, PositionProtected, PositionUnprotected
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.orders import GUARD, OrderRef, Purpose
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.steps import Timer, TimerKind
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.exposure import EXIT_UNDER_WAY, split
from ocw_mcp.engine.order_manager import CANCEL_ANSWER_MS, OrderManager, Outcome
from ocw_mcp.engine.protection import Protection, protection_timer, retry_timer

UNKNOWN_SPOT_STOP_MS = 2 * SECOND
UNKNOWN_STOP_MS = 4 * SECOND
"""The time after which a stop of unknown outcome is replaced, on spot and on futures: before, it is usually found."""
ABSENCE_MS = 3 * SECOND
"""The time for the stop of a position whose deadline passed while no process ran."""


class StopOrders:
    """The part of the guard that places stops and targets."""

    def __init__(self, manager: OrderManager) -> None:
        self.manager = manager
        self._spot = manager.spot
        self._account = manager.account
        self._effects = manager.effects
        self.instruments = manager.prices.instruments
        self._deadline_ms = manager.config.policies.stop.deadline_s * SECOND
        self.protections: dict[str, Protection] = {}
        self.flattening = False
        """Whether the operator has ordered every position closed, also positions that open later."""

    def _place_stop(self, symbol: str, now: int) -> Outcome:
        """Mark a position as unprotected, and place its stop; on spot, stop and target are one order."""
        self._unprotect(symbol, now)
        return self._send_stop(symbol, now)

    def _send_stop(self, symbol: str, now: int) -> Outcome:
        """Send the stop at the planned trigger: on futures the wide one, or a tighter one beside it."""
        protection = self.protections[symbol]
        protection.fit(self.instruments.get(symbol), long=self._account.ledger.quantity(symbol) > 0)
        if self._spot and self.manager.exit_under_way(symbol) and not self.manager.to_cover(symbol):
            return EXIT_UNDER_WAY
        if self._spot and self.manager.too_small(symbol) and any(self.manager.orders.live(symbol, Purpose.ENTRY)):
            return self._state_too_small(symbol)
        wide = not (self._spot or protection.foreign_wide or any(self._wide(symbol)))
        if wide:
            protection.wide = protection.trigger
        return self._submit_stop(symbol, protection.trigger, now, wide=wide)

    def _state_too_small(self, symbol: str) -> Refusal:
        """Report once that a position is too small for a stop while its entry may still fill."""
        protection, quantity = self.protections[symbol], self.manager.to_cover(symbol)
        if not protection.too_small:
            protection.too_small = True
            text = f"the position of {plain(quantity)} {symbol} is too small for a stop; it is closed with the rest"
            self._effects.record(Incident(f"{text} of its entry, or kept as dust"))
        least = f"{plain(self.manager.least_sold(symbol))} units"
        return Refusal(RefusalCode.BELOW_MINIMUM, limit=least, actual=f"{plain(quantity)} units")

    def _submit_stop(self, symbol: str, trigger: Decimal, now: int, *, wide: bool) -> Outcome:
        target = self.protections[symbol].target if self._spot and not self.flattening else None
        intent = self.manager.reduction(
            symbol, Purpose.STOP, GUARD, trigger=trigger, target=target, close_position=wide
        )
        answer = self.manager.submit(intent, now)
        if isinstance(answer, Refusal):
            self._effects.record(Incident(f"the stop of {symbol} was refused by the engine itself: {answer}"))
        return answer

    def _put_wide_back(self, symbol: str, now: int) -> None:
        """Place a lost wide stop again at its trigger, while a tighter stop covers the position."""
        protection = self.protections[symbol]
        missing = protection.wide is not None and not (protection.foreign_wide or any(self._wide(symbol)))
        if missing and protection.wide is not None and not self._spot:
            self._submit_stop(symbol, protection.wide, now, wide=True)

    def size_stops(self, symbol: str) -> None:
        """Give the stops that close the whole position its present quantity."""
        held = abs(self._account.ledger.quantity(symbol))
        for tracked in self.manager.orders.live(symbol, Purpose.STOP) if held else ():
            tracked.fix_quantity(held)

    def _await_end(self, tracked: TrackedOrder) -> None:
        """Expect the venue to end a stop with its position; `on_silence` cancels the stop if it does not."""
        if not tracked.cancel_requested:
            tracked.cancel_requested = True
            self._effects.set_timer(Timer(TimerKind.CANCEL, tracked.ref), self._effects.now + CANCEL_ANSWER_MS)

    def _wide(self, symbol: str) -> list[TrackedOrder]:
        """Return the live wide stops of a position, also one of unknown outcome, without one that is ending."""
        stops = self.manager.orders.live(symbol, Purpose.STOP)
        return [
            each
            for each in stops
            if each.follows_position and not each.cancel_requested and self.manager.names.of_position(each)
        ]

    def _protected_by(self, stop: TrackedOrder, now: int) -> None:
        """Note that the venue has accepted a stop. If it covers its position, cancel the stops that it replaces."""
        symbol = stop.order.symbol
        if not self._covers(stop):
            return
        protection = self.protections[symbol]
        protection.protected = True
        protection.deadline = None
        protection.retries = 0
        if not (self.flattening or self._too_large(symbol)):
            # While a part has to be sold, the timer triggers the next attempt.
            self._effects.clear_timer(protection_timer(symbol))
        assert stop.order.trigger_price is not None
        self._effects.record(PositionProtected(symbol, stop.ref, stop.order.trigger_price))
        for other in self.manager.orders.live(symbol, Purpose.STOP):
            if other.ref != stop.ref and not other.order.close_position:
                self.manager.cancel(other, f"replaced by {stop.ref}")
        bare = self._spot and stop.order.take_at is None and protection.target is not None
        if bare and not (self.flattening or self.manager.exit_under_way(symbol)):
            # The stop was sent without its target during a flatten that has ended.
            self._place_stop(symbol, now)
        self._place_target(symbol, now)

    def _place_target(self, symbol: str, now: int) -> None:
        protection = self.protections[symbol]
        if protection.target is None or self.flattening or self._spot or protection.blocked:
            return
        held = self._account.ledger.quantity(symbol)
        protection.fit(self.instruments.get(symbol), long=held > 0)
        # A target that is larger than the venue's largest order is placed in parts, one after the other.
        quantity = split(abs(held), self.instruments.get(symbol))[0]
        live = [each for each in self.manager.orders.live(symbol, Purpose.TARGET) if not each.cancel_requested]
        if any(each.remaining == quantity and each.order.trigger_price == protection.target for each in live):
            return
        for each in live:
            self.manager.cancel(each, "the position or its target changed")
        intent = self.manager.reduction(symbol, Purpose.TARGET, GUARD, trigger=protection.target)
        self.manager.submit(replace(intent, quantity=quantity), now)

    def _resize_protection(self, symbol: str, now: int) -> None:
        """Resize a position's stop and target. On futures the old stop stays until the venue accepts the new one."""
        held = self.manager.to_cover(symbol)
        stops = [each for each in self.manager.orders.live(symbol, Purpose.STOP) if self._would_cover(each)]
        if not self._covered(symbol):
            if not self._cover_pending(symbol):
                self._place_stop(symbol, now)
        elif all(each.remaining > held and not each.order.close_position for each in stops):
            self._send_stop(symbol, now)
        else:
            self._place_target(symbol, now)

    def _covering(self, symbol: str) -> TrackedOrder | None:
        """Return an accepted stop that covers the whole position at the planned trigger or a tighter one, or None."""
        return next((each for each in self.manager.orders.live(symbol, Purpose.STOP) if self._covers(each)), None)

    def _covered(self, symbol: str) -> bool:
        """Return whether an accepted stop covers the whole position, at the planned trigger or a tighter one."""
        return self._covering(symbol) is not None

    def _covers(self, stop: TrackedOrder) -> bool:
        return stop.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED) and self._would_cover(stop)

    def _stands_at_required(self, symbol: str) -> bool:
        """Return whether an accepted stop covers a position at the trigger that its entries require."""
        required, live = self.protections[symbol].required, self.manager.orders.live(symbol, Purpose.STOP)
        accepted = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
        stops = [each for each in live if each.status in accepted]
        return required is not None and any(self._would_cover(each, required) for each in stops)

    def _postpone(self, symbol: str, now: int) -> None:
        """Extend the deadline of a position whose required stop stands, and send the requested tighter one again."""
        protection = self.protections[symbol]
        protection.deadline = now + self._deadline_ms
        self._effects.set_timer(protection_timer(symbol), protection.deadline)
        if not self._cover_pending(symbol):
            self._send_stop(symbol, now)

    def _would_cover(self, stop: TrackedOrder, at: Decimal | None = None) -> bool:
        """Return whether a stop is tight and large enough to cover its position once the venue has accepted it.

        `at` is the trigger that it has to have, or a tighter one; None means the planned one.
        """
        symbol, trigger = stop.order.symbol, stop.order.trigger_price
        quantity = self._account.ledger.quantity(symbol)
        protection = self.protections.get(symbol)
        if protection is None or trigger is None or stop.cancel_requested or stop.order.side.sign * quantity > 0:
            return False
        if stop.follows_position and not self.manager.names.of_position(stop):
            # It has to end with the earlier position for which it was placed.
            return False
        planned = protection.trigger if at is None else at
        tight = trigger >= planned if quantity > 0 else trigger <= planned
        return tight and stop.covers(self.manager.to_cover(symbol))

    def _cover_pending(self, symbol: str) -> bool:
        """Return whether a stop for the whole position has been sent; on spot, a full exit also counts."""
        stops = self.manager.orders.live(symbol, Purpose.STOP)
        if any(each.status is OrderStatus.INTENDED and self._would_cover(each) for each in stops):
            return True
        return self._spot and self.manager.closing(symbol)

    def check_cover(self, symbol: str, now: int) -> None:
        """Place a stop for a position that none covers; note a stop that covers it again after a refused cancel."""
        if not self._covered(symbol):
            self._unprotect(symbol, now)
            self._replace_lost_stop(symbol, now)
        self.note_cover(symbol, now)

    def note_cover(self, symbol: str, now: int) -> None:
        """Mark a position as protected by a stop that still stands, unless its replacement is on its way."""
        stop = self._covering(symbol)
        if stop is not None and not (self.protections[symbol].protected or self._cover_pending(symbol)):
            self._protected_by(stop, now)

    def on_silence(self, ref: OrderRef, times: int) -> None:
        """Repeat a cancel request, unless the venue refused it and the position needs the order meanwhile."""
        order = self.manager.orders.get(ref)
        if order is None or order.cancel_requested or not self._needed(order):
            self.manager.on_silence(ref, times)

    def _needed(self, order: TrackedOrder) -> bool:
        """Return whether an order is the only stop that covers its position, or its only target at the right price."""
        symbol, protection = order.order.symbol, self.protections.get(order.order.symbol)
        if order.purpose is Purpose.STOP:
            return [each for each in self.manager.orders.live(symbol, Purpose.STOP) if self._covers(each)] == [order]
        planned = None if protection is None or self.flattening else protection.target
        alone = len(list(self.manager.orders.live(symbol, Purpose.TARGET))) == 1
        return order.purpose is Purpose.TARGET and alone and order.order.trigger_price == planned

    def _replace_lost_stop(self, symbol: str, now: int) -> bool:
        """Place a lost stop again, unless another order covers the position, or may still lock what it would sell.

        Return False if nothing was sent, because another one was sent a moment ago.
        """
        if self._cover_pending(symbol) or self._cancel_open(symbol):
            return True
        if not self.protections[symbol].may_retry("stop", now):
            return False
        self._place_stop(symbol, now)
        return True

    def _place_again(self, symbol: str, now: int, *, rejected: bool) -> None:
        """Place a stop again that ended: at once, or after a pause if it was `rejected` before, too."""
        again = rejected and self.protections[symbol].retries > 0
        if (again or not self._replace_lost_stop(symbol, now)) and rejected and not self.manager.closing(symbol):
            # Its cause may pass before the deadline.
            self._retry_later(symbol, now)

    def _replace_unknown_stop(self, symbol: str, now: int) -> None:
        """Place another stop soon if the one of unknown outcome is not found before, but not a third one.

        On futures the other one is reduce-only, with a quantity. On spot a stop that rests locks what it sells, so the
        exchange refuses one of the two. It does not if the account may have more of the asset than the book: then the
        position waits for its deadline.
        """
        stops = self.manager.orders.live(symbol, Purpose.STOP)
        unknown = [each for each in stops if each.status is OrderStatus.UNKNOWN]
        if len(unknown) == 1 and not self._may_oversell(symbol):
            self._effects.set_timer(
                retry_timer(symbol), now + (UNKNOWN_SPOT_STOP_MS if self._spot else UNKNOWN_STOP_MS)
            )

    def _may_oversell(self, symbol: str) -> bool:
        """Return whether two stops could sell more than the position: on spot, if the account has more of the asset."""
        return self._spot and symbol in self._account.exchange.shared

    def cover_after_absence(self, now: int) -> None:
        """Place a stop for each position whose deadline passed while no process ran; it is closed only if that fails.

        A stop of unknown outcome may stand meanwhile; see `_replace_unknown_stop`.
        """
        for symbol, protection in sorted(self.protections.items()):
            overdue = protection.deadline is not None and protection.deadline <= now
            exits = any(self.manager.orders.live(symbol, Purpose.EXIT))
            if protection.protected or not overdue or exits or self.flattening:
                continue
            protection.deadline = now + ABSENCE_MS
            self._effects.record(PositionUnprotected(symbol, protection.deadline))
            self._effects.set_timer(protection_timer(symbol), protection.deadline)
            stops = list(self.manager.orders.live(symbol, Purpose.STOP))
            unknown = any(each.status is OrderStatus.UNKNOWN for each in stops)
            waits = self._cover_pending(symbol) or self._cancel_open(symbol)
            if not (waits or (unknown and self._may_oversell(symbol))):
                self._send_stop(symbol, now)

    def _cancel_open(self, symbol: str) -> bool:
        """Return whether the venue has not answered the cancel of a spot stop, which locks what another would sell.

        Its answer decides: if the stop is gone, another one is placed; if the cancel was refused, it still stands.
        """
        stops = self.manager.orders.live(symbol, Purpose.STOP)
        return self._spot and any(each.cancel_requested for each in stops)

    def _unprotect(self, symbol: str, now: int) -> None:
        """Mark a position as unprotected, and start its deadline if it is not running."""
        protection = self.protections[symbol]
        protection.protected = False
        if protection.deadline is None:
            protection.deadline = now + self._deadline_ms
            self._effects.record(PositionUnprotected(symbol, protection.deadline))
            self._effects.set_timer(protection_timer(symbol), protection.deadline)

    def _schedule_check(self, symbol: str, now: int) -> None:
        """Set the position's deadline timer, unless the timer is set already."""
        if protection_timer(symbol) not in self._effects.timers:
            self._effects.set_timer(protection_timer(symbol), now + self._deadline_ms)

    def _retry_later(self, symbol: str, now: int) -> None:
        """Schedule another attempt at what the venue rejected, after a pause that doubles with each attempt."""
        if retry_timer(symbol) not in self._effects.timers:
            self._effects.set_timer(retry_timer(symbol), now + self.protections[symbol].next_pause())

    def _too_large(self, symbol: str) -> bool:
        """Return whether a position is larger than its protection allows."""
        most, held = self.protections[symbol].most, abs(self._account.ledger.quantity(symbol))
        return most is not None and held - most >= self.instruments[symbol].step

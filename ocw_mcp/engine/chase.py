"""Chased entries: an entry without a limit price that first waits as a maker, as `[execution]` of the policy says.

Each order of a chased entry is one of its own, cleared by the risk officer at the present price. The next one is sent
only after the venue has answered the cancel of the one before and every fill of that one was reported, so that all
orders together never fill more than the quantity that was checked. None of them trades at a worse price than the one
that was checked, at which the budget of the entry is reserved. Between two orders nothing is reserved, which lasts only
if the venue rejected an order or reports its fills late; the entry still bars others in its symbol.

The state is in `OrderManager.chases`, so that a cancel for any other reason ends the chase; see `end_chase`.
"""

import msgspec

from ocw_mcp.core.orders.chase import Chase
from ocw_mcp.core.orders.table import TrackedOrder
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.officer import Assessment
from ocw_mcp.domain.events import EntryContinued, EntryLapsed
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import (
    Canceled,
    CancelRefused,
    Filled,
    OrderIntent,
    OrderRef,
    OrderType,
    OutcomeUnknown,
    Rejected,
    RejectReason,
)
from ocw_mcp.domain.policy_execution import ExecutionPolicy
from ocw_mcp.domain.steps import Timer, TimerKind
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.engine.order_manager import Change, OrderManager, Outcome

PAUSE_MS = SECOND
"""The time after which a rejected order of a chased entry is replaced, or late fills are looked for."""
LATE_MS = MINUTE
"""The time beyond that of all its prices after which a chased entry sends no other order."""
REPRICED = "the entry gets a new price"


def chase_timer(symbol: str) -> Timer:
    """Return the timer of a chased entry."""
    return Timer(TimerKind.CHASE, symbol)


class ChasedEntries:
    """Sends entries, and goes on with those that are chased."""

    def __init__(self, manager: OrderManager) -> None:
        self._manager = manager
        self._effects = manager.effects
        self._policy: ExecutionPolicy = manager.config.policies.execution

    def submit(self, intent: OrderIntent, now: int, account: AccountView | None) -> Outcome:
        """Check an entry and send it: its first post-only order if it is to be chased, otherwise the entry itself."""
        begun = None if account is None else self._begin(intent, account, now)
        if account is None or begun is None:
            return self._manager.submit(intent, now, account)
        chase, maker = begun
        answer = self._manager.submit(maker, now, account, chase)
        if isinstance(answer, OrderRef):
            chase.orders.append(answer)
            self._manager.chases[intent.symbol] = chase
            self._wait(intent.symbol, now)
        return answer

    def _begin(self, intent: OrderIntent, account: AccountView, now: int) -> tuple[Chase, OrderIntent] | None:
        """Return a new chase and its first order; None for an entry that is not chased, or that does not pass."""
        best = self._manager.prices.best(intent.symbol, intent.side, now)
        if self._policy.style != "maker_first" or intent.type is not OrderType.MARKET or best is None:
            return None
        found = self._manager.officer.assess(intent, account)
        if not isinstance(found, Assessment) or found.refusal is not None or found.bound is None:
            return None
        entry = msgspec.structs.replace(intent, quantity=found.entry.quantity)
        adds = account.quantity != ZERO
        chase = Chase(entry, found.bound, found.entry.worst, now, first_price=best, adds=adds)
        maker = self._maker(chase, account, now)
        if maker is None or self._objection(maker, account):
            return None
        assert maker.limit_price is not None
        chase.first_price = maker.limit_price
        return chase, maker

    def on_report(self, change: Change, now: int) -> None:
        """Go on with a chased entry after a report on one of its orders."""
        tracked, report, symbol = change.tracked, change.report, change.tracked.order.symbol
        chase = self._manager.chases.get(symbol)
        if chase is None or tracked.ref not in chase.orders:
            return
        current = tracked.ref == chase.current
        if isinstance(report, Filled):
            chase.filled += report.quantity
            self._after_fill(chase, tracked, now)
        elif not current:
            return
        elif isinstance(report, OutcomeUnknown):
            chase.lost = True
            self._effects.clear_timer(chase_timer(symbol))
        elif chase.lost and tracked.status.live:
            self._stop(chase, "its outcome was unknown")
        elif isinstance(report, Canceled) and chase.moving and not chase.lost:
            chase.expected = report.filled
            self._go_on(chase, now)
        elif isinstance(report, Rejected) and report.reason is RejectReason.WOULD_TAKE and not chase.lost:
            chase.moving, chase.expected = True, tracked.filled
            chase.steps += 1
            self._effects.set_timer(chase_timer(symbol), now + PAUSE_MS)
        elif isinstance(report, Canceled | Rejected):
            self._forget(symbol)
        elif isinstance(report, CancelRefused) and chase.moving:
            chase.moving = False
            self._effects.set_timer(chase_timer(symbol), now + PAUSE_MS)

    def _after_fill(self, chase: Chase, tracked: TrackedOrder, now: int) -> None:
        symbol, last = chase.intent.symbol, self._manager.orders.get(chase.current)
        live = last is not None and last.status.live
        if live and chase.lost and tracked is last:
            self._stop(chase, "its outcome was unknown")
        elif live and last is not None and last.remaining > chase.left:
            # A fill of an earlier order that the venue had not announced: the present order is too large now.
            self._stop(chase, f"{tracked.ref} filled after its cancel")
        elif not live and not chase.left:
            self._forget(symbol)
        elif not live and chase.moving:
            self._go_on(chase, now)

    def on_timer(self, symbol: str, now: int) -> None:
        """Move the order of a chased entry if the best price has moved away, or end the chase after the last price."""
        chase = self._manager.chases.get(symbol)
        if chase is None:
            return
        last = self._manager.orders.get(chase.current)
        if last is None or not last.status.live:
            self._go_on(chase, now)
        elif not (chase.moving or chase.lost):
            self._reprice(chase, last, now)

    def _reprice(self, chase: Chase, last: TrackedOrder, now: int) -> None:
        symbol, at = chase.intent.symbol, last.order.limit_price
        assert at is not None
        chase.steps += 1
        best = self._manager.prices.best(symbol, chase.intent.side, now)
        price = at if best is None else chase.price(best, self._manager.prices.instruments[symbol].tick, self._policy)
        # If the market comes nearer, the order is the next one to fill, and stays where it is.
        moves = (price - at) * chase.intent.side.sign > ZERO
        if not (moves or self._over(chase)):
            self._wait(symbol, now)
            return
        # Any other cancel of an entry ends its chase.
        del self._manager.chases[symbol]
        self._manager.cancel(last, REPRICED)
        self._manager.chases[symbol] = chase
        chase.moving = last.cancel_requested
        if not chase.moving:
            # The venue has just refused to cancel it.
            self._effects.set_timer(chase_timer(symbol), now + PAUSE_MS)

    def _over(self, chase: Chase) -> bool:
        """Return whether a chased entry has had all of its prices."""
        return chase.steps > self._policy.reprices

    def _go_on(self, chase: Chase, now: int) -> None:
        """Send the next order of a chased entry, whose last order is no longer live, or end the chase."""
        symbol, last = chase.intent.symbol, self._manager.orders.get(chase.current)
        longest = (self._policy.reprices + 1) * self._policy.wait_s * SECOND + LATE_MS
        if last is None or chase.expected is None or now - chase.began_at > longest:
            self._lapse(chase, "it is not known how much of it has filled")
        elif last.filled < chase.expected:
            self._effects.set_timer(chase_timer(symbol), now + PAUSE_MS)
        elif chase.has_position and self._manager.account.ledger.quantity(symbol) * chase.intent.side.sign <= 0:
            self._lapse(chase, "its position was closed")
        elif self._manager.exit_under_way(symbol):
            self._lapse(chase, "its position is being reduced")
        elif not chase.left:
            self._forget(symbol)
        elif self._over(chase) and self._policy.at_end == "give_up":
            self._lapse(chase, "it did not fill at any of its prices")
        else:
            self._send_next(chase, now)

    def _send_next(self, chase: Chase, now: int) -> None:
        symbol, view, taking = chase.intent.symbol, self._manager.view(chase.intent.symbol, now), self._over(chase)
        if view is None:
            self._lapse(chase, "there is no price")
            return
        # The entry was counted when its first order was sent.
        view = msgspec.structs.replace(view, pace=view.pace.without_entry(chase.began_at, now))
        rest = msgspec.structs.replace(chase.intent, quantity=chase.left, idempotency_key="")
        intent = rest if taking else self._maker(chase, view, now)
        if intent is None:
            self._lapse(chase, "there is no recent quote")
        elif why := self._objection(intent, view):
            self._lapse(chase, why)
        else:
            ref = self._manager.names.next(intent)
            self._effects.record(EntryContinued(ref, chase.current, chase.orders[0]))
            sent = self._manager.submit(intent, now, view, chase)
            assert sent == ref, "every limit was checked in the same step"
            chase.orders.append(ref)
            chase.moving, chase.expected = False, None
            if taking:
                self._forget(symbol)
            else:
                self._wait(symbol, now)

    def _maker(self, chase: Chase, account: AccountView, now: int) -> OrderIntent | None:
        """Return the next post-only order of a chased entry; None without a recent quote."""
        intent, key = chase.intent, "" if chase.orders else chase.intent.idempotency_key
        best = self._manager.prices.best(intent.symbol, intent.side, now)
        if best is None:
            return None
        price = chase.price(best, account.instrument.tick, self._policy)
        return msgspec.structs.replace(
            intent,
            idempotency_key=key,
            type=OrderType.LIMIT,
            limit_price=price,
            post_only=True,
            quantity=chase.left,
        )

    def _objection(self, intent: OrderIntent, account: AccountView) -> str:
        """Return the code of the limit that an order does not pass; empty if it passes all."""
        found = self._manager.officer.barred(intent, account) or self._manager.officer.assess(intent, account)
        refusal = found.refusal if isinstance(found, Assessment) else found
        return "" if refusal is None else str(refusal.code)

    def _wait(self, symbol: str, now: int) -> None:
        self._effects.set_timer(chase_timer(symbol), now + self._policy.wait_s * SECOND)

    def _stop(self, chase: Chase, why: str) -> None:
        """End a chase with the cancel of its order."""
        self._effects.clear_timer(chase_timer(chase.intent.symbol))
        self._manager.end_chase(chase.intent.symbol, why)

    def _lapse(self, chase: Chase, why: str) -> None:
        """End a chase whose last order is over."""
        self._forget(chase.intent.symbol)
        self._effects.record(EntryLapsed(chase.current, chase.left, why))

    def _forget(self, symbol: str) -> None:
        self._manager.chases.pop(symbol, None)
        self._effects.clear_timer(chase_timer(symbol))

"""How each position is protected, and how large it may be."""

from decimal import Decimal

import msgspec

from ocw_mcp.core.orders.table import TrackedOrder
from ocw_mcp.domain.money import ZERO, ceil_to, floor_to
from ocw_mcp.domain.orders import Canceled, OrderIntent, OrderReport, Rejected
from ocw_mcp.domain.steps import Timer, TimerKind
from ocw_mcp.domain.time import SECOND

ALREADY_CROSSED = "-2021"
"""The exchange's code for a stop that would trigger at once."""


def protection_timer(symbol: str) -> Timer:
    """Return the timer after which an unprotected position is closed."""
    return Timer(TimerKind.PROTECTION, symbol)


class Protection(msgspec.Struct):
    """How one position is protected. Prices in quote currency."""

    trigger: Decimal
    target: Decimal | None
    protected: bool = False
    deadline: int | None = None
    """While unprotected: when (ms) the position is closed."""
    retried_at: int | None = None
    """When (ms) a stop was last put back: once a second at most, meanwhile the deadline decides."""
    target_retried_at: int | None = None
    """The same of a target: its stop stands meanwhile."""
    most: Decimal | None = None
    """The largest quantity (base asset, unsigned) that may stay, while more than that is held; the rest is sold."""
    beyond: Decimal = ZERO
    """Notional (quote) that the fills of its entries took beyond what was cleared for them."""
    exceeded: list[str] = []
    """The limits that its fills were reported to exceed: each is reported once."""
    fitted_at: int | None = None
    """When (ms) stop and target were last laid again after an exit that failed."""

    def may_fit(self, now: int) -> bool:
        """Return whether a failed exit has stop and target laid again, once a second at most; it then counts as done.

        Where the venue refuses them and the exit, the one would lead to the other without an end.
        """
        if self.fitted_at is not None and now - self.fitted_at < SECOND:
            return False
        self.fitted_at = now
        return True


def planned(known: Protection | None, intent: OrderIntent, tick: Decimal, *, long: bool) -> Protection:
    """Return the protection of a position of which an entry was filled; what is there is only ever tightened."""
    trigger, target = on_tick(intent.protect_at, intent.target_at, tick, long=long)
    assert trigger is not None
    if known is None:
        return Protection(trigger, target)
    known.trigger = max(known.trigger, trigger) if long else min(known.trigger, trigger)
    known.target = target or known.target
    return known


def on_tick(
    stop: Decimal | None, target: Decimal | None, tick: Decimal, *, long: bool
) -> tuple[Decimal | None, Decimal | None]:
    """Return the stop and the target as they are sent: on the tick, and rather nearer than they were meant."""
    nearer_stop, nearer_target = (ceil_to, floor_to) if long else (floor_to, ceil_to)
    return (
        stop if stop is None or not stop.is_finite() else nearer_stop(stop, tick),
        target if target is None or not target.is_finite() else nearer_target(target, tick),
    )


def gone(tracked: TrackedOrder, report: OrderReport) -> bool:
    """Whether an order is gone though nobody here asked for that."""
    return isinstance(report, Rejected | Canceled) and not tracked.cancel_requested


def crossed(report: OrderReport) -> bool:
    """Whether the venue would not take a conditional order because the market has passed it."""
    return isinstance(report, Rejected) and report.code == ALREADY_CROSSED


def exit_failed(tracked: TrackedOrder, *, insists: bool) -> str:
    """Return what is said of an exit that failed, or that may have. `insists`: the position is closed all the same."""
    what = f"the exit {tracked.ref} of {tracked.order.symbol} {'may have failed' if tracked.status.live else 'failed'}"
    return f"{what}; {'it is tried again' if insists else 'it is tried again only if no stop stands by the deadline'}"

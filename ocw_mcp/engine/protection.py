"""The protection of each position: its stop, its target, and how large it may be after the fills of its entries."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import msgspec

from ocw_mcp.core.orders.table import TrackedOrder
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.fills import FilledEntry, LimitExcess, Remedy
from ocw_mcp.domain.events import Incident
from ocw_mcp.domain.market import Instrument
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, floor_to, plain
from ocw_mcp.domain.orders import Filled, OrderReport, Rejected, RejectReason, Side
from ocw_mcp.domain.steps import Timer, TimerKind
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.exposure import moves_together
from ocw_mcp.engine.order_manager import Change, OrderManager

FIRST_PAUSE_MS = SECOND // 4
LONGEST_PAUSE_MS = 8 * SECOND
"""The pauses before a rejected stop or exit is sent again: each one is twice as long, up to the longest."""


def protection_timer(symbol: str) -> Timer:
    """Return the timer that closes an unprotected position at its deadline."""
    return Timer(TimerKind.PROTECTION, symbol)


def retry_timer(symbol: str) -> Timer:
    """Return the timer that sends a rejected stop or exit again."""
    return Timer(TimerKind.RETRY, symbol)


class Protection(msgspec.Struct):
    """The protection of one position. Prices in quote currency."""

    trigger: Decimal
    target: Decimal | None
    protected: bool = False
    deadline: int | None = None
    """The time (ms) at which the position is closed if it is still unprotected."""
    retried_at: dict[str, int] = {}
    """The time (ms) of the last retry, under `stop`, `target`, `wide`, or `both` (stop and target, exit failed)."""
    most: Decimal | None = None
    """The quantity (base asset, unsigned) to which a too large position is being reduced; None for other positions."""
    beyond: Decimal = ZERO
    """The notional (quote) by which the fills of the position's entries exceeded their cleared amounts."""
    trail: Decimal | None = None
    """The distance at which the stop follows the best price, as a share of that price; None if it does not."""
    best: Decimal = ZERO
    """The best mark price at a candle close since `trail` was set."""
    exceeded: list[str] = []
    """The limits whose excess was reported: each is reported once per position."""
    required: Decimal | None = None
    """The trigger that the clearing of the entries requires, while a caller or a trail has asked for a tighter one."""
    wide: Decimal | None = None
    """On futures: the trigger of the stop that closes the whole position; None before it was sent."""
    foreign_wide: bool = False
    """Whether the venue has a stop that closes the whole position and is not in the book: it takes no second one."""
    retries: int = 0
    """The number of attempts since the last success at what the venue rejected for a while."""
    blocked: Decimal = ZERO
    """The quantity (base asset) of an exit that the venue rejected because of resting orders."""

    too_small: bool = False
    """Whether it was reported that the position is too small for a stop."""

    def next_pause(self) -> int:
        """Return the pause (ms) before the next attempt, and count the attempt."""
        self.retries += 1
        return int(min(FIRST_PAUSE_MS << min(self.retries - 1, 16), LONGEST_PAUSE_MS))

    def may_retry(self, part: Literal["stop", "target", "both", "wide"], now: int) -> bool:
        """Return whether a lost stop or target may be placed again, at most once a second, and note the time if so.

        Without the pause, a venue that rejects each order would be asked without end.
        """
        if now - self.retried_at.get(part, now - SECOND) < SECOND:
            return False
        self.retried_at[part] = now
        return True

    def tighten(self, stop: Decimal | None, target: Decimal | None, *, long: bool) -> None:
        """Set the trigger to `stop` (quote) if that is tighter, and the target to `target` (quote) if given."""
        if stop is not None:
            self.trigger = max(self.trigger, stop) if long else min(self.trigger, stop)
        self.target = target or self.target

    def fit(self, instrument: Instrument | None, *, long: bool) -> None:
        """Round the trigger and the target to the present tick, which the exchange may have changed since."""
        if instrument is not None:
            self.tighten(*on_tick(self.trigger, self.target, instrument.tick, long=long), long=long)


class GuardState(msgspec.Struct):
    """The protection of each position, and whether everything is being closed."""

    protections: dict[str, Protection]
    flattening: bool


def on_tick(
    stop: Decimal | None, target: Decimal | None, tick: Decimal, *, long: bool
) -> tuple[Decimal | None, Decimal | None]:
    """Return the stop and the target as they are sent: on the tick, rounded towards the price."""
    nearer_stop, nearer_target = (ceil_to, floor_to) if long else (floor_to, ceil_to)
    return (
        stop if stop is None or not stop.is_finite() else nearer_stop(stop, tick),
        target if target is None or not target.is_finite() else nearer_target(target, tick),
    )


def trailing_stop(best: Decimal, trail: Decimal, tick: Decimal, *, long: bool) -> Decimal:
    """Return the stop at a distance of `trail` (a share) from the best price, rounded to the tick towards the price."""
    return ceil_to(best * (ONE - trail), tick) if long else floor_to(best * (ONE + trail), tick)


def crossed(report: OrderReport) -> bool:
    """Return whether the venue rejected a conditional order because the market has passed its trigger."""
    return rejected_as(report, RejectReason.WOULD_TRIGGER_IMMEDIATELY)


def rejected_as(report: OrderReport, *reasons: RejectReason) -> bool:
    """Return whether a report is a rejection for one of these reasons."""
    return isinstance(report, Rejected) and report.reason in reasons


def busy(report: OrderReport) -> bool:
    """Return whether the venue rejected an order only for a while, because of its load or its rate limits."""
    return rejected_as(report, RejectReason.RATE_LIMITED, RejectReason.OVERLOADED)


def hold_to_clearing(change: Change, protections: Mapping[str, Protection], manager: OrderManager) -> None:
    """Check the limits after an entry's fill; beyond a limit, tighten the stop or set the size that may stay open.

    Each exceeded limit is reported as one incident of the position.
    """
    tracked, fill = change.tracked, change.report
    symbol = tracked.order.symbol
    protection, view = protections[symbol], manager.view(symbol, manager.effects.now)
    protection.beyond += change.beyond
    if view is None or not isinstance(fill, Filled) or view.quantity * tracked.order.side.sign <= 0:
        return
    entered = _entered_by(tracked, fill, view, protections, manager)
    remedy, held = manager.officer.remedy(entered), abs(view.quantity)
    if not remedy.excesses:
        return
    for incident in _incidents(symbol, remedy, protection, held):
        manager.effects.record(Incident(incident))
    protection.exceeded += [each.code for each in remedy.excesses if each.code not in protection.exceeded]
    protection.trigger, protection.required = remedy.stop, None
    if remedy.most < held:
        protection.most = remedy.most if protection.most is None else min(protection.most, remedy.most)
    if not tracked.order.immediate:
        manager.cancel(tracked, "its fill exceeds the cleared order")


def _entered_by(
    tracked: TrackedOrder, fill: Filled, view: AccountView, protections: Mapping[str, Protection], manager: OrderManager
) -> FilledEntry:
    """Return the filled position for the check of its limits, at the newer one of fill price and mark price.

    The unfilled part of the entry does not count, because it is cancelled if a limit is exceeded.
    """
    symbol, ledger = tracked.order.symbol, manager.account.ledger
    protection = protections[symbol]
    later = view.now - view.price_age_ms > fill.traded_at
    price = view.price if later else fill.price
    value = abs(view.quantity) * price
    rest = tracked.remaining * tracked.worst_price if tracked.status.live else ZERO
    more = value - abs(view.quantity) * ledger.marks[symbol] - rest
    long, patterns = tracked.order.side is Side.BUY, manager.config.policies.correlated.symbols
    direction = "correlated_long" if long else "correlated_short"
    correlated: Decimal | None = getattr(view, direction)
    amounts = {} if correlated is None else {direction: correlated + more}
    seen = msgspec.structs.replace(view, price=price, symbol_notional=value, gross=view.gross + more, **amounts)
    together = [
        each.beyond
        for name, each in protections.items()
        if moves_together(name, patterns) and (ledger.quantity(name) > ZERO) is long
    ]
    beyond = LimitExcess(
        order=tracked.beyond,
        position=protection.beyond,
        gross=sum((each.beyond for each in protections.values()), ZERO),
        correlated=sum(together, ZERO),
    )
    cleared = tracked.cleared_equity, tracked.cleared_regime, tracked.cleared_macro
    return FilledEntry(tracked.intent, seen, fill.price, protection.trigger, tracked.cost, *cleared, beyond)


def _incidents(symbol: str, remedy: Remedy, protection: Protection, held: Decimal) -> list[str]:
    """Return one sentence for each limit that the fills exceed and that was not reported yet."""
    if remedy.most < held:
        done = f"{plain(held - remedy.most)} of {plain(held)} are sold" if remedy.most else "it is closed"
    else:
        done = f"its stop goes from {plain(protection.trigger)} to {plain(remedy.stop)}"
    return [
        f"the fill of {symbol} exceeds {each.key} ({each.code}): {each.actual}, allowed {each.limit}; {done}"
        for each in remedy.excesses
        if each.code not in protection.exceeded
    ]

"""Counters of recent trading for the limits on pace."""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import GUARD, OrderIntent
from ocw_mcp.domain.policies import LossesPolicy, PacePolicy
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.time import MINUTE, SECOND


class ActivityState(msgspec.Struct):
    """The counters. Times in ms, amounts in quote currency."""

    sent: list[int] = []
    """Times of the last entries, at most as many as a minute may have."""
    reduced: list[int] = []
    """Times of the last closings that an agent asked for, at most as many as a minute may have."""
    entries_today: int = 0
    turnover_today: Decimal = ZERO
    fees_today: Decimal = ZERO
    closed_at: dict[str, int] = {}
    """The time of each symbol's last close, for as long as re-entry is limited."""
    losses_in_a_row: int = 0
    paused_until: int = 0


class Pace(msgspec.Struct, frozen=True):
    """The counters of one symbol at one time."""

    entries_last_minute: int
    entries_today: int
    turnover_today: Decimal
    """Notional traded today, and the notional that live entries may still trade."""
    fees_today: Decimal
    since_close_ms: int | None
    """Time since the symbol's last position was closed; None if re-entry is no longer limited."""
    losses_in_a_row: int
    paused_ms: int
    """The rest of the pause of entries; 0 if there is none."""
    reductions_last_minute: int = 0
    """Reductions that an agent asked for."""


def asked_for(reduction: OrderIntent) -> bool:
    """Return whether a reduction counts for the pace. Those of the guard and of a flatten, without a key, do not."""
    return bool(reduction.idempotency_key) and reduction.principal != GUARD


class Activity(Stateful[ActivityState]):
    """Counts the entries sent, the orders filled and the trades closed."""

    def __init__(self, pace: PacePolicy, losses: LossesPolicy) -> None:
        self._pace = pace
        self._losses = losses
        super().__init__(ActivityState())

    def restore(self, state: ActivityState, /) -> None:
        """Restore a state that `state` returned.

        If the policy has a lower limit of losses since, the count stays below it: a count at the limit would refuse
        every entry for ever, without a pause that ends.
        """
        state.losses_in_a_row = min(state.losses_in_a_row, self._losses.in_a_row - 1)
        super().restore(state)

    def open_day(self) -> None:
        """Begin a UTC day."""
        self._state.entries_today = 0
        self._state.turnover_today = ZERO
        self._state.fees_today = ZERO

    def sent(self, now: int) -> None:
        """Count an entry that was sent."""
        self._state.entries_today += 1
        self._state.sent = [*self._state.sent, now][-self._pace.entries_per_minute :]

    def reduced(self, now: int) -> None:
        """Count a closing that an agent asked for and that was sent."""
        self._state.reduced = [*self._state.reduced, now][-self._pace.reductions_per_minute :]

    def filled(self, notional: Decimal, fee: Decimal) -> None:
        """Count the fill of an order of any purpose."""
        self._state.turnover_today += notional
        self._state.fees_today += fee

    def closed(self, symbol: str, pnl: Decimal, now: int) -> bool:
        """Count a closed trade, and return whether entries pause after it."""
        state = self._state
        recent = now - self._pace.reentry_s * SECOND
        state.closed_at = {name: at for name, at in state.closed_at.items() if at > recent} | {symbol: now}
        state.losses_in_a_row = state.losses_in_a_row + 1 if pnl < 0 else 0
        if state.losses_in_a_row < self._losses.in_a_row:
            return False
        state.losses_in_a_row = 0
        state.paused_until = now + self._losses.pause_s * SECOND
        return True

    def seen(self, symbol: str, now: int, pending: Decimal = ZERO) -> Pace:
        """Return the counters at `now` (ms). `pending` is the notional (quote) that live entries may still trade."""
        state = self._state
        closed = state.closed_at.get(symbol)
        return Pace(
            entries_last_minute=sum(at > now - MINUTE for at in state.sent),
            entries_today=state.entries_today,
            turnover_today=state.turnover_today + pending,
            fees_today=state.fees_today,
            since_close_ms=None if closed is None else now - closed,
            losses_in_a_row=state.losses_in_a_row,
            paused_ms=max(0, state.paused_until - now),
            reductions_last_minute=sum(at > now - MINUTE for at in state.reduced),
        )

"""The counters for the limits on the pace of trading, daily loss, drawdown, and the cost of model calls."""

from decimal import Decimal

import msgspec

from ocw_mcp.core.risk.account import Pace
from ocw_mcp.core.risk.verdict import LimitUse
from ocw_mcp.domain.money import ONE, ZERO
from ocw_mcp.domain.orders import GUARD, OrderIntent
from ocw_mcp.domain.policies import BudgetPolicy, DailyLossPolicy, DrawdownPolicy, LossesPolicy, PacePolicy
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.time import MINUTE, SECOND, next_midnight, next_month, utc_day


class ActivityState(msgspec.Struct):
    """The counters of the pace of trading. Times in ms, amounts in quote currency."""

    sent: list[int] = []
    """Times of the last entries, at most `entries_per_minute` of them."""
    reduced: list[int] = []
    """Times of the last closings that an agent requested, at most `reductions_per_minute` of them."""
    entries_today: int = 0
    turnover_today: Decimal = ZERO
    fees_today: Decimal = ZERO
    closed_at: dict[str, int] = {}
    """The time of each symbol's last close, for as long as re-entry is limited."""
    losses_in_a_row: int = 0
    paused_until: int = 0


def asked_for(reduction: OrderIntent) -> bool:
    """Return whether a caller requested a reduction: not the guard, and not a flatten, which has no idempotency key."""
    return bool(reduction.idempotency_key) and reduction.principal != GUARD


class Activity(Stateful[ActivityState]):
    """Counts the entries sent, the orders filled and the trades closed."""

    def __init__(self, pace: PacePolicy, losses: LossesPolicy, strict: PacePolicy | None = None) -> None:
        """`strict` is the pace policy of entries after untrusted text, which may limit re-entry for longer."""
        self._pace = pace
        self._losses = losses
        self._reentry_ms = max(each.reentry_s for each in (pace, strict) if each is not None) * SECOND
        super().__init__(ActivityState())

    def restore(self, state: ActivityState, /) -> None:
        """Restore a state that `state` returned.

        The restored number of losses is kept below the policy's limit, which may be lower than before the restart: at
        the limit, every entry would be refused for ever, since no pause would begin and reset the number.
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
        """Count a closing order that an agent requested and that was sent."""
        self._state.reduced = [*self._state.reduced, now][-self._pace.reductions_per_minute :]

    def filled(self, notional: Decimal, fee: Decimal) -> None:
        """Count the fill of an order of any purpose."""
        self._state.turnover_today += notional
        self._state.fees_today += fee

    def closed(self, symbol: str, pnl: Decimal, now: int) -> bool:
        """Count a closed trade, and return whether entries pause after it."""
        state = self._state
        recent = {name: at for name, at in state.closed_at.items() if at > now - self._reentry_ms}
        state.closed_at = recent | {symbol: now}
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


class DayState(msgspec.Struct):
    """A UTC day, its opening equity, and whether its loss has reached the limit."""

    day: str
    opening: Decimal
    reached: bool = False


class DailyLoss(Stateful[DayState]):
    """Refuses entries for the rest of a UTC day once the day's loss reaches the limit, even if equity recovers."""

    def __init__(self, policy: DailyLossPolicy) -> None:
        self._policy = policy
        super().__init__(DayState("", ZERO))

    @property
    def today(self) -> DayState:
        """The current day."""
        return self._state

    def open(self, day: str, equity: Decimal) -> None:
        """Begin a day."""
        self._state = DayState(day, equity)

    @property
    def floor(self) -> Decimal:
        """The equity (quote) at which the daily loss limit is reached."""
        return self.today.opening * (ONE - self._policy.max_share)

    def watch(self, equity: Decimal) -> bool:
        """Record the current equity, and return whether it is the first of the day to reach the daily loss limit."""
        first = equity <= self.floor and not self.today.reached
        self.today.reached = self.today.reached or first
        return first

    def rescale(self, factor: Decimal) -> None:
        """Adjust the opening equity after a transfer multiplied equity by `factor`: the lost share stays the same."""
        self.today.opening *= factor

    def loss(self, equity: Decimal) -> Decimal:
        """Return the lost share of the opening equity; a gain is below 0."""
        opening = self.today.opening
        return (opening - equity) / opening if opening > 0 else ONE


class DrawdownState(msgspec.Struct):
    """Peaks of equity (quote): `peak` of all time, and `watched`, from which the drawdown is measured."""

    peak: Decimal
    watched: Decimal
    deepest: Decimal = ZERO
    """The deepest fall so far, as a share of the peak before it."""
    reached: bool = False
    """Whether equity fell beyond the limit since the operator last resumed."""


class Drawdown(Stateful[DrawdownState]):
    """Follows the fall of equity from its peak, and reports a fall beyond the limit."""

    def __init__(self, policy: DrawdownPolicy, equity: Decimal) -> None:
        self._policy = policy
        super().__init__(DrawdownState(equity, equity))

    def watch(self, equity: Decimal) -> bool:
        """Record the current equity, and return whether its fall from the watched peak reaches the limit."""
        state = self._state
        if equity > state.peak:
            state.peak = equity
        elif state.peak > 0:
            state.deepest = max(state.deepest, (state.peak - equity) / state.peak)
        state.watched = max(state.watched, equity)
        return self.beyond(equity)

    def beyond(self, equity: Decimal) -> bool:
        """Return whether the fall of equity from the watched peak reaches the drawdown limit."""
        watched = self._state.watched
        return watched - equity >= watched * self._policy.max_share

    def fall(self, equity: Decimal) -> Decimal:
        """Return the fall from the watched peak, as a share of it."""
        watched = self._state.watched
        return (watched - equity) / watched if watched > 0 else ZERO

    def usage(self, equity: Decimal) -> LimitUse:
        """Measure the use of the drawdown limit; above the peak it is 0."""
        return LimitUse("drawdown.max_share", self._policy.max_share, max(ZERO, self.fall(equity)))

    def passes(self, equity: Decimal) -> bool:
        """Record the current equity, and return whether it is the first since `resume` to reach the limit."""
        first = self.watch(equity) and not self._state.reached
        self._state.reached = self._state.reached or first
        return first

    def rescale(self, factor: Decimal) -> None:
        """Adjust the peaks after a transfer multiplied equity by `factor`: the fall, as a share, stays the same."""
        self._state.peak *= factor
        self._state.watched *= factor

    def resume(self, equity: Decimal) -> None:
        """Record that the operator resumed: if the drawdown limit is reached, `equity` becomes the watched peak."""
        if self.watch(equity):
            self._state.watched = equity
        self._state.reached = False


class BudgetState(msgspec.Struct):
    """The cost of model calls (USD) in the current UTC day and month."""

    day: str = ""
    spent_today: Decimal = ZERO
    spent_this_month: Decimal = ZERO
    told_until: int = 0
    """The time (ms) until which the budget is spent, as last reported."""


class Budget(Stateful[BudgetState]):
    """Counts the cost of model calls."""

    def __init__(self, policy: BudgetPolicy) -> None:
        self._policy = policy
        super().__init__(BudgetState())

    def book(self, cost: Decimal, at: int) -> None:
        """Add a cost (USD) that arose at `at` (ms)."""
        self._roll(at)
        self._state.spent_today += cost
        self._state.spent_this_month += cost

    def spent_out(self, at: int) -> int | None:
        """Return the time (ms) until which the budget is spent; None if some budget is left."""
        return None if all(each.left for each in self.usage(at)) else self.renewed(at)

    def renewed(self, at: int) -> int:
        """Return the time (ms) at which the budget of the day or the month, whichever has less left, begins anew."""
        day, month = self.usage(at)
        return next_month(at) if month.left <= day.left else next_midnight(at)

    def spent(self, at: int) -> tuple[Decimal, Decimal]:
        """Return the cost (USD) in the day and in the month of `at` (ms)."""
        self._roll(at)
        return self._state.spent_today, self._state.spent_this_month

    def usage(self, at: int) -> tuple[LimitUse, LimitUse]:
        """Measure the cost (USD) in the day and in the month of `at` (ms)."""
        (today, this_month), policy = self.spent(at), self._policy
        return (
            LimitUse("budget.usd_per_day", policy.usd_per_day, today),
            LimitUse("budget.usd_per_month", policy.usd_per_month, this_month),
        )

    def mark_reported(self, until: int) -> bool:
        """Record a report that the budget is spent until `until` (ms), and return whether it is the first one."""
        first, self._state.told_until = until != self._state.told_until, until
        return first

    def _roll(self, at: int) -> None:
        day, state = utc_day(at), self._state
        if day == state.day:
            return
        if day[:7] != state.day[:7]:
            state.spent_this_month = ZERO
        state.spent_today = ZERO
        state.day = day

"""The two limits that follow equity: the loss of a UTC day, and the fall from the peak."""

from decimal import Decimal

import msgspec

from ocw_mcp.core.risk.verdict import LimitUse
from ocw_mcp.domain.money import ONE, ZERO
from ocw_mcp.domain.policies import DailyLossPolicy, DrawdownPolicy
from ocw_mcp.domain.stateful import Stateful


class DayState(msgspec.Struct):
    """A day: its name, its opening equity, and whether entries are closed for the rest of it."""

    day: str
    opening: Decimal
    floor: Decimal
    """The equity at which the limit is reached."""
    reached: bool = False


class DailyLoss(Stateful[DayState]):
    """Closes entries for the rest of a UTC day once its loss reaches the limit, even if equity comes back."""

    def __init__(self, policy: DailyLossPolicy) -> None:
        self._policy = policy
        super().__init__(DayState("", ZERO, ZERO))

    @property
    def today(self) -> DayState:
        """The current day."""
        return self._state

    def open(self, day: str, equity: Decimal) -> None:
        """Begin a day."""
        self._state = DayState(day, equity, equity * (ONE - self._policy.max_share))

    def hold_to_policy(self) -> None:
        """Apply the policy to the current day, which may have begun under another policy."""
        self.today.floor = self.today.opening * (ONE - self._policy.max_share)

    def watch(self, equity: Decimal) -> bool:
        """Take a value of equity. Return whether it is the first of the day that reaches the limit."""
        today = self.today
        if equity > today.floor or today.reached:
            return False
        today.reached = True
        return True

    def rescale(self, factor: Decimal) -> None:
        """Follow a transfer that multiplied equity by a factor: the lost share stays the same."""
        self.today.opening *= factor
        self.hold_to_policy()

    def loss(self, equity: Decimal) -> Decimal:
        """Return the lost share of the opening equity; below 0 is a gain."""
        opening = self.today.opening
        return (opening - equity) / opening if opening > 0 else ONE


class DrawdownState(msgspec.Struct):
    """Peaks of equity, in quote currency. The limit is measured from `watched`."""

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
        """Take a value of equity. Return whether it is as far below the watched peak as the limit, or farther."""
        state = self._state
        if equity > state.peak:
            state.peak = equity
        elif state.peak > 0:
            state.deepest = max(state.deepest, (state.peak - equity) / state.peak)
        state.watched = max(state.watched, equity)
        return self.beyond(equity)

    def beyond(self, equity: Decimal) -> bool:
        """Return whether equity is as far below the watched peak as the limit, or farther."""
        watched = self._state.watched
        return watched - equity >= watched * self._policy.max_share

    def fall(self, equity: Decimal) -> Decimal:
        """Return the fall from the watched peak, as a share of it."""
        watched = self._state.watched
        return (watched - equity) / watched if watched > 0 else ZERO

    def usage(self, equity: Decimal) -> LimitUse:
        """Measure the use of the limit; a gain uses nothing."""
        return LimitUse("drawdown.max_share", self._policy.max_share, max(ZERO, self.fall(equity)))

    def passes(self, equity: Decimal) -> bool:
        """Take a value of equity. Return whether it is the first one beyond the limit since `resume`."""
        first = self.watch(equity) and not self._state.reached
        self._state.reached = self._state.reached or first
        return first

    def rescale(self, factor: Decimal) -> None:
        """Follow a transfer that multiplied equity by a factor: the fall from the peak stays the same."""
        self._state.peak *= factor
        self._state.watched *= factor

    def resume(self, equity: Decimal) -> None:
        """Apply a resume of the operator: a fall beyond the limit is measured from now on, a smaller one continues."""
        if self.watch(equity):
            self._state.watched = equity
        self._state.reached = False

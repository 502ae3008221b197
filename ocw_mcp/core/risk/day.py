"""The loss of a UTC day, held against the equity with which the day began."""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.money import ONE, ZERO
from ocw_mcp.domain.policies import DailyLossPolicy
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
        """The day under way."""
        return self._state

    def open(self, day: str, equity: Decimal) -> None:
        """Begin a day."""
        self._state = DayState(day, equity, equity * (ONE - self._policy.max_share))

    def hold_to_policy(self) -> None:
        """Hold the day under way to the policy, which may be another one since it began."""
        self.today.floor = self.today.opening * (ONE - self._policy.max_share)

    def watch(self, equity: Decimal) -> bool:
        """Look at equity; True when this very look reached the limit."""
        today = self.today
        if equity > today.floor or today.reached:
            return False
        today.reached = True
        return True

    def rescale(self, factor: Decimal) -> None:
        """A transfer made equity so many times what it was: the share that is lost stays what it is."""
        self.today.opening *= factor
        self.hold_to_policy()

    def loss(self, equity: Decimal) -> Decimal:
        """Share of the opening equity that is lost; below 0 is a gain."""
        opening = self.today.opening
        return (opening - equity) / opening if opening > 0 else ONE

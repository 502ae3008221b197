"""The fall of equity from its peak."""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.policies import DrawdownPolicy
from ocw_mcp.domain.stateful import Stateful


class DrawdownState(msgspec.Struct):
    """Peaks of equity, in quote currency. `watched` is the one that the limit is held against."""

    peak: Decimal
    watched: Decimal
    deepest: Decimal = ZERO
    """The deepest fall so far, as a share of the peak before it."""
    reached: bool = False
    """Whether the limit was passed since a person last resumed."""


class Drawdown(Stateful[DrawdownState]):
    """Follows equity down from its peak, and tells when it fell too far."""

    def __init__(self, policy: DrawdownPolicy, equity: Decimal) -> None:
        self._policy = policy
        super().__init__(DrawdownState(equity, equity))

    def watch(self, equity: Decimal) -> bool:
        """Look at equity; True while it is as far below the watched peak as the limit, or farther."""
        state = self._state
        if equity > state.peak:
            state.peak = equity
        elif state.peak > 0:
            state.deepest = max(state.deepest, (state.peak - equity) / state.peak)
        state.watched = max(state.watched, equity)
        return self.beyond(equity)

    def beyond(self, equity: Decimal) -> bool:
        """Whether equity is as far below the watched peak as the limit, or farther."""
        watched = self._state.watched
        return watched - equity >= watched * self._policy.max_share

    def fall(self, equity: Decimal) -> Decimal:
        """The fall from the watched peak, as a share of it."""
        watched = self._state.watched
        return (watched - equity) / watched if watched > 0 else ZERO

    def passes(self, equity: Decimal) -> bool:
        """Look at equity; True the first time that it is beyond the limit, until `resume`."""
        first = self.watch(equity) and not self._state.reached
        self._state.reached = self._state.reached or first
        return first

    def rescale(self, factor: Decimal) -> None:
        """A transfer made equity so many times what it was: the fall from the peak stays what it is."""
        self._state.peak *= factor
        self._state.watched *= factor

    def begin_anew(self, equity: Decimal) -> None:
        """A person has seen the fall and resumes: from here on it is held against equity as it stands."""
        self._state.watched = equity

    def resume(self, equity: Decimal) -> None:
        """A person resumes: a fall beyond the limit is measured anew, a smaller one goes on."""
        if self.watch(equity):
            self.begin_anew(equity)
        self._state.reached = False

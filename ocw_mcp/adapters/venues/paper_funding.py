"""The funding times of a paper account: those that are settled, and those still to settle, with their rates."""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.core.matching.funding import assumed_stamps, next_stamp, whole_stamp
from ocw_mcp.domain.market import Funding, Mark
from ocw_mcp.domain.money import ZERO, exact
from ocw_mcp.domain.time import HOUR, MINUTE

RATE_WAIT_MS: Final = 2 * MINUTE
"""Time (ms) after a funding time of a live market in which the settled rate is awaited.

After it, the last rate of the mark prices before the funding time is used.
"""
LONGEST_INTERVAL_MS: Final = 8 * HOUR
"""The longest time (ms) between two funding times of the exchange."""


class HeldQuantity(msgspec.Struct, frozen=True):
    """A symbol's position at the whole hour `at` (ms): its signed quantity, and the last price before `at` (quote)."""

    at: int
    quantity: Decimal
    mark: Decimal


DueFunding = tuple[int, Decimal | None, HeldQuantity | None]
"""A funding time (ms) to settle, its rate (None: assumed), and the position at that time (None: the current one)."""


class FundingTimes(msgspec.Struct):
    """The funding times (ms) that are settled, and those still to settle, by symbol: each once, in time order.

    Funding is settled on the position just before the opening at the funding time, even if its rate is reported a
    little later.
    """

    settled: dict[str, int] = {}
    """The last funding time that is settled, or that passed without a position."""
    covered: dict[str, int] = {}
    """The end of the funding interval of the latest known rate; rates are assumed only from then on."""
    known: dict[str, dict[int, Decimal]] = {}
    """Rates that are not settled yet, by funding time."""
    held: dict[str, HeldQuantity] = {}
    """Each symbol's position at the latest whole hour."""
    next: int = 0
    """The next funding time that may have to be settled."""
    scheduled: dict[str, tuple[int, Decimal]] = {}
    """On a live market: the next funding time of a symbol, and its rate as of now."""
    passed: dict[str, dict[int, Decimal]] = {}
    """On a live market: funding times that passed, with the last rate of the mark prices before each."""

    def note_position(self, symbol: str, at: int, quantity: Decimal, last: float | None) -> None:
        """Record the position just before the opening at `at` (ms), once per hour."""
        noted = self.held.get(symbol)
        if noted is not None and noted.at <= at < noted.at + HOUR:
            return
        self.held[symbol] = HeldQuantity(at // HOUR * HOUR, quantity, exact(last or 0))
        if not quantity:
            self.settled[symbol] = max(self.settled.get(symbol, -1), at)

    def schedule(self, mark: Mark, wait: int) -> None:
        """Record the next funding time that a mark price names, and its rate as of now; it is due `wait` ms later."""
        symbol, at, rate = mark.symbol, mark.next_funding_at, mark.funding_rate
        if at is None or rate is None or not abs(rate) < 1 or at <= self.settled.get(symbol, -1):
            return
        if at not in self.passed.get(symbol, {}):
            before = self.scheduled.get(symbol)
            self.scheduled[symbol] = at, exact(rate)
            if before is None or before[0] != at:
                # Rates are assumed only for funding times that passed while the exchange could not be reached.
                known = max(self.covered.get(symbol, 0), self.settled.get(symbol, 0))
                self.covered[symbol] = at if at - known <= LONGEST_INTERVAL_MS else known + 1
                self.next = min(self.next, at + wait)

    def pass_time(self, symbol: str, now: int, known: int, quantity: Decimal, mark: float | None) -> None:
        """Note that the scheduled funding time is over, if it is at `now` (ms).

        If the position, up to the time `known` (ms), includes that time, record it, with its mark price (quote).
        """
        self.settled.setdefault(symbol, now)
        at, rate = self.scheduled.get(symbol, (now + 1, ZERO))
        if at <= now:
            del self.scheduled[symbol]
            if at <= known:
                self.note_position(symbol, at, quantity, mark)
            if at > self.settled[symbol]:
                self.passed.setdefault(symbol, {})[at] = rate

    def add_rates(self, rates: Sequence[Funding], held: Collection[str]) -> None:
        """Add rates; a rate is settled if there was no position at its time. `held`: symbols with a position now."""
        for each in sorted(rates, key=lambda rate: rate.at):
            symbol, at = each.symbol, whole_stamp(each.at)
            self.covered[symbol] = max(self.covered.get(symbol, 0), at + each.interval_hours * HOUR)
            if at <= self.settled.get(symbol, -1):
                continue
            position = self._position_at(symbol, at)
            if position.quantity if position is not None else symbol in held:
                self.known.setdefault(symbol, {})[at] = exact(each.rate)
            else:
                self.settled[symbol] = at

    def take_due(self, symbol: str, until: int, position_known: int, *, held: bool, wait: int = 0) -> list[DueFunding]:
        """Mark due funding times up to `until` (ms) settled, and return them; if not `held`, only those with a rate.

        A funding time whose settled rate is not known is due `wait` ms later, and none is due after the time
        `position_known` (ms), until which the position is known.
        """
        known, covered = self.known.get(symbol, {}), self.covered.get(symbol, 0)
        passed = self.passed.get(symbol, {})
        times = {at for at in known if at <= until} | {at for at in passed if at <= until - wait}
        if held:
            times.update(at for at in assumed_stamps(self.settled.get(symbol, -1), until - wait) if at >= covered)
        times = {at for at in times if at <= position_known}
        due = [(at, known.pop(at, passed.get(at)), self._position_at(symbol, at)) for at in sorted(times)]
        if due:
            self.settled[symbol] = due[-1][0]
        if passed:
            self.passed[symbol] = {at: rate for at, rate in passed.items() if at > self.settled.get(symbol, -1)}
            if not self.passed[symbol]:
                del self.passed[symbol]
        if not known:
            self.known.pop(symbol, None)
        return due

    def schedule_next(self, held: Collection[str], until: int, wait: int = 0) -> None:
        """Set `next` to the first funding time that may be due after those up to `until` (ms) were settled.

        A funding time whose settled rate is not known is due `wait` ms later.
        """
        coming = [min(rates) for rates in self.known.values()]
        coming += [next_stamp(max(self.settled.get(each, -1), self.covered.get(each, 0) - 1)) + wait for each in held]
        coming += [min(rates) + wait for rates in self.passed.values()]
        coming += [at + wait for at, _ in self.scheduled.values()]
        self.next = min(coming, default=next_stamp(until))

    def _position_at(self, symbol: str, at: int) -> HeldQuantity | None:
        noted = self.held.get(symbol)
        return noted if noted is not None and noted.at == at else None

"""Tracks the funding stamps that the paper venue has settled: each stamp of a symbol once, in time order.

A stamp is settled on the position at its time, before the opening of that time traded. A rate that comes a little
later, as the exchange stamps it, is settled on the same position.
"""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.core.matching.funding import ASSUMED_RATE, assumed_stamps, next_stamp, whole_stamp
from ocw_mcp.domain.market import Funding
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.time import HOUR

NEVER: Final = 1 << 62


class HeldQuantity(msgspec.Struct, frozen=True):
    """The position of a symbol at the whole hour `at` (ms): its signed quantity, and the last price before (quote)."""

    at: int
    quantity: Decimal
    mark: Decimal


class DueStamp(msgspec.Struct, frozen=True):
    """A stamp (ms) to settle, its rate, and the position at its time; None if that is the current position."""

    at: int
    rate: Decimal
    assumed: bool
    held: HeldQuantity | None


class FundingState(msgspec.Struct):
    """The funding stamps that are settled, and those still to settle, by symbol. Times in ms."""

    settled: dict[str, int] = {}
    """The last stamp that is settled, or that passed without a position."""
    covered: dict[str, int] = {}
    """The end of the interval that began at the latest stamp with a known rate: before it no rate is assumed."""
    known: dict[str, dict[int, Decimal]] = {}
    """Rates that are not settled yet, by stamp."""
    held: dict[str, HeldQuantity] = {}
    """The position at the latest whole hour."""
    next: int = 0
    """The next stamp that may have to be settled."""


class FundingStamps(Stateful[FundingState]):
    """The funding stamps of one account's symbols."""

    def __init__(self) -> None:
        super().__init__(FundingState())

    def note_position(self, symbol: str, at: int, quantity: Decimal, last: float | None) -> None:
        """Record the position before an opening at `at` (ms) trades, once per hour."""
        noted = self._state.held.get(symbol)
        if noted is not None and noted.at <= at < noted.at + HOUR:
            return
        self._state.held[symbol] = HeldQuantity(at // HOUR * HOUR, quantity, exact(last or 0))
        if not quantity:
            self._state.settled[symbol] = max(self._state.settled.get(symbol, -1), at)

    def add_rates(self, rates: Sequence[Funding], held: Collection[str]) -> None:
        """Add rates; those of stamps without a position are settled at once. `held` are the symbols held now."""
        for each in sorted(rates, key=lambda rate: rate.at):
            symbol, at = each.symbol, whole_stamp(each.at)
            self._state.covered[symbol] = max(self._state.covered.get(symbol, 0), at + each.interval_hours * HOUR)
            if at <= self._state.settled.get(symbol, -1):
                continue
            position = self._position_at(symbol, at)
            if position.quantity if position is not None else symbol in held:
                self._state.known.setdefault(symbol, {})[at] = exact(each.rate)
            else:
                self._state.settled[symbol] = at

    def take_due(self, symbol: str, until: int, *, held: bool) -> list[DueStamp]:
        """Return the stamps of a symbol to settle up to `until` (ms), and mark them settled.

        Stamps without a known rate get the assumed one, if the symbol is `held` now.
        """
        state = self._state
        known, covered = state.known.get(symbol, {}), state.covered.get(symbol, 0)
        stamps = {at for at in known if at <= until}
        if held:
            stamps.update(at for at in assumed_stamps(state.settled.get(symbol, -1), until) if at >= covered)
        due: list[DueStamp] = []
        for at in sorted(stamps):
            rate = known.pop(at, None)
            state.settled[symbol] = at
            position = self._position_at(symbol, at)
            due.append(DueStamp(at, ASSUMED_RATE if rate is None else rate, rate is None, position))
        if not known:
            state.known.pop(symbol, None)
        return due

    def schedule_next(self, held: Collection[str], until: int) -> None:
        """Update the next stamp, after all that can be settled up to `until` (ms) are settled."""
        coming = [min(rates) for rates in self._state.known.values()]
        for symbol in held:
            after = max(self._state.settled.get(symbol, -1), self._state.covered.get(symbol, 0) - 1)
            coming.append(next_stamp(after))
        self._state.next = min(coming, default=next_stamp(until))

    def _position_at(self, symbol: str, at: int) -> HeldQuantity | None:
        noted = self._state.held.get(symbol)
        return noted if noted is not None and noted.at == at else None

"""Which funding stamps the paper venue has settled, and on what: each stamp of a symbol once, in the order of time.

A stamp is settled on what was held at its moment, before the opening of that moment traded. A rate that comes a little
later, as the exchange stamps it, is settled on the same.
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
    """What was held of a symbol at a whole hour `at` (ms): the signed quantity, and the last price before (quote)."""

    at: int
    quantity: Decimal
    mark: Decimal


class Due(msgspec.Struct, frozen=True):
    """A stamp (ms) to be settled, with its rate and what was held then; None where that is what is held now."""

    at: int
    rate: Decimal
    assumed: bool
    held: HeldQuantity | None


class FundingState(msgspec.Struct):
    """The funding stamps that are settled, and those still to settle, by symbol. Times in ms."""

    settled: dict[str, int] = {}
    """The last stamp that is settled, or that passed while nothing was held."""
    covered: dict[str, int] = {}
    """The end of the interval that began at the latest stamp with a known rate: before it none is assumed."""
    known: dict[str, dict[int, Decimal]] = {}
    """Rates by stamp that are not settled yet."""
    held: dict[str, HeldQuantity] = {}
    """What was held at the latest whole hour."""
    next: int = 0
    """The next stamp that may have to be settled."""


class FundingStamps(Stateful[FundingState]):
    """The stamps of one account's symbols."""

    def __init__(self) -> None:
        super().__init__(FundingState())

    def opens(self, symbol: str, at: int, quantity: Decimal, last: float | None) -> None:
        """Note what is held before an opening at `at` (ms) trades, once an hour."""
        hour = at // HOUR * HOUR
        noted = self._state.held.get(symbol)
        if noted is not None and noted.at == hour:
            return
        self._state.held[symbol] = HeldQuantity(hour, quantity, exact(last or 0))
        if not quantity:
            self._state.settled[symbol] = max(self._state.settled.get(symbol, -1), at)

    def learn(self, rates: Sequence[Funding], held: Collection[str]) -> None:
        """Take in rates; those of stamps at which nothing was held are done with. `held` are the symbols held now."""
        for each in sorted(rates, key=lambda rate: rate.at):
            symbol, at = each.symbol, whole_stamp(each.at)
            self._state.covered[symbol] = max(self._state.covered.get(symbol, 0), at + each.interval_hours * HOUR)
            if at <= self._state.settled.get(symbol, -1):
                continue
            then = self._then(symbol, at)
            if then.quantity if then is not None else symbol in held:
                self._state.known.setdefault(symbol, {})[at] = exact(each.rate)
            else:
                self._state.settled[symbol] = at

    def due(self, symbol: str, until: int, *, held: bool) -> list[Due]:
        """Take the stamps of a symbol up to `until` (ms) that are to be settled, with known and with assumed rates.

        `held` is whether anything is held of it now.
        """
        state = self._state
        known, covered = state.known.get(symbol, {}), state.covered.get(symbol, 0)
        stamps = {at for at in known if at <= until}
        if held:
            stamps.update(at for at in assumed_stamps(state.settled.get(symbol, -1), until) if at >= covered)
        due: list[Due] = []
        for at in sorted(stamps):
            rate = known.pop(at, None)
            state.settled[symbol] = at
            due.append(Due(at, ASSUMED_RATE if rate is None else rate, rate is None, self._then(symbol, at)))
        if not known:
            state.known.pop(symbol, None)
        return due

    def wait_for(self, held: Collection[str], until: int) -> None:
        """Work out the next stamp, with all up to `until` (ms) settled that could be."""
        coming = [min(rates) for rates in self._state.known.values()]
        for symbol in held:
            after = max(self._state.settled.get(symbol, -1), self._state.covered.get(symbol, 0) - 1)
            coming.append(next_stamp(after))
        self._state.next = min(coming, default=next_stamp(until))

    def _then(self, symbol: str, at: int) -> HeldQuantity | None:
        noted = self._state.held.get(symbol)
        return noted if noted is not None and noted.at == at else None

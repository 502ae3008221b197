"""Whether the prices of messages can be believed: no NaN, no zero, no price far from those before.

A price beyond five times the prices of the last two minutes, or below a fifth of them, is refused until another source
reports a similar one: a crash shows in candles, trades and quotes alike, a corrupt message in one of them. No source
confirms a price beyond a thousand times the others within an hour. REST replaces what streams alone confirmed.
"""

import math
from typing import Final

from ocw_mcp.domain.time import MINUTE

FACTOR: Final = 5.0
"""A larger change of the price needs a second source."""
ABSURD: Final = 1_000.0
"""A change by more than this factor is not believed of any number of sources."""
_FORGOTTEN_MS: Final = 60 * MINUTE
"""The age (ms) of the last believed price at which even such a change may be true."""
AGREEMENT: Final = 1.25
"""Two sources agree if their prices differ by less than this factor."""
MEMORY_MS: Final = MINUTE
"""How long a refused price waits for a second source (ms)."""


REST: Final = "rest"
"""The name of REST as a source."""
UNCONFIRMED: Final = "no price is confirmed yet"
"""Why the first price of a stream is refused; that is no incident."""


class PriceGuard:
    """The prices of one symbol that are believed. Before the first price, two sources have to agree, or REST alone."""

    __slots__ = ("_before", "_minute", "_range", "_rested", "_suspects", "high", "low")

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf
        """A price strictly between these bounds (quote) is believed."""
        self._minute = -1
        self._range: tuple[float, float] | None = None
        self._before: tuple[float, float] | None = None
        self._rested = False
        """Whether REST has reported a price."""
        self._suspects: dict[str, tuple[float, int]] = {}

    @property
    def known(self) -> bool:
        """Whether a price is believed already."""
        return self._range is not None or self._before is not None

    def note(self, low: float, high: float, at: int) -> None:
        """Widen the believed range by believed prices (quote) at `at` (ms)."""
        minute = at // MINUTE
        if minute > self._minute:
            self._before = self._range if minute == self._minute + 1 or self._range is None else None
            self._minute, self._range = minute, None
        known = self._range
        if known is not None and known[0] <= low and high <= known[1]:
            return
        self._range = (low, high) if known is None else (min(low, known[0]), max(high, known[1]))
        lowest, highest = self._range
        if self._before is not None:
            lowest, highest = min(lowest, self._before[0]), max(highest, self._before[1])
        self.low, self.high = lowest / FACTOR, highest * FACTOR

    def refuse(self, price: float, source: str, at: int) -> str | None:
        """Return why a price (quote) of a source is refused, or None; REST gives the first price alone."""
        if self.low < price < self.high:
            self._rested |= source == REST
            return None
        if not 0.0 < price < math.inf:
            return f"{price:.8g} is no price"
        if source == REST and not self._rested:
            self._rested, self._range, self._before = True, None, None
            self.note(price, price, max(at, self._minute * MINUTE))
            return None
        recent = self.known and abs(at - self._minute * MINUTE) < _FORGOTTEN_MS
        if recent and not self.low * FACTOR / ABSURD < price < self.high / FACTOR * ABSURD:
            return f"{price:.8g} is absurd: {self.low:.8g} to {self.high:.8g} is believed"
        self._suspects[source] = (price, at)
        for other, (suspect, since) in self._suspects.items():
            if other != source and abs(at - since) <= MEMORY_MS and 1 / AGREEMENT < price / suspect < AGREEMENT:
                break
        else:
            if not self.known:
                return UNCONFIRMED
            return f"{price:.8g} needs a second source: {self.low:.8g} to {self.high:.8g} is believed"
        self._suspects.clear()
        self.note(price, price, max(at, self._minute * MINUTE))
        return None

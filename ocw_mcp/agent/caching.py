"""How long a prompt is worth caching, by what it costs at the gaps between wakes. This changes bills, and no answer.

To write a token to the cache costs more than to send it plainly, to read it back much less, and what nobody read for
five minutes or an hour is gone. With the prices `plain`, `read` and `written`, `n` calls a decision, and the share `w`
of wakes that come while the last one's prefix is still there, a token of tools and system costs a decision

    kept       w · read + (1 - w) · written + (n - 1) · read
    not kept   n · plain

and one of the wake's own text, which no later wake repeats, `written + (n - 1) · read` or `n · plain`.
"""

from collections import deque
from collections.abc import Collection
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.agent.pricing import TokenUsage, Ttl, cost
from ocw_mcp.domain.time import HOUR, MINUTE

LIVES: Final[dict[Ttl, int]] = {"5m": 5 * MINUTE, "1h": HOUR}
"""How long (ms) after it was last read a prefix is still there."""
PRIOR_GAPS: Final = tuple(minutes * MINUTE for minutes in (4, 12, 24, 36, 60, 90, 120))
"""Gaps to go by before there are any: half of them up to 36 minutes, as the gate was measured to wake."""
PRIOR_CALLS: Final = (1, 2)
"""Calls of a decision, to go by before there are any: some look first."""
REMEMBERED: Final = 24
PRICED_TOKENS: Final = 1_000
"""Prices are asked for so many tokens: few enough for no tier above the first."""


class CachePrices(msgspec.Struct, frozen=True):
    """What a token of a prompt costs, each way; USD."""

    plain: Decimal
    read: Decimal
    written: dict[Ttl, Decimal]


class Plan(msgspec.Struct, frozen=True):
    """How long tools and system are kept, None for not at all, and whether what was said is kept for the next call."""

    prefix: Ttl | None
    turns: bool


def prefix_cost(ttl: Ttl | None, gaps: Collection[int], calls: Decimal, prices: CachePrices) -> Decimal:
    """What a token of tools and system is expected to cost a decision (USD), by the module's formula."""
    if ttl is None:
        return calls * prices.plain
    warm = Decimal(sum(gap < LIVES[ttl] for gap in gaps)) / len(gaps)
    return warm * prices.read + (1 - warm) * prices.written[ttl] + (calls - 1) * prices.read


def turn_cost(calls: Decimal, prices: CachePrices, *, cached: bool) -> Decimal:
    """What a token of the wake's own text is expected to cost a decision (USD), by the module's formula."""
    return prices.written["5m"] + (calls - 1) * prices.read if cached else calls * prices.plain


def plan(gaps: Collection[int], calls: Decimal, prices: CachePrices) -> Plan:
    """The cheapest way at these gaps (ms; at least one) and so many calls a decision; where two are, the shorter."""
    kept: tuple[Ttl | None, ...] = (None, "5m", "1h")
    prefix = min(kept, key=lambda ttl: prefix_cost(ttl, gaps, calls, prices))
    turns = turn_cost(calls, prices, cached=True) < turn_cost(calls, prices, cached=False)
    return Plan(prefix, turns)


def prices_of(model: str, at: int) -> CachePrices:
    """A model's prices on the day of `at` (ms). Raises LookupError for one that nobody prices."""
    plain, read, short, long = (
        cost(usage, model, at) / PRICED_TOKENS
        for usage in (
            TokenUsage(plain=PRICED_TOKENS),
            TokenUsage(read=PRICED_TOKENS),
            TokenUsage(written_5m=PRICED_TOKENS),
            TokenUsage(written_1h=PRICED_TOKENS),
        )
    )
    return CachePrices(plain, read, {"5m": short, "1h": long})


class Rhythm:
    """How often the model is asked, and how many calls that takes, as far back as `REMEMBERED` decisions.

    It begins anew with each process: nothing but bills hangs on it.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._gaps: deque[int] = deque(PRIOR_GAPS, maxlen=REMEMBERED)
        self._calls: deque[int] = deque(PRIOR_CALLS, maxlen=REMEMBERED)

    def asks(self, at: int) -> None:
        """The model is asked about a wake at `at` (ms of engine time)."""
        if self._last is not None:
            self._gaps.append(at - self._last)
        self._last = at

    def took(self, calls: int) -> None:
        """A decision took so many calls."""
        self._calls.append(max(1, calls))

    def plan(self, model: str, at: int) -> Plan:
        """How to cache the next decision. A model that nobody prices is not asked in the end, so any plan does."""
        try:
            prices = prices_of(model, at)
        except LookupError:
            return Plan(None, turns=False)
        return plan(self._gaps, Decimal(sum(self._calls)) / len(self._calls), prices)

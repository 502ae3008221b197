"""The cost of calls in USD, by the offline price table of `genai-prices`, and the cheapest way to cache their prompts.

Caching changes the cost of a call, not its answer. A cached prefix expires if it is not read for its lifetime of five
minutes or an hour. `plain`, `read` and `written` are the prices of a token, `n` is the number of calls per decision,
and `w` is the share of wakes at which the prefix of the last decision is still cached. One decision pays for a token
of tools and system

    cached      w · read + (1 - w) · written + (n - 1) · read
    not cached  n · plain

and for a token of the wake's own text, which no later wake repeats, `written + (n - 1) · read` or `n · plain`.
"""

from collections import deque
from collections.abc import Collection
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal

import msgspec

from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.time import HOUR, MINUTE, utc_day

PROVIDER: Final = "anthropic"
HIDDEN_TOKENS: Final = 1_000
"""Largest number of tokens that the API may add to a request: instructions on tools, and markup of blocks."""

Ttl = Literal["5m", "1h"]
LIFETIME_MS: Final[dict[Ttl, int]] = {"5m": 5 * MINUTE, "1h": HOUR}
"""Time from the last read of a cached prefix until it expires."""
PRIOR_GAPS: Final = tuple(minutes * MINUTE for minutes in (4, 12, 24, 36, 60, 90, 120))
"""Gaps between wakes that a new process assumes; their median was measured at the wake-up gate."""
PRIOR_CALLS: Final = (1, 2)
"""Calls per decision that a new process assumes."""
WINDOW: Final = 24
"""Number of the latest decisions on whose gaps and calls a plan is based."""


class TokenUsage(msgspec.Struct, frozen=True):
    """Billed tokens: prompt tokens outside the cache (`plain`), read from it, and written to it for five minutes or an
    hour; and output tokens."""

    plain: int = 0
    read: int = 0
    written_5m: int = 0
    written_1h: int = 0
    output: int = 0

    @property
    def prompt(self) -> int:
        """All tokens of the prompt, cached or not."""
        return self.plain + self.read + self.written_5m + self.written_1h

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        astuple = msgspec.structs.astuple
        return TokenUsage(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


def cost(usage: TokenUsage, model: str, at: int) -> Decimal:
    """Return the cost (USD) of tokens at the prices on the day of `at` (ms). Raises LookupError without a price."""
    return _cost(usage, model, utc_day(at))


def priced(model: str, at: int) -> bool:
    """Return whether the price table has a model on the day of `at` (ms)."""
    try:
        cost(TokenUsage(plain=1), model, at)
    except LookupError:
        return False
    return True


def worst_cost(prompt_bytes: int, max_tokens: int, model: str, at: int, known_tokens: int = 0) -> Decimal:
    """Return the worst-case cost (USD) of a call, for any caching. Raises LookupError like `cost`.

    The whole prompt counts as written to the cache for an hour, the highest price, and the answer as `max_tokens`. The
    prompt has `known_tokens`, as counted by the API before, and `prompt_bytes` (UTF-8), each counted as one token.
    """
    usage = TokenUsage(written_1h=known_tokens + prompt_bytes + HIDDEN_TOKENS, output=max_tokens)
    return cost(usage, model, at)


@lru_cache(maxsize=4_096)
def _cost(usage: TokenUsage, model: str, day: str) -> Decimal:
    if usage == TokenUsage():
        return ZERO
    from genai_prices import Usage as Billed
    from genai_prices import calc_price

    billed = Billed(
        input_tokens=usage.prompt,
        cache_read_tokens=usage.read,
        cache_write_tokens=usage.written_5m + usage.written_1h,
        cache_write_1h_tokens=usage.written_1h,
        output_tokens=usage.output,
    )
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return calc_price(billed, model, provider_id=PROVIDER, genai_request_timestamp=at).total_price


class CachePrices(msgspec.Struct, frozen=True):
    """The prices of one prompt token in USD: sent plainly, read from the cache, written to it for each lifetime."""

    plain: Decimal
    read: Decimal
    written: dict[Ttl, Decimal]


class CachePlan(msgspec.Struct, frozen=True):
    """Which parts of a decision's prompts are cached, and for how long."""

    prefix: Ttl | None
    """The cache lifetime of tools and system; None if they are not cached."""
    turns: bool
    """Whether the conversation so far is cached for the next call of the same decision."""


def prefix_cost(ttl: Ttl | None, gaps: Collection[int], calls: Decimal, prices: CachePrices) -> Decimal:
    """Return the expected cost (USD) per decision of one token of tools and system; `ttl` None is no caching."""
    if ttl is None:
        return calls * prices.plain
    warm = Decimal(sum(gap < LIFETIME_MS[ttl] for gap in gaps)) / len(gaps)
    return warm * prices.read + (1 - warm) * prices.written[ttl] + (calls - 1) * prices.read


def turn_cost(calls: Decimal, prices: CachePrices, *, cached: bool) -> Decimal:
    """Return the expected cost (USD) per decision of one token of the wake's own text."""
    return prices.written["5m"] + (calls - 1) * prices.read if cached else calls * prices.plain


def cheapest_plan(gaps: Collection[int], calls: Decimal, prices: CachePrices) -> CachePlan:
    """Return the cheapest use of the prompt cache, from times between wakes (ms) and the mean `calls` per decision."""
    ttls: tuple[Ttl | None, ...] = (None, "5m", "1h")
    prefix = min(ttls, key=lambda ttl: prefix_cost(ttl, gaps, calls, prices))
    turns = turn_cost(calls, prices, cached=True) < turn_cost(calls, prices, cached=False)
    return CachePlan(prefix, turns)


def cache_prices(model: str, at: int) -> CachePrices:
    """Return a model's prices on the day of `at` (ms). Raises LookupError for a model without a price."""
    kinds = ("plain", "read", "written_5m", "written_1h")
    # 1,000 tokens are few enough for the first price tier.
    plain, read, short, long = (cost(TokenUsage(**{kind: 1_000}), model, at) / 1_000 for kind in kinds)
    return CachePrices(plain, read, {"5m": short, "1h": long})


class CachePlanner:
    """Plans caching from the wake gaps and call numbers of the last `WINDOW` decisions of this process."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._gaps: deque[int] = deque(PRIOR_GAPS, maxlen=WINDOW)
        self._calls: deque[int] = deque(PRIOR_CALLS, maxlen=WINDOW)

    def record_wake(self, at: int) -> None:
        """Record that the model is asked about a wake at `at` (ms of engine time)."""
        if self._last is not None:
            self._gaps.append(at - self._last)
        self._last = at

    def record_calls(self, calls: int) -> None:
        """Record how many calls a decision took."""
        self._calls.append(max(1, calls))

    def plan(self, model: str, at: int) -> CachePlan:
        """Return the plan for the next decision; without caching for an unpriced model, which is never called."""
        try:
            prices = cache_prices(model, at)
        except LookupError:
            return CachePlan(None, turns=False)
        return cheapest_plan(self._gaps, Decimal(sum(self._calls)) / len(self._calls), prices)

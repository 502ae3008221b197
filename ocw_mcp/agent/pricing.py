"""The cost of calls in USD, by the offline price table of `genai-prices`, and the cheapest way to cache their prompts.

Caching changes the cost of a call, not its answer. A cached prefix expires if it is not read for its lifetime of five
minutes or an hour. `plain`, `read` and `written` are the prices of a token, `n` is the number of calls per decision,
and `w` is the share of wakes at which the prefix of the last decision is still cached. One decision pays for a token
of tools and system

    cached      w · read + (1 - w) · written + (n - 1) · read
    kept warm   the same with a larger w, and k · read for the k calls per decision that only read the prefix again
    not cached  n · plain

and for a token of the wake's own text, which no later wake repeats, `written + (n - 1) · read` or `n · plain`. A token
of the results of reading calls costs the same, where `n` counts the calls from the second on.
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
MARKUP_TOKENS: Final = 200
"""Largest number of tokens that the API may add to the new turns of a request whose beginning it has counted before."""

Ttl = Literal["5m", "1h"]
LIFETIME_MS: Final[dict[Ttl, int]] = {"5m": 5 * MINUTE, "1h": HOUR}
"""Time from the last read of a cached prefix until it expires."""
KEEP_WARM_MS: Final = 55 * MINUTE
"""Time after the last call of the model at which a prefix that is cached for an hour is read again, to keep it."""
KEEP_WARM_TIMES: Final = 2
"""Largest number of such reads after a decision; they cover the longest gap between two wakes of the gate's timer."""
LEAST_READ_USD: Final = {"claude-sonnet-5-5": Decimal("0.20") / 1_000_000}
"""Prices of a token read from the cache (USD) below which a listed price is not trusted, by model."""
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


def worst_cost(
    prompt_bytes: int, max_tokens: int, model: str, at: int, known_tokens: int = 0, turn_bytes: int = 0
) -> Decimal:
    """Return the worst-case cost (USD) of a call, for any caching. Raises LookupError like `cost`.

    The prompt counts as written to the cache for an hour, the highest price, and the answer as `max_tokens`. The
    prompt has `known_tokens`, as counted by the API before, and `prompt_bytes` (UTF-8), each counted as one token.
    `turn_bytes` are further bytes that are cached for five minutes at most.
    """
    added = MARKUP_TOKENS if known_tokens else HIDDEN_TOKENS
    usage = TokenUsage(written_5m=turn_bytes, written_1h=known_tokens + prompt_bytes + added, output=max_tokens)
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
    listed = calc_price(billed, model, provider_id=PROVIDER, genai_request_timestamp=at).total_price
    return listed + usage.read * _read_surcharge(model, at)


@lru_cache(maxsize=64)
def _read_surcharge(model: str, at: datetime) -> Decimal:
    """Return by how much (USD) the listed price of a token read from the cache is below `LEAST_READ_USD`."""
    least = next((usd for name, usd in LEAST_READ_USD.items() if model.startswith(name)), ZERO)
    if not least:
        return ZERO
    from genai_prices import Usage as Billed
    from genai_prices import calc_price

    # 1,000 tokens are few enough for the first price tier.
    billed = Billed(input_tokens=1_000, cache_read_tokens=1_000)
    listed = calc_price(billed, model, provider_id=PROVIDER, genai_request_timestamp=at).total_price
    return max(ZERO, least - listed / 1_000)


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
    """Whether the context of the wake is cached for the second call of the same decision."""
    keep_warm: bool = False
    """Whether the prefix is read again between two wakes, so that it does not expire."""
    results: bool = False
    """Whether the results of reading calls are cached for the third call, together with all before them."""


def prefix_cost(
    ttl: Ttl | None, gaps: Collection[int], calls: Decimal, prices: CachePrices, *, keep_warm: bool = False
) -> Decimal:
    """Return the expected cost (USD) per decision of one token of tools and system; `ttl` None is no caching."""
    if ttl is None:
        return calls * prices.plain
    reads = [min(gap // KEEP_WARM_MS, KEEP_WARM_TIMES) if keep_warm else 0 for gap in gaps]
    ages = [gap - count * KEEP_WARM_MS for gap, count in zip(gaps, reads, strict=True)]
    warm = Decimal(sum(age < LIFETIME_MS[ttl] for age in ages)) / len(gaps)
    kept = Decimal(sum(reads)) / len(gaps) * prices.read
    return kept + warm * prices.read + (1 - warm) * prices.written[ttl] + (calls - 1) * prices.read


def turn_cost(calls: Decimal, prices: CachePrices, *, cached: bool) -> Decimal:
    """Return the expected cost (USD) per decision of one token of the wake's own text, which `calls` calls have."""
    return prices.written["5m"] + (calls - 1) * prices.read if cached else calls * prices.plain


def cheapest_plan(
    gaps: Collection[int],
    calls: Decimal,
    prices: CachePrices,
    *,
    later_calls: Decimal = Decimal(1),
    keep_warm: bool = False,
) -> CachePlan:
    """Return the cheapest use of the prompt cache, from times between wakes (ms) and the mean `calls` per decision.

    `later_calls` is the mean number of calls from the second on, of the decisions that have a second one.
    """
    ways: list[tuple[Ttl | None, bool]] = [(None, False), ("5m", False), ("1h", False)]
    ways += [("1h", True)] if keep_warm else []
    ttl, warm = min(ways, key=lambda way: prefix_cost(way[0], gaps, calls, prices, keep_warm=way[1]))
    turns, results = (
        turn_cost(each, prices, cached=True) < turn_cost(each, prices, cached=False) for each in (calls, later_calls)
    )
    return CachePlan(ttl, turns, warm, results)


def cache_prices(model: str, at: int) -> CachePrices:
    """Return a model's prices on the day of `at` (ms). Raises LookupError for a model without a price."""
    kinds = ("plain", "read", "written_5m", "written_1h")
    # 1,000 tokens are few enough for the first price tier.
    plain, read, short, long = (cost(TokenUsage(**{kind: 1_000}), model, at) / 1_000 for kind in kinds)
    return CachePrices(plain, read, {"5m": short, "1h": long})


class CachePlanner:
    """Plans caching from the wake gaps and call numbers of the last `WINDOW` decisions of this process."""

    def __init__(self, *, keep_warm: bool = False) -> None:
        """With `keep_warm` a plan may keep the prefix warm between two wakes."""
        self._keep_warm = keep_warm
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
        later = [each - 1 for each in self._calls if each > 1] or [1]
        calls, later_calls = (Decimal(sum(each)) / len(each) for each in (self._calls, later))
        return cheapest_plan(self._gaps, calls, prices, later_calls=later_calls, keep_warm=self._keep_warm)

"""The cost of calls in USD, by the offline price table of `genai-prices`."""

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal

import msgspec

from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.time import utc_day

PROVIDER: Final = "anthropic"
HIDDEN_TOKENS: Final = 1_000
"""Tokens that the API may add to a request: its instructions on tools, and the frame of blocks."""

Ttl = Literal["5m", "1h"]


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
    """Return the cost of tokens at the prices of the day of `at` (ms). Raises LookupError for an unpriced model."""
    return _cost(usage, model, utc_day(at))


def priced(model: str, at: int) -> bool:
    """Return whether the price table has a model on the day of `at` (ms)."""
    try:
        cost(TokenUsage(plain=1), model, at)
    except LookupError:
        return False
    return True


def worst_cost(prompt_bytes: int, max_tokens: int, model: str, at: int, known_tokens: int = 0) -> Decimal:
    """Return the most that a call can cost: the whole prompt written to the cache for an hour, which is the dearest
    kind, and an answer of `max_tokens`. So it does not depend on caching. Raises LookupError like `cost`.

    `known_tokens` were counted by the API before, and `prompt_bytes` is the size of the text after them: a token is at
    least one byte (UTF-8).
    """
    tokens = known_tokens + prompt_bytes + HIDDEN_TOKENS
    return cost(TokenUsage(written_1h=tokens, output=max_tokens), model, at)


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

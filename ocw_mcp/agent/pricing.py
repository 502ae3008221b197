"""What calls cost, by the offline table of `genai-prices`; USD."""

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal

import msgspec

from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.time import utc_day

PROVIDER: Final = "anthropic"
HIDDEN_TOKENS: Final = 1_000
"""Tokens that the API may add to a request by itself: what it tells the model about tools, and the frame of blocks."""

Ttl = Literal["5m", "1h"]


class TokenUsage(msgspec.Struct, frozen=True):
    """Tokens as they are billed. The prompt is the sum of the first four."""

    plain: int = 0
    read: int = 0
    written_5m: int = 0
    written_1h: int = 0
    output: int = 0

    @property
    def prompt(self) -> int:
        """All tokens of the prompt."""
        return self.plain + self.read + self.written_5m + self.written_1h

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        return TokenUsage(*(mine + theirs for mine, theirs in zip(self._counts(), other._counts(), strict=True)))

    def _counts(self) -> tuple[int, ...]:
        return msgspec.structs.astuple(self)


def read_table() -> None:
    """Read the table. It takes a third of a second once, which an event loop does not have."""
    import genai_prices  # noqa: F401 - what counts is that it is there


def cost(usage: TokenUsage, model: str, at: int) -> Decimal:
    """What tokens cost at the prices of the day of `at` (ms). Raises LookupError for a model that nobody prices."""
    return _cost(usage, model, utc_day(at))


def priced(model: str, at: int) -> bool:
    """Whether anybody tells what a model costs on the day of `at` (ms)."""
    try:
        cost(TokenUsage(plain=1), model, at)
    except LookupError:
        return False
    return True


def worst_cost(prompt_bytes: int, max_tokens: int, model: str, at: int, known_tokens: int = 0) -> Decimal:
    """The most that a call can cost: all of it is written to the cache for an hour, the dearest kind, and all tokens of
    the answer are used. So it does not hang on how a prompt is cached, nor whether a call may be made.

    A token is a byte at least, so a text has no more tokens than bytes (UTF-8). `known_tokens` were counted by the API
    already; `prompt_bytes` is what came after them. Raises LookupError as `cost` does.
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
    moment = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return calc_price(billed, model, provider_id=PROVIDER, genai_request_timestamp=moment).total_price

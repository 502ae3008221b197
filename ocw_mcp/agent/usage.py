"""Reads the tokens that an answer reports, in the API's own form or in that of a gateway.

What cannot be read, and what cannot be, counts at the most that it can have been: a token is a byte at least.
"""

import math
import re
from typing import Any, Final

import msgspec

from ocw_mcp.agent.pricing import HIDDEN_TOKENS, TokenUsage

MOST_TOKENS: Final = 100_000_000
"""No model holds nearly as many."""

_DIGITS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?", re.ASCII)
_PROMPT_WITH_CACHE: Final = ("prompt_tokens", "promptTokenCount")
"""Names of a count that has what was read from the cache in it; the API's own does not."""
_PROMPT: Final = ("input_tokens", "inputTokens", *_PROMPT_WITH_CACHE)
_OUTPUT: Final = ("output_tokens", "outputTokens", "completion_tokens", "candidatesTokenCount")
_READ: Final = ("cache_read_input_tokens", "cacheReadInputTokens", "cachedContentTokenCount")
_WRITTEN: Final = ("cache_creation_input_tokens", "cacheWriteInputTokens")
_SHORT, _LONG = "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"


class Bounds(msgspec.Struct, frozen=True):
    """The most tokens that a call can have taken."""

    prompt: int = MOST_TOKENS
    output: int = MOST_TOKENS


def bounds(asked_bytes: int, max_tokens: int, answered_bytes: int) -> Bounds:
    """Return the most that a call can have taken, by the size of the request and of the answer."""
    return Bounds(asked_bytes + HIDDEN_TOKENS, min(max_tokens, answered_bytes))


def counted(told: object, most: Bounds, max_tokens: int) -> TokenUsage:
    """Return the tokens as billed; what was written without a word on for how long is taken for the dearer hour."""
    usage: dict[str, Any] = told if isinstance(told, dict) else {}
    output = _first(usage, _OUTPUT)
    output = most.output if output is None or output > max_tokens else output
    prompt = _prompt(usage)
    # Nor is a prompt of no tokens possible: a gateway that counts nothing reports 0.
    if prompt is None or not 0 < prompt.prompt <= most.prompt:
        return TokenUsage(written_1h=most.prompt, output=output)
    return msgspec.structs.replace(prompt, output=output)


def _prompt(usage: dict[str, Any]) -> TokenUsage | None:
    """Return the tokens of the prompt; None where one of the counts cannot be read."""
    split, details = usage.get("cache_creation") or {}, usage.get("prompt_tokens_details") or {}
    if not isinstance(split, dict) or not isinstance(details, dict):
        return None
    plain = _first(usage, _PROMPT)
    read = _first({"cachedContentTokenCount": details.get("cached_tokens"), **usage}, _READ, 0)
    written, short, long = _first(usage, _WRITTEN, 0), _first(split, (_SHORT,), 0), _first(split, (_LONG,), 0)
    if plain is None or read is None or written is None or short is None or long is None:
        return None
    if not any(usage.get(name) is not None for name in _PROMPT[:2]):
        plain = max(0, plain - read)
    return TokenUsage(plain=plain, read=read, written_5m=short, written_1h=max(long, written - short))


def _first(usage: dict[str, Any], names: tuple[str, ...], missing: int | None = None) -> int | None:
    """Return the first count that is there; None for one that is no number, or below 0."""
    told = next((usage[name] for name in names if usage.get(name) is not None), None)
    return missing if told is None else _count(told)


def _count(told: object) -> int | None:
    if isinstance(told, str) and _DIGITS.fullmatch(told.strip()):
        told = float(told)
    if isinstance(told, float) and math.isfinite(told):
        told = math.ceil(told)
    if isinstance(told, bool) or not isinstance(told, int) or not 0 <= told <= MOST_TOKENS:
        return None
    return told

"""Reads the body of an answer of the API or of a gateway: a message, its token counts, or an error in a 200.

A gateway may put an error into a 200, omit the stop reason, or count tokens in its own form. A missing or impossible
token count is replaced by its upper bound, one token per byte.
"""

import math
import re
from contextlib import suppress
from typing import Any, Final

import msgspec

from ocw_mcp.agent.messages import Reply, Trouble, without_cache_control
from ocw_mcp.agent.pricing import HIDDEN_TOKENS, TokenUsage
from ocw_mcp.domain.causes import CauseKind

LARGEST_COUNT: Final = 100_000_000
"""Largest valid token count."""

_STOP_REASONS: Final = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}
"""The API's stop reason for each stop reason of other providers."""
_CAUSES_BY_WORDS: Final = (
    (
        CauseKind.NO_CREDIT,
        r"credit balance|insufficient[_ ](?:quota|credit|fund|balance)|current quota|payment[_ ]required|"
        r"billing[_ ]error|balance[^.]{0,20}(?:insufficient|not enough|too low)|"
        r"(?:not enough|out of|no) (?:credit|fund|balance)|\b402\b",
    ),
    (CauseKind.OVERLOADED, r"overloaded|over capacity|at capacity|unavailable|\b529\b|\b503\b"),
    (
        CauseKind.RATE_LIMITED,
        r"rate[_ -]?(?:limit|exceed)|too many (?:requests|tokens)|throttl|resource[_ ]exhausted|\b429\b",
    ),
    (CauseKind.BAD_KEY, r"authenticat|access[_ ]?denied|unauthori[sz]ed|permission|api[_ -]?key|\b401\b|\b403\b"),
    (CauseKind.NO_MODEL, r"not_found|model[_ ]not[_ ]found|no such model|\b404\b"),
    (CauseKind.TIMEOUT, r"timed? ?out|\b504\b"),
    (CauseKind.BAD_REQUEST, r"invalid_request|bad request|too long|\b400\b"),
    (CauseKind.SERVER, r"api_error|server_error|internal|bad gateway|\b50[02]\b"),
)
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
_STREAM_DATA: Final = re.compile(rb"^data: *(\{.*\}) *$", re.MULTILINE)
_ERROR_KINDS: Final = ("__type", "type", "code", "status")
_ERROR_MESSAGES: Final = ("message", "Message", "msg", "detail", "error_message")
_MAY_HAVE_WORKED: Final = frozenset({CauseKind.SERVER, CauseKind.TIMEOUT, CauseKind.MALFORMED})
"""Causes of errors in a status 200 answer that may be billed, since the model may have worked before the error."""

_DIGITS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?", re.ASCII)
_PROMPT_WITH_CACHE: Final = ("prompt_tokens", "promptTokenCount")
"""Names of prompt token counts that, unlike the API's own count, include the tokens read from the cache."""
_PROMPT: Final = ("input_tokens", "inputTokens", *_PROMPT_WITH_CACHE)
_OUTPUT: Final = ("output_tokens", "outputTokens", "completion_tokens", "candidatesTokenCount")
_READ: Final = ("cache_read_input_tokens", "cacheReadInputTokens", "cachedContentTokenCount")
_WRITTEN: Final = ("cache_creation_input_tokens", "cacheWriteInputTokens")
_SHORT, _LONG = "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"


def parse_reply(body: bytes, request: dict[str, Any]) -> Reply | Trouble:
    """Return the reply in a body, or its `Trouble` with the whole error message."""
    try:
        whole = msgspec.json.decode(body)
    except _UNREADABLE:
        return _find_stream_error(body) or _malformed(body.decode("utf-8", "replace"))
    content: Any = whole.get("content") if isinstance(whole, dict) else None
    if (trouble := _find_error(whole, content)) is not None:
        return trouble
    is_message = isinstance(content, list) and all(
        isinstance(block, dict) and isinstance(block.get("type"), str) for block in content
    )
    if not is_message:
        return _malformed(f"its content is {_shape(content)}")
    stop = whole.get("stop_reason")
    if stop is None:
        # The content shows how the turn ended.
        stop = "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn"
    if not isinstance(stop, str):
        return _malformed(f"its stop_reason is {_shape(stop)}")
    most_prompt = len(msgspec.json.encode(without_cache_control(request))) + HIDDEN_TOKENS
    usage = _parse_usage(whole.get("usage"), most_prompt, len(body), request["max_tokens"])
    return Reply(_STOP_REASONS.get(stop, stop), tuple(content), usage)


def _malformed(why: str) -> Trouble:
    return Trouble(CauseKind.MALFORMED, f"the body is not a message: {why}")


def _shape(part: object) -> str:
    return "missing or null" if part is None else f"of type {type(part).__name__}"


def cause_of_words(words: str) -> CauseKind | None:
    """Return the cause that the kind and the message of an error indicate; None if they indicate none."""
    lower = words.lower()
    return next((cause for cause, pattern in _CAUSES_BY_WORDS if re.search(pattern, lower)), None)


def _find_error(whole: object, content: object) -> Trouble | None:
    """Return the error in a body: beside or instead of a message, or as JSON in the message's only text block."""
    if (trouble := _error_in(whole, has_content=bool(content))) is not None:
        return trouble
    if not isinstance(content, list) or len(content) != 1 or not isinstance(content[0], dict):
        return None
    text = content[0].get("text")
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return None
    with suppress(*_UNREADABLE):
        return _error_in(msgspec.json.decode(text), has_content=True)
    return None


def _find_stream_error(body: bytes) -> Trouble | None:
    """Return the error in a body of server-sent events, which were not requested."""
    for line in _STREAM_DATA.findall(body):
        with suppress(*_UNREADABLE):
            if (found := _error_in(msgspec.json.decode(line), has_content=False)) is not None:
                return found
    return None


def _error_in(whole: object, *, has_content: bool) -> Trouble | None:
    """Return the error in a decoded body; None if it holds none.

    If the body has no message content, a plain text and the error forms of other providers count as errors, too.
    """
    if isinstance(whole, list):
        whole = whole[0] if len(whole) == 1 else None
    if isinstance(whole, str) and not has_content:
        whole = {"error": whole}
    if not isinstance(whole, dict):
        return None
    error = whole.get("error")
    if not error and whole.get("type") == "error":
        error = whole
    if not error and not has_content:
        error = _provider_error(whole)
    if not error:
        return None
    fields: dict[str, Any] = error if isinstance(error, dict) else {"message": error}
    kind = " ".join(str(fields[name]) for name in _ERROR_KINDS if fields.get(name) is not None)
    message = str(next((fields[name] for name in _ERROR_MESSAGES if fields.get(name)), "") or kind or "no reason given")
    cause = cause_of_words(f"{kind} {message}") or CauseKind.MALFORMED
    return Trouble(cause, f"200 {message}", may_be_billed=cause in _MAY_HAVE_WORKED)


def _provider_error(whole: dict[str, Any]) -> object:
    """Return the error in the form of Bedrock, of a list of answers, or of a proxy."""
    for name in ("errors", "choices"):
        first = next(iter(whole[name]), None) if isinstance(whole.get(name), list) else None
        if first and (name == "errors" or isinstance(first, dict)):
            return first if name == "errors" else first.get("error")
    if isinstance(whole.get("Output"), dict):
        return whole["Output"]
    return whole if any(whole.get(name) for name in (*_ERROR_MESSAGES, "__type")) else None


def _parse_usage(reported: object, most_prompt: int, answer_bytes: int, max_tokens: int) -> TokenUsage:
    """Return the billed tokens. Cache writes without a stated lifetime count as written for an hour."""
    usage: dict[str, Any] = reported if isinstance(reported, dict) else {}
    output = _first_count(usage, _OUTPUT)
    output = min(max_tokens, answer_bytes) if output is None or output > max_tokens else output
    prompt = _parse_prompt(usage)
    # A prompt of 0 tokens is impossible: a gateway that counts nothing reports 0.
    if prompt is None or not 0 < prompt.prompt <= most_prompt:
        return TokenUsage(written_1h=most_prompt, output=output)
    return msgspec.structs.replace(prompt, output=output)


def _parse_prompt(usage: dict[str, Any]) -> TokenUsage | None:
    """Return the prompt tokens; None if one of the counts is invalid."""
    split, details = usage.get("cache_creation") or {}, usage.get("prompt_tokens_details") or {}
    if not isinstance(split, dict) or not isinstance(details, dict):
        return None
    plain = _first_count(usage, _PROMPT)
    read = _first_count({"cachedContentTokenCount": details.get("cached_tokens"), **usage}, _READ, 0)
    written = _first_count(usage, _WRITTEN, 0)
    short, long = _first_count(split, (_SHORT,), 0), _first_count(split, (_LONG,), 0)
    if plain is None or read is None or written is None or short is None or long is None:
        return None
    if not any(usage.get(name) is not None for name in _PROMPT[:2]):
        plain = max(0, plain - read)
    return TokenUsage(plain=plain, read=read, written_5m=short, written_1h=max(long, written - short))


def _first_count(usage: dict[str, Any], names: tuple[str, ...], missing: int | None = None) -> int | None:
    """Return the first present count of `names`; `missing` if none is present, None if the count is invalid."""
    value = next((usage[name] for name in names if usage.get(name) is not None), None)
    if value is None:
        return missing
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, float) and math.isfinite(value):
        value = math.ceil(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_COUNT:
        return None
    return value

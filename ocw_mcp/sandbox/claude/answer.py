"""What a character says, and the message that the API makes of it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ocw_mcp.sandbox.claude.cache import CHARS_A_TOKEN, CacheUsage, tokens
from ocw_mcp.sandbox.claude.request import signature


class Say(msgspec.Struct, frozen=True):
    """A text."""

    text: str


class Call(msgspec.Struct, frozen=True):
    """A call of a tool."""

    name: str
    input: dict[str, Any]


class ModelAnswer(msgspec.Struct, frozen=True):
    """One turn of a character."""

    parts: tuple[Say | Call, ...] = ()
    thought: str = "What was shown is what there is to go by."
    """Shown by models that think."""
    takes_ms: int = 0
    refuses: bool = False
    wire: dict[str, Any] = {}
    """What a gateway puts in place of the API's own fields of the message; with an `error` it is the whole body."""


def message(
    answer: ModelAnswer, name: str, model: str, usage: CacheUsage, max_tokens: int, *, thinks: bool
) -> dict[str, Any]:
    """The answer as the API sends it; `name` makes its ids. It is cut off where `max_tokens` are used up."""
    made = [_thinking(answer.thought)] if thinks and not answer.refuses else []
    made += [_block(part, f"toolu_{name}{index:02d}") for index, part in enumerate(answer.parts)]
    whole, content, left = sum(map(_size, made)), [], max_tokens
    for block in made:
        if left > 0:
            content.append(_cut_to(block, left))
        left -= _size(block)
    if answer.refuses:
        reason = "refusal"
    elif whole > max_tokens:
        reason = "max_tokens"
    else:
        reason = "tool_use" if any(isinstance(part, Call) for part in answer.parts) else "end_turn"
    details = {"type": "refusal", "category": None, "explanation": None} if answer.refuses else None
    return {
        "id": f"msg_{name}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "stop_details": details,
        "usage": _told(usage, max(1, min(whole, max_tokens))),
    }


def _thinking(thought: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": thought, "signature": signature(thought)}


def _block(part: Say | Call, id_: str) -> dict[str, Any]:
    if isinstance(part, Say):
        return {"type": "text", "text": part.text}
    return {"type": "tool_use", "id": id_, "name": part.name, "input": part.input}


def _size(block: dict[str, Any]) -> int:
    """Its tokens."""
    match block["type"]:
        case "tool_use":
            return tokens(block["name"] + msgspec.json.encode(block["input"]).decode())
        case kind:
            return tokens(block[kind])


def _cut_to(block: dict[str, Any], left: int) -> dict[str, Any]:
    """A block as far as it goes: a call that does not fit comes without its arguments."""
    if _size(block) <= left:
        return block
    match block["type"]:
        case "tool_use":
            return block | {"input": {}}
        case "thinking":
            return _thinking(block["thinking"][: left * CHARS_A_TOKEN])
        case kind:
            return block | {kind: block[kind][: left * CHARS_A_TOKEN]}


def _told(usage: CacheUsage, output: int) -> dict[str, Any]:
    return {
        "input_tokens": usage.plain,
        "cache_creation_input_tokens": usage.written_5m + usage.written_1h,
        "cache_read_input_tokens": usage.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.written_5m,
            "ephemeral_1h_input_tokens": usage.written_1h,
        },
        "output_tokens": output,
        "service_tier": "standard",
    }


def streamed(made: dict[str, Any]) -> list[bytes]:
    """The same message as server-sent events."""
    begun = made | {"content": [], "stop_reason": None, "stop_details": None}
    begun["usage"] = made["usage"] | {"output_tokens": 1}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(made["content"]):
        empty, deltas = _pieces(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    ended = {name: made[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    counted = {name: made["usage"][name] for name in ("output_tokens",)}
    events += [{"type": "message_delta", "delta": ended, "usage": counted}, {"type": "message_stop"}]
    return [
        b"event: " + event["type"].encode() + b"\ndata: " + msgspec.json.encode(event) + b"\n\n" for event in events
    ]


def _pieces(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it begins, and what is added to it."""
    match block["type"]:
        case "text":
            return block | {"text": ""}, [{"type": "text_delta", "text": piece} for piece in _cut(block["text"])]
        case "thinking":
            thought = [{"type": "thinking_delta", "thinking": piece} for piece in _cut(block["thinking"])]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return block | {"thinking": "", "signature": ""}, [*thought, signed]
        case _:
            pieces = _cut(msgspec.json.encode(block["input"]).decode())
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


def _cut(text: str, length: int = 40) -> Sequence[str]:
    return [text[begin : begin + length] for begin in range(0, len(text), length)]

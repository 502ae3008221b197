"""Builds the message that the API sends from the answer of a character, as JSON or as server-sent events."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ocw_mcp.sandbox.claude.cache import CHARS_A_TOKEN, CacheUsage, tokens
from ocw_mcp.sandbox.claude.characters import Call, ModelAnswer, Say
from ocw_mcp.sandbox.claude.request import signature


def message(
    answer: ModelAnswer, name: str, model: str, usage: CacheUsage, max_tokens: int, *, thinks: bool
) -> dict[str, Any]:
    """Return the answer as the API sends it, cut off after `max_tokens`; `name` is the base of its ids."""
    blocks = [_thinking(answer.thought)] if thinks and not answer.refuses else []
    blocks += [_block(part, f"toolu_{name}{index:02d}") for index, part in enumerate(answer.parts)]
    whole, content, left = sum(map(_size, blocks)), [], max_tokens
    for block in blocks:
        if left > 0:
            content.append(_cut_off(block, left))
        left -= _size(block)
    if answer.refuses:
        reason = "refusal"
    elif whole > max_tokens:
        reason = "max_tokens"
    else:
        reason = "tool_use" if any(isinstance(part, Call) for part in answer.parts) else "end_turn"
    return {
        "id": f"msg_{name}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "stop_details": {"type": "refusal", "category": None, "explanation": None} if answer.refuses else None,
        "usage": {
            "input_tokens": usage.plain,
            "cache_creation_input_tokens": usage.written_5m + usage.written_1h,
            "cache_read_input_tokens": usage.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": usage.written_5m,
                "ephemeral_1h_input_tokens": usage.written_1h,
            },
            "output_tokens": max(1, min(whole, max_tokens)),
            "service_tier": "standard",
        },
    }


def _thinking(thought: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": thought, "signature": signature(thought)}


def _block(part: Say | Call, id_: str) -> dict[str, Any]:
    if isinstance(part, Say):
        return {"type": "text", "text": part.text}
    return {"type": "tool_use", "id": id_, "name": part.name, "input": part.input}


def _size(block: dict[str, Any]) -> int:
    """Return the tokens of a block."""
    if block["type"] == "tool_use":
        return tokens(block["name"] + msgspec.json.encode(block["input"]).decode())
    return tokens(block[block["type"]])


def _cut_off(block: dict[str, Any], left: int) -> dict[str, Any]:
    """Return as much of a block as fits into the tokens that are left; a call that does not fit has no arguments."""
    kind = block["type"]
    if _size(block) <= left:
        return block
    if kind == "tool_use":
        return block | {"input": {}}
    text = block[kind][: left * CHARS_A_TOKEN]
    return _thinking(text) if kind == "thinking" else block | {kind: text}


def streamed(whole: dict[str, Any]) -> bytes:
    """Return a message as server-sent events."""
    start = whole | {"content": [], "stop_reason": None, "stop_details": None}
    start["usage"] = whole["usage"] | {"output_tokens": 1}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(whole["content"]):
        empty, deltas = _deltas(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    end = {name: whole[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    usage = {"output_tokens": whole["usage"]["output_tokens"]}
    events += [{"type": "message_delta", "delta": end, "usage": usage}, {"type": "message_stop"}]
    return b"".join(b"event: %b\ndata: %b\n\n" % (each["type"].encode(), msgspec.json.encode(each)) for each in events)


def _deltas(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return an empty block, and the deltas that fill it."""
    match block["type"]:
        case "text":
            return block | {"text": ""}, [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
        case "thinking":
            thought = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return block | {"thinking": "", "signature": ""}, [*thought, signed]
        case _:
            pieces = _pieces(msgspec.json.encode(block["input"]).decode())
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


def _pieces(text: str, length: int = 40) -> Sequence[str]:
    return [text[begin : begin + length] for begin in range(0, len(text), length)]

"""The ASGI application of the Messages API: checks the key and the request, and sends the character's answer.

The answer is a message as JSON, or as server-sent events if the request asks for a stream.
"""

import asyncio
import hashlib
import hmac
from typing import Any, Final

import msgspec
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ocw_mcp.agent.pricing import TokenUsage
from ocw_mcp.domain.protocols import Clock
from ocw_mcp.sandbox.claude.cache import CHARS_A_TOKEN, PrefixCache, tokens
from ocw_mcp.sandbox.claude.characters import Call, Character, ModelAnswer, Say, SeededRandom
from ocw_mcp.sandbox.claude.request import (
    ERROR_TYPES,
    MODELS,
    ApiFault,
    ConnectionDropped,
    MessagesRequest,
    check,
    find_model,
    signature,
)

LONGEST_BODY = 32_000_000
PIECE: Final = 40
"""Characters of one delta of a stream."""
_STREAMED: Final = {
    "text": ("text", "text_delta", "text"),
    "thinking": ("thinking", "thinking_delta", "thinking"),
    "tool_use": ("input", "input_json_delta", "partial_json"),
}
"""By the type of a block: the block's streamed field, the type of its deltas, and the field of a delta."""


class MessagesApi:
    """A Messages API that a character answers. Its answers depend on the seed and the request only."""

    def __init__(self, character: Character, clock: Clock, seed: int = 0, key: str | None = None) -> None:
        """`key` is the only accepted API key; None accepts any."""
        self._character = character
        self._clock = clock
        self._seed = seed
        self._key = key
        self._cache = PrefixCache()
        self._requests = 0

    def application(self) -> Starlette:
        """Return the application, for a server."""
        routes = [
            Route("/v1/messages", self._messages, methods=["POST"]),
            Route("/v1/models", self._models, methods=["GET"]),
            Route("/v1/models/{name}", self._models, methods=["GET"]),
        ]
        return Starlette(routes=routes, exception_handlers={ApiFault: self._fault})

    async def _messages(self, http: Request) -> Response:
        self._check_headers(http)
        request, body = await _read(http)
        model = find_model(request.model, serving=True)
        betas = [each.strip() for each in http.headers.get("anthropic-beta", "").split(",")]
        check(request, model, betas)
        try:
            rng = SeededRandom(self._seed, request.model_dump_json(exclude={"stream"}).encode())
            answer = self._character(request, rng)
        except ConnectionDropped:
            return _IncompleteResponse(headers={"content-length": "1000"}, media_type="application/json")
        if answer.takes_ms:
            await self._think(http, answer.takes_ms)
        usage = self._cache.use(request, model.cached_from, self._clock.now())
        if usage.prompt > model.max_input:
            raise ApiFault(400, f"prompt is too long: {usage.prompt} tokens > {model.max_input} maximum")
        # The count makes the ids of repeated requests different.
        self._requests += 1
        name = hashlib.sha256(b"%d %d " % (self._seed, self._requests) + body).hexdigest()[:20]
        headers = {"request-id": f"req_{name}"}
        if "error" in answer.wire:
            return JSONResponse(answer.wire, headers=headers)
        if request.thinking is not None and request.thinking.display == "omitted":
            answer = msgspec.structs.replace(answer, thought="")
        whole = message(answer, name, request.model, usage, request.max_tokens, thinks=model.always_thinks)
        if request.context_management is not None:
            whole["context_management"] = {"applied_edits": []}
        whole |= answer.wire
        if request.stream:
            return Response(streamed(whole), media_type="text/event-stream", headers=headers)
        return JSONResponse(whole, headers=headers)

    async def _think(self, http: Request, ms: int) -> None:
        """Wait `ms` of engine time, or until the client disconnects: the only message that can follow the request."""
        thought = asyncio.ensure_future(self._clock.wait_until(self._clock.now() + ms))
        gone = asyncio.ensure_future(http.receive())
        try:
            await asyncio.wait({thought, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            thought.cancel()
            gone.cancel()

    async def _models(self, http: Request) -> Response:
        self._check_headers(http)
        if name := http.path_params.get("name"):
            return JSONResponse(find_model(name).info())
        data = [model.info() for model in MODELS.values()]
        listed = {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}
        return JSONResponse(listed)

    def _check_headers(self, http: Request) -> None:
        shown = http.headers.get("x-api-key") or http.headers.get("authorization", "").removeprefix("Bearer ")
        if not shown:
            raise ApiFault(401, "x-api-key header is required")
        if self._key is not None and not hmac.compare_digest(shown.encode(), self._key.encode()):
            raise ApiFault(401, "invalid x-api-key")
        if "anthropic-version" not in http.headers:
            raise ApiFault(400, "anthropic-version: header is required")

    async def _fault(self, http: Request, fault: Exception) -> Response:
        assert isinstance(fault, ApiFault)
        self._requests += 1
        headers = {"request-id": f"req_{self._requests:020d}"}
        if fault.retry_after_s is not None:
            headers["retry-after"] = str(fault.retry_after_s)
        error = {"type": ERROR_TYPES[fault.status], "message": str(fault)}
        body = {"type": "error", "error": error, "request_id": headers["request-id"]}
        return JSONResponse(body, fault.status, headers)


class _IncompleteResponse(Response):
    """A response that begins and never ends."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the beginning; the server then closes the connection."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})


async def _read(http: Request) -> tuple[MessagesRequest, bytes]:
    """Return a request and its body. Raises ApiFault."""
    body = b""
    async for chunk in http.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise ApiFault(413, "Request exceeds the maximum size")
    try:
        return MessagesRequest.model_validate_json(body), body
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ApiFault(400, f"{where}: {first['msg']}" if where else first["msg"]) from None


def message(
    answer: ModelAnswer, name: str, model: str, usage: TokenUsage, max_tokens: int, *, thinks: bool
) -> dict[str, Any]:
    """Return the answer as the API sends it, cut off after `max_tokens`; `name` is the base of its ids."""
    blocks = [_thinking(answer.thought)] if thinks and not answer.refuses else []
    for index, part in enumerate(answer.parts):
        if isinstance(part, Say):
            blocks.append({"type": "text", "text": part.text})
        else:
            blocks.append({"type": "tool_use", "id": f"toolu_{name}{index:02d}", **msgspec.structs.asdict(part)})
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
    field, delta, part = _STREAMED[block["type"]]
    text = msgspec.json.encode(block[field]).decode() if field == "input" else block[field]
    pieces = (text[begin : begin + PIECE] for begin in range(0, len(text), PIECE))
    empty, deltas = block | {field: type(block[field])()}, [{"type": delta, part: piece} for piece in pieces]
    if "signature" in block:
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
        empty["signature"] = ""
    return empty, deltas

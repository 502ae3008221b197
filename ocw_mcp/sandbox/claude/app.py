"""The ASGI application of the Messages API: checks the key and the request, and sends the character's answer."""

import asyncio
import hashlib
import hmac

import msgspec
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ocw_mcp.domain.protocols import Clock
from ocw_mcp.sandbox.claude.cache import PrefixCache
from ocw_mcp.sandbox.claude.characters import Character, SeededRandom
from ocw_mcp.sandbox.claude.message import message, streamed
from ocw_mcp.sandbox.claude.request import (
    ERROR_TYPES,
    MODELS,
    ApiFault,
    ConnectionDropped,
    MessagesRequest,
    check,
    find_model,
)

LONGEST_BODY = 32_000_000


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
            Route("/v1/models/{name}", self._one_model, methods=["GET"]),
        ]
        return Starlette(routes=routes, exception_handlers={ApiFault: self._fault})

    async def _messages(self, http: Request) -> Response:
        self._check_headers(http)
        body = await _read_body(http)
        request = _parse(body)
        model = find_model(request.model, serving=True)
        check(request, model)
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
            return Response(msgspec.json.encode(answer.wire), media_type="application/json", headers=headers)
        whole = message(answer, name, request.model, usage, request.max_tokens, thinks=model.always_thinks)
        whole |= answer.wire
        if request.stream:
            return Response(streamed(whole), media_type="text/event-stream", headers=headers)
        return Response(msgspec.json.encode(whole), media_type="application/json", headers=headers)

    async def _think(self, http: Request, ms: int) -> None:
        """Wait so long, or until the client disconnects: its request was read, so the next message is the end."""
        thought = asyncio.ensure_future(self._clock.wait_until(self._clock.now() + ms))
        gone = asyncio.ensure_future(http.receive())
        try:
            await asyncio.wait({thought, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            thought.cancel()
            gone.cancel()

    async def _models(self, http: Request) -> Response:
        self._check_headers(http)
        data = [model.info() for model in MODELS.values()]
        listed = {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}
        return Response(msgspec.json.encode(listed), media_type="application/json")

    async def _one_model(self, http: Request) -> Response:
        self._check_headers(http)
        info = find_model(http.path_params["name"]).info()
        return Response(msgspec.json.encode(info), media_type="application/json")

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
        return Response(msgspec.json.encode(body), fault.status, headers, "application/json")


class _IncompleteResponse(Response):
    """A response that begins and never ends."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the beginning; the server then closes the connection."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})


async def _read_body(http: Request) -> bytes:
    body = b""
    async for chunk in http.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise ApiFault(413, "Request exceeds the maximum size")
    return body


def _parse(body: bytes) -> MessagesRequest:
    try:
        return MessagesRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ApiFault(400, f"{where}: {first['msg']}" if where else first["msg"]) from None

"""The application: who may ask, what is asked, who answers."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator

import msgspec
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ocw_mcp.domain.protocols import Clock
from ocw_mcp.sandbox.claude import catalogue
from ocw_mcp.sandbox.claude.answer import message, streamed
from ocw_mcp.sandbox.claude.cache import PrefixCache
from ocw_mcp.sandbox.claude.characters import Character
from ocw_mcp.sandbox.claude.dice import SeededRandom
from ocw_mcp.sandbox.claude.faults import TYPES, ApiFault, HungUp
from ocw_mcp.sandbox.claude.request import MessagesRequest, check

LONGEST_BODY = 32_000_000


class MessagesApi:
    """A character behind the Messages API. What it answers follows from its seed and from the request alone."""

    def __init__(self, character: Character, clock: Clock, seed: int = 0, key: str | None = None) -> None:
        """`key` is the only one that is let in; None takes any."""
        self._character = character
        self._clock = clock
        self._seed = seed
        self._key = key
        self._cache = PrefixCache()
        self._asked = 0

    def application(self) -> Starlette:
        """It, to be served."""
        routes = [
            Route("/v1/messages", self._messages, methods=["POST"]),
            Route("/v1/models", self._models, methods=["GET"]),
            Route("/v1/models/{name}", self._one_model, methods=["GET"]),
        ]
        return Starlette(routes=routes, exception_handlers={ApiFault: self._fault})

    async def _messages(self, http: Request) -> Response:
        self._let_in(http)
        body = await _body(http)
        request = _parsed(body)
        model = catalogue.serving(request.model)
        check(request, model)
        try:
            answer = self._character(
                request, SeededRandom(self._seed, request.model_dump_json(exclude={"stream"}).encode())
            )
        except HungUp:
            return _BrokenOff(headers={"content-length": "1000"}, media_type="application/json")
        if answer.takes_ms:
            await self._think(http, answer.takes_ms)
        usage = self._cache.use(request, model.cached_from, self._clock.now())
        if usage.prompt > model.max_input:
            raise ApiFault(400, f"prompt is too long: {usage.prompt} tokens > {model.max_input} maximum")
        # The same request may come twice, and no id does.
        self._asked += 1
        name = hashlib.sha256(b"%d %d " % (self._seed, self._asked) + body).hexdigest()[:20]
        if "error" in answer.wire:
            return Response(msgspec.json.encode(answer.wire), media_type="application/json", headers=_named(name))
        made = message(answer, name, request.model, usage, request.max_tokens, thinks=model.always_thinks)
        made |= answer.wire
        if request.stream:
            return StreamingResponse(_each(streamed(made)), media_type="text/event-stream", headers=_named(name))
        return Response(msgspec.json.encode(made), media_type="application/json", headers=_named(name))

    async def _think(self, http: Request, ms: int) -> None:
        """Take that long, or as long as somebody waits for it: all of the request was read, so more is its end."""
        thought = asyncio.ensure_future(self._clock.wait_until(self._clock.now() + ms))
        gone = asyncio.ensure_future(http.receive())
        try:
            await asyncio.wait({thought, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            thought.cancel()
            gone.cancel()

    async def _models(self, http: Request) -> Response:
        self._let_in(http)
        data = [model.info() for model in catalogue.MODELS.values()]
        listed = {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}
        return Response(msgspec.json.encode(listed), media_type="application/json")

    async def _one_model(self, http: Request) -> Response:
        self._let_in(http)
        info = catalogue.known(http.path_params["name"]).info()
        return Response(msgspec.json.encode(info), media_type="application/json")

    def _let_in(self, http: Request) -> None:
        shown = http.headers.get("x-api-key") or http.headers.get("authorization", "").removeprefix("Bearer ")
        if not shown:
            raise ApiFault(401, "x-api-key header is required")
        if self._key is not None and not hmac.compare_digest(shown.encode(), self._key.encode()):
            raise ApiFault(401, "invalid x-api-key")
        if "anthropic-version" not in http.headers:
            raise ApiFault(400, "anthropic-version: header is required")

    async def _fault(self, http: Request, fault: Exception) -> Response:
        assert isinstance(fault, ApiFault)
        self._asked += 1
        name = f"{self._asked:020d}"
        error = {"type": TYPES[fault.status], "message": str(fault)}
        headers = _named(name)
        if fault.retry_after_s is not None:
            headers["retry-after"] = str(fault.retry_after_s)
        told = {"type": "error", "error": error, "request_id": headers["request-id"]}
        return Response(msgspec.json.encode(told), fault.status, headers, "application/json")


class _BrokenOff(Response):
    """An answer that begins and never ends."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the beginning; the server closes what is left unfinished."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})


async def _body(http: Request) -> bytes:
    body = b""
    async for chunk in http.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise ApiFault(413, "Request exceeds the maximum size")
    return body


def _parsed(body: bytes) -> MessagesRequest:
    try:
        return MessagesRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ApiFault(400, f"{where}: {first['msg']}" if where else first["msg"]) from None


async def _each(events: list[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event


def _named(name: str) -> dict[str, str]:
    return {"request-id": f"req_{name}"}

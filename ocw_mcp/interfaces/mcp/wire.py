"""Strict JSON at the door: what a line or a body says is taken as it is, or refused with -32700, and never changed.

The parsers of the SDK read `1e999`, `NaN` and lone surrogates, and write `null` for them later: a limit price would be
lost on the way. Both transports therefore check a text here first.
"""

import json
import math
import re
from collections.abc import Awaitable, Callable
from typing import Any, BinaryIO, Final

import anyio.to_thread
import msgspec
from mcp.types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCNotification,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_LINE: Final = 1 << 23
"""Bytes of one message over standard input; what is longer is passed over, and refused."""

_BOM: Final = b"\xef\xbb\xbf"
_LONG_INTEGER: Final = re.compile(rb"[0-9]{309}")
_decode: Final = msgspec.json.Decoder().decode

Refuse = Callable[[JSONRPCError], Awaitable[None]]


class WireError(ValueError):
    """A text is no JSON that can be carried on unchanged; the message says which part of it."""

    def __init__(self, what: str, *, by_name: bool = False) -> None:
        self.by_name = by_name
        """Whether the only fault is a number that no double holds: a tool refuses its argument by name."""
        super().__init__(what)


def strict(text: bytes) -> Any:
    """Return what a JSON text says. Raises WireError for NaN, numbers beyond a double, lone surrogates, a BOM."""
    try:
        said = _decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        where = "" if text.startswith(_BOM) else _not_finite(_lenient(text))
        if where:
            raise WireError(_out_of_range(where), by_name=True) from None
        what = "begins with a byte order mark" if text.startswith(_BOM) else f"is no JSON ({error})"
        raise WireError(f"the message {what}") from None
    if _LONG_INTEGER.search(text) and (where := _not_finite(said)):
        raise WireError(_out_of_range(where))
    return said


def parse_error(text: bytes, error: WireError) -> JSONRPCError:
    """Return the answer to such a text, with the request's id where that can be read: its sender need not wait."""
    message = _lenient(text)
    asked = message.get("id") if isinstance(message, dict) and "method" in message else None
    told = f"Parse error: {error}; write numbers as finite decimals and text as UTF-8"
    return _error(asked, PARSE_ERROR, told)


class Lines:
    """The messages on standard input, for the SDK's `stdio_server`. What is no message is answered here."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._refuse: Refuse | None = None
        self._ready = anyio.Event()

    def answer_with(self, refuse: Refuse) -> None:
        """Send errors through `refuse` from now on; until then reading waits for it."""
        self._refuse = refuse
        self._ready.set()

    def __aiter__(self) -> "Lines":
        """Iterate over the lines."""
        return self

    async def __anext__(self) -> str:
        """Return the next message."""
        await self._ready.wait()
        assert self._refuse is not None, "set with the event"
        while line := await anyio.to_thread.run_sync(self._source.readline, LONGEST_LINE):
            if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                await self._pass_over()
                told = f"TOO_LARGE: a message is longer than {LONGEST_LINE} bytes; send less at a time"
                await self._refuse(_error(None, INVALID_REQUEST, told))
            elif line.strip() and (wrong := _objection(line)) is None:
                return line.decode()
            elif line.strip() and wrong is not None:
                await self._refuse(wrong)
        raise StopAsyncIteration

    async def _pass_over(self) -> None:
        while (rest := await anyio.to_thread.run_sync(self._source.readline, LONGEST_LINE)) and not rest.endswith(
            b"\n"
        ):
            pass


class StrictBodies:
    """ASGI middleware before `/mcp`: a body that is no strict JSON, or no message, is answered, and goes no further.

    Numbers that no double holds reach the tools here, as infinity and NaN, and are refused by the argument's name.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, with its body as it came, or answer it."""
        if scope["type"] != "http" or scope["path"] != self._path or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        parts: list[bytes] = []
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = b"".join(parts)
        if (wrong := _objection(body, to_tools=True)) is not None:
            await _answer(send, wrong)
            return
        await self._app(scope, _again(body, receive), send)


def _again(body: bytes, receive: Receive) -> Receive:
    """Receive a body that was read already, then whatever comes after it."""
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return whole.pop() if whole else await receive()

    return received


async def _answer(send: Send, error: JSONRPCError) -> None:
    body = json.dumps(error.model_dump(mode="json", by_alias=True, exclude_none=True) | {"id": error.id}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _objection(text: bytes, *, to_tools: bool = False) -> JSONRPCError | None:
    """What a text is answered that is no message; None for one that is.

    With `to_tools` a number that no double holds is left to them.
    """
    try:
        said = strict(text)
    except WireError as error:
        if not (to_tools and error.by_name):
            return parse_error(text, error)
        said = _lenient(text)
    try:
        # As the SDK reads it, which drops a text that is nested too deep for it without a word.
        message = jsonrpc_message_adapter.validate_json(text, by_name=False)
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
            return parse_error(text, WireError("the message is nested too deep"))
        asked = said.get("id") if isinstance(said, dict) and "method" in said else None
        return _error(asked, INVALID_REQUEST, "Invalid Request: expected one JSON-RPC 2.0 request or notification")
    if isinstance(message, JSONRPCNotification) and "id" in said:
        # It waits for an answer, and would be taken for a notification.
        return _error(None, INVALID_REQUEST, "Invalid Request: id is neither a text nor a whole number; send one")
    return None


def _error(asked: Any, code: int, message: str) -> JSONRPCError:
    whole = isinstance(asked, int) and not isinstance(asked, bool) and abs(asked) < 1 << 63
    text = isinstance(asked, str) and not re.search("[\ud800-\udfff]", asked)
    known = asked if whole or text else None
    return JSONRPCError(jsonrpc="2.0", id=known, error=ErrorData(code=code, message=message))


def _out_of_range(where: str) -> str:
    return f"{where} is not a finite number that can be carried"


def _lenient(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def _not_finite(part: Any, where: str = "") -> str:
    """The path of the first number that no double holds; empty where there is none."""
    match part:
        case dict():
            found = (_not_finite(each, f"{where}.{name}" if where else str(name)[:40]) for name, each in part.items())
        case list():
            found = (_not_finite(each, f"{where}[{index}]") for index, each in enumerate(part))
        case float():
            return "" if math.isfinite(part) else where
        case int():
            return "" if abs(part) < 1 << 1_023 else where
        case _:
            return ""
    return next((each for each in found if each), "")

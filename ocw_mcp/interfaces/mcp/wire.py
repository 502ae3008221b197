"""Strict JSON for incoming messages: a text is accepted unchanged or refused with the JSON-RPC code -32700.

The parsers of the SDK accept `1e999`, `NaN` and lone surrogates, and later write `null` for them: a limit price would
be lost. Both transports therefore check every message here first.
"""

import json
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, BinaryIO, Final

import anyio.to_thread
import msgspec
from mcp import types
from pydantic import ValidationError
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_LINE: Final = 1 << 23
"""Bytes of one message over standard input; a longer one is skipped and refused."""

HTTP_CODES: Final = {
    401: "UNAUTHORIZED",
    403: "WRONG_ORIGIN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "SLOW_BODY",
    413: "TOO_LARGE",
    421: "WRONG_HOST",
    500: "INTERNAL",
    503: "BUSY",
}
"""The code with which the text of an HTTP error begins, by status."""

_BOM: Final = b"\xef\xbb\xbf"
_LONG_INTEGER: Final = re.compile(rb"[0-9]{309}")
_decode: Final = msgspec.json.Decoder().decode

Refuse = Callable[[types.JSONRPCError], Awaitable[None]]


class WireError(ValueError):
    """A text is not JSON that can be forwarded unchanged; the message names the wrong part."""


class OutOfRangeError(WireError):
    """The only fault of a text is a number beyond a double, which a tool refuses by the argument's name."""


def strict(text: bytes) -> Any:
    """Return the value of a JSON text. Raises WireError for NaN, numbers beyond a double, lone surrogates, a BOM."""
    try:
        value = _decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        if text.startswith(_BOM):
            raise WireError("the message begins with a byte order mark") from None
        if where := _not_finite(_read_leniently(text)):
            raise OutOfRangeError(f"{where} is not a finite number in the range of a double") from None
        raise WireError(f"the message is not JSON ({error})") from None
    if _LONG_INTEGER.search(text) and (where := _not_finite(value)):
        raise WireError(f"{where} is not a finite number in the range of a double")
    return value


class MessageLines:
    """The messages on standard input, for the SDK's `stdio_server`. A malformed line is answered with an error."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._refuse: Refuse | None = None
        self._ready = anyio.Event()

    def answer_with(self, refuse: Refuse) -> None:
        """Send errors through `refuse` from now on. Reading starts only after this call."""
        self._refuse = refuse
        self._ready.set()

    async def __aiter__(self) -> AsyncIterator[str]:
        await self._ready.wait()
        assert self._refuse is not None, "set with the event"
        while line := await self._read():
            if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                while (rest := await self._read()) and not rest.endswith(b"\n"):
                    continue
                text_of_error = f"TOO_LARGE: a message is longer than {LONGEST_LINE} bytes; send less"
                await self._refuse(_error(None, types.INVALID_REQUEST, text_of_error))
            elif line.strip() and (wrong := _error_for(line)) is not None:
                await self._refuse(wrong)
            elif line.strip():
                yield line.decode()

    async def _read(self) -> bytes:
        return await anyio.to_thread.run_sync(self._source.readline, LONGEST_LINE)


class StrictBodies:
    """ASGI middleware before `/mcp`: a body that is not strict JSON, or not a message, is answered with an error.

    `receive` gives the whole body in one message. Numbers beyond a double are passed on as infinity and NaN, and a tool
    refuses them by the argument's name.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/mcp" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        unread = [await receive()]
        if (wrong := _error_for(unread[0]["body"], to_tools=True)) is not None:
            answer = wrong.model_dump(mode="json", by_alias=True, exclude_none=True) | {"id": wrong.id}
            await JSONResponse(answer, 400)(scope, receive, send)
            return

        async def received() -> Message:
            return unread.pop() if unread else await receive()

        await self._app(scope, received, send)


def _error_for(text: bytes, *, to_tools: bool = False) -> types.JSONRPCError | None:
    """Return the error for a text that is not a message, or None for a message.

    The error has the request's id if that can be read, so that the sender does not wait. With `to_tools`, numbers
    beyond a double are left for the tools to refuse.
    """
    wrong: WireError | None = None
    try:
        value = strict(text)
    except WireError as error:
        value = _read_leniently(text)
        wrong = None if to_tools and isinstance(error, OutOfRangeError) else error
    request_id = value.get("id") if isinstance(value, dict) and "method" in value else None
    if wrong is None:
        try:
            # Validate as the SDK does: it silently drops a text that is nested too deep.
            message = types.jsonrpc_message_adapter.validate_json(text, by_name=False)
        except ValidationError as error:
            if error.errors(include_url=False, include_input=False)[0]["type"] != "json_invalid":
                expected = "Invalid Request: expected one JSON-RPC 2.0 request or notification"
                return _error(request_id, types.INVALID_REQUEST, expected)
            wrong = WireError("the message is nested too deeply")
    if wrong is not None:
        how = "write numbers as finite decimals and text as UTF-8"
        return _error(request_id, types.PARSE_ERROR, f"Parse error: {wrong}; {how}")
    if isinstance(message, types.JSONRPCNotification) and "id" in value:
        # Its sender waits for an answer, but the SDK would take it for a notification.
        return _error(None, types.INVALID_REQUEST, "Invalid Request: id is neither a text nor a whole number; send one")
    return None


def _error(request_id: Any, code: int, message: str) -> types.JSONRPCError:
    whole = isinstance(request_id, int) and not isinstance(request_id, bool) and abs(request_id) < 1 << 63
    text = isinstance(request_id, str) and not re.search("[\ud800-\udfff]", request_id)
    known = request_id if whole or text else None
    return types.JSONRPCError(jsonrpc="2.0", id=known, error=types.ErrorData(code=code, message=message))


def _read_leniently(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def _not_finite(part: Any, where: str = "") -> str:
    """Return the path of the first number beyond a double; empty without one."""
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

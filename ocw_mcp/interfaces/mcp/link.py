"""The connection from `ocw mcp` to the engine: one HTTP connection that stays open, with one MCP request per call.

Each request of the protocol version without sessions is complete, so a restart of the engine between two calls does not
matter, and plain JSON over HTTP suffices.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from mcp import types
from mcp.shared import inbound
from mcp.shared.exceptions import MCPError

from ocw_mcp.adapters.control.address import Address
from ocw_mcp.domain.errors import AttachError
from ocw_mcp.interfaces.mcp.callers import ERA
from ocw_mcp.interfaces.mcp.wire import HTTP_CODES

if TYPE_CHECKING:
    import httpx2

ANSWER_S: Final = 60.0
"""Seconds without a byte after which a call fails; during a long call the engine sends one every 15 s."""
CONNECT_S: Final = 5.0
LARGEST_CALL: Final = 1 << 20
"""Bytes of one request that the engine accepts."""
IDLE_S: Final = 20.0
"""Idle seconds after which a connection is not reused; the engine closes it after 30 s."""

_NOTHING_LISTENS: Final = "nothing listens at the address of the engine"

Progress = Callable[[Mapping[str, Any]], Awaitable[None]]


class EngineError(AttachError):
    """The engine did not answer with a result. The text begins with the code and ends with the next step."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(f"{code}: {what}", code)


class NoAnswerError(AttachError):
    """Nothing listens at the address, so the call was not made."""


class EngineStoppedError(EngineError):
    """The engine stopped between the call and its answer: the call may have taken effect."""

    def __init__(self) -> None:
        super().__init__(
            "ENGINE_STOPPED",
            "the engine stopped before its answer; the call may have taken effect. limit=a running engine "
            "actual=stopped next: call again with the same key, which does nothing twice",
        )


class EngineLink:
    """A connection to the engine, kept open between calls and replaced if the address changes."""

    def __init__(self) -> None:
        self._http: httpx2.AsyncClient | None = None
        self._to: Address | None = None

    async def ask(
        self,
        address: Address,
        method: str,
        params: Mapping[str, Any],
        info: types.Implementation | None = None,
        capabilities: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Return the result of one request. Raises NoAnswerError, EngineError, and MCPError for a protocol error."""
        import httpx2

        named = info or types.Implementation(name="ocw mcp", version="1")
        meta = dict(params.get("_meta") or {}) | {
            types.PROTOCOL_VERSION_META_KEY: ERA,
            types.CLIENT_INFO_META_KEY: named.model_dump(by_alias=True, mode="json", exclude_none=True),
            types.CLIENT_CAPABILITIES_META_KEY: dict(capabilities or {}),
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": dict(params) | {"_meta": meta}}
        headers = {inbound.MCP_PROTOCOL_VERSION_HEADER: ERA, inbound.MCP_METHOD_HEADER: method}
        if (key := inbound.NAME_BEARING_METHODS.get(method)) is not None:
            headers[inbound.MCP_NAME_HEADER] = inbound.encode_header_value(str(params[key]))
        content = json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
        if len(content) > LARGEST_CALL:
            raise _too_large(str(len(content)))
        http = await self._connection(address)
        try:
            async with http.stream("POST", "/mcp", content=content, headers=headers) as response:
                return await _answer(response, progress)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise NoAnswerError(_NOTHING_LISTENS) from None
        except httpx2.ReadTimeout:
            raise EngineError(
                "NO_ANSWER",
                f"the engine has not answered in time; the call may have taken effect. limit={ANSWER_S:g}s "
                "actual=more next: call again with the same key",
            ) from None
        except httpx2.HTTPError:
            raise EngineStoppedError from None

    async def read(self, address: Address, route: str, parameters: Mapping[str, str | int | bool]) -> dict[str, Any]:
        """Return the answer of a route of the status API. Raises NoAnswerError and EngineError."""
        import httpx2

        http = await self._connection(address)
        try:
            response = await http.get(route, params=parameters, headers={"accept": "application/json"})
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise NoAnswerError(_NOTHING_LISTENS) from None
        except httpx2.HTTPError as error:
            what = f"the engine did not answer. limit=an answer within {ANSWER_S:g}s actual={type(error).__name__} "
            raise EngineError("NO_ANSWER", f"{what}next: read it again") from None
        answer = _object(response.content)
        if response.status_code == 200 and answer:
            return answer
        code, separator, what = str(answer.get("error")).partition(": ")
        if separator and response.status_code in (400, 404):
            raise EngineError(code, what)
        raise _http_error(response.status_code, str(answer.get("error")))

    async def aclose(self) -> None:
        """Close the connection."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def _connection(self, address: Address) -> "httpx2.AsyncClient":
        while self._http is not None and self._to != address:
            await self.aclose()
        if self._http is None:
            import ssl

            import httpx2

            # An engine on this machine is reached over plain HTTP and without proxies. An empty SSL context avoids
            # loading all certificates, which takes longer than fifty calls.
            plain = not address.url.startswith("https:")
            self._to = address
            self._http = httpx2.AsyncClient(
                base_url=address.url,
                headers={
                    "authorization": f"Bearer {address.token}",
                    "content-type": "application/json",
                    "accept": "application/json, text/event-stream",
                },
                timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S),
                limits=httpx2.Limits(max_connections=64, max_keepalive_connections=8, keepalive_expiry=IDLE_S),
                trust_env=False,
                verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else ssl.create_default_context(),
            )
        return self._http


async def _answer(response: "httpx2.Response", progress: Progress | None) -> dict[str, Any]:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code == 200 and kind == "text/event-stream":
        async for message in _events(response):
            if "method" not in message:
                return _result(message)
            if message["method"] == "notifications/progress" and progress is not None:
                await progress(message.get("params") or {})
        raise EngineStoppedError
    answer = _object(await response.aread())
    if "jsonrpc" in answer:
        return _result(answer)
    raise _http_error(response.status_code, str(answer.get("error")))


def _object(body: bytes) -> dict[str, Any]:
    """Return the object of a JSON text; empty for any other text."""
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


async def _events(response: "httpx2.Response") -> AsyncIterator[dict[str, Any]]:
    data: list[str] = []
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield json.loads("\n".join(data))
            data = []


def _result(message: dict[str, Any]) -> dict[str, Any]:
    if "error" in message:
        raise MCPError.from_jsonrpc_error(types.JSONRPCError.model_validate(message))
    result = message.get("result")
    if not isinstance(result, dict):
        raise _http_error(200, "")
    return result


def _http_error(status: int, text: str) -> EngineError:
    """Return the error for an HTTP answer without a message. An engine's `text` begins with the code."""
    code = HTTP_CODES.get(status, "BAD_ANSWER")
    if status == 401:
        return EngineError(
            code,
            "the engine does not accept the token of this program. limit=the token in serve.json actual=an unknown or "
            "revoked token next: ask the operator to restart the engine or this client",
        )
    if status == 413:
        return _too_large("more")
    if text.startswith(f"{code}: "):
        return EngineError(code, text.removeprefix(f"{code}: "))
    if status == 503:
        return EngineError(code, "the engine has too many connections. limit=256 actual=more next: try again later")
    what = f"the server at the address is not an engine. limit=MCP actual=HTTP {status} next: report it to the operator"
    return EngineError("BAD_ANSWER", what)


def _too_large(actual: str) -> EngineError:
    what = f"the arguments are too large. limit={LARGEST_CALL} bytes actual={actual} next: send less"
    return EngineError(HTTP_CODES[413], what)

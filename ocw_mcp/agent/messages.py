"""The Messages API as the loop sees it: a request as plain data goes in, a reply or a trouble comes back.

`SdkMessages` asks through the SDK; a recording stands in its place in a replay (`recording.py`).
"""

import asyncio
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import msgspec

from ocw_mcp.agent.causes import Trouble
from ocw_mcp.agent.credentials import Credentials
from ocw_mcp.agent.faults import by_words, fault, streamed_fault
from ocw_mcp.agent.pricing import TokenUsage
from ocw_mcp.agent.usage import MOST_TOKENS, Bounds, bounds, counted
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.text import printable

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

DETAIL: Final = 300
"""Characters of an error's own words that are kept."""


class Request(msgspec.Struct, frozen=True):
    """A call: of which wake, its number in that decision from 0 on, and the body of `POST /v1/messages`."""

    wake: int
    turn: int
    body: dict[str, Any]


class Reply(msgspec.Struct, frozen=True):
    """What the model answered. `content` goes back unchanged with the next request."""

    stop_reason: str
    content: tuple[dict[str, Any], ...]
    usage: TokenUsage

    @property
    def text(self) -> str:
        """What it said in words."""
        texts = (block.get("text") for block in self.content if block["type"] == "text")
        return "\n".join(text for text in texts if isinstance(text, str)).strip()

    @property
    def calls(self) -> tuple[dict[str, Any], ...]:
        """The tools that it calls."""
        return tuple(block for block in self.content if block["type"] == "tool_use")


def unfinished(reply: Reply) -> Trouble | None:
    """Why a turn did not come to an end of the model's own; None where it did."""
    match reply.stop_reason:
        case "tool_use" if reply.calls:
            return None
        case "end_turn" | "stop_sequence":
            return None
        case "refusal":
            return Trouble(CauseKind.REFUSAL)
        case "max_tokens" | "model_context_window_exceeded":
            return Trouble(CauseKind.CUT_OFF, reply.stop_reason)
        case _:
            return Trouble(CauseKind.MALFORMED, f"it stopped for {reply.stop_reason[:40]!r}")


def unmarked(body: Any) -> Any:
    """A request, or a part of one, without the breakpoints of the cache."""
    if isinstance(body, list):
        return [unmarked(each) for each in body]
    if isinstance(body, dict):
        return {name: unmarked(each) for name, each in body.items() if name != "cache_control"}
    return body


class Messages(Protocol):
    """Whoever answers requests."""

    async def create(self, request: Request) -> Reply | Trouble:
        """One call. It may be cancelled; it raises nothing else."""
        ...


class ModelFacts(msgspec.Struct, frozen=True):
    """A model as the API tells of it; None where it does not."""

    lifecycle: Literal["active", "deprecated", "retired"] = "active"
    retires_at: str | None = None
    max_input_tokens: int | None = None
    max_tokens: int | None = None


_STOPS: Final = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}
"""What other providers call the ways in which a turn ends."""


class SdkMessages:
    """Asks the API, or a gateway that speaks it, through the SDK. It tries once: the loop says what is worth a second
    try, so that each try is paid for knowingly."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._client: AsyncAnthropic | None = None

    async def create(self, request: Request) -> Reply | Trouble:
        """One call."""
        client = await self._ready()
        from anthropic import AnthropicError

        try:
            raw = await client.messages.with_raw_response.create(**request.body)
            reply = parsed(await raw.read(), request.body)
        except AnthropicError as error:
            return self._trouble(error)
        if isinstance(reply, Trouble):
            return msgspec.structs.replace(reply, detail=self._credentials.scrub(reply.detail))
        return reply

    async def model(self, name: str) -> ModelFacts | Trouble:
        """What the API tells of a model; a retired one is trouble."""
        client = await self._ready()
        from anthropic import AnthropicError

        try:
            raw = await client.models.with_raw_response.retrieve(name)
            facts = msgspec.json.decode(await raw.read(), type=ModelFacts)
        except AnthropicError as error:
            return self._trouble(error)
        except (msgspec.MsgspecError, UnicodeError) as error:
            return Trouble(CauseKind.MALFORMED, f"what is told of {name} cannot be read: {error}")
        if facts.lifecycle == "retired":
            return Trouble(CauseKind.NO_MODEL, f"{name} is retired; set CLAUDE_MODEL to one that is not")
        return facts

    async def close(self) -> None:
        """End all connections."""
        if self._client is not None:
            await self._client.close()

    async def _ready(self) -> "AsyncAnthropic":
        if self._client is None:
            # The first import reads hundreds of files: the event loop, on which the engine runs, does not wait for it.
            self._client = await asyncio.to_thread(_client, self._credentials)
        return self._client

    def _trouble(self, error: Exception) -> Trouble:
        cause, detail, retry_after_s = classified(error)
        return Trouble(cause, self._credentials.scrub(detail), retry_after_s)


def _client(credentials: Credentials) -> "AsyncAnthropic":
    from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient

    key, token = credentials.api_key, credentials.auth_token
    # Given here, neither key nor address is taken from the environment or a profile; no key follows a redirect.
    client = AsyncAnthropic(
        api_key=None if key is None else key.get_secret_value(),
        auth_token=None if token is None else token.get_secret_value(),
        base_url=credentials.base_url,
        max_retries=0,
        open_telemetry=False,
        http_client=DefaultAsyncHttpxClient(follow_redirects=False, trust_env=not credentials.local),
    )
    # The SDK adds ANTHROPIC_CUSTOM_HEADERS to whatever is given, and has no way to be told not to.
    client._custom_headers = {}
    return client


def classified(error: Exception) -> tuple[CauseKind, str, float | None]:
    """An error of the SDK as a cause, its own words, and how long (s) it asks to be left alone."""
    import anthropic
    import httpx2

    causes: dict[type[Exception], CauseKind] = {
        anthropic.AuthenticationError: CauseKind.BAD_KEY,
        anthropic.PermissionDeniedError: CauseKind.BAD_KEY,
        anthropic.PaymentRequiredError: CauseKind.NO_CREDIT,
        anthropic.NotFoundError: CauseKind.NO_MODEL,
        anthropic.RateLimitError: CauseKind.RATE_LIMITED,
        anthropic.OverloadedError: CauseKind.OVERLOADED,
        anthropic.RequestTimeoutError: CauseKind.TIMEOUT,
        anthropic.GatewayTimeoutError: CauseKind.TIMEOUT,
        anthropic.InternalServerError: CauseKind.SERVER,
        anthropic.APIStatusError: CauseKind.BAD_REQUEST,
        anthropic.APITimeoutError: CauseKind.TIMEOUT,
        anthropic.APIConnectionError: CauseKind.CONNECTION,
    }
    cause = next((cause for kind, cause in causes.items() if isinstance(error, kind)), CauseKind.MALFORMED)
    if (
        isinstance(error, anthropic.APIStatusError)
        and by_words(f"{error.body} {error.api_message}") is CauseKind.NO_CREDIT
    ):
        # An account that cannot pay is told so under 400, and by gateways under 403 and 429, too.
        cause = CauseKind.NO_CREDIT
    if isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout):
        # Nothing was sent, so nothing is billed.
        cause = CauseKind.UNREACHABLE
    detail, retry_after_s = type(error).__name__, None
    if isinstance(error, anthropic.APIStatusError):
        detail = f"{error.status_code} {error.api_message or ''}".strip()
        retry_after_s = _seconds(error.response.headers.get("retry-after"))
    return cause, " ".join(detail.split())[:DETAIL], retry_after_s


def parsed(body: bytes, asked: dict[str, Any] | None = None) -> Reply | Trouble:
    """Return an answer of the API, or why it is none. `asked` is the request, by which unreadable usage is bounded.

    A gateway may put an error into a 200, leave the stop reason out, or count tokens in a form of its own.
    """
    try:
        whole = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        beginning = printable(body[:DETAIL].decode("utf-8", "replace"))
        return streamed_fault(body) or Trouble(CauseKind.MALFORMED, f"what came is no message: {beginning}"[:DETAIL])
    content = whole.get("content") if isinstance(whole, dict) else None
    if (trouble := _fault(whole, content)) is not None:
        return msgspec.structs.replace(trouble, detail=printable(trouble.detail)[:DETAIL])
    if not isinstance(content, list) or not all(map(_is_block, content)):
        return Trouble(CauseKind.MALFORMED, f"what came is no message: its content is {_shape(content)}")
    stop = whole.get("stop_reason")
    if stop is None:
        # The content shows how the turn ended.
        stop = "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn"
    if not isinstance(stop, str):
        return Trouble(CauseKind.MALFORMED, f"what came is no message: its stop_reason is {_shape(stop)}")
    if asked is None:
        most, max_tokens = Bounds(), MOST_TOKENS
    else:
        max_tokens = asked["max_tokens"]
        most = bounds(len(msgspec.json.encode(unmarked(asked))), max_tokens, len(body))
    return Reply(_STOPS.get(stop, stop), tuple(content), counted(whole.get("usage"), most, max_tokens))


def _fault(whole: object, content: object) -> Trouble | None:
    """Return the error of a body: beside a message, in its place, or as JSON in its only text."""
    if (trouble := fault(whole, message_due=not content)) is not None:
        return trouble
    if not isinstance(content, list) or len(content) != 1 or not isinstance(content[0], dict):
        return None
    text = content[0].get("text")
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return None
    try:
        return fault(msgspec.json.decode(text), message_due=False)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _is_block(block: object) -> bool:
    return isinstance(block, dict) and isinstance(block.get("type"), str)


def _shape(part: object) -> str:
    return "missing or null" if part is None else f"of type {type(part).__name__}"


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text is not None else None
    except ValueError:
        return None

"""The requests that the API accepts, the models that it serves, and the errors that it answers with.

The limits of the models are round numbers of this project; their other properties are those of the API's documentation.
"""

import hashlib
from collections.abc import Collection, Iterator
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

MOST_BREAKPOINTS = 4
CONTEXT_EDITS: Final = "context-management-2025-06-27"
"""The beta header that a request with `context_management` needs."""
DEFERRED_TOOLS: Final = "advanced-tool-use-2025-11-20"
"""The beta header that a tool with `defer_loading` needs."""
RETIRED: Final = "claude-loopback-retired"
"""A retired model for tests; no model of that name was ever served."""
ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


class ApiFault(Exception):  # noqa: N818
    """Ends the request with an HTTP status; `retry_after_s` goes into the header."""

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class ConnectionDropped(Exception):  # noqa: N818
    """Ends the connection in the middle of the answer."""


class Model(NamedTuple):
    """A model, and the limits of its requests."""

    id: str
    cached_from: int
    """Tokens of the shortest prefix that is cached."""
    always_thinks: bool = False
    """Whether each answer begins with a thinking block; then thinking cannot be disabled, nor an answer forced or
    prefilled."""
    system_turns: bool = False
    """Whether messages may have the role `system`: true of the models from Opus 4.8 on, without a beta header."""
    lifecycle: str = "active"
    max_input: int = 200_000
    max_output: int = 64_000

    def info(self) -> dict[str, Any]:
        """Return the model as `GET /v1/models/ID` describes it, marked as a part of the sandbox."""
        return {
            "type": "model",
            "id": self.id,
            "display_name": self.id.replace("-", " ").title(),
            "created_at": "1970-01-01T00:00:00Z",
            "lifecycle": self.lifecycle,
            "sandbox": True,
            "deprecated_at": "1970-01-01T00:00:00Z" if self.lifecycle == "retired" else None,
            "retires_at": None,
            "max_input_tokens": self.max_input,
            "max_tokens": self.max_output,
        }


MODELS: Final = {
    model.id: model
    for model in (
        Model("claude-opus-5-5", 512, always_thinks=True, system_turns=True, max_output=128_000),
        Model("claude-sonnet-5-5", 512, always_thinks=True, system_turns=True, max_output=128_000),
        Model("claude-haiku-5-5", 512, always_thinks=True, system_turns=True),
        Model("claude-sonnet-4-6", 1_024),
        Model("claude-haiku-4-5", 4_096),
        Model(RETIRED, 1_024, lifecycle="retired"),
    )
}


def find_model(name: str, *, serving: bool = False) -> Model:
    """Return a known model; with `serving` only one that is not retired. Raises ApiFault with status 404."""
    model = MODELS.get(name)
    if model is None or (serving and model.lifecycle == "retired"):
        raise ApiFault(404, f"model: {name}")
    return model


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CacheControl(_Part):
    """A breakpoint: the prompt up to here is cached."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


class TextBlock(_Part):
    type: Literal["text"]
    text: str = Field(min_length=1)
    cache_control: CacheControl | None = None


class ThinkingBlock(_Part):
    """A thought of the model; a client sends it back unchanged, or leaves it out."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class ToolUseBlock(_Part):
    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]
    caller: dict[str, Any] | None = None
    cache_control: CacheControl | None = None


class ToolResultBlock(_Part):
    type: Literal["tool_result"]
    tool_use_id: str
    content: str | list[TextBlock] = ""
    is_error: bool = False
    cache_control: CacheControl | None = None

    @property
    def text(self) -> str:
        """The whole content as text."""
        return self.content if isinstance(self.content, str) else "\n".join(each.text for each in self.content)


Block = Annotated[TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock, Field(discriminator="type")]


class InputMessage(_Part):
    """One message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: Annotated[str, Field(min_length=1)] | list[Block]

    @property
    def blocks(self) -> list[Block]:
        """The blocks; a plain text is one block."""
        return [TextBlock(type="text", text=self.content)] if isinstance(self.content, str) else self.content


class Tool(_Part):
    """A tool that the model may call."""

    type: Literal["custom"] = "custom"
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")
    description: str = ""
    input_schema: dict[str, Any]
    strict: bool = False
    defer_loading: bool = False
    """Whether the model sees the tool only after a tool search; the characters see every tool."""
    cache_control: CacheControl | None = None


class ToolChoice(_Part):
    """Whether the model must call a tool."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class ThinkingConfig(_Part):
    """Whether and how the model thinks."""

    type: Literal["adaptive", "enabled", "disabled"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted", "updates"] | None = None
    """`omitted`: an answer has the signature of its thought only."""


class ContextEdit(_Part):
    """An edit of the conversation before the model reads it. Keeping all thoughts changes nothing."""

    type: Literal["clear_thinking_20251015"]
    keep: Literal["all"]


class ContextManagement(_Part):
    """The edits of the conversation."""

    edits: list[ContextEdit] = []


class OutputConfig(_Part):
    """The effort of the model for an answer."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None


class MessagesRequest(_Part):
    """The body of `POST /v1/messages`. It has no temperature, no top_p and no top_k."""

    model: str
    max_tokens: int = Field(ge=1)
    messages: list[InputMessage] = Field(min_length=1)
    system: str | list[TextBlock] = ""
    tools: list[Tool] = []
    tool_choice: ToolChoice = ToolChoice(type="auto")
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig = OutputConfig()
    context_management: ContextManagement | None = None
    cache_control: CacheControl | None = None
    metadata: dict[str, str] = {}
    stream: bool = False

    def sections(self) -> Iterator[tuple[str, Tool | Block]]:
        """Yield the parts of the prompt in the order in which they are cached: tools, system, messages."""
        yield from (("tool", tool) for tool in self.tools)
        system = [TextBlock(type="text", text=self.system)] if isinstance(self.system, str) and self.system else []
        yield from (("system", block) for block in (self.system if isinstance(self.system, list) else system))
        yield from ((turn.role, block) for turn in self.messages for block in turn.blocks)


def signature(thought: str) -> str:
    """Return the signature that proves that this API sent a thinking block."""
    return hashlib.sha256(f"thought here: {thought}".encode()).hexdigest()


def check(request: MessagesRequest, model: Model, betas: Collection[str] = ()) -> None:
    """Check the rules that the types do not express; `betas` are the beta headers. Raises ApiFault with status 400."""
    if problem := next(_problems(request, model, betas), None):
        raise ApiFault(400, problem)


def _problems(request: MessagesRequest, model: Model, betas: Collection[str]) -> Iterator[str]:
    if request.context_management is not None and CONTEXT_EDITS not in betas:
        yield "context_management: Extra inputs are not permitted"
    if DEFERRED_TOOLS not in betas and any(tool.defer_loading for tool in request.tools):
        yield "tools: defer_loading: Extra inputs are not permitted"
    yield from _system_problems(request, model)
    names = [tool.name for tool in request.tools]
    choice, last = request.tool_choice, request.messages[-1]
    if request.max_tokens > model.max_output:
        yield f"max_tokens: {request.max_tokens} > {model.max_output}, which is the maximum for {model.id}"
    if len(set(names)) < len(names):
        yield "tools: Tool names must be unique."
    if any(tool.input_schema.get("type") != "object" for tool in request.tools):
        yield "tools: input_schema.type must be 'object'"
    if choice.type == "tool" and choice.name not in names:
        yield f"tool_choice: Tool {choice.name!r} not found in provided tools"
    if choice.type in ("any", "tool") and model.always_thinks:
        yield f"tool_choice: {model.id} takes 'auto' or 'none'"
    if request.thinking is not None and request.thinking.type == "disabled" and model.always_thinks:
        yield f"thinking: {model.id} does not support 'disabled'"
    if request.messages[0].role != "user":
        yield "messages: first message must use the 'user' role"
    if last.role == "assistant" and model.always_thinks:
        yield "messages: this model does not support prefill; the conversation must end with a user message"
    yield from _turn_problems(request)
    controls = [getattr(block, "cache_control", None) for _, block in request.sections()]
    ttls = [control.ttl for control in (*controls, request.cache_control) if control is not None]
    if len(ttls) > MOST_BREAKPOINTS:
        yield f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {len(ttls)}."
    if "5m" in ttls and "1h" in ttls[ttls.index("5m") :]:
        yield "cache_control: a ttl='1h' block must not come after a ttl='5m' block"


def _system_problems(request: MessagesRequest, model: Model) -> Iterator[str]:
    """Yield system messages of a model that takes none, at a wrong place, or with other content than text."""
    roles = [turn.role for turn in request.messages]
    for index, turn in enumerate(request.messages):
        if turn.role != "system":
            continue
        if not model.system_turns:
            yield f"messages.{index}: role 'system' is not supported on this model"
        if roles[index - 1 : index] != ["user"] or roles[index + 1 : index + 2] not in ([], ["assistant"]):
            yield f"messages.{index}: a 'system' message must follow a 'user' message and precede an 'assistant' one"
        if any(not isinstance(block, TextBlock) for block in turn.blocks):
            yield f"messages.{index}: a 'system' message takes text only"


def _turn_problems(request: MessagesRequest) -> Iterator[str]:
    """Yield calls without a result in the next message, results without a call, and thinking blocks of another API."""
    asked: set[str] = set()
    for index, turn in enumerate(request.messages):
        answered = {block.tool_use_id for block in turn.blocks if isinstance(block, ToolResultBlock)}
        if missing := sorted(asked - answered):
            yield f"messages.{index}: `tool_use` ids were found without `tool_result` blocks after: {missing[0]}"
        if stray := sorted(answered - asked):
            yield f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {stray[0]}"
        for block in turn.blocks:
            if isinstance(block, ThinkingBlock) and block.signature != signature(block.thinking):
                yield f"messages.{index}: Invalid `signature` in `thinking` block"
        asked = {block.id for block in turn.blocks if isinstance(block, ToolUseBlock)}
    if asked:
        yield "messages: the conversation ends with a `tool_use` that has no `tool_result`"

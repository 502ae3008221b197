"""A request as the API takes it, and what it refuses."""

import hashlib
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ocw_mcp.sandbox.claude.catalogue import Model
from ocw_mcp.sandbox.claude.faults import ApiFault

MOST_BREAKPOINTS = 4


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CacheControl(_Part):
    """A breakpoint: what comes up to here is cached."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


class TextBlock(_Part):
    """Text."""

    type: Literal["text"]
    text: str = Field(min_length=1)
    cache_control: CacheControl | None = None


class ThinkingBlock(_Part):
    """What a model thought; it comes back as it was given out, or not at all."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class ToolUseBlock(_Part):
    """A call that the model made."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]
    caller: dict[str, Any] | None = None
    cache_control: CacheControl | None = None


class ToolResultBlock(_Part):
    """What came of a call."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: str | list[TextBlock] = ""
    is_error: bool = False
    cache_control: CacheControl | None = None

    @property
    def text(self) -> str:
        """All of it."""
        return self.content if isinstance(self.content, str) else "\n".join(each.text for each in self.content)


Block = Annotated[TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock, Field(discriminator="type")]


class InputMessage(_Part):
    """One message of the conversation."""

    role: Literal["user", "assistant"]
    content: Annotated[str, Field(min_length=1)] | list[Block]

    @property
    def blocks(self) -> list[Block]:
        """Its blocks; a plain text is one."""
        return [TextBlock(type="text", text=self.content)] if isinstance(self.content, str) else self.content


class Tool(_Part):
    """A tool that the model may call."""

    type: Literal["custom"] = "custom"
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")
    description: str = ""
    input_schema: dict[str, Any]
    strict: bool = False
    cache_control: CacheControl | None = None


class ToolChoice(_Part):
    """Whether the model has to call one."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class ThinkingConfig(_Part):
    """Whether and how the model thinks."""

    type: Literal["adaptive", "enabled", "disabled"]
    budget_tokens: int | None = None
    display: str | None = None


class OutputConfig(_Part):
    """How much effort goes into the answer."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None


class MessagesRequest(_Part):
    """The body of `POST /v1/messages`. There is no temperature, no top_p and no top_k."""

    model: str
    max_tokens: int = Field(ge=1)
    messages: list[InputMessage] = Field(min_length=1)
    system: str | list[TextBlock] = ""
    tools: list[Tool] = []
    tool_choice: ToolChoice = ToolChoice(type="auto")
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig = OutputConfig()
    cache_control: CacheControl | None = None
    metadata: dict[str, str] = {}
    stream: bool = False

    def sections(self) -> Iterator[tuple[str, Tool | Block]]:
        """What the prompt is made of, in the order in which it is cached: tools, system, messages."""
        yield from (("tool", tool) for tool in self.tools)
        system = [TextBlock(type="text", text=self.system)] if isinstance(self.system, str) and self.system else []
        yield from (("system", block) for block in (self.system if isinstance(self.system, list) else system))
        yield from ((turn.role, block) for turn in self.messages for block in turn.blocks)


def signature(thought: str) -> str:
    """What proves that a thinking block was given out here."""
    return hashlib.sha256(f"thought here: {thought}".encode()).hexdigest()


def check(request: MessagesRequest, model: Model) -> None:
    """Refuse what the types let pass. Raises ApiFault with status 400."""
    for problem in _problems(request, model):
        raise ApiFault(400, problem)


def _problems(request: MessagesRequest, model: Model) -> Iterator[str]:
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
    yield from _unanswered(request)
    yield from _breakpoints(request)


def _unanswered(request: MessagesRequest) -> Iterator[str]:
    """Every call has its result in the very next message, and no result comes without a call."""
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


def _breakpoints(request: MessagesRequest) -> Iterator[str]:
    spans = [
        block.cache_control.ttl
        for _, block in request.sections()
        if not isinstance(block, ThinkingBlock) and block.cache_control is not None
    ]
    spans += [request.cache_control.ttl] if request.cache_control is not None else []
    if len(spans) > MOST_BREAKPOINTS:
        yield f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {len(spans)}."
    if "5m" in spans and "1h" in spans[spans.index("5m") :]:
        yield "cache_control: a ttl='1h' block must not come after a ttl='5m' block"

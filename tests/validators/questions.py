"""What the official suite wants asked of a client: while a tool runs, as before 2026-07-28, and in rounds, as since."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
)
from pydantic import Field

from tests.validators.contents import text

Requests = dict[str, InputRequest]


def form(message: str, **fields: str) -> ElicitRequest:
    """A question with named fields, each of a JSON type, all of them asked for."""
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in fields.items()},
        "required": list(fields),
    }
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(question: str, most: int) -> CreateMessageRequest:
    """A question to the client's model, and the most tokens of its answer."""
    asked = [SamplingMessage(role="user", content=text(question))]
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=asked, max_tokens=most))


NAME: Final = form("What is your name?", name="string")
CONFIRM: Final = form("Please confirm", ok="boolean")
CONTEXT: Final = form("What context should the prompt use?", context="string")

ROUNDS: Final[dict[str, list[Requests]]] = {
    "elicitation": [{"user_name": NAME}],
    "sampling": [{"capital_question": sample("What is the capital of France?", 100)}],
    "list_roots": [{"client_roots": ListRootsRequest()}],
    "request_state": [{"confirm": CONFIRM}],
    "tampered_state": [{"confirm": CONFIRM}],
    "multiple_inputs": [
        {"user_name": NAME, "greeting": sample("Generate a greeting", 50), "client_roots": ListRootsRequest()}
    ],
    "multi_round": [
        {"step1": form("Step 1: What is your name?", name="string")},
        {"step2": form("Step 2: What is your favorite color?", color="string")},
    ],
}
"""What each tool asks, round by round."""
STATELESS: Final = frozenset({"elicitation", "sampling", "list_roots"})
"""Tools whose client need not bring a state back."""

FORMS: Final[dict[str, dict[str, Any]]] = {
    "test_elicitation_sep1034_defaults": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
    "test_elicitation_sep1330_enums": {
        "untitledSingle": {"type": "string", "enum": ["one", "two", "three"]},
        "titledSingle": {"type": "string", "oneOf": [{"const": "1", "title": "One"}, {"const": "2", "title": "Two"}]},
        "legacyEnum": {"type": "string", "enum": ["1", "2", "3"], "enumNames": ["One", "Two", "Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["one", "two", "three"]}},
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": [{"const": "1", "title": "One"}, {"const": "2", "title": "Two"}]},
        },
    },
}
"""Forms that tools without arguments ask to be filled."""

_Asking = Callable[[Context[Any, Any]], Awaitable[str | InputRequiredResult]]


def add_questions(server: MCPServer[Any]) -> None:
    """Offer all of it."""
    for name, rounds in ROUNDS.items():
        asking = _asking(rounds, keeps_state=name not in STATELESS)
        server.add_tool(asking, name=f"test_input_required_result_{name}", description="Asks in rounds.")
    for name, fields in FORMS.items():
        server.add_tool(_filling(fields), name=name, description="Asks while it runs.")

    @server.tool()
    async def test_input_required_result_capabilities(ctx: Context[Any, Any]) -> InputRequiredResult:
        """Asks only what the client can answer."""
        able = ctx.client_capabilities
        asked: Requests = {}
        if able is not None and able.sampling is not None:
            asked["sample"] = sample("Say hello", 50)
        if able is not None and able.elicitation is not None:
            asked["ask"] = NAME
        return InputRequiredResult(input_requests=asked, request_state="asked")

    @server.tool()
    async def test_elicitation(message: str, ctx: Context[Any, Any]) -> str:
        """Asks a person while it runs."""
        schema = {"type": "object", "properties": {"response": {"type": "string"}}, "required": ["response"]}
        answer = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
        return f"User response: action={answer.action}, content={answer.content}"

    @server.tool()
    async def test_sampling(prompt: str, ctx: Context[Any, Any]) -> str:
        """Asks the client's model while it runs."""
        asked = [SamplingMessage(role="user", content=text(prompt))]
        answer = await ctx.session.create_message(asked, max_tokens=100, related_request_id=ctx.request_id)
        return f"LLM response: {answer.content.model_dump_json()}"

    @server.tool()
    async def test_missing_capability(ctx: Context[Any, Any]) -> str:
        """Refuses a client that cannot be asked for sampling."""
        able = ctx.client_capabilities
        if able is None or able.sampling is None:
            raise MCPError(
                MISSING_REQUIRED_CLIENT_CAPABILITY,
                "this tool asks the client's model",
                data={"requiredCapabilities": {"sampling": {}}},
            )
        return "able"

    @server.tool()
    def test_x_mcp_header(
        region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})] = "none",
    ) -> str:
        """Has an argument that is told in a header, too."""
        return region

    async def test_input_required_result_prompt(ctx: Context[Any, Any]) -> list[UserMessage] | InputRequiredResult:
        """Asks before it says anything."""
        answer = (ctx.input_responses or {}).get("user_context")
        if not isinstance(answer, ElicitResult):
            return InputRequiredResult(input_requests={"user_context": CONTEXT})
        return [UserMessage(text(f"Use the following context: {answer.content}"))]

    server.add_prompt(Prompt.from_function(test_input_required_result_prompt))


def _asking(rounds: list[Requests], *, keeps_state: bool) -> _Asking:
    async def asked(ctx: Context[Any, Any]) -> str | InputRequiredResult:
        answers = ctx.input_responses or {}
        at = int(ctx.request_state or 0)
        if rounds[at].keys() <= answers.keys():
            at += 1
        if at == len(rounds):
            return f"state-ok: {', '.join(answers[each].model_dump_json() for each in rounds[-1])}"
        return InputRequiredResult(input_requests=rounds[at], request_state=str(at) if keeps_state else None)

    return asked


def _filling(fields: dict[str, Any]) -> Callable[[Context[Any, Any]], Awaitable[str]]:
    async def filled(ctx: Context[Any, Any]) -> str:
        schema = {"type": "object", "properties": fields, "required": []}
        answer = await ctx.session.elicit_form("Please fill this in", schema, related_request_id=ctx.request_id)
        return f"Elicitation completed: action={answer.action}, content={answer.content}"

    return filled

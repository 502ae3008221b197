"""Fake tools, a scripted model, and a conversation of the two."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from mcp.types import CallToolResult, ListToolsResult, RequestParamsMeta, TextContent, Tool, ToolAnnotations

from ocw_mcp.agent.conversation import Conversation, ConversationSummary, ConversationTerms
from ocw_mcp.agent.messages import Messages, Reply, Request, Trouble
from ocw_mcp.agent.pricing import TokenUsage
from ocw_mcp.agent.tools import SUBMIT
from ocw_mcp.domain.protocols import Clock
from tests.support.claude import CONTEXT, MODEL, SUBMIT_SCHEMA
from tests.support.clocks import Waits

TERMS = ConversationTerms(model=MODEL, allowance_usd=Decimal("0.5"))
SYSTEM = "You decide."
READ_TOOL = "market_get_snapshot"
ACCEPTED = {"outcome": "accepted", "order": "1-e-0"}
REFUSED = {"outcome": "refused", "refusal": "POSITION_SHARE: too much. limit=0.25 actual=1 largest size=0.04"}

Judge = Callable[[dict[str, Any]], dict[str, Any]]


def accept(leg: dict[str, Any]) -> dict[str, Any]:
    """Accept every leg but HOLD."""
    return {"outcome": "held"} if leg["action"] == "HOLD" else ACCEPTED


class FakeTools:
    """Tools that read, one that acts, and `decisions_submit`; it records the calls."""

    def __init__(self, judge: Judge = accept, snapshot: str = CONTEXT) -> None:
        self.judge = judge
        self._snapshot = snapshot
        self.called: list[tuple[str, dict[str, Any]]] = []
        self.breaks: set[str] = set()
        self.not_taken: list[list[str]] = []
        """The parts other than legs that each submission in turn does not take as given."""
        self.metas: list[RequestParamsMeta | None] = []

    @property
    def submitted(self) -> list[dict[str, Any]]:
        """The submitted decisions."""
        return [arguments for name, arguments in self.called if name == SUBMIT]

    async def list_tools(self) -> ListToolsResult:
        """Return all tools."""
        reads, acts = ToolAnnotations(read_only_hint=True), ToolAnnotations(read_only_hint=False)
        nothing: dict[str, Any] = {"type": "object", "properties": {}}
        return ListToolsResult(
            tools=[
                Tool(name=READ_TOOL, description="Read.", input_schema=nothing, annotations=reads),
                Tool(name="policies_get", input_schema=nothing, annotations=reads),
                Tool(name="orders_place", input_schema=nothing, annotations=acts),
                Tool(name=SUBMIT, input_schema=SUBMIT_SCHEMA, annotations=acts),
            ]
        )

    async def call_tool(
        self, name: str, arguments: dict[str, Any] | None = None, *, meta: RequestParamsMeta | None = None
    ) -> CallToolResult:
        """Answer as the MCP server does."""
        self.metas.append(meta)
        given = arguments or {}
        self.called.append((name, given))
        if name in self.breaks:
            raise ConnectionError("the server is gone")
        if name != SUBMIT:
            return CallToolResult(content=[TextContent(type="text", text=self._snapshot)])
        legs = given.get("legs")
        if given.get("wake") != 7 or not isinstance(legs, list) or not all(map(_is_leg, legs)):
            text = "BAD_ARGUMENTS: an argument is missing or of the wrong type"
            return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)
        rows = [{"symbol": leg["symbol"], "action": leg["action"], **self.judge(leg)} for leg in legs]
        text = "\n".join(f"{row['action']} {row['symbol']}: {row['outcome']}, {row.get('refusal', '')}" for row in rows)
        not_taken = self.not_taken.pop(0) if self.not_taken else []
        text = "\n".join([text or "everything is held", *(f"not taken as given: {each}" for each in not_taken)])
        return CallToolResult(
            content=[TextContent(type="text", text=text)],
            structured_content={"wake": 7, "legs": rows, "not_taken": not_taken},
        )


def _is_leg(leg: object) -> bool:
    actions = SUBMIT_SCHEMA["properties"]["legs"]["items"]["properties"]["action"]["enum"]
    return isinstance(leg, dict) and leg.get("action") in actions and isinstance(leg.get("symbol"), str)


class ScriptedModel:
    """A model that gives one answer after another, and then the last one again; it records the requests."""

    def __init__(self, *answers: Reply | Trouble | Exception) -> None:
        self._answers = answers
        self.requests: list[Request] = []

    async def create(self, request: Request) -> Reply | Trouble:
        """Return or raise the next answer."""
        # A copy: the body may change later.
        self.requests.append(msgspec.json.decode(msgspec.json.encode(request), type=Request))
        answer = self._answers[min(len(self.requests), len(self._answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


def says(text: str = "Nothing to do.", stop_reason: str = "end_turn") -> Reply:
    """Return a turn of text."""
    return Reply(stop_reason, ({"type": "text", "text": text},), TokenUsage(plain=100, output=10))


def calls(*named: tuple[str, object]) -> Reply:
    """Return a turn of tool calls."""
    blocks = [
        {"type": "tool_use", "id": f"t{n}", "name": name, "input": given} for n, (name, given) in enumerate(named)
    ]
    return Reply("tool_use", tuple(blocks), TokenUsage(plain=100, output=10))


def reads() -> Reply:
    """Return a turn that reads the market."""
    return calls((READ_TOOL, {}))


def submits(*legs: tuple[str, str], wake: int = 7) -> Reply:
    """Return a turn that submits a decision of these symbols and actions."""
    rows = [{"symbol": symbol, "action": action, "thesis": "because"} for symbol, action in legs]
    return calls((SUBMIT, {"wake": wake, "legs": rows}))


async def converse(
    messages: Messages, tools: FakeTools | None = None, terms: ConversationTerms = TERMS, clock: Clock | None = None
) -> ConversationSummary:
    """Run the conversation about wake 7."""
    conversation = Conversation(messages, tools or FakeTools(), clock or Waits(), terms)
    return await conversation.run(7, SYSTEM, CONTEXT)


def bodies(model: ScriptedModel) -> Sequence[dict[str, Any]]:
    """Return the bodies of the requests to a scripted model."""
    return [request.body for request in model.requests]

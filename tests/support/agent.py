"""A desk of which only the tools are there, a model that says what it is told to, and a conversation of the two."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from mcp.types import CallToolResult, ListToolsResult, RequestParamsMeta, TextContent, Tool, ToolAnnotations

from ocw_mcp.agent.causes import Trouble
from ocw_mcp.agent.conversation import Conversation, ConversationOutcome, ConversationTerms
from ocw_mcp.agent.messages import Messages, Reply, Request
from ocw_mcp.agent.pricing import TokenUsage
from ocw_mcp.agent.tools import SUBMIT
from ocw_mcp.domain.protocols import Clock
from tests.support.claude import CONTEXT, MODEL, SUBMIT_SCHEMA
from tests.support.clocks import Waits

TERMS = ConversationTerms(model=MODEL, allowance_usd=Decimal("0.5"))
SYSTEM = "You decide."
LOOK = "market_get_snapshot"
ACCEPTED = {"outcome": "accepted", "order": "1-e-0"}
REFUSED = {"outcome": "refused", "refusal": "POSITION_SHARE: too much. limit=0.25 actual=1 largest=0.005"}

Judge = Callable[[dict[str, Any]], dict[str, Any]]


def accept(leg: dict[str, Any]) -> dict[str, Any]:
    """What the desk says to a leg: it takes all that acts."""
    return {"outcome": "held"} if leg["action"] == "HOLD" else ACCEPTED


class FakeDesk:
    """Offers one tool that reads, one that acts, and `decisions_submit`; keeps what it was asked."""

    def __init__(self, judge: Judge = accept, snapshot: str = CONTEXT) -> None:
        self.judge = judge
        self._snapshot = snapshot
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.breaks: set[str] = set()
        self.metas: list[RequestParamsMeta | None] = []

    @property
    def submitted(self) -> list[dict[str, Any]]:
        """The decisions that came."""
        return [arguments for name, arguments in self.asked if name == SUBMIT]

    async def list_tools(self) -> ListToolsResult:
        """All of them, that which acts, too."""
        reads, acts = ToolAnnotations(read_only_hint=True), ToolAnnotations(read_only_hint=False)
        nothing: dict[str, Any] = {"type": "object", "properties": {}}
        return ListToolsResult(
            tools=[
                Tool(name=LOOK, description="Look.", input_schema=nothing, annotations=reads),
                Tool(name="policies_get", input_schema=nothing, annotations=reads),
                Tool(name="orders_place", input_schema=nothing, annotations=acts),
                Tool(name=SUBMIT, input_schema=SUBMIT_SCHEMA, annotations=acts),
            ]
        )

    async def call_tool(
        self, name: str, arguments: dict[str, Any] | None = None, *, meta: RequestParamsMeta | None = None
    ) -> CallToolResult:
        """Answer as the desk does."""
        self.metas.append(meta)
        given = arguments or {}
        self.asked.append((name, given))
        if name in self.breaks:
            raise ConnectionError("the desk is gone")
        if name != SUBMIT:
            return CallToolResult(content=[TextContent(type="text", text=self._snapshot)])
        legs = given.get("legs")
        if given.get("wake") != 7 or not isinstance(legs, list) or not all(map(_is_leg, legs)):
            text = "BAD_ARGUMENTS: an argument is missing or of the wrong type"
            return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)
        rows = [{"symbol": leg["symbol"], "action": leg["action"], **self.judge(leg)} for leg in legs]
        text = "\n".join(f"{row['action']} {row['symbol']}: {row['outcome']}, {row.get('refusal', '')}" for row in rows)
        return CallToolResult(
            content=[TextContent(type="text", text=text or "everything is held")],
            structured_content={"wake": 7, "legs": rows},
        )


def _is_leg(leg: object) -> bool:
    actions = SUBMIT_SCHEMA["properties"]["legs"]["items"]["properties"]["action"]["enum"]
    return isinstance(leg, dict) and leg.get("action") in actions and isinstance(leg.get("symbol"), str)


class Scripted:
    """A model that answers one thing after another, the last again and again; keeps what it was asked."""

    def __init__(self, *answers: Reply | Trouble | Exception) -> None:
        self._answers = answers
        self.asked: list[Request] = []

    async def create(self, request: Request) -> Reply | Trouble:
        """The next answer."""
        # What is changed later is not what was asked.
        self.asked.append(msgspec.json.decode(msgspec.json.encode(request), type=Request))
        answer = self._answers[min(len(self.asked), len(self._answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


def says(text: str = "Nothing to do.", stop_reason: str = "end_turn") -> Reply:
    """A turn of words."""
    return Reply(stop_reason, ({"type": "text", "text": text},), TokenUsage(plain=100, output=10))


def calls(*named: tuple[str, object]) -> Reply:
    """A turn of calls."""
    blocks = [
        {"type": "tool_use", "id": f"t{n}", "name": name, "input": given} for n, (name, given) in enumerate(named)
    ]
    return Reply("tool_use", tuple(blocks), TokenUsage(plain=100, output=10))


def looks() -> Reply:
    """A look at the market."""
    return calls((LOOK, {}))


def submits(*legs: tuple[str, str], wake: int = 7) -> Reply:
    """A decision."""
    rows = [{"symbol": symbol, "action": action, "thesis": "because"} for symbol, action in legs]
    return calls((SUBMIT, {"wake": wake, "legs": rows}))


async def held(
    messages: Messages, desk: FakeDesk | None = None, terms: ConversationTerms = TERMS, clock: Clock | None = None
) -> ConversationOutcome:
    """The whole conversation about wake 7."""
    conversation = Conversation(messages, desk or FakeDesk(), clock or Waits(), terms)
    return await conversation.hold(7, SYSTEM, CONTEXT)


def bodies(model: Scripted) -> Sequence[dict[str, Any]]:
    """What a scripted model was asked."""
    return [request.body for request in model.asked]

"""A stand-in for the model: it answers at once, and bills prompts as the API does, by an estimate of tokens.

The tokenizer of the models is not public. A token is assumed to be four characters of prose and schemas, and two and a
half of tables of figures, which split into more tokens.
"""

import math
from collections import Counter
from decimal import Decimal
from typing import Any, Final

import msgspec

from ocw_mcp.agent.memory.recall import HEADING
from ocw_mcp.agent.messages import Reply, Request
from ocw_mcp.agent.pricing import LIFETIME_MS, TokenUsage, Ttl, cost
from ocw_mcp.domain.protocols import Clock
from ocw_mcp.runtime.clock import SimulatedClock

CHARS_A_TOKEN: Final[dict[str, float]] = {"tools": 4, "system": 4, "context": 2.5, "memory": 4, "results": 2.5}
"""Characters per token, by segment of a prompt."""
IN_TURNS: Final = ("context", "memory", "results")
"""Segments that are new in each decision."""
ENTRY_OUTPUT: Final = 100
"""Number of output tokens of a diary entry."""

ToolCall = tuple[str, dict[str, Any]]
"""The name of a tool and its arguments."""


class StandIn:
    """A model that makes the given tool calls, one per round, and then holds everything."""

    def __init__(self, calls: tuple[ToolCall, ...] = (), output_tokens: int = 0, clock: Clock | None = None) -> None:
        """`output_tokens` is the output of a whole decision; the clock determines the age of the cache."""
        self.clock = clock or SimulatedClock()
        self._calls = calls
        self._output = output_tokens
        self._cached_until = -1
        """Engine time (ms) until which tools and system are in the cache."""
        self._cached_turns: dict[str, int] = {}
        """Tokens of the turns that the last call of this decision left in the cache, by segment."""
        self.own_ms = 0.0
        """Time (ms) spent in the stand-in itself."""
        self.body: dict[str, Any] = {}
        """The body of the last request."""
        self.longest_context = 0
        """The length of the longest context, in characters."""
        self.billed: Counter[tuple[str, TokenUsage]] = Counter()
        """Number of times that each usage was billed, by segment."""

    async def create(self, request: Request) -> Reply:
        """Return the next tool call, or the end of the turn."""
        if "tools" not in request.body:
            return _entry(request)
        began = self.clock.wall_ms()
        self.body = request.body
        self.longest_context = max(self.longest_context, characters(request.body)["context"])
        bills = self._bill(request)
        self.billed.update(bills.items())
        usage = sum(bills.values(), TokenUsage())
        last = request.turn >= len(self._calls)
        if last:
            usage += TokenUsage(output=self._output)
            reply = Reply("end_turn", ({"type": "text", "text": "Nothing to do."},), usage)
        else:
            name, given = self._calls[request.turn]
            call = {"type": "tool_use", "id": f"t{request.turn}", "name": name, "input": given}
            reply = Reply("tool_use", (call,), usage)
        self.own_ms += self.clock.wall_ms() - began
        return reply

    def cost_usd(self, model: str) -> dict[str, Decimal]:
        """Return the USD billed so far, by segment."""
        usd = dict.fromkeys(CHARS_A_TOKEN, Decimal(0))
        for (segment, usage), times in self.billed.items():
            usd[segment] += times * cost(usage, model, self.clock.now())
        return usd

    def _bill(self, request: Request) -> dict[str, TokenUsage]:
        now, tokens = self.clock.now(), segments(request.body)
        if request.turn == 0:
            self._cached_turns = {}
        bills = {}
        kept: Ttl | None = request.body["system"][0].get("cache_control", {}).get("ttl")
        for name in ("tools", "system"):
            if kept is None:
                bills[name] = TokenUsage(plain=tokens[name])
            else:
                bills[name] = _read_or_written(tokens[name], tokens[name] if now < self._cached_until else 0, kept)
        if kept is not None:
            self._cached_until = now + LIFETIME_MS[kept]
        # A marked turn is cached together with all turns before it; later turns are billed as plain input.
        marks = ["cache_control" in turn["content"][-1] for turn in request.body["messages"]]
        for name in IN_TURNS:
            known = self._cached_turns.get(name, 0) if any(marks) else 0
            if marks[-1]:
                bills[name] = _read_or_written(tokens[name], known, "5m")
            else:
                bills[name] = TokenUsage(plain=tokens[name] - known, read=known)
        if marks[-1]:
            self._cached_turns = {name: tokens[name] for name in IN_TURNS}
        return bills


def _entry(request: Request) -> Reply:
    """Return a diary entry whose prompt is billed as prose."""
    prompt = math.ceil(len(request.body["messages"][0]["content"][0]["text"]) / CHARS_A_TOKEN["memory"])
    content = {"type": "text", "text": "Nothing to learn from."}
    return Reply("end_turn", (content,), TokenUsage(plain=prompt, output=ENTRY_OUTPUT))


def _read_or_written(tokens: int, known: int, ttl: Ttl) -> TokenUsage:
    new = tokens - known
    return TokenUsage(read=known, written_5m=new if ttl == "5m" else 0, written_1h=new if ttl == "1h" else 0)


def characters(body: dict[str, Any]) -> dict[str, int]:
    """Return the characters of each segment of a request; results include their tool calls."""
    first, *rest = body["messages"]
    context = "".join(block["text"] for block in first["content"])
    remembered = next((each for each in context.split("\n\n") if each.startswith(HEADING)), "")
    return {
        "tools": len(msgspec.json.encode(body["tools"]).decode()),
        "system": sum(len(block["text"]) for block in body["system"]),
        "context": len(context) - len(remembered),
        "memory": len(remembered),
        "results": len(msgspec.json.encode(rest).decode()) if rest else 0,
    }


def segments(body: dict[str, Any]) -> dict[str, int]:
    """Return the estimated tokens of each segment."""
    return {name: math.ceil(count / CHARS_A_TOKEN[name]) for name, count in characters(body).items()}

"""A model for measurements: it answers at once, and its prompts are billed as the API would, by an estimate of tokens.

Nobody outside knows how the models count. A token is taken for four characters of words and schemas, and for two and a
half of tables of figures, which break into more tokens.
"""

import math
from collections import Counter
from decimal import Decimal
from typing import Any, Final

import msgspec

from ocw_mcp.agent.memory.recall import HEADING
from ocw_mcp.agent.messages import Reply, Request
from ocw_mcp.agent.pricing import TokenUsage, Ttl, cost
from ocw_mcp.agent.prompt_caching import LIFETIME_MS
from ocw_mcp.domain.protocols import Clock
from ocw_mcp.runtime.clock import SimulatedClock

CHARS_A_TOKEN: Final[dict[str, float]] = {"tools": 4, "system": 4, "context": 2.5, "memory": 4, "results": 2.5}
"""By segment of a prompt."""
IN_TURNS: Final = ("context", "memory", "results")
"""Those that are new in a decision."""
ENTRY_OUTPUT: Final = 100
"""Tokens of a diary entry."""

Look = tuple[str, dict[str, Any]]
"""A tool, and what it is called with."""


class StandIn:
    """Looks with the tools that it was told to, one a round, and then holds everything."""

    def __init__(self, looks: tuple[Look, ...] = (), output_tokens: int = 0, clock: Clock | None = None) -> None:
        """`output_tokens` are those of a whole decision; the clock tells how old the cache is."""
        self.clock = clock or SimulatedClock()
        self._looks = looks
        self._output = output_tokens
        self._there_until = -1
        """Until when (ms of engine time) tools and system are still in the cache."""
        self._known: dict[str, int] = {}
        """Tokens of the turns that the last call of this decision left in the cache."""
        self.own_ms = 0.0
        """What it took itself."""
        self.body: dict[str, Any] = {}
        """What it was asked last."""
        self.longest_context = 0
        """In characters."""
        self.billed: Counter[tuple[str, TokenUsage]] = Counter()
        """What was billed, by segment; the same bill several times counts so often."""

    async def create(self, request: Request) -> Reply:
        """The next look, or the end of the turn."""
        if "tools" not in request.body:
            return _entry(request)
        began = self.clock.wall_ms()
        self.body = request.body
        self.longest_context = max(self.longest_context, characters(request.body)["context"])
        bills = self._bill(request)
        self.billed.update(bills.items())
        usage = sum(bills.values(), TokenUsage())
        last = request.turn >= len(self._looks)
        if last:
            usage += TokenUsage(output=self._output)
            reply = Reply("end_turn", ({"type": "text", "text": "Nothing to do."},), usage)
        else:
            name, given = self._looks[request.turn]
            call = {"type": "tool_use", "id": f"t{request.turn}", "name": name, "input": given}
            reply = Reply("tool_use", (call,), usage)
        self.own_ms += self.clock.wall_ms() - began
        return reply

    def cost_usd(self, model: str) -> dict[str, Decimal]:
        """What was billed so far, by segment."""
        usd = dict.fromkeys(CHARS_A_TOKEN, Decimal(0))
        for (segment, usage), times in self.billed.items():
            usd[segment] += times * cost(usage, model, self.clock.now())
        return usd

    def _bill(self, request: Request) -> dict[str, TokenUsage]:
        now, tokens = self.clock.now(), segments(request.body)
        if request.turn == 0:
            self._known = {}
        bills = {}
        kept: Ttl | None = request.body["system"][0].get("cache_control", {}).get("ttl")
        for name in ("tools", "system"):
            if kept is None:
                bills[name] = TokenUsage(plain=tokens[name])
            else:
                bills[name] = _read_or_written(tokens[name], tokens[name] if now < self._there_until else 0, kept)
        if kept is not None:
            self._there_until = now + LIFETIME_MS[kept]
        # A turn that is marked is kept with all before it; what comes after it is plain.
        marks = ["cache_control" in turn["content"][-1] for turn in request.body["messages"]]
        for name in IN_TURNS:
            known = self._known.get(name, 0) if any(marks) else 0
            if marks[-1]:
                bills[name] = _read_or_written(tokens[name], known, "5m")
            else:
                bills[name] = TokenUsage(plain=tokens[name] - known, read=known)
        if marks[-1]:
            self._known = {name: tokens[name] for name in IN_TURNS}
        return bills


def _entry(request: Request) -> Reply:
    """What is written into memory, billed as words."""
    prompt = math.ceil(len(request.body["messages"][0]["content"][0]["text"]) / CHARS_A_TOKEN["memory"])
    said = {"type": "text", "text": "Nothing to learn from."}
    return Reply("end_turn", (said,), TokenUsage(plain=prompt, output=ENTRY_OUTPUT))


def _read_or_written(tokens: int, known: int, ttl: Ttl) -> TokenUsage:
    new = tokens - known
    return TokenUsage(read=known, written_5m=new if ttl == "5m" else 0, written_1h=new if ttl == "1h" else 0)


def characters(body: dict[str, Any]) -> dict[str, int]:
    """How long each segment of a request is; results with the calls that asked for them."""
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
    """How many tokens each segment is taken for."""
    return {name: math.ceil(count / CHARS_A_TOKEN[name]) for name, count in characters(body).items()}

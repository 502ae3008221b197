"""A book on the simulated market, with Claude's decider and a stand-in for the model.

The stand-in answers without delay, and bills prompts as the API does, but with estimated numbers of tokens, since the
tokenizer of the models is not public. A token is assumed to have 4 characters in prose and schemas, and 2.5 in tables
of figures.
"""

import math
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
from mcp import Client

from ocw_mcp import __version__
from ocw_mcp.agent.decider import ClaudeDecider, EngineAccess
from ocw_mcp.agent.keep_warm import CacheKeeper
from ocw_mcp.agent.memory.diary import (
    LONGEST_DIGEST,
    LONGEST_LESSON,
    LONGEST_REFLECTION,
    Diary,
    Digest,
    MemoryState,
    Origin,
    Reflection,
    save_memory,
    situations,
)
from ocw_mcp.agent.memory.memory import Memory
from ocw_mcp.agent.memory.recall import HEADING
from ocw_mcp.agent.memory.writer import Writer, WriterTerms
from ocw_mcp.agent.messages import Reply, Request, without_cache_control
from ocw_mcp.agent.pricing import LIFETIME_MS, TokenUsage, Ttl, cost
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.agent.spending import SpendingLog
from ocw_mcp.app.bench.fixtures import BOOK, open_book
from ocw_mcp.app.claude import MODEL
from ocw_mcp.app.compose import WiredRun
from ocw_mcp.app.policy_loader import LoadedPolicies, load_prompts
from ocw_mcp.app.serve import facade_of
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import CLAUDE
from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.protocols import Clock, Feed
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.time import DAY, HOUR, utc_day
from ocw_mcp.interfaces.mcp.server import build
from ocw_mcp.runtime.clock import SimulatedClock

CHARS_A_TOKEN: Final[dict[str, float]] = {"tools": 4, "system": 4, "context": 2.5, "memory": 4, "results": 2.5}
"""Characters per token, by segment of a prompt."""
IN_TURNS: Final = ("context", "memory", "results")
"""Prompt segments that are new in each decision and therefore never in the prompt cache at its start."""
ENTRY_OUTPUT: Final = 100
"""Number of output tokens of a diary entry."""

WORDS: Final = "The trend of the hour held, and the stop lay where it had to; what came after was not foreseen. "

ToolCall = tuple[str, dict[str, Any]]
"""The name of a tool and its arguments."""


class StandIn:
    """A model that makes the given tool calls, one per round, and then ends its turn without a trade."""

    def __init__(
        self,
        calls: tuple[ToolCall, ...] = (),
        output_tokens: int = 0,
        clock: Clock | None = None,
        script: "Script | None" = None,
        *,
        at_once: bool = False,
    ) -> None:
        """`output_tokens` is the output of a whole decision; the clock determines the age of the cache.

        With `at_once` the first turn makes all `calls`. A `script` gives the answers in place of `calls`.
        """
        self._rounds = [calls] if calls and at_once else [(call,) for call in calls]
        self.clock = clock or SimulatedClock()
        self._script = script
        self._sizes: Counter[str] = Counter()
        """The characters of all requests for a decision by segment, and under `requests` their number."""
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
        if request.body.get("max_tokens") != 1:
            self._sizes.update(characters(request.body) | {"requests": 1})
        if self._script is not None and request.body.get("max_tokens") != 1:
            usage += TokenUsage(output=self._output if request.turn == 0 else 0)
            return self._script(request, usage)
        last = request.turn >= len(self._rounds)
        if last:
            usage += TokenUsage(output=min(self._output, request.body.get("max_tokens", self._output)))
            reply = Reply("end_turn", ({"type": "text", "text": "Nothing to do."},), usage)
        else:
            content = [
                {"type": "tool_use", "id": f"t{request.turn}-{place}", "name": name, "input": given}
                for place, (name, given) in enumerate(self._rounds[request.turn])
            ]
            reply = Reply("tool_use", tuple(content), usage)
        self.own_ms += self.clock.wall_ms() - began
        return reply

    def mean_characters(self) -> dict[str, int]:
        """Return the mean number of characters of a request for a decision, by segment."""
        return {name: round(self._sizes[name] / max(1, self._sizes["requests"])) for name in CHARS_A_TOKEN}

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
            known = tokens[name] if kept is not None and now < self._cached_until else 0
            bills[name] = _bill(tokens[name], known, kept)
        if kept is not None:
            self._cached_until = now + LIFETIME_MS[kept]
        # A marked turn is cached together with all turns before it; later turns are billed as plain input.
        marks = ["cache_control" in turn["content"][-1] for turn in request.body["messages"]]
        for name in IN_TURNS:
            known = self._cached_turns.get(name, 0) if any(marks) else 0
            bills[name] = _bill(tokens[name], known, "5m" if marks[-1] else None)
        if marks[-1]:
            self._cached_turns = {name: tokens[name] for name in IN_TURNS}
        return bills


Script = Callable[[Request, TokenUsage], Reply]
"""Returns the answer to a request with the given usage."""


def trades(request: Request, usage: TokenUsage) -> Reply:
    """Return the answer of the sandbox's trader, which depends on the market and the wake, not on the memory."""
    from ocw_mcp.sandbox.claude.characters import Say, SeededRandom, trader
    from ocw_mcp.sandbox.claude.request import MessagesRequest

    chance = SeededRandom(1, f"{request.wake} {request.turn}".encode())
    answer = trader(MessagesRequest.model_validate(request.body), chance)
    content: list[dict[str, Any]] = []
    for number, part in enumerate(answer.parts):
        if isinstance(part, Say):
            content.append({"type": "text", "text": part.text})
        else:
            call = {"type": "tool_use", "id": f"t{request.turn}-{number}", "name": part.name, "input": part.input}
            content.append(call)
    calls = any(each["type"] == "tool_use" for each in content)
    return Reply("tool_use" if calls else "end_turn", tuple(content), usage)


def _entry(request: Request) -> Reply:
    """Return a diary entry whose prompt is billed as prose."""
    prompt = math.ceil(len(request.body["messages"][0]["content"][0]["text"]) / CHARS_A_TOKEN["memory"])
    content = {"type": "text", "text": f"{_text(250)}\nLesson: {_text(150)}"}
    return Reply("end_turn", (content,), TokenUsage(plain=prompt, output=ENTRY_OUTPUT))


def _bill(tokens: int, known: int, ttl: Ttl | None) -> TokenUsage:
    """Return the usage of a segment with `known` cached tokens; with `ttl` the other tokens are cached now."""
    new = {None: "plain", "5m": "written_5m", "1h": "written_1h"}[ttl]
    return TokenUsage(read=known, **{new: tokens - known})


def characters(body: dict[str, Any]) -> dict[str, int]:
    """Return the characters of each segment of a request; the segment `results` includes the tool calls."""
    first, *rest = body["messages"]
    context = "".join(block["text"] for block in first["content"])
    remembered = next((each for each in context.split("\n\n") if each.startswith(HEADING)), "")
    return {
        "tools": len(msgspec.json.encode(body["tools"]).decode()),
        "system": sum(len(block["text"]) for block in body["system"]),
        "context": len(context) - len(remembered),
        "memory": len(remembered),
        "results": len(msgspec.json.encode(without_cache_control(rest)).decode()) if rest else 0,
    }


def segments(body: dict[str, Any]) -> dict[str, int]:
    """Return the estimated tokens of each segment."""
    return {name: math.ceil(count / CHARS_A_TOKEN[name]) for name, count in characters(body).items()}


class EngineTime(SimulatedClock):
    """Waits in engine time, as a live run waits in real time: the stand-in's prompt cache ages in engine time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.paused = 0
        """The number of tasks that wait now."""

    def now(self) -> int:
        """Return the engine time of the run, ms."""
        return self._clock.now()

    async def pause(self, ms: float) -> None:
        """Wait for `ms` of engine time."""
        ends = self.now() + ms
        self.paused += 1
        try:
            while self.now() < ends:
                await self.wait_until(0)
        finally:
            self.paused -= 1


class Yielding:
    """A feed that waits before each frame until no call is under way that keeps the prompt cache."""

    def __init__(self, feed: Feed) -> None:
        self.identity = feed.identity
        self.time: EngineTime | None = None
        self.keeper: CacheKeeper | None = None
        self._feed = feed

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """Yield the frames of the feed."""
        async for frame in self._feed.frames(after):
            if self.time is not None and self.keeper is not None and not frame.history:
                await self.time.wait_until(0)
                while self.keeper.busy and not self.time.paused:
                    await self.time.wait_until(0)
            yield frame


class Seat(NamedTuple):
    """A book, and a function that makes a decider for this book from a stand-in, with an unspent budget."""

    book: WiredRun
    seated: Callable[[StandIn], ClaudeDecider]


@asynccontextmanager
async def open_seat(
    feed: Feed,
    policies: LoadedPolicies,
    model: StandIn | None = None,
    diary: Diary | None = None,
    *,
    remembers: bool = True,
) -> AsyncIterator[Seat]:
    """Open a book with a diary. `model` decides each wake, or the rules if `model` is None."""
    shown, prompts = Yielding(feed), load_prompts(None)
    texts = Prompts(prompts.texts, policies.policies)

    def thinks(clock: Clock) -> ClaudeDecider:
        assert model is not None
        model.clock = clock
        shown.time = EngineTime(clock)
        shown.keeper = CacheKeeper(model, shown.time, MODEL)
        return ClaudeDecider(model, texts, policies.policies, clock, MODEL, shown.keeper)

    agent, made = ("rules", None) if model is None else (CLAUDE, thinks)
    with open_book(shown, policies, agent, made) as (book, directory):
        facade = facade_of(book, directory)
        server = build(lambda: facade, __version__)
        server.name_in_process = CLAUDE
        save_memory(directory, MemoryState(BOOK, diary=diary or Diary()))
        spending = SpendingLog(directory, BOOK)
        writer = None if model is None else Writer(model, texts, prompts.hash, WriterTerms(model=MODEL))
        memory = Memory(
            directory, BOOK, facade.history, policies.policies.rules, writer, enabled=remembers, spending=spending
        )
        async with Client(server) as client:
            if isinstance(book.decider, ClaudeDecider):
                book.decider.attach(EngineAccess(client, facade.thinking_spent_usd, memory, spending))

            def seated(model: StandIn) -> ClaudeDecider:
                made = ClaudeDecider(model, texts, policies.policies, book.clock, MODEL)
                made.attach(EngineAccess(client, lambda: (ZERO, ZERO), memory))
                return made

            yield Seat(book, seated)
            if isinstance(book.decider, ClaudeDecider):
                await book.decider.close()
        await memory.close()


def full_diary(shown: Snapshot, rules: RulesPolicy) -> Diary:
    """Return a diary full of entries that match the snapshot, so that a request contains as many as are allowed."""
    diary, at = Diary(), shown.at - HOUR
    for order, each in enumerate(situations(shown, rules) * 3, 1):
        reflection = Reflection(
            origin=Origin(at, MODEL, "bench"),
            order=order,
            wake=order,
            side="long" if order % 2 else "short",
            situation=each,
            closed_at=at,
            closed_by="stop",
            pnl=Decimal(-12),
            text=_text(LONGEST_REFLECTION),
            lesson=_text(LONGEST_LESSON),
        )
        diary = diary.with_entry(reflection)
    return diary.with_entry(Digest(Origin(at, MODEL, "bench"), utc_day(at - DAY), _text(LONGEST_DIGEST)))


def _text(characters: int) -> str:
    return (WORDS * (characters // len(WORDS) + 1))[:characters]

"""A book on the simulated market, with Claude's decider, a stand-in for the model and a full diary."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Final, NamedTuple

from mcp import Client

from ocw_mcp import __version__
from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.agent.decider import ClaudeDecider, EngineAccess
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
)
from ocw_mcp.agent.memory.memory import Memory
from ocw_mcp.agent.memory.situations import situations
from ocw_mcp.agent.memory.writer import Writer, WriterTerms
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.agent.spending import SpendingLog
from ocw_mcp.app.bench.fixtures import BOOK, open_book
from ocw_mcp.app.bench.stand_in import StandIn
from ocw_mcp.app.claude import MODEL
from ocw_mcp.app.compose import WiredRun
from ocw_mcp.app.policy_loader import LoadedPolicies, load_prompts
from ocw_mcp.app.serve import facade_of
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import CLAUDE
from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.protocols import Clock
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.time import DAY, HOUR, utc_day
from ocw_mcp.interfaces.mcp.server import build

WORDS: Final = "The trend of the hour held, and the stop lay where it had to; what came after was not foreseen. "


class Seat(NamedTuple):
    """A book, and a function that returns a new decider for it with a full budget, given the stand-in for the model."""

    book: WiredRun
    seated: Callable[[StandIn], ClaudeDecider]


@asynccontextmanager
async def open_seat(
    feed: SimulatedFeed, policies: LoadedPolicies, model: StandIn | None = None, diary: Diary | None = None
) -> AsyncIterator[Seat]:
    """Open a book with a diary, for which a model decides, or the rules if there is no model."""
    prompts = load_prompts(None)
    texts = Prompts(prompts.texts, policies.policies)

    def decider(model: StandIn, clock: Clock) -> ClaudeDecider:
        return ClaudeDecider(model, texts, policies.policies, clock, MODEL)

    def thinks(clock: Clock) -> ClaudeDecider:
        assert model is not None
        model.clock = clock
        return decider(model, clock)

    agent, made = ("rules", None) if model is None else (CLAUDE, thinks)
    with open_book(feed, policies, agent, made) as (book, directory):
        facade = facade_of(book, directory)
        server = build(lambda: facade, __version__)
        server.name_in_process = CLAUDE
        save_memory(directory, MemoryState(BOOK, diary=diary or Diary()))
        spending = SpendingLog(directory, BOOK)
        writer = None if model is None else Writer(model, texts, prompts.hash, WriterTerms(model=MODEL))
        memory = Memory(directory, BOOK, facade.history, policies.policies.rules, writer, spending=spending)
        async with Client(server) as client:
            if isinstance(book.decider, ClaudeDecider):
                book.decider.attach(EngineAccess(client, facade.thinking_spent_usd, memory, spending))

            def seated(model: StandIn) -> ClaudeDecider:
                made = decider(model, book.clock)
                made.attach(EngineAccess(client, lambda: (ZERO, ZERO), memory))
                return made

            yield Seat(book, seated)
        await memory.close()


def full_diary(shown: Snapshot, rules: RulesPolicy) -> Diary:
    """Return a diary of trades in the situations of the snapshot, and of the day before.

    All of its entries match the snapshot, so that a request contains as many as are allowed.
    """
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

"""A memory over a past that a test sets."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from ocw_mcp.adapters.store.views.days import DayPage, EventRow
from ocw_mcp.adapters.store.views.steps import Step
from ocw_mcp.adapters.store.views.story import Story, StoryAnswer
from ocw_mcp.adapters.store.views.trades import TradePage, TradeRow
from ocw_mcp.agent.memory.diary import load_memory
from ocw_mcp.agent.memory.memory import KNOWN_AFTER_MS, Memory
from ocw_mcp.agent.memory.writer import Writer, WriterTerms
from ocw_mcp.agent.messages import Messages, Reply, Request, Trouble
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.domain import events
from ocw_mcp.domain.asks import DecisionKey
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.snapshot import Snapshot
from tests.support.agent import ScriptedModel, says
from tests.support.memory import NOON, WRITER
from tests.support.views import RISING, snapshot, view

POLICIES = load_policies(None).policies
PROMPTS = Prompts(load_prompts(None).texts, POLICIES)
BOOK = "abc123"
D = Decimal
LATER = NOON + KNOWN_AFTER_MS + 1
"""A wake at which the entries begun at noon are known."""
WROTE = says("It broke out, and fell back.\nLesson: Wait for the close.")


class FakePast:
    """A history of some trades, each decided at wake 7, and of some days."""

    def __init__(self, *trades: TradeRow, days: Sequence[str] = ()) -> None:
        self.all = list(trades)
        self.days = days
        self.fails: Exception | None = None

    async def trades(self, limit: int, *, since: Any = None, until: Any = None, **other: Any) -> TradePage:
        if self.fails is not None:
            raise self.fails
        found = [each for each in self.all if (since or 0) <= each.closed_at < (until or 2**62)]
        return TradePage(found[::-1][:limit], len(found), 0, 0, ZERO, ZERO, ZERO, None)

    decider, tainted = "claude", False
    before: tuple[Leg, ...] = ()
    """The legs before the one that was carried out: refused ones."""

    async def story(self, id_: str | None) -> Story:
        decision = Decision(
            (*self.before, Leg("BTCUSDT", Action.BUY, reasoning="It breaks out.", signals=("momentum",)))
        )
        orders = [OrderRef(each.order, Purpose.ENTRY) for each in self.all]
        sent = [
            Step(1, 0, events.OrderIntended(ref, self._intent(f"{DecisionKey(7).leg(len(self.before))}"), ""))
            for ref in orders
        ]
        closed = [
            Step(1, each.closed_at, events.PositionClosed("BTCUSDT", each.opened_at, each.pnl, each.fees, mfe=0.02))
            for each in self.all
        ]
        return Story(
            "",
            BOOK,
            7,
            "BTCUSDT",
            0,
            (),
            StoryAnswer(0, self.decider, 0, decision, tainted=self.tainted),
            [],
            [],
            [*sent, *closed],
            0,
            at(0),
        )

    def _intent(self, key: str) -> OrderIntent:
        terms = ("BTCUSDT", Side.BUY, OrderType.MARKET, Purpose.ENTRY, D(1))
        return OrderIntent(key, self.decider, *terms, wake_id=7)

    async def day(self, day: str | None, kinds: tuple[str, ...], limit: int, after: int | None = None) -> DayPage:
        opened, made = events.DayOpened(day or "", D(10_000)), events.DecisionMade(1, "claude", 0, Decision())
        happened: list[events.DomainEvent] = [opened, made]
        rows = [EventRow(n, n, each) for n, each in enumerate(happened)] if day in self.days else []
        return DayPage(day, rows, len(rows), None)


class Slow(ScriptedModel):
    """A model that waits for an event before each answer."""

    def __init__(self, *answers: Reply | Trouble) -> None:
        super().__init__(*answers)
        self.go = asyncio.Event()
        self.began = asyncio.Event()

    async def create(self, request: Request) -> Reply | Trouble:
        self.began.set()
        await self.go.wait()
        return await super().create(request)


def at(time: int) -> Snapshot:
    """Return the snapshot of a wake, the same at any time."""
    return msgspec.structs.replace(snapshot(view(RISING)), at=time)


def memory(directory: Path, past: FakePast, model: Messages | None, **more: Any) -> Memory:
    terms = WriterTerms(model=more.pop("name", WRITER), usd_per_day=more.pop("usd_per_day", D("0.05")))
    writer = None if model is None else Writer(model, PROMPTS, "hash of prompts", terms)
    return Memory(directory, BOOK, past, POLICIES.rules, writer, **more)


def spent(directory: Path) -> Decimal:
    return sum(load_memory(directory, BOOK)[0].spent.values(), ZERO)


async def wake(one: Memory, time: int, left: str = "1") -> str:
    return await one.at_wake(at(time), D(left))

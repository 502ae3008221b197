"""What clients and an attached decider have begun with a live book goes on after a kill and a restart."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import AwaitsApproval, CallerRequest, Done, LegRequest, SubmitRequest
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.market import FeedNotice, FeedNoticeKind, Frame
from ocw_mcp.domain.orders import ATTACHED, OrderRef, Purpose
from ocw_mcp.domain.steps import Command, Verb
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.runtime.deciders import AttachedDecider
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.live import Held, live_frames, quoted
from tests.support.markets import START
from tests.support.runs import Commands, Run, policies
from tests.support.stores import MemoryStore

D = Decimal
WATCHED = policies(
    gate={"close_wakes": ["1m"], "cooldown_s": 0},
    approval={"above_notional": 500, "modes": [], "answer_s": 120},
    price={"max_move": "0.01"},
)
LARGE = LegRequest("k1", "anna", Leg("BTCUSDT", Action.BUY, size=D("0.1"), stop=D(97), reasoning="a breakout"))
SMALL = LegRequest("k2", "anna", Leg("BTCUSDT", Action.BUY, size=D("0.01"), stop=D(97)))
FRAMES = live_frames([100.0, 100.0])
LAST = FRAMES[-1].at


class Book:
    """A live book that can be killed and started again."""

    def __init__(self, attached: bool = False) -> None:
        self.store = MemoryStore()
        self.attached = attached
        self.box = Commands()

    @asynccontextmanager
    async def running(self, frames: list[Frame], at: int = START) -> AsyncIterator[Run]:
        """Yield a run that has taken some frames from a time (ms) on, and kill it afterwards."""
        feed = Held(frames)
        feed.clock.at = at
        decider, agent = (AttachedDecider(), ATTACHED) if self.attached else (Scripted({}), "test")
        run = Run(
            feed,
            decider,
            store=self.store,
            policy=WATCHED,
            clock=feed.clock,
            live=True,
            agent=agent,
            commands=self.box,
        )
        going = asyncio.ensure_future(run.go())
        try:
            async with asyncio.timeout(5):
                await feed.through.wait()
                for _ in range(20):
                    await feed.clock.pause(0)
                yield run
        finally:
            going.cancel()
            await asyncio.wait({going})
            self.store = self.store.reopened()


async def ask(run: Run, request: CallerRequest) -> Answer:
    async with asyncio.timeout(5):
        return await run.simulation.shell.ask(request)


async def test_a_repeated_request_after_a_kill_gets_its_answer_and_sends_nothing() -> None:
    book = Book()
    async with book.running(FRAMES) as run:
        first = await ask(run, SMALL)
        assert isinstance(first, OrderRef)
    async with book.running([quoted("BTCUSDT", LAST + 5 * SECOND, 100.0)], LAST + 4 * SECOND) as run:
        assert await ask(run, SMALL) == first
        entries = [each for each in run.events(events.OrderIntended) if each.intent.purpose is Purpose.ENTRY]
        assert len(entries) == 1
        assert [fill.ref.leg for fill in run.events(events.OrderFilled)] == [Purpose.ENTRY]


@pytest.mark.parametrize(("later_s", "granted"), [(30, True), (400, False)])
async def test_an_order_that_awaits_approval_survives_a_kill_until_its_time_is_over(
    later_s: int, granted: bool
) -> None:
    book = Book()
    async with book.running(FRAMES) as run:
        answer = await ask(run, LARGE)
        assert isinstance(answer, AwaitsApproval)
    at = LAST + later_s * SECOND
    frames = [quoted("BTCUSDT", at + index * SECOND, 100.0) for index in (1, 2)]
    async with book.running(frames, at) as run:
        book.box.put(Command("c1", Verb.APPROVE, "ben", subject=answer.approval_id))
        async with asyncio.timeout(5):
            while not book.box.taken:
                await run.clock.pause(10)
        assert bool(list(run.events(events.OrderIntended))) is granted
        assert await ask(run, LARGE) is not None


async def test_an_attached_client_answers_the_wake_that_was_open_at_a_kill() -> None:
    book = Book(attached=True)
    async with book.running(FRAMES) as run:
        request = run.engine.decisions.open_request
        assert request is not None
    at = LAST + 3 * SECOND
    async with book.running([quoted("BTCUSDT", at + SECOND, 100.0)], at) as run:
        asked = SubmitRequest("k3", "anna", request.wake_id, buy("97", "0.01"))
        answer = await ask(run, asked)
        assert isinstance(answer, Done)
        (made,) = run.events(events.DecisionMade)
        assert (made.wake_id, made.decider) == (request.wake_id, "anna")
    async with book.running([quoted("BTCUSDT", at + 3 * SECOND, 100.0)], at + 2 * SECOND) as run:
        assert await ask(run, asked) == answer
        assert len(run.events(events.DecisionMade)) == 1
        assert len([each for each in run.events(events.OrderIntended) if each.ref.leg is Purpose.ENTRY]) == 1


async def test_an_approval_in_an_outage_sends_no_order() -> None:
    book = Book()
    async with book.running(FRAMES) as run:
        answer = await ask(run, LARGE)
        assert isinstance(answer, AwaitsApproval)
    at = LAST + 20 * SECOND
    outage = Frame(at, notices=(FeedNotice(at, FeedNoticeKind.DEGRADED, "market", "no stream answers"),))
    async with book.running([quoted("BTCUSDT", at - SECOND, 100.0), outage], at - SECOND) as run:
        book.box.put(Command("c1", Verb.APPROVE, "ben", subject=answer.approval_id))
        async with asyncio.timeout(5):
            while not book.box.taken:
                await run.clock.pause(10)
        assert run.events(events.OrderIntended) == []
        assert [each.refusal.code for each in run.events(events.OrderRefused)] == ["APPROVAL_REQUIRED", "NOT_ACTIVE"]

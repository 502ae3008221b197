"""A decider of a live book that is slow to end, or whose run ends, delays nothing and loses no cost."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import NoteRequest, SubmitRequest
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.errors import BookError, FeedError
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.protocols import Checkpoint
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.runtime import asking
from ocw_mcp.runtime.thinking import NEVER, PendingDecision
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.live import Held, ListedLive, live_frames
from tests.support.runs import Run, policies
from tests.support.stores import MemoryStore

SOON = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, decision={"deadline_s": 30})
FALL = [100.0, 100.0, 100.0, 94.0]


class Stubborn:
    """Buys at the first wake. At later wakes it does not answer, and does not end when it is cancelled."""

    name = "stubborn"

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.asked: list[int] = []
        self.deciding = 0
        self.most = 0

    def thinking_ms(self, request: DecisionRequest) -> int:
        return 0

    def cost_usd(self, wake_id: int) -> Decimal:
        return Decimal(wake_id) / 100 if wake_id in self.asked else Decimal(0)

    async def decide(self, request: DecisionRequest) -> Decision:
        self.asked.append(request.wake_id)
        if request.wake_id == 1:
            return buy("97")
        self.deciding += 1
        self.most = max(self.most, self.deciding)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await self.released.wait()
            raise
        finally:
            self.deciding -= 1
        raise AssertionError("it is always cancelled")


async def test_a_decider_that_does_not_end_delays_no_stop() -> None:
    feed, decider = Held(live_frames(FALL)), Stubborn()
    run = Run(feed, decider, policy=SOON, clock=feed.clock, live=True)
    going = asyncio.ensure_future(run.go())
    async with asyncio.timeout(5):
        await feed.through.wait()
    assert [fill.ref.leg for fill in run.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.STOP]
    assert decider.most == 1, "one decision at a time"
    decider.released.set()
    feed.ends.set()
    await going
    (lost,) = run.events(events.DecisionDiscarded)
    assert (lost.wake_id, lost.cost_usd) == (2, Decimal("0.02")), "wake 3 was not asked, and wake 4 is asked again"


@pytest.mark.parametrize("error", [None, FeedError("the exchange has no such symbol")])
async def test_the_end_of_a_run_books_given_up_costs(error: FeedError | None, monkeypatch: pytest.MonkeyPatch) -> None:
    feed, decider = Held(live_frames(FALL[:3]), error), Stubborn()
    run = Run(feed, decider, policy=SOON, clock=feed.clock, live=True)
    going = asyncio.ensure_future(run.go())
    async with asyncio.timeout(5):
        await feed.through.wait()
        assert run.events(events.DecisionDiscarded) == []
        decider.released.set()
        feed.ends.set()
        if error is None:
            await going
        else:
            with pytest.raises(FeedError):
                await going
    assert [each.wake_id for each in run.events(events.DecisionDiscarded)] == [2]
    (*_, (_, stopped)) = run.store.all_events()
    assert isinstance(stopped, events.RunStopped)
    assert stopped.why == ("the market ended" if error is None else f"the market is at fault: {error}")
    again = Run(ListedLive([]), decider, store=run.store.reopened(), policy=SOON, clock=feed.clock, live=True)
    assert again.engine.decisions.budget.spent(feed.clock.at)[0] == Decimal("0.03")


async def test_a_run_ends_though_its_decider_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "END_WITHIN_S", 0.01)
    feed, decider = ListedLive(live_frames(FALL[:3])), Stubborn()
    run = Run(feed, decider, policy=SOON, clock=feed.clock, live=True)
    async with asyncio.timeout(5):
        await run.go()
    assert run.store.checkpoint() is not None
    decider.released.set()


@pytest.mark.parametrize("error", [None, FeedError("the exchange has no such symbol")])
async def test_a_request_at_the_end_of_the_market_gets_an_answer(error: FeedError | None) -> None:
    feed = Held(live_frames(FALL[:2]), error)
    run = Run(feed, policy=SOON, clock=feed.clock, live=True)
    going = asyncio.ensure_future(run.go())
    await feed.through.wait()
    feed.ends.set()
    request = asyncio.ensure_future(run.simulation.shell.ask(NoteRequest("k1", "anna", "a note")))
    await asyncio.wait({going, request}, timeout=5)
    assert request.done()
    late = asyncio.ensure_future(run.simulation.shell.ask(NoteRequest("k2", "anna", "a note")))
    with pytest.raises(BookError, match="send it to the next run"):
        await late
    assert isinstance(going.exception(), FeedError if error else type(None))


async def test_a_submission_that_waits_at_the_give_up_gets_an_answer() -> None:
    done = await Run(ListedLive(live_frames(FALL[:2])), decider := Scripted({}), policy=SOON, live=True).go()
    (*_, request), thinking = decider.asked, Stubborn()
    thinking.released.set()
    pending = PendingDecision(request, NEVER, asyncio.ensure_future(thinking.decide(request)))
    submit = SubmitRequest("k1", "scripted", request.wake_id, buy("97"))
    submitting = asyncio.ensure_future(pending.submit(submit))
    await done.clock.pause(0)
    pending.cancel()
    assert await submitting is None
    await pending.ended()
    assert not pending.running


class LosesLock(MemoryStore):
    """A store whose lock another process has taken from a time on."""

    lost = False

    def commit(self, checkpoint: Checkpoint | None = None, summarise: Callable[[], Any] | None = None) -> None:
        if self.lost:
            raise BookError("another engine may have the book")
        super().commit(checkpoint, summarise)


async def test_a_request_whose_run_fails_in_it_gets_an_answer() -> None:
    store, feed = LosesLock(), Held(live_frames(FALL[:2]))
    run = Run(feed, store=store, policy=SOON, clock=feed.clock, live=True)
    going = asyncio.ensure_future(run.go())
    await feed.through.wait()
    store.lost = True
    with pytest.raises(BookError, match="its outcome is not known; repeat the request"):
        async with asyncio.timeout(5):
            await run.simulation.shell.ask(NoteRequest("k1", "anna", "a note"))
    with pytest.raises(BookError, match="another engine"):
        await going

"""A live run processes frames, timers and answers in the order in which they come."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain import events
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Purpose, VenueReport
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command
from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from ocw_mcp.runtime import clock, pacing
from ocw_mcp.runtime.clock import LiveClock
from tests.support.clocks import HandClock
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.live import Held, live_frames
from tests.support.markets import START, HandFed, ListFeed, path
from tests.support.runs import Commands, Run, policies

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


class FastClock(LiveClock):
    """A live clock on which a minute passes in some milliseconds, from `first` on."""

    def __init__(self, speed: int = 10_000, first: int = START) -> None:
        super().__init__(speed, first)


class Doorbell:
    """A decider that answers when the test says so."""

    name = "doorbell"

    def __init__(self, answer: Decision) -> None:
        self.rung = asyncio.Event()
        self.asked = asyncio.Event()
        self._answer = answer

    def thinking_ms(self, request: DecisionRequest) -> int:
        raise AssertionError("live, nobody models how long thinking takes")

    async def decide(self, request: DecisionRequest) -> Decision:
        self.asked.set()
        await self.rung.wait()
        return self._answer


def live(feed: ListFeed, decider: Doorbell, policy=WAKES, clock=None) -> Run:  # type: ignore[no-untyped-def]
    return Run(feed, decider, policy=policy, clock=clock or FastClock())


async def test_live_candles_are_processed_while_a_decision_is_open() -> None:
    feed, bell = HandFed(path([100.0] * 5)), Doorbell(buy("97"))
    slow = FastClock(10, START + 5 * MINUTE)
    patient = policies(
        gate={"close_wakes": ["1m"], "cooldown_s": 0}, decision={"deadline_s": 900}, data={"slack_s": 600}
    )
    run = live(feed, bell, patient, slow)
    going = asyncio.ensure_future(run.go())
    feed.give(3)
    await bell.asked.wait()
    while run.engine.counters.candles < 2:
        await run.clock.wait_until(0)
    assert run.events(events.DecisionMade) == []
    bell.rung.set()
    while not run.events(events.OrderIntended):
        await run.clock.wait_until(0)
    feed.give(3)
    await going
    assert [fill.ref.leg for fill in run.events(events.OrderFilled)] == [Purpose.ENTRY]
    assert run.events(events.DecisionMade)[0].thinking_ms > 0


async def test_live_halt_is_taken_while_a_decision_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert clock.POLL_MS <= 200
    monkeypatch.setattr(pacing, "POLL_MS", 1)
    feed, bell, box = HandFed(path([100.0] * 5)), Doorbell(buy("97")), Commands()
    run = Run(feed, bell, policy=WAKES, clock=HandClock(START + MINUTE), commands=box)
    going = asyncio.ensure_future(run.go())
    feed.give(2)
    async with asyncio.timeout(5):
        await bell.asked.wait()
        box.put(Command("c1", "halt", "a person"))
        while not box.taken:
            await asyncio.sleep(0)  # noqa: TID251 - lets the run go on
        assert run.engine.account.trading_state is TradingState.HALTED
        assert run.engine.counters.candles == 1
        assert run.engine.decisions.open_request
        run.simulation.stop()
        await going
    assert run.events(events.DecisionMade) == []


async def test_live_timer_fires_without_a_candle() -> None:
    feed, bell = HandFed(path([100.0] * 3)), Doorbell(buy("97"))
    run = live(feed, bell, policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, decision={"deadline_s": 120}))
    going = asyncio.ensure_future(run.go())
    feed.give(2)
    while not run.events(events.DecisionMade):
        await run.clock.wait_until(run.clock.now() + SECOND)
    at, made = run.timed(events.DecisionMade)[0]
    asked, _ = run.timed(events.WakeRaised)[0]
    assert made.decision.cause_kind is CauseKind.DEADLINE
    assert at - asked >= 2 * MINUTE
    feed.give(2)
    await going
    assert run.events(events.OrderIntended) == []


@pytest.mark.parametrize("second_jump", [False, True])
async def test_live_clock_set_back_refuses_entries_and_stops_time(second_jump: bool) -> None:
    feed, hand = HandFed(path([100.0] * 6)), HandClock(START + MINUTE)
    run = Run(feed, Scripted({2: buy("97")}), policy=WAKES, clock=hand)
    going = asyncio.ensure_future(run.go())
    feed.give(2)
    async with asyncio.timeout(5):
        while run.engine.counters.candles < 1:
            await hand.let_pass(0)
        await hand.let_pass(-HOUR)
        feed.give(1)
        while run.engine.counters.candles < 2:
            await hand.let_pass(0)
        if second_jump:
            await hand.let_pass(HOUR + MINUTE)
            feed.give(1)
            while run.engine.counters.candles < 3:
                await hand.let_pass(0)
            await hand.let_pass(-HOUR)
        feed.give(9)
        await going
    falls = [each.text for each in run.events(events.Incident) if "the clock fell back by 3600 s" in each.text]
    assert len(falls) == 1 + second_jump
    assert run.engine.account.trading_state is TradingState.REDUCING
    assert [each.refusal.code for each in run.events(events.OrderRefused)] == ["NOT_ACTIVE"]
    times = [stored.at for stored in run.store.domain]
    assert times == sorted(times)


async def test_live_market_ahead_of_the_clock_refuses_entries() -> None:
    feed, hand = HandFed(path([100.0] * 4)), HandClock(START + MINUTE)
    run = Run(feed, Scripted({3: buy("97")}), policy=WAKES, clock=hand)
    feed.give(9)
    async with asyncio.timeout(5):
        await run.go()
    (incident,) = run.events(events.Incident)
    assert incident.text.startswith("the market is 120 s ahead of the clock")
    assert run.engine.account.trading_state is TradingState.REDUCING
    assert [each.refusal.code for each in run.events(events.OrderRefused)] == ["NOT_ACTIVE"]


async def test_live_run_that_does_not_hear_its_venue_ends() -> None:
    class Deaf(PaperVenue):
        def reports(self) -> AsyncIterator[VenueReport]:
            raise ConnectionError("the stream of orders was closed")

    feed, venue = Held(live_frames([100.0])), Deaf(Product.UM, Decimal(10_000), MINUTE, live=True)
    run = Run(feed, policy=WAKES, clock=feed.clock, live=True, venue=venue)
    with pytest.raises(ConnectionError, match="the stream of orders was closed"):
        async with asyncio.timeout(5):
            await run.go()

"""A live book that was down: timers that are overdue wait until the missed candles are known and prices are live."""

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain import events
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import FeedNotice, FeedNoticeKind, Frame, Product
from ocw_mcp.domain.orders import Purpose, Rejected
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command, TimerKind
from ocw_mcp.domain.time import MINUTE, SECOND
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.live import ListedLive, Silent, live_frames, quoted
from tests.support.markets import START, candle
from tests.support.runs import Commands, Run, policies
from tests.support.stores import MemoryStore

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


def late(first: int, closes: Sequence[float]) -> list[Frame]:
    """Return late frames, each with the next minute's candle."""
    return [
        Frame(START + (first + index + 1) * MINUTE, (candle(first + index, close),), late=True)
        for index, close in enumerate(closes)
    ]


def started(store: MemoryStore, frames: Sequence[Frame], at: int, **more) -> Run:  # type: ignore[no-untyped-def]
    """Return a run that starts at `at` (ms) and gets these frames."""
    feed = more.pop("feed", None) or ListedLive(frames)
    feed.clock.at = at
    more.setdefault("policy", WAKES)
    decider = more.pop("decider", None) or Scripted(more.pop("script", {}))
    return Run(feed, decider, store=store, clock=feed.clock, live=True, **more)


class Hangs(Scripted):
    """A decider that never answers."""

    def __init__(self) -> None:
        super().__init__({})

    async def decide(self, request: DecisionRequest) -> Decision:
        self.asked.append(request)
        await asyncio.Event().wait()
        raise AssertionError("it is always cancelled")


async def with_position() -> MemoryStore:
    """Return the store of a book that was stopped after two minutes, with a position."""
    return (await started(MemoryStore(), live_frames([100.0, 100.0]), START, script={1: buy("97")}).go()).store


@pytest.mark.parametrize("first", [(), ("books",), ("marks",)])
async def test_watchdog_waits_for_the_missed_candles_and_a_price(first: tuple[str, ...]) -> None:
    store = (await with_position()).reopened()
    before = len(store.domain)
    at = START + 120 * MINUTE + 10 * SECOND
    price = quoted("BTCUSDT", at + SECOND, 101.0)
    parts = [Frame(price.at, **{part: getattr(price, part)}) for part in first]
    frames = [*late(2, [101.0] * 118), *parts, quoted("BTCUSDT", at + 2 * SECOND, 101.0)]
    done = await started(store, frames, at).go()
    new = [each.event for each in done.store.domain[before:]]
    assert [each for each in new if isinstance(each, events.Incident | events.StateChanged | events.WakeRaised)] == []


class NoStops(PaperVenue):
    """A live paper venue that rejects every stop."""

    def __init__(self) -> None:
        super().__init__(Product.UM, Decimal(10_000), 5 * MINUTE, live=True)

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        if cleared.order.ref.leg is Purpose.STOP:
            return self.say(Rejected(cleared.redeem(now).ref, RejectReason.TOO_MANY_STOPS, "no"))
        return await super().submit(cleared, now)


async def test_unprotected_position_is_closed_before_the_missed_candles() -> None:
    frames = [each for each in live_frames([100.0, 100.0]) if each.at < START + 2 * MINUTE - 20 * SECOND]
    stopped = await started(MemoryStore(), frames, START, script={1: buy("97")}, venue=NoStops()).go()
    assert stopped.events(events.PositionUnprotected)
    assert [each.ref.leg for each in stopped.events(events.OrderFilled)] == [Purpose.ENTRY]
    at = START + 60 * MINUTE
    feed = Silent([], at + SECOND)
    run = started(stopped.store.reopened(), [], at, feed=feed, venue=NoStops())
    await run.go()
    (closing,) = [sent for sent, each in run.timed(events.OrderIntended) if each.ref.leg is Purpose.EXIT]
    assert at <= closing <= at + SECOND


async def test_watchdog_works_if_no_candle_comes_after_a_restart() -> None:
    store = (await with_position()).reopened()
    at = START + 60 * MINUTE
    run = await started(store, [], at, feed=Silent([], at + 6 * MINUTE)).go()
    ((said, incident),) = run.timed(events.Incident)
    assert at + 5 * MINUTE <= said < at + 6 * MINUTE
    assert incident.text.startswith("no market data for ")
    assert run.engine.account.trading_state is TradingState.REDUCING


async def test_missed_candles_prolong_the_wait_for_prices() -> None:
    store = (await with_position()).reopened()
    at = START + 60 * MINUTE
    frames = [Frame(at + index * 10 * SECOND, (candle(2 + index, 101.0),), late=True) for index in range(50)]
    run = await started(store, [], at, feed=Silent(frames, at + 10 * MINUTE)).go()
    assert run.events(events.Incident) == []


@pytest.mark.parametrize(("known", "within_min"), [(False, 7), (True, 1)])
async def test_a_symbol_that_is_not_traded_any_more_does_not_hold_the_others(known: bool, within_min: int) -> None:
    symbols = ("BTCUSDT", "ETHUSDT")
    both = sorted([*live_frames([100.0] * 2), *live_frames([100.0] * 2, symbols[1])], key=lambda frame: frame.at)
    stopped = await started(MemoryStore(), [], START, feed=ListedLive(both, symbols), script={1: buy("97")}).go()
    at = START + 60 * MINUTE
    live = [Frame(at + index * MINUTE, (candle(59 + index, 101.0),)) for index in range(9)]
    priced = [quoted("BTCUSDT", frame.at + 20 * SECOND, 101.0) for frame in live]
    halted = FeedNotice(at, FeedNoticeKind.DEGRADED, "ETHUSDT", "the exchange does not trade it: SETTLING")
    notices = [Frame(at, notices=(halted,))] if known else []
    frames = sorted([*late(2, [101.0] * 57), *notices, *live, *priced], key=lambda frame: frame.at)
    end = at + within_min * MINUTE + 30 * SECOND
    feed = ListedLive([each for each in frames if each.at <= end], symbols)
    done = await started(stopped.store.reopened(), [], at, feed=feed).go()
    (next_check,) = [due for timer, due in done.engine.timers.items() if timer.kind is TimerKind.POSITIONS]
    assert next_check > end - MINUTE, "a check has been made since"


async def test_overdue_decision_is_not_asked_again() -> None:
    feed, hangs = Silent(live_frames([100.0, 100.0]), START + 2 * MINUTE + 5 * SECOND), Hangs()
    stopped = await started(MemoryStore(), [], START, feed=feed, decider=hangs).go()
    assert len(hangs.asked) == 1
    at = START + 60 * MINUTE
    frames = [*late(2, [101.0] * 58), quoted("BTCUSDT", at + SECOND, 101.0)]
    again = Hangs()
    done = await started(stopped.store.reopened(), frames, at, decider=again).go()
    assert again.asked == []
    (made,) = done.events(events.DecisionMade)
    assert made.decision.cause_kind is CauseKind.DEADLINE


async def test_rules_take_no_risk_on_a_snapshot_from_before_the_downtime() -> None:
    eager = {"timeframe": "15m", "entry_score": 0.1, "exit_score": 0.3, "rsi_too_high": 100, "adx_range": 1}
    policy = policies(
        gate={"close_wakes": ["15m"], "cooldown_s": 0}, fallback={"rules": "trade"}, rules=eager | {"adx_trend": 2}
    )
    rising = [100 * 1.0003**minute + 0.3 * math.sin(minute / 7) for minute in range(750)]
    frames = [each for each in live_frames(rising, every_s=60) if each.at <= START + 750 * MINUTE]
    stopped = await started(MemoryStore(), frames, START, decider=Hangs(), policy=policy, fallback=True).go()
    at = START + 810 * MINUTE
    frames = [
        *late(750, [rising[-1]] * 60),
        *(quoted("BTCUSDT", at + index * SECOND, rising[-1]) for index in range(9)),
    ]
    done = await started(stopped.store.reopened(), frames, at, decider=Hangs(), policy=policy, fallback=True).go()
    made = done.events(events.DecisionMade)[-1]
    assert made.decision.cause_kind is CauseKind.DEADLINE
    assert made.decider == "rules"
    assert not any(leg.action.adds_risk for leg in made.decision.legs)


@pytest.mark.parametrize("subject", ["market", "BTCUSDT"])
@pytest.mark.parametrize("again", [False, True])
async def test_an_outage_at_the_stop_does_not_last_after_a_restart(subject: str, again: bool) -> None:
    notice = Frame(
        START + 125 * SECOND, notices=(FeedNotice(START, FeedNoticeKind.DEGRADED, subject, "the exchange is silent"),)
    )
    stopped = await started(MemoryStore(), [*live_frames([100.0, 100.0]), notice], START).go()
    assert stopped.engine.account.trading_state is TradingState.REDUCING
    at = START + 10 * MINUTE
    frames = [*late(2, [100.0] * 8), quoted("BTCUSDT", at + SECOND, 100.0)]
    if again:
        frames.append(msgspec.structs.replace(notice, at=at + 2 * SECOND))
    done = await started(stopped.store.reopened(), frames, at).go()
    assert done.engine.account.trading_state is (TradingState.REDUCING if again else TradingState.ACTIVE)
    assert bool(done.engine.prices.degraded) is again
    (*_, restored) = [each.text for each in done.events(events.Incident) if "restored" in each.text]
    assert restored.startswith(f"market data restored, {subject}: the feed has started again")


async def test_a_halt_that_waited_takes_effect_before_anything_else() -> None:
    silent = FeedNotice(START, FeedNoticeKind.DEGRADED, "market", "the exchange is silent")
    frames = [*live_frames([100.0, 100.0]), Frame(START + 125 * SECOND, notices=(silent,))]
    stopped = await started(MemoryStore(), frames, START).go()
    box, at = Commands(), START + 3 * MINUTE
    box.put(Command("c1", "halt", "a person"))
    # All that comes after the start comes within the time between two polls.
    more = [*late(2, [100.0]), quoted("BTCUSDT", at + SECOND, 100.0)]
    done = await started(stopped.store.reopened(), more, at, commands=box).go()
    changes = [(each.before, each.after) for each in done.events(events.StateChanged)]
    active, reducing, halted = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED
    assert changes == [(active, reducing), (reducing, halted)]


@pytest.mark.parametrize("first_minutes", [1, 3])
async def test_the_time_of_a_live_run_does_not_count_the_downtime(first_minutes: int) -> None:
    frames = [each for each in live_frames([100.0] * 9) if each.at < START + first_minutes * MINUTE]
    stopped = await started(MemoryStore(), frames, START).go()
    at = START + 24 * 60 * MINUTE
    feed = Silent([], at + 20 * MINUTE)
    run = started(stopped.store.reopened(), [], at, feed=feed)
    why = await run.simulation.run("test", for_ms=10 * MINUTE)
    assert why == "its time is up"
    assert at + 10 * MINUTE < feed.clock.at <= at + 10 * MINUTE + 2 * SECOND


async def test_the_time_of_a_new_live_book_begins_with_its_first_live_frame() -> None:
    feed = Silent(live_frames([100.0]), START + 20 * MINUTE)
    run = started(MemoryStore(), [], START, feed=feed)
    assert await run.simulation.run("test", for_ms=10 * MINUTE) == "its time is up"
    assert START + 10 * MINUTE < feed.clock.at <= START + 10 * MINUTE + 22 * SECOND


async def test_a_machine_that_slept_judges_no_price_of_before() -> None:
    woken = START + 120 * MINUTE + 10 * SECOND
    frames = [*live_frames([100.0, 100.0]), *late(2, [101.0] * 118), quoted("BTCUSDT", woken + SECOND, 101.0)]

    class Sleeps(ListedLive):
        async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
            async for frame in super().frames(after):
                if frame.late:
                    self.clock.at = max(self.clock.at, woken)
                    for _ in range(9):
                        await self.clock.pause(0)
                yield frame

    done = await started(MemoryStore(), [], START, feed=Sleeps(frames), script={1: buy("97")}).go()
    (incident,) = done.events(events.Incident)
    assert incident.text == "market: the clock went on by 7089 s while this process did nothing"
    assert done.events(events.StateChanged) == []
    assert len(done.events(events.WakeRaised)) == 2


async def test_a_symbol_without_candles_does_not_make_an_existing_book_new() -> None:
    symbols = ("BTCUSDT", "ETHUSDT")
    feed = ListedLive(live_frames([100.0, 100.0]), symbols)
    stopped = await started(MemoryStore(), [], START, feed=feed, script={1: buy("97")}).go()
    again = ListedLive([], symbols)
    await started(stopped.store.reopened(), [], START + 10 * MINUTE, feed=again).go()
    assert again.asked_after == START + 2 * MINUTE


async def test_a_clock_set_back_between_two_runs_stops_time_and_risk() -> None:
    store = (await with_position()).reopened()
    behind = START - 60 * MINUTE
    first = await started(store, [Frame(behind + SECOND)], behind).go()
    (incident,) = [each.text for each in first.events(events.Incident)]
    assert incident.startswith("the clock fell back by ")
    assert first.engine.account.trading_state is TradingState.REDUCING
    at = START + 10 * MINUTE
    frames = [*late(2, [101.0] * 8), quoted("BTCUSDT", at + SECOND, 101.0)]
    again = await started(first.store.reopened(), frames, at).go()
    times = [each.at for each in again.store.domain]
    assert times == sorted(times)
    assert again.engine.now == at + SECOND
    assert again.engine.account.ledger.quantity("BTCUSDT") > 0
    assert [each.text for each in again.events(events.Incident)] == [incident]

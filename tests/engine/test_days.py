"""A UTC day ends after the candle that closes at midnight, and before a decision on it."""

import asyncio
from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from ocw_mcp.engine.summary import summary
from ocw_mcp.runtime import run as runtime_run
from tests.support.clocks import HandClock
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.legs import buy
from tests.support.markets import START, HandFed, ListFeed, candle
from tests.support.runs import Run, policies
from tests.support.stores import Crash, MemoryStore

MIDNIGHT = START + DAY
LAST = DAY // MINUTE - 1
"""The index of the minute that closes at midnight."""

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, stop={"max_distance": "0.4"})


def minutes(*closes: float, first: int = LAST - 2) -> list[Candle]:
    """Minutes, of which by default the third closes at midnight."""
    return [candle(first + index, close) for index, close in enumerate(closes)]


def told(run: Run) -> list[str]:
    """The names of the events that were journaled at midnight."""
    return [type(each.event).__name__ for each in run.store.domain if each.at == MIDNIGHT]


CRASH_AT_MIDNIGHT = [*minutes(100.0, 100.0), candle(LAST, 80.0, open_=100.0), *minutes(80.0, 80.0, first=LAST + 1)]


async def test_a_loss_at_midnight_belongs_to_the_day_that_ends() -> None:
    script = Scripted({1: buy("65", size="0.24"), 3: buy("65", size="0.1")})
    run = await Run(ListFeed(CRASH_AT_MIDNIGHT), script, policy=WAKES).go()
    (reached,) = run.timed(events.DailyLossReached)
    assert (reached[0], reached[1].day) == (MIDNIGHT, "2026-01-01")
    (first, second) = run.events(events.DayOpened)
    assert (first.day, second.day) == ("2026-01-01", "2026-01-02")
    assert second.equity == reached[1].equity < first.equity
    assert told(run)[:4] == ["FundingBooked", "DailyLossReached", "DayOpened", "WakeRaised"]
    assert summary(run.engine)["daily_loss_reached"] is False
    # The day before is closed for entries, the new one is not: what speaks against a second BUY is the position.
    assert [each.refusal.code for each in run.events(events.OrderRefused)] == ["ALREADY_IN_POSITION"]


def test_a_book_whose_first_day_has_not_begun_reports_no_loss() -> None:
    run = Run(ListFeed(minutes(100.0)))
    assert (run.events(events.DayOpened), summary(run.engine)["daily_loss"]) == ([], "0")


async def test_a_daily_loss_refuses_no_entry_decided_at_the_next_midnight() -> None:
    script = Scripted({1: buy("85", size="0.24"), 3: buy("65", size="0.1"), 4: buy("65", size="0.1")})
    candles = minutes(100.0, 100.0, 80.0, 80.0, 80.0, first=LAST - 3)
    run = await Run(ListFeed(candles), script, policy=WAKES).go()
    (refused,) = run.timed(events.OrderRefused)
    assert (refused[0], refused[1].refusal.code) == (MIDNIGHT - MINUTE, "DAILY_LOSS")
    assert [fill.ref.leg for fill in run.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.STOP, Purpose.ENTRY]


async def test_a_day_ends_with_the_close_of_its_daily_candle() -> None:
    closes = [100.0, 100.0, 80.0, 80.0, 80.0]
    candles = [candle(index, close, interval=DAY) for index, close in enumerate(closes)]
    script = Scripted({1: buy("65", size="0.24")})
    policy = policies(gate={"close_wakes": ["1d"], "cooldown_s": 0}, stop={"max_distance": "0.4"})
    run = await Run(ListFeed(candles), script, policy=policy).go()
    (reached,) = run.timed(events.DailyLossReached)
    assert (reached[0], reached[1].day) == (START + 3 * DAY, "2026-01-03")
    days = run.timed(events.DayOpened)
    assert [at for at, _ in days] == [START + index * DAY for index in range(6)]
    assert [event.equity for _, event in days][3] == reached[1].equity
    assert days[5][1].day == "2026-01-06"


async def test_a_day_without_its_last_candles_ends_after_the_data_slack() -> None:
    candles = [*minutes(100.0, 100.0, first=LAST - 9), candle(LAST + 11, 80.0), candle(LAST + 12, 80.0)]
    run = await Run(ListFeed(candles), Scripted({1: buy("65", size="0.24")}), policy=WAKES).go()
    opened = run.timed(events.DayOpened)[1]
    assert opened[0] == MIDNIGHT + WAKES.data.slack_s * SECOND
    assert opened[1].equity > Decimal(9_990)
    assert run.events(events.DailyLossReached)[0].day == "2026-01-02"


async def test_a_loss_in_the_first_candle_of_a_day_counts_for_that_day() -> None:
    candles = [*minutes(100.0, 100.0), candle(LAST + 1, 80.0, open_=100.0), candle(LAST + 2, 80.0)]
    run = await Run(ListFeed(candles), Scripted({1: buy("65", size="0.24")}), policy=WAKES).go()
    opened = run.timed(events.DayOpened)[1]
    # The opening at midnight is there, although the candle before it is not.
    assert (opened[0], opened[1].equity > Decimal(9_990)) == (MIDNIGHT, True)
    assert run.events(events.DailyLossReached)[0].day == "2026-01-02"


async def test_a_day_opens_before_the_loss_in_its_late_first_candle_counts() -> None:
    policy = policies(
        gate={"close_wakes": ["1m"], "cooldown_s": 0}, stop={"max_distance": "0.4"}, data={"slack_s": 900}
    )
    candles = [*minutes(100.0, 100.0), candle(LAST + 3, 80.0, open_=100.0), candle(LAST + 4, 80.0)]
    run = await Run(ListFeed(candles), Scripted({1: buy("65", size="0.24")}), policy=policy).go()
    opened = run.timed(events.DayOpened)[1]
    assert (opened[0], opened[1].equity > Decimal(9_990)) == (MIDNIGHT + 2 * MINUTE, True)
    assert run.events(events.DailyLossReached)[0].day == "2026-01-02"


async def test_days_within_a_data_gap_are_opened_one_by_one() -> None:
    late = (3 * DAY + HOUR) // MINUTE
    run = await Run(ListFeed([candle(0, 100.0), candle(late, 100.0)]), policy=WAKES).go()
    assert [event.day for event in run.events(events.DayOpened)] == [f"2026-01-0{day}" for day in range(1, 5)]


async def test_a_live_day_ends_only_with_the_candle_that_closes_at_midnight() -> None:
    feed, clock = HandFed(CRASH_AT_MIDNIGHT), HandClock(MIDNIGHT - 3 * MINUTE)
    run = Run(feed, Scripted({1: buy("65", size="0.24")}), policy=WAKES, clock=clock)
    going = asyncio.ensure_future(run.go())
    for _ in range(3):
        feed.give(1)
        await clock.let_pass(150)
        await clock.let_pass(MINUTE - 150)
    # It is midnight, and its candle is under way.
    await clock.let_pass(150)
    assert len(run.events(events.DayOpened)) == 1
    feed.give(1)
    await clock.let_pass(1)
    (reached,) = run.events(events.DailyLossReached)
    (_, second) = run.events(events.DayOpened)
    assert reached.day == "2026-01-01"
    assert (second.day, second.equity) == ("2026-01-02", reached.equity)
    run.simulation.stop()
    feed.give(1)
    await going


@again_among_slow
@pytest.mark.parametrize("every", [1, 3])
async def test_a_run_killed_around_midnight_resumes_to_the_same_events(
    every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", every)

    async def run(store: MemoryStore) -> Run:
        script = Scripted({1: buy("65", size="0.24"), 2: buy("65")}, lambda wake: 0 if wake == 1 else 90 * SECOND)
        return await Run(ListFeed(CRASH_AT_MIDNIGHT), script, policy=WAKES, store=store).go()

    undisturbed = await run(MemoryStore())
    for moment in some(undisturbed.store.crash_moments()):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await run(dying)
        resumed = await run(dying.reopened())
        assert resumed.store.fingerprint == undisturbed.store.fingerprint, f"died at {moment}"
        assert resumed.engine.state() == undisturbed.engine.state()

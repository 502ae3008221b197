"""A run that is killed at any point and started again gives the journal of an undisturbed run."""

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.errors import JournalDiverged, TapeError
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.summary import summary
from ocw_mcp.runtime import run as runtime_run
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.legs import add, buy, sell, short
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Commands, Run, policies
from tests.support.stores import Crash, MemoryStore

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
SCRIPT = {1: buy("97"), 3: add("98"), 5: buy("101"), 6: sell(), 8: short("103"), 11: buy("97")}


def market() -> list[Candle]:
    shape = [100, 100, 101, 102, 101, 100, 99, 100, 101, 104, 100, 100, 99, 100]
    return [
        *path([float(each) for each in shape]),
        *path([float(each) / 2 for each in shape], symbol="ETHUSDT"),
    ]


async def run(store: MemoryStore, commands: Commands | None = None) -> Run:
    return await Run(ListFeed(market()), Scripted(SCRIPT), store=store, policy=WAKES, commands=commands).go()


@again_among_slow
@pytest.mark.parametrize("every", [3, 1_000])
async def test_a_crash_at_any_append_or_commit_resumes_to_the_same_events(
    every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", every)
    whole = await run(MemoryStore())
    undisturbed = whole.store
    assert len(undisturbed.domain) > 60
    for moment in some(undisturbed.crash_moments()):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await run(dying)
        resumed = await run(dying.reopened())
        assert resumed.store.fingerprint == undisturbed.fingerprint, f"died at {moment}"
        assert summary(resumed.engine) == summary(whole.engine)
    assert summary((await run(resumed.store.reopened())).engine) == summary(whole.engine)


async def test_a_run_killed_repeatedly_resumes_to_the_same_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 4)
    undisturbed = (await run(MemoryStore())).store
    store = MemoryStore()
    deaths = 0
    while True:
        store.die_at = 30
        try:
            done = await run(store)
        except Crash:
            deaths += 1
            store = store.reopened()
            assert deaths < 60, "it makes no headway"
        else:
            break
    assert deaths > 2
    assert done.store.fingerprint == undisturbed.fingerprint


async def test_a_run_stopped_and_restarted_has_the_same_events() -> None:
    undisturbed = (await run(MemoryStore())).store
    for minutes in range(14):
        first = Run(ListFeed(market()), Scripted(SCRIPT), policy=WAKES)
        await first.go(for_ms=minutes * MINUTE)
        resumed = await run(first.store.reopened())
        assert resumed.store.fingerprint == undisturbed.fingerprint


async def test_after_a_halt_an_addition_is_refused_and_an_exit_passes() -> None:
    box = Commands()
    halted = Run(
        ListFeed(path([100.0] * 8)), Scripted({1: buy("97"), 4: add("98"), 5: sell()}), policy=WAKES, commands=box
    )
    heed = halted.simulation.poll

    async def heed_after_three_frames() -> None:
        if halted.simulation.cursor == START + 3 * MINUTE:
            box.put(Command("c1", "halt", "a person"))
        await heed()

    halted.simulation.poll = heed_after_three_frames  # type: ignore[method-assign]
    poll_every, runtime_run.POLL_EVERY = runtime_run.POLL_EVERY, 1
    try:
        await halted.go()
    finally:
        runtime_run.POLL_EVERY = poll_every
    assert halted.engine.account.trading_state is TradingState.HALTED
    assert [each.refusal.code for each in halted.events(events.OrderRefused)] == ["NOT_ACTIVE"]
    assert summary(halted.engine)["positions"] == []
    assert box.taken == ["c1"]


@again_among_slow
async def test_a_command_is_taken_once_over_any_number_of_crashes() -> None:
    def commands() -> Commands:
        return Commands([Command("c1", "halt", "a person")])

    undisturbed = (await run(MemoryStore(), commands())).store
    assert len(undisturbed.events(events.CommandTaken)) == 1
    for moment in some(range(1, undisturbed.touches + 1, 2)):
        dying, box = MemoryStore(), commands()
        dying.die_at = moment
        with pytest.raises(Crash):
            await run(dying, box)
        resumed = await run(dying.reopened(), box)
        assert resumed.store.fingerprint == undisturbed.fingerprint
        assert box.waiting() == ()


async def test_a_resume_makes_a_halted_engine_active() -> None:
    box = Commands([Command("c1", "halt", "a person"), Command("c2", "resume", "a person")])
    done = await run(MemoryStore(), box)
    assert [(each.before, each.after) for each in done.events(events.StateChanged)] == [
        (TradingState.ACTIVE, TradingState.HALTED),
        (TradingState.HALTED, TradingState.ACTIVE),
    ]


async def test_a_resumed_run_that_diverges_stops_and_changes_nothing() -> None:
    dying = MemoryStore()
    dying.die_at = 60
    with pytest.raises(Crash):
        await run(dying)
    store = dying.reopened()
    before = store.fingerprint
    with pytest.raises(JournalDiverged, match="start it with the agent") as stop:
        await Run(ListFeed(market()), Scripted({1: short("103")}), store=store, policy=WAKES).go()
    assert store.reopened().fingerprint == before
    assert "scripted decided on wake 1 after 0s: SHORT BTCUSDT" in str(stop.value)
    assert "DecisionMade(" not in str(stop.value)


async def test_changed_policies_after_a_clean_stop_are_journaled() -> None:
    first = Run(ListFeed(market()), Scripted({}), policy=WAKES)
    await first.go(for_ms=5 * MINUTE)
    second = Run(ListFeed(market()), Scripted({}), policy=WAKES, policy_hash="other", store=first.store.reopened())
    await second.go()
    assert [each.policy_hash for each in second.events(events.PoliciesLoaded)] == ["policy", "other"]


async def test_a_run_stopped_by_invalid_market_data_can_be_resumed() -> None:
    broken = Run(ListFeed(market(), breaks_at=START + 9 * MINUTE), Scripted(SCRIPT), policy=WAKES)
    with pytest.raises(TapeError, match="line 7"):
        await broken.go()
    mended = await run(broken.store.reopened())
    assert mended.store.fingerprint == (await run(MemoryStore())).store.fingerprint


async def test_a_finished_book_that_runs_again_gets_no_new_events() -> None:
    done = (await run(MemoryStore())).store
    again = await run(done.reopened())
    assert again.store.fingerprint == done.fingerprint
    assert again.engine.counters.candles == 28

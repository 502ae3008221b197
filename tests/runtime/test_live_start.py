"""A live book that is killed around its start, or around the start after a change of policy, starts again."""

import asyncio

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.steps import Command
from ocw_mcp.domain.time import SECOND
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.live import Held, ListedLive, kill_after, live_frames, quoted
from tests.support.markets import START
from tests.support.runs import Commands, Run, policies
from tests.support.stores import Crash, MemoryStore

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


def started(
    store: MemoryStore, later_s: int = 0, *, commands: Commands | None = None, policy_hash: str = "policy"
) -> Run:
    """Return a run of a live book that starts `later_s` seconds after the beginning of the market."""
    feed = ListedLive(live_frames([100.0, 100, 101, 102]))
    feed.clock.at = START + later_s * SECOND
    decider = Scripted({1: buy("97")})
    return Run(
        feed,
        decider,
        store=store,
        policy=WAKES,
        commands=commands,
        policy_hash=policy_hash,
        clock=feed.clock,
        live=True,
    )


@pytest.mark.parametrize("moment", range(1, 16))
async def test_a_new_live_book_starts_again_after_any_early_crash(moment: int) -> None:
    dying = MemoryStore()
    dying.die_at = moment
    halt = Commands([Command("c1", "halt", "a person")])
    with pytest.raises(Crash):
        await started(dying, commands=halt).go()
    again = await started(dying.reopened(), later_s=7, commands=halt).go()
    assert [each.verb for each in again.events(events.CommandTaken)] == ["halt"]
    assert len(again.events(events.PoliciesLoaded)) == 1


@pytest.mark.parametrize("moment", range(1, 9))
async def test_a_crash_after_a_change_of_policy_does_not_stop_the_book(moment: int) -> None:
    before = await started(MemoryStore()).go()
    changed = before.store.reopened()
    changed.die_at = moment
    with pytest.raises(Crash):
        await started(changed, later_s=500, policy_hash="other").go()
    again = await started(changed.reopened(), later_s=900, policy_hash="other").go()
    assert [each.policy_hash for each in again.events(events.PoliciesLoaded)] == ["policy", "other"]


class Hangs(Scripted):
    """Buys at the first wake, and never answers another one."""

    async def decide(self, request: DecisionRequest) -> Decision:
        decision = await super().decide(request)
        if request.wake_id > 1:
            await asyncio.Event().wait()
        return decision


async def killed_with_inputs() -> MemoryStore:
    """Return the store of a live book that was killed twice: with an open decision, and with inputs without events."""
    frames = [each for each in live_frames([100.0, 100.0, 101.0], every_s=5) if not each.history]
    store = MemoryStore()
    for since, until in ((0, 130), (130, 150)):
        feed = Held([each for each in frames if since * SECOND <= each.at - START < until * SECOND])
        feed.clock.at = START + since * SECOND
        run = Run(feed, Hangs({1: buy("97")}), store=store, policy=WAKES, clock=feed.clock, live=True)
        await kill_after(run, feed)
        store = store.reopened()
    assert len(list(store.inputs())) > 2
    return store


@pytest.mark.parametrize("moment", range(1, 12))
async def test_a_crash_after_a_change_of_policy_leaves_inputs_out(moment: int) -> None:
    store = await killed_with_inputs()
    tight = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, exits={"max_loss": "0.0001"})

    def changed(store: MemoryStore) -> Run:
        feed = ListedLive([quoted("BTCUSDT", START + 160 * SECOND, 99.0)])
        feed.clock.at = START + 155 * SECOND
        return Run(feed, Hangs({}), store=store, policy=tight, policy_hash="tight", clock=feed.clock, live=True)

    store.die_at = moment
    with pytest.raises(Crash):
        await changed(store).go()
    again = await changed(store.reopened()).go()
    assert [each.policy_hash for each in again.events(events.PoliciesLoaded)] == ["policy", "tight"]
    (exit_at,) = [at for at, each in again.timed(events.OrderIntended) if each.ref.leg is Purpose.EXIT]
    assert exit_at >= START + 155 * SECOND

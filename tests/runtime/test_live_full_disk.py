"""A live book on a disk that accepts nothing for a while: no entry is sent, no input is lost, and a restart works."""

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.orders import NOT_JOURNALED, Purpose
from ocw_mcp.engine.checkpoint import read_checkpoint
from ocw_mcp.engine.summary import summary
from ocw_mcp.runtime import run as runtime_run
from tests.support.deciders import Scripted
from tests.support.legs import buy, sell, short
from tests.support.live import ListedLive, live_frames
from tests.support.runs import Run, policies
from tests.support.stores import Crash, FullFor, MemoryStore

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
CLOSES = [100.0, 100, 101, 102, 101, 100, 99, 100, 101, 104, 100]
SCRIPT = {1: buy("97"), 5: sell(), 7: short("103")}


def live_run(store: MemoryStore, since: int = -1, script: dict[int, Decision] = SCRIPT) -> Run:
    feed = ListedLive(live_frames(CLOSES), since=since)
    return Run(feed, Scripted(script), store=store, policy=WAKES, clock=feed.clock, live=True)


def last_input(store: MemoryStore) -> int:
    saved = store.checkpoint()
    logged = [each.at for each in store.inputs()]
    return max([*logged, -1 if saved is None else read_checkpoint(saved.engine).time])


@pytest.mark.requirement("E06")
async def test_live_entry_is_not_sent_on_a_full_disk_and_stops_are() -> None:
    whole = await live_run(MemoryStore()).go()
    first = next(each.seq for each in whole.store.domain if isinstance(each.event, events.OrderIntended))
    done = await live_run(FullFor(first, first + 3)).go()
    unsent = [each.ref.leg for each in done.events(events.OrderRejected) if each.reason is NOT_JOURNALED]
    assert unsent == [Purpose.ENTRY]
    full, mended = done.told
    assert "did not take it" in full
    assert "takes events again" in mended


@pytest.mark.requirement("E06")
@pytest.mark.parametrize(("first", "last", "every"), [(7, 12, 20), (12, 24, 5)])
async def test_a_live_crash_after_a_full_disk_resumes_to_the_same_events(
    first: int, last: int, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", every)
    mended = FullFor(first, last)
    undisturbed = await live_run(mended).go()
    assert mended.mended_at is not None
    moments = mended.crash_moments(after=mended.mended_at)
    assert len(moments) > 1
    for moment in moments[::4]:
        dying = FullFor(first, last)
        dying.die_at = moment
        with pytest.raises(Crash):
            await live_run(dying).go()
        store = dying.reopened()
        resumed = await live_run(store, last_input(store)).go()
        assert resumed.store.fingerprint == mended.fingerprint, f"died at {moment}"
        assert summary(resumed.engine)["equity"] == summary(undisturbed.engine)["equity"]

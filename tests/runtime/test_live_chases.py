"""A live book on the paper venue chases its entries, and a restart goes on with the same orders."""

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.engine.checkpoint import read_checkpoint
from ocw_mcp.runtime import run as runtime_run
from tests.support.deciders import Scripted
from tests.support.legs import buy, sell, short
from tests.support.live import ListedLive, live_frames, quoted
from tests.support.runs import Run, policies
from tests.support.stores import Crash, MemoryStore

CHASES = policies(
    gate={"close_wakes": ["1m"], "cooldown_s": 0},
    symbols={"sides": ["long", "short"]},
    execution={"style": "maker_first", "reprices": 4, "wait_s": 19, "follow": "0.002", "at_end": "take"},
)


def frames() -> list[Frame]:
    """A slow rise, a fall and a rise; a quote every two seconds with little on each side."""
    closes = [100.0, 100.04, 99.9, 99.9, 99.85, 99.84, 100.0, 100.0]
    found = live_frames(closes, every_s=2)
    return [
        quoted("BTCUSDT", frame.at + 7, float(frame.marks[0].price), quantity=0.3) if frame.marks else frame
        for frame in found
    ]


def live_run(store: MemoryStore | None = None, since: int = -1) -> Run:
    feed = ListedLive(frames(), since=since)
    script = {1: buy("97"), 4: sell(), 5: short("103")}
    return Run(feed, Scripted(script), store=store, policy=CHASES, clock=feed.clock, live=True)


def last_frame(store: MemoryStore) -> int:
    """The time (ms) of the last frame that the next process knows; timers may have been due after it."""
    saved = store.checkpoint()
    frames = [each.at for each in store.inputs() if isinstance(each.event, Frame)]
    return max([*frames, -1 if saved is None else read_checkpoint(saved.engine).time])


async def test_a_chased_entry_on_paper_fills_as_a_maker() -> None:
    done = await live_run().go()
    entries = [each for each in done.events(events.OrderIntended) if each.intent.purpose is Purpose.ENTRY]
    assert len(entries) >= 2
    assert entries[0].intent.post_only
    assert done.events(events.EntryContinued)
    fills = [each for each in done.events(events.OrderFilled) if each.ref.leg is Purpose.ENTRY]
    assert {each.maker for each in fills} == {True, False}
    for side in ("buy", "sell"):
        whole = next(each.intent.quantity for each in entries if each.intent.side == side)
        assert 0 < sum(each.quantity for each in fills if each.side == side) <= whole
    assert not done.engine.manager.chases


async def test_a_crash_in_a_chase_resumes_to_the_same_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 10)
    whole = (await live_run(MemoryStore()).go()).store
    assert any(isinstance(each.event, events.EntryContinued) for each in whole.domain)
    for moment in range(1, whole.touches + 1, 37):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await live_run(dying).go()
        store = dying.reopened()
        resumed = await live_run(store, since=last_frame(store)).go()
        assert resumed.store.fingerprint == whole.fingerprint, f"died at {moment}"

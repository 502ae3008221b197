"""A live book: it trades between closes, and a restart repeats its logged inputs without asking or sending again."""

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.market import FeedNotice, FeedNoticeKind, Frame
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.engine.checkpoint import read_checkpoint
from ocw_mcp.runtime import run as runtime_run
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.legs import add, buy, sell, short
from tests.support.live import ListedLive, live_frames
from tests.support.markets import START
from tests.support.runs import Run, policies
from tests.support.stores import Crash, MemoryStore

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
CLOSES = [100.0, 100, 101, 102, 101, 100, 99, 100, 101, 104, 100, 100, 99, 100]
SCRIPT = {1: buy("97"), 3: add("98"), 6: sell(), 8: short("103"), 11: buy("97")}


def live_run(store: MemoryStore | None = None, closes: list[float] | None = None, since: int = -1, **more) -> Run:  # type: ignore[no-untyped-def]
    frames = sorted([*live_frames(closes or CLOSES), *more.pop("frames", ())], key=lambda frame: frame.at)
    feed = ListedLive(frames, since=since)
    decider = Scripted(more.pop("script", SCRIPT))
    return Run(feed, decider, store=store, policy=WAKES, clock=feed.clock, live=True, **more)


def last_input(store: MemoryStore) -> int:
    """The time (ms) of the last input that the next process knows."""
    saved = store.checkpoint()
    logged = [each.at for each in store.inputs()]
    return max([*logged, -1 if saved is None else read_checkpoint(saved.engine).time])


def incidents(store: MemoryStore) -> list[str]:
    return [each.event.text for each in store.domain if isinstance(each.event, events.Incident)]


async def test_live_entry_fills_at_the_quote_and_gets_a_stop() -> None:
    done = await live_run(closes=[100.0, 100.0, 100.0], script={1: buy("97")}).go()
    (at, fill), *_ = done.timed(events.OrderFilled)
    assert float(fill.price) == pytest.approx(100.01, abs=0.05)
    assert START + MINUTE < at <= START + MINUTE + 2 * SECOND, "the latency after the decision, not the next candle"
    assert len(done.events(events.PositionProtected)) == 1


async def test_live_stop_triggers_between_two_closes() -> None:
    done = await live_run(closes=[100.0, 100.0, 94.0], script={1: buy("97")}).go()
    fills = done.timed(events.OrderFilled)
    assert [fill.ref.leg for _, fill in fills] == [Purpose.ENTRY, Purpose.STOP]
    assert START + 2 * MINUTE < fills[-1][0] < START + 3 * MINUTE


@again_among_slow
@pytest.mark.parametrize(("every", "step"), [(10, 3), (1_000, 7)])
async def test_a_live_crash_at_any_moment_resumes_to_the_same_events(
    every: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", every)
    whole = (await live_run(MemoryStore()).go()).store
    assert len(whole.domain) > 60
    for moment in some(range(1, whole.touches + 1, step)):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await live_run(dying).go()
        store = dying.reopened()
        resumed = await live_run(store, since=last_input(store)).go()
        assert resumed.store.fingerprint == whole.fingerprint, f"died at {moment}"


@again_among_slow
@pytest.mark.parametrize("every", [10, 1_000])
async def test_crash_among_notices_resumes_to_the_same_incidents(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed folds notices before the input log, so a restart repeats them as they were."""
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", every)
    kinds = (FeedNoticeKind.INCIDENT, FeedNoticeKind.DEGRADED, FeedNoticeKind.RESTORED)
    # No other frame has the time of one of these: a restart leaves out the frames up to the last input.
    times = range(START + 70 * SECOND + 7, START + 10 * MINUTE, 50 * SECOND)
    notices = [
        Frame(at, notices=(FeedNotice(at, kinds[number % 3], "BTCUSDT", f"fault {number}"),))
        for number, at in enumerate(times)
    ]
    whole = (await live_run(MemoryStore(), frames=notices).go()).store
    assert len(incidents(whole)) >= len(notices)
    for moment in some(range(1, whole.touches + 1, 9)):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await live_run(dying, frames=notices).go()
        store = dying.reopened()
        resumed = await live_run(store, frames=notices, since=last_input(store)).go()
        found = incidents(resumed.store)
        if not any("the feed has started again" in text for text in found):
            assert resumed.store.fingerprint == whole.fingerprint, f"died at {moment}"
        # A feed that starts again has no degraded subjects: only what it reports by itself is the same.
        own = [text for text in found if text.startswith("BTCUSDT")]
        assert own == [text for text in incidents(whole) if text.startswith("BTCUSDT")], f"died at {moment}"

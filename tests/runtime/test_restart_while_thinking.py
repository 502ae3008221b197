"""A decision past its deadline is given up, and a restart after a crash at any point gives the same journal."""

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.time import SECOND
from ocw_mcp.runtime import run as runtime_run
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.invariants import watched
from tests.support.legs import add, buy, sell
from tests.support.markets import ListFeed, candle
from tests.support.runs import Run, policies
from tests.support.stores import Crash, MemoryStore
from tests.support.venues import Mortal

# A wake every five minutes, so that an answer that nobody waits for could still come before the next one.
POLICY = policies(
    gate={"close_wakes": ["5m"], "close_wakes_in_position": ["5m"], "outlier_moves": {}}, decision={"deadline_s": 60}
)
SCRIPT = {1: buy("97"), 2: add("98"), 3: buy("97"), 4: sell(), 5: buy("97")}
CLOSES = [*[100.0] * 12, 99.0, 100.5, *[100.0] * 16]


def thinks(wake: int) -> int:
    """The thinking time (ms) at a wake: long, except for an entry and an exit."""
    return 0 if wake in (1, 4) else 200 * SECOND


async def run(store: MemoryStore, venue: Mortal) -> Run:
    feed = ListFeed([candle(index, close) for index, close in enumerate(CLOSES)])
    one = Run(feed, Scripted(SCRIPT, thinks), policy=POLICY, store=store, venue=venue)
    return await watched(one).go()


@pytest.fixture(params=[1, 4], autouse=True)
def every(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint every frame, or every few."""
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", request.param)


@again_among_slow
async def test_a_crash_at_any_store_call_resumes_to_the_same_events() -> None:
    undisturbed = await run(MemoryStore(), Mortal())
    missed = [e for e in undisturbed.events(events.DecisionMade) if e.decision.cause_kind is CauseKind.DEADLINE]
    assert len(missed) == 3
    for moment in some(undisturbed.store.crash_moments()):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await run(dying, Mortal())
        resumed = await run(dying.reopened(), Mortal())
        assert resumed.store.fingerprint == undisturbed.store.fingerprint, f"died at {moment}"
        assert resumed.engine.state() == undisturbed.engine.state()


@again_among_slow
async def test_a_crash_at_any_venue_call_resumes_to_the_same_events() -> None:
    venue = Mortal()
    undisturbed = await run(MemoryStore(), venue)
    resumed_from = set()
    for moment in some(range(1, venue.touches + 1)):
        dying = MemoryStore()
        with pytest.raises(Crash):
            await run(dying, Mortal(moment))
        if dying.written in resumed_from:
            continue  # a run from the same state of the disk was resumed
        resumed_from.add(dying.written)
        resumed = await run(dying.reopened(), Mortal())
        assert resumed.store.fingerprint == undisturbed.store.fingerprint, f"died at {moment}"
        assert resumed.engine.state() == undisturbed.engine.state()

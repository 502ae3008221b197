"""A cancel request without an answer is repeated a limited number of times, and then reported as an incident."""

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.steps import Timer, TimerKind
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.order_manager import CANCEL_ANSWER_MS, MOST_CANCELS
from ocw_mcp.runtime import run as runtime_run
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.invariants import watched
from tests.support.legs import buy, sell
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Run, policies
from tests.support.stores import Crash, MemoryStore
from tests.support.venues import SilentOnCancels

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
ENTRY = OrderRef(1, Purpose.ENTRY)
SCRIPT = {1: buy("96", limit="98"), 2: sell()}
"""A limit that waits, and is taken back a minute later."""


def taken_back(silent: int, store: MemoryStore | None = None) -> tuple[Run, SilentOnCancels]:
    venue = SilentOnCancels(silent)
    return watched(Run(ListFeed(path([100.0] * 6)), Scripted(SCRIPT), policy=WAKES, venue=venue, store=store)), venue


def still_to_ask(run: Run) -> list[Timer]:
    return [timer for timer in run.engine.timers if timer.kind is TimerKind.CANCEL]


@pytest.mark.parametrize("silent", [0, 1, MOST_CANCELS - 1])
async def test_a_cancel_request_repeats_until_the_venue_answers(silent: int) -> None:
    run, venue = taken_back(silent)
    await run.go()
    begun = START + 2 * MINUTE
    assert venue.asked == [(begun + times * CANCEL_ANSWER_MS, ENTRY) for times in range(silent + 1)]
    assert len(run.events(events.OrderCancelRequested)) == silent + 1
    assert [event.ref for event in run.events(events.OrderCanceled)] == [ENTRY]
    assert run.events(events.Incident) == []
    assert still_to_ask(run) == []


async def test_a_cancel_request_without_an_answer_ends_as_an_incident() -> None:
    run, venue = taken_back(1_000)
    await run.go()
    assert len(venue.asked) == MOST_CANCELS
    (incident,) = run.events(events.Incident)
    assert incident.text == f"asked {MOST_CANCELS} times to cancel 1-e-0, the venue does not answer"
    assert [each.ref for each in run.engine.orders.live()] == [ENTRY], "its budget stays reserved"
    assert still_to_ask(run) == []


@again_among_slow
async def test_a_run_killed_during_a_cancel_resumes_to_the_same_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 1)
    undisturbed, _ = taken_back(1_000)
    await undisturbed.go()
    for moment in some(undisturbed.store.crash_moments()):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await taken_back(1_000, dying)[0].go()
        resumed, _ = taken_back(1_000, dying.reopened())
        await resumed.go()
        assert resumed.store.fingerprint == undisturbed.store.fingerprint, f"died at {moment}"

"""A disk that accepts nothing for a while: no entry is sent, reduce-only orders are, and no event is lost."""

from collections.abc import Callable
from typing import Any

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.errors import JournalError
from ocw_mcp.domain.orders import NOT_JOURNALED, OrderRef, Purpose
from ocw_mcp.domain.protocols import Checkpoint
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command
from ocw_mcp.engine.summary import summary
from ocw_mcp.runtime import recorder
from ocw_mcp.runtime import run as runtime_run
from tests.support.deciders import Scripted
from tests.support.legs import buy, sell, short
from tests.support.markets import ListFeed, path
from tests.support.runs import Commands, Run, policies
from tests.support.stores import Crash, FullFor, MemoryStore
from tests.support.venues import Flawed

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
PRICES = [100.0, 100.0, 101.0, 102.0, 101.0, 100.0, 99.0, 100.0, 100.0, 100.0, 100.0]
BOTH = Decision(buy("97").legs + buy("97", symbol="ETHUSDT").legs)
SCRIPT = {2: BOTH, 5: sell(), 7: short("103")}
FIRST_ENTRY = 7
"""The event that is the intent of the script's first entry; the second entry's follows it."""


class Counting(Flawed):
    """A paper venue that records the orders that were sent to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: set[OrderRef] = set()

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        self.sent.add(cleared.order.ref)
        return await super().submit(cleared, now)


async def run(
    store: MemoryStore,
    script: dict[int, Decision] = SCRIPT,
    commands: Commands | None = None,
    venue: Flawed | None = None,
) -> Run:
    feed = ListFeed([*path(PRICES), *path(PRICES, symbol="ETHUSDT")])
    return await Run(feed, Scripted(script), store=store, policy=WAKES, commands=commands, venue=venue).go()


class CheckedAlways(FullFor):
    """A full disk that checks before and after each call what a crash would leave."""

    checks = 0

    def append(self, at: int, event: events.DomainEvent) -> int:
        self._check()
        return super().append(at, event)

    def commit(self, checkpoint: Checkpoint | None = None, summarise: Callable[[], Any] | None = None) -> None:
        self._check()
        super().commit(checkpoint, summarise)
        self._check()

    def _check(self) -> None:
        self.checks += 1
        kept = self.reopened()
        intended = {each.ref for each in kept.events(events.OrderIntended)}
        assert intended & set(unsent(self)) == set(unsent(kept))


def unsent(done: Run | MemoryStore) -> list[OrderRef]:
    return [each.ref for each in done.events(events.OrderRejected) if each.reason is NOT_JOURNALED]


@pytest.mark.requirement("E06")
@pytest.mark.parametrize("last", [FIRST_ENTRY + 1, FIRST_ENTRY + 2])
async def test_no_entry_is_sent_if_the_disk_did_not_take_its_intent(last: int) -> None:
    venue = Counting()
    done = await run(FullFor(FIRST_ENTRY, last), venue=venue)
    assert [(ref.n, ref.leg) for ref in unsent(done)] == [(1, Purpose.ENTRY), (2, Purpose.ENTRY)]
    assert venue.sent == set()
    (change,) = done.events(events.StateChanged)
    assert (change.before, change.after) == (TradingState.ACTIVE, TradingState.REDUCING)
    assert "1-e-0 was not sent: the journal did not take its intent" in done.events(events.Incident)[0].text
    assert [each.refusal.code for each in done.events(events.OrderRefused)] == ["NO_POSITION", "NOT_ACTIVE"]


@pytest.mark.requirement("E06")
async def test_on_a_full_disk_stops_are_sent_and_entries_are_refused() -> None:
    other = buy("97", symbol="ETHUSDT")
    undisturbed = await run(MemoryStore(), {2: buy("97"), 6: sell()})
    store = FullFor(9, 30)
    done = await run(store, {2: buy("97"), 4: other, 6: sell(), 8: other})
    assert store.mended_at is not None
    for kind in (events.OrderFilled, events.PositionProtected, events.PositionClosed):
        assert done.events(kind) == undisturbed.events(kind) != []
    assert [ref.n for ref in unsent(done)] == [2]
    assert [each.refusal.code for each in done.events(events.OrderRefused)] == ["NOT_ACTIVE"]
    assert store.reopened().fingerprint == store.fingerprint, "everything is durable in the end"
    full, mended = done.told
    assert "did not take it" in full
    assert "takes events again" in mended


@pytest.mark.requirement("E06")
@pytest.mark.parametrize(("first", "last", "every"), [(7, 7, 3), (7, 8, 3), (9, 20, 3), (11, 38, 3), (27, 33, 1_000)])
async def test_a_crash_after_a_full_disk_resumes_to_the_same_events(
    first: int, last: int, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", every)
    mended = FullFor(first, last)
    undisturbed = await run(mended)
    assert mended.mended_at is not None
    moments = mended.crash_moments(after=mended.mended_at)
    assert len(moments) > 1
    for moment in moments:
        dying = FullFor(first, last)
        dying.die_at = moment
        with pytest.raises(Crash):
            await run(dying)
        resumed = await run(dying.reopened())
        assert resumed.store.fingerprint == mended.fingerprint, f"died at {moment}"
        assert summary(resumed.engine)["equity"] == summary(undisturbed.engine)["equity"]


@pytest.mark.parametrize("last", [8, 9, 10, 15])
async def test_an_unsent_order_is_durable_only_with_its_rejection(last: int) -> None:
    store = CheckedAlways(FIRST_ENTRY, last)
    await run(store)
    assert unsent(store)
    assert store.checks > 30


async def test_a_command_file_stays_until_the_command_is_durable() -> None:
    box = Commands([Command("c1", "halt", "a person")])
    with pytest.raises(JournalError, match="the run has ended: its last"):
        await run(FullFor(2), {}, box)
    assert box.taken == []


@pytest.mark.parametrize("script", [{}, SCRIPT])
async def test_a_run_that_ends_on_a_full_disk_reports_lost_events(script: dict[int, Decision]) -> None:
    with pytest.raises(JournalError, match=r"events are lost.*make room on the disk and start the same again"):
        await run(FullFor(FIRST_ENTRY), script)


async def test_too_many_events_in_memory_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MOST_KEPT", 10)
    with pytest.raises(JournalError, match="more than 10 events wait for the disk, and the run stops"):
        await run(FullFor(FIRST_ENTRY + 2))


async def test_a_run_that_starts_on_a_full_disk_writes_no_event() -> None:
    store = FullFor(0)
    with pytest.raises(JournalError, match="make room"):
        await run(store)
    assert list(store.all_events()) == []

"""Commands that come after the last frame, or for a book whose market has ended."""

from collections.abc import Sequence

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.runtime import run as runtime_run
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.legs import add, buy
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Commands, Run, policies
from tests.support.stores import Crash, MemoryStore

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
HALT = Command("c1", "halt", "a person")
END = START + 8 * MINUTE


class LateWord(Commands):
    """A box whose command comes after a frame."""

    def __init__(self, command: Command, at: int) -> None:
        super().__init__([command])
        self._at = at
        self.run: Run | None = None

    def waiting(self) -> Sequence[Command]:
        return super().waiting() if self.run is not None and self.run.simulation.cursor >= self._at else ()


async def run(store: MemoryStore, box: Commands | None = None, for_ms: int | None = None) -> Run:
    script = Scripted({5: buy("97"), 8: add("97")})
    one = Run(ListFeed(path([100.0] * 8)), script, policy=WAKES, store=store, commands=box)
    if isinstance(box, LateWord):
        box.run = one
    return await one.go(for_ms=for_ms)


async def test_a_halt_of_an_ended_book_is_taken_at_its_next_start() -> None:
    done = await run(MemoryStore())
    box = Commands([HALT])
    again = await run(done.store.reopened(), box)
    assert box.taken == ["c1"]
    assert again.engine.account.trading_state is TradingState.HALTED
    assert again.timed(events.CommandTaken)[0][0] == END
    assert again.store.summary["state"] == "HALTED"
    third = await run(again.store.reopened(), Commands())
    assert third.engine.account.trading_state is TradingState.HALTED
    assert third.store.fingerprint == again.store.fingerprint


async def test_a_run_whose_duration_is_over_still_takes_a_halt() -> None:
    first = await run(MemoryStore(), for_ms=3 * MINUTE)
    box = Commands([HALT])
    again = await run(first.store.reopened(), box, for_ms=3 * MINUTE)
    assert (box.taken, again.engine.account.trading_state) == (["c1"], TradingState.HALTED)
    rest = await run(again.store.reopened())
    assert [each.refusal.code for each in rest.events(events.OrderRefused)] == ["NOT_ACTIVE", "NOT_ACTIVE"]


async def test_an_ended_book_without_commands_stays_unchanged() -> None:
    done = (await run(MemoryStore())).store
    again = (await run(done.reopened())).store
    assert list(again.all_events()) == list(done.all_events())


@again_among_slow
@pytest.mark.parametrize("every", [3, 1_000])
async def test_a_halt_after_the_last_frame_is_taken_despite_any_crash(
    every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", every)
    undisturbed = await run(MemoryStore(), LateWord(HALT, END))
    (taken,) = undisturbed.events(events.CommandTaken)
    assert taken.after_frame == END
    for moment in some(range(1, undisturbed.store.touches + 1)):
        dying, box = MemoryStore(), LateWord(HALT, END)
        dying.die_at = moment
        with pytest.raises(Crash):
            await run(dying, box)
        resumed = await run(dying.reopened(), box)
        assert resumed.store.fingerprint == undisturbed.store.fingerprint, f"died at {moment}"
        assert resumed.engine.account.trading_state is TradingState.HALTED

"""The file HALT halts a running book, also after a crash at any point."""

from pathlib import Path

import pytest

from ocw_mcp.adapters.control.commands import CommandFiles
from ocw_mcp.domain import events
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.runtime import run as runtime_run
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.legs import add, buy
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Run, policies
from tests.support.stores import Crash, MemoryStore

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


async def run(store: MemoryStore, directory: Path) -> Run:
    """A run in which the file is made after the third minute."""
    one = Run(ListFeed(path([100.0] * 8)), Scripted({1: buy("97"), 5: add("98")}), policy=WAKES, store=store)
    take = one.simulation.take_frame

    async def watched(frame) -> None:  # type: ignore[no-untyped-def]
        if frame.at == START + 3 * MINUTE and not (directory / "HALT").exists():
            (directory / "HALT").touch()
        await take(frame)

    one.simulation.take_frame = watched  # type: ignore[method-assign]
    one.simulation.commands = CommandFiles(directory)
    return await one.go()


@again_among_slow
async def test_a_halt_file_is_taken_at_the_same_frame_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "POLL_EVERY", 1)
    undisturbed = await run(MemoryStore(), tmp_path)
    (taken,) = undisturbed.events(events.CommandTaken)
    assert (taken.by, taken.after_frame) == ("the file HALT", START + 3 * MINUTE)
    assert undisturbed.engine.account.trading_state is TradingState.HALTED
    assert [each.refusal.code for each in undisturbed.events(events.OrderRefused)] == ["NOT_ACTIVE"]
    for moment in some(range(1, undisturbed.store.touches + 1)):
        (tmp_path / "HALT").unlink()
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await run(dying, tmp_path)
        resumed = await run(dying.reopened(), tmp_path)
        (taken,) = resumed.events(events.CommandTaken)
        assert resumed.engine.account.trading_state is TradingState.HALTED
        assert dying.reopened().events(events.CommandTaken) in ([], [taken])

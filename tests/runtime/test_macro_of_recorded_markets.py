"""The macro regime of a recorded market: one reading a day, as known then, and the same after a restart."""

import pytest

from ocw_mcp.domain.macro import MacroReading, Quadrant
from ocw_mcp.domain.outlook_events import MacroRead
from ocw_mcp.domain.time import DAY, HOUR
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.summary import summary
from ocw_mcp.runtime import run as runtime_run
from tests.support.examples import again_among_slow, some
from tests.support.markets import START, ListFeed, candle
from tests.support.runs import Run
from tests.support.stores import Crash, MemoryStore

CANDLES = [candle(place, 100.0 + place % 3, interval=HOUR) for place in range(60)]


class Calendar:
    """A quadrant that changes each day, after a first day without one."""

    def at(self, now: int) -> MacroReading | Unknown:
        days = (now - START) // DAY
        if not days:
            return Unknown("UNRATE is not known yet")
        return MacroReading(list(Quadrant)[days % 4], 0.1, -0.1, now // DAY * DAY)


async def run(store: MemoryStore | None = None) -> Run:
    return await Run(ListFeed(CANDLES), store=store, macro=Calendar()).go()


async def test_each_day_has_the_reading_of_its_beginning() -> None:
    done = await run()
    found = done.timed(MacroRead)
    assert [(at - START) // HOUR for at, _ in found] == [0, 24, 48]
    assert [each.reading for _, each in found] == [Calendar().at(at) for at, _ in found]
    assert done.engine.account.outlook.quadrant(START + 60 * HOUR) is Quadrant.DEFLATION


@again_among_slow
async def test_killed_run_reads_the_same_macro_regimes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 7)
    whole = await run(MemoryStore())
    for moment in some(whole.store.crash_moments(), few=4):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await run(dying)
        resumed = await run(dying.reopened())
        assert resumed.store.fingerprint == whole.store.fingerprint, f"died at {moment}"
        assert summary(resumed.engine) == summary(whole.engine)

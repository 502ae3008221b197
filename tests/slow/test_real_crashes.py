"""Markets that really crashed: no decider breaks a limit, leaves a position naked or parts book and venue."""

from pathlib import Path

import pytest

from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.domain import events
from ocw_mcp.domain.protocols import Decider
from ocw_mcp.runtime.deciders import RecklessDecider, RulesDecider
from tests.support.deciders import Reckless
from tests.support.invariants import watched
from tests.support.runs import DEFAULT, Run, policies

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CRASHES = {
    "2024-08-05": "ohlcv/spot-BTCUSDT-1m-2024-07-26_2024-08-25.csv.gz",
    "2025-02-03": "vision/futures/um/monthly/klines",
}
DECIDERS = (RulesDecider(DEFAULT.policies), RecklessDecider(), Reckless(7))
BUSY = policies(gate={"close_wakes": ["15m"], "cooldown_s": 0})


@pytest.mark.parametrize("decider", DECIDERS, ids=lambda decider: str(decider.name))
@pytest.mark.parametrize("crash", CRASHES)
async def test_recorded_crash_exceeds_no_limit_with_any_decider(crash: str, decider: Decider, tapes: Path) -> None:
    run = watched(Run(TapeFeed.open(tapes / CRASHES[crash], None, None, None), decider, policy=BUSY))
    await run.go()
    assert run.engine.counters.candles > 40_000
    assert run.events(events.OrderFilled)
    for closed in run.events(events.DailyLossReached):
        assert closed.equity <= closed.floor

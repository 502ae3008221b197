"""Before a position in the other direction opens, the old one is closed and its orders are cancelled."""

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.reasons import RefusalCode
from tests.support.deciders import Scripted
from tests.support.legs import buy, sell, short
from tests.support.markets import ListFeed, path
from tests.support.runs import Run, policies

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


@pytest.mark.requirement("A04")
async def test_stop_and_target_end_before_an_entry_on_the_other_side() -> None:
    script = Scripted({1: buy("97", target="120"), 2: short("103"), 3: sell(), 4: short("103"), 5: short("103")})
    run = await Run(ListFeed(path([100.0] * 9)), script, policy=WAKES).go()
    refused = [each.refusal.code for each in run.events(events.OrderRefused)]
    assert refused[0] is RefusalCode.OPPOSITE_POSITION, "nothing enters against an open position"
    entries = [at for at, each in run.timed(events.OrderIntended) if each.intent.purpose is Purpose.ENTRY]
    assert len(entries) == 2
    old = {each.ref for each in run.events(events.OrderIntended) if each.ref.n == 1 and each.intent.purpose.reduces}
    assert {ref.leg for ref in old} == {Purpose.STOP, Purpose.TARGET, Purpose.EXIT}
    ended = [
        (at, each.ref) for kind in (events.OrderCanceled, events.OrderFilled) for at, each in run.timed(kind)
        if each.ref in old
    ]  # fmt: skip
    assert {ref for _, ref in ended} == old
    assert max(at for at, _ in ended) <= entries[1]
    assert run.engine.account.ledger.quantity("BTCUSDT") < 0

"""On spot a stop locks what it would sell, a fee leaves dust, and there is no short: the guard holds all the same."""

from decimal import Decimal

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Candle, Product
from ocw_mcp.domain.orders import Purpose
from tests.support.deciders import Scripted
from tests.support.invariants import watched
from tests.support.legs import buy
from tests.support.markets import ListFeed, candle
from tests.support.runs import Run, policies

D = Decimal
WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


def on_spot(candles: list[Candle], script: dict[int, Decision]) -> Run:
    return Run(ListFeed(candles, product=Product.SPOT), Scripted(script), policy=WAKES)


async def test_an_entry_that_is_left_over_does_not_open_anew_what_its_stop_has_sold() -> None:
    thin = [
        candle(0, 100.0),
        candle(1, 100.0, volume=33.333),
        # A part of the entry, and the stop beyond it; the fee leaves less than a step.
        candle(2, 94.0, open_=100.0, volume=33.333),
        *(candle(index, 94.0) for index in range(3, 6)),
    ]
    run = await watched(on_spot(thin, {2: buy("95.5", "0.2", limit="96")})).go()
    assert [fill.ref.leg for fill in run.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.STOP]
    assert run.engine.account.ledger.dust["BTCUSDT"].quantity > 0
    assert list(run.engine._desk.orders.live()) == []

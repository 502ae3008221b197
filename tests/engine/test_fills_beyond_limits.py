"""Fills that exceed what was cleared: a tighter stop, a smaller position, and one incident for each limit."""

from decimal import Decimal

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Candle, Product
from ocw_mcp.domain.orders import Purpose
from tests.support.deciders import Scripted
from tests.support.invariants import watched
from tests.support.legs import add, buy, short
from tests.support.markets import ListFeed, candle
from tests.support.runs import Run, policies
from tests.support.venues import IgnoresLimits

D = Decimal
SOL = "SOLUSDT"
LIMITED = policies(
    gate={"close_wakes": ["1m"], "cooldown_s": 0},
    risk={"max_share": "0.01", "gap_allowance": "0.005"},
)


def jump(to: float, count: int = 4, volume: float = 1e6) -> list[Candle]:
    """A minute at 100, and the next ones open elsewhere."""
    later = [candle(index, to, symbol=SOL, volume=volume) for index in range(1, count)]
    return [candle(0, 100.0, symbol=SOL), *later]


def jumps(script: dict[int, Decision], candles: list[Candle], product: Product = Product.UM, **tables: dict) -> Run:
    policy = policies(**({"gate": {"close_wakes": ["1m"], "cooldown_s": 0}} | tables)) if tables else LIMITED
    feed = ListFeed(candles, product=product)
    return watched(Run(feed, Scripted(script), policy=policy, venue=IgnoresLimits(product)))


def held(run: Run) -> Decimal:
    return run.engine.account.ledger.quantity(SOL)


def stop_of(run: Run) -> Decimal:
    (stop,) = run.engine._desk.orders.live(SOL, Purpose.STOP)
    assert abs(stop.order.quantity) == abs(held(run))
    assert stop.order.trigger_price is not None
    return stop.order.trigger_price


def incidents(run: Run) -> list[str]:
    return [each.text.split(":")[0].rpartition(" ")[2] for each in run.events(events.Incident)]


async def test_a_market_entry_above_its_allowance_buys_nothing() -> None:
    run = await watched(Run(ListFeed(jump(108.0)), Scripted({1: buy("95.5", "0.15", symbol=SOL)}), policy=LIMITED)).go()
    assert run.events(events.OrderFilled) == []
    assert len(run.events(events.OrderCanceled)) == 1
    assert held(run) == 0
    assert run.engine.guard.protections == {}
    assert list(run.engine._desk.orders.live()) == []


async def test_a_fill_beyond_its_limit_gets_a_tighter_stop() -> None:
    run = await jumps({1: buy("95.5", "0.15", symbol=SOL)}, jump(108.0)).go()
    assert held(run) > 14
    assert stop_of(run) == D("102.63")
    assert incidents(run) == ["STOP_REQUIRED", "RISK_PER_TRADE"]

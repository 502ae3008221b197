"""Fills that exceed the cleared order: a tighter stop, a smaller position, and one incident for each limit."""

from decimal import Decimal
from typing import Any

from ocw_mcp.app.narrator import Narrator
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Candle, Product
from ocw_mcp.domain.orders import OrderType, Purpose
from ocw_mcp.render.event_text import event_text
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


def jumps(script: dict[int, Decision], candles: list[Candle], product: Product = Product.UM, **tables: Any) -> Run:
    policy = policies(**({"gate": {"close_wakes": ["1m"], "cooldown_s": 0}} | tables)) if tables else LIMITED
    feed = ListFeed(candles, product=product)
    return watched(Run(feed, Scripted(script), policy=policy, venue=IgnoresLimits(product)))


def held(run: Run) -> Decimal:
    return run.engine.account.ledger.quantity(SOL)


def stop_of(run: Run) -> Decimal:
    *_, stop = run.engine.orders.live(SOL, Purpose.STOP)
    assert abs(stop.order.quantity) == abs(held(run))
    assert stop.order.trigger_price is not None
    return stop.order.trigger_price


def incidents(run: Run) -> list[str]:
    return [each.text.partition("(")[2].partition(")")[0] for each in run.events(events.Incident)]


async def test_a_market_entry_beyond_its_limit_price_does_not_fill() -> None:
    run = await watched(Run(ListFeed(jump(108.0)), Scripted({1: buy("95.5", "0.15", symbol=SOL)}), policy=LIMITED)).go()
    assert run.events(events.OrderFilled) == []
    assert len(run.events(events.OrderCanceled)) == 1
    assert held(run) == 0
    assert run.engine.guard.protections == {}
    assert list(run.engine.orders.live()) == []


async def test_an_entry_filled_above_its_limit_price_gets_a_tighter_stop() -> None:
    run = await jumps({1: buy("95.5", "0.15", symbol=SOL)}, jump(108.0)).go()
    assert held(run) > 14
    assert stop_of(run) == D("102.63")
    assert incidents(run) == ["STOP_REQUIRED", "RISK_PER_TRADE"]


async def test_a_short_filled_far_below_the_price_gets_a_tighter_stop() -> None:
    run = await jumps({1: short("104.5", "0.15", symbol=SOL)}, jump(92.0)).go()
    assert held(run) < -14
    assert stop_of(run) == D("96.57")
    assert incidents(run) == ["STOP_REQUIRED", "RISK_PER_TRADE"]


async def test_a_spot_purchase_filled_far_above_the_price_tightens_its_stop() -> None:
    run = await jumps({1: buy("95.5", "0.15", symbol=SOL)}, jump(108.0), Product.SPOT).go()
    (stop,) = run.engine.orders.live(SOL, Purpose.STOP)
    assert stop.order.trigger_price == D("102.63")
    assert incidents(run) == ["STOP_REQUIRED", "RISK_PER_TRADE"]


async def test_a_limit_entry_filled_above_its_price_tightens_its_stop() -> None:
    run = await jumps({1: buy("95.5", "0.15", symbol=SOL, limit="100.1")}, jump(108.0)).go()
    assert stop_of(run) == D("102.63")
    assert incidents(run) == ["STOP_REQUIRED", "RISK_PER_TRADE"]


async def test_an_addition_filled_far_above_the_price_tightens_the_stop() -> None:
    candles = [
        candle(0, 100.0, symbol=SOL),
        candle(1, 100.0, symbol=SOL),
        *jump(108.0)[2:],
        candle(4, 108.0, symbol=SOL),
    ]
    run = await jumps({1: buy("95.5", "0.1", symbol=SOL), 2: add("95.5", "0.05", symbol=SOL)}, candles).go()
    assert held(run) > 14
    assert stop_of(run) == D("102.63")
    assert incidents(run) == ["STOP_REQUIRED", "RISK_PER_TRADE"]


SIZED: dict[str, Any] = {"risk": {"max_share": 1, "gap_allowance": 0}, "stop": {"max_distance": "0.2"}}


async def test_a_position_that_fills_too_large_is_reduced_to_its_limit() -> None:
    run = await jumps({1: buy("95", "0.25", symbol=SOL, target="120")}, jump(104.0), **SIZED).go()
    assert [fill.ref.leg for fill in run.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.EXIT]
    assert D("0.249") < held(run) * 104 / run.engine.account.ledger.equity() <= D("0.2501")
    assert stop_of(run) == 95
    (target,) = run.engine.orders.live(SOL, Purpose.TARGET)
    assert target.order.quantity == held(run)
    assert incidents(run) == ["POSITION_SHARE"]
    assert len(run.events(events.PositionUnprotected)) == 1, "only until its first stop was there"


async def test_a_short_filled_too_large_at_a_better_price_is_reduced() -> None:
    run = await jumps({1: short("115", "0.25", symbol=SOL)}, jump(104.0), **SIZED).go()
    assert D("0.249") < -held(run) * 104 / run.engine.account.ledger.equity() <= D("0.2501")
    assert stop_of(run) == 115
    assert incidents(run) == ["POSITION_SHARE"]


async def test_a_spot_position_reduced_to_its_limit_gets_its_stop_again() -> None:
    run = await jumps({1: buy("95", "0.25", symbol=SOL, target="120")}, jump(104.0), Product.SPOT, **SIZED).go()
    assert D("0.248") < held(run) * 104 / run.engine.account.ledger.equity() <= D("0.2501")
    (stop,) = run.engine.orders.live()
    assert (stop.purpose, stop.order.trigger_price, stop.order.take_at) == (Purpose.STOP, D(95), D(120))
    assert held(run) - stop.order.quantity < D("0.01")
    assert incidents(run) == ["POSITION_SHARE"]
    assert len(run.events(events.PositionUnprotected)) == len(run.events(events.PositionProtected)) == 1


async def test_a_position_two_percent_above_its_size_limit_is_no_incident() -> None:
    run = await jumps({1: buy("95", "0.25", symbol=SOL)}, jump(102.0), **SIZED).go()
    assert D("0.25") < held(run) * 102 / run.engine.account.ledger.equity() <= D("0.255")
    assert run.events(events.Incident) == []


async def test_a_position_filled_above_order_max_notional_is_reduced() -> None:
    run = await jumps({1: buy("95", "0.2", symbol=SOL)}, jump(104.0), order={"max_notional": 2_000}, **SIZED).go()
    assert D(1_990) < held(run) * 104 <= D(2_002)
    assert incidents(run) == ["ORDER_NOTIONAL"]


async def test_fills_beyond_the_correlated_limit_reduce_a_position() -> None:
    candles = [*jump(100.0, 2), *(candle(index, 108.0, symbol=SOL) for index in (2, 3, 4))]
    bitcoin = [candle(index, 100.0) for index in range(5)]
    script = {1: buy("95", "0.2"), 2: buy("95", "0.2", symbol=SOL)}
    tables = {"correlated": {"symbols": ["BTC*", "SOL*"], "max_share": "0.4"}} | SIZED
    run = await jumps(script, [*candles, *bitcoin], **tables).go()
    (incident,) = run.events(events.Incident)
    assert "CORRELATED_EXPOSURE" in incident.text
    ledger = run.engine.account.ledger
    assert D("0.398") < ledger.gross() / ledger.equity() <= D("0.4001")


async def test_the_text_of_an_unfilled_market_entry_has_its_limit_price() -> None:
    lines: list[str] = []
    run = await Run(ListFeed(jump(108.0)), Scripted({1: buy("95.5", "0.15", symbol=SOL)}), policy=LIMITED).go()
    for at, event in run.timed(events.OrderCanceled):
        Narrator(lambda line: lines.append(line.plain))(at, event)
        assert event_text("book", event).endswith("; 14.97 did not fill within the limit price 100.2")
    (line,) = lines
    assert line.endswith("canceled  1-e-0: 14.97 of it did not trade within its limit of 100.2")
    (past,) = [each for each in run.engine.orders.state().finished if each.purpose is Purpose.ENTRY]
    assert (past.intent.type, past.order.immediate) == (OrderType.MARKET, True)

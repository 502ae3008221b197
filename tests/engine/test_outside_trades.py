"""Trades and transfers without an order of the engine are booked and reported, and every position stays protected."""

from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.orders import Accepted, OutsideCause, OutsideFill, Purpose, Side, Transferred
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Timer, TimerFired, TimerKind
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.engine.protection import protection_timer
from ocw_mcp.engine.summary import summary
from tests.support.deciders import Scripted
from tests.support.invariants import never_naked, watched
from tests.support.legs import buy, short
from tests.support.markets import START, ListFeed, candle, path
from tests.support.runs import Run, policies
from tests.support.wire import Wire

D = Decimal
NOW = START + 4 * MINUTE
GATE = {"close_wakes": ["1m"], "cooldown_s": 0}
WAKES = policies(gate=GATE)
CLOSES = policies(gate=GATE, adopt={"positions": "close"})
IGNORES = policies(gate=GATE, adopt={"positions": "ignore"})


async def holding(closes: tuple[float, ...] = (100.0,) * 4, policy: Policies = WAKES) -> Run:
    run = never_naked(Run(ListFeed(path(list(closes))), Scripted({1: buy("97")}), policy=policy))
    await run.go()
    run.clock.advance(NOW)
    return run


def outside(
    side: Side, quantity: Decimal, cause: OutsideCause = OutsideCause.OTHER_TRADER, name: str = "f1"
) -> OutsideFill:
    return OutsideFill(name, "BTCUSDT", side, quantity, D(98), D("0.5"), NOW, cause)


def held(run: Run) -> Decimal:
    return run.engine.account.ledger.quantity("BTCUSDT")


async def tell(run: Run, event: OutsideFill | Transferred | Frame) -> None:
    await run.simulation.shell.take(event)


async def test_a_position_sold_outside_the_engine_is_flat_without_a_stop() -> None:
    run = await holding()
    wallet, quantity = run.engine.account.ledger.wallet, held(run)
    await tell(run, outside(Side.SELL, quantity))
    assert held(run) == 0
    (stop,) = run.engine.orders.live()
    assert stop.cancel_requested
    await run.simulation.shell.take(TimerFired(Timer(TimerKind.CANCEL, stop.ref)))
    assert list(run.engine.orders.live()) == [], "the venue did not end it, so it is cancelled"
    (closed,) = run.events(events.PositionClosed)
    assert run.engine.account.ledger.wallet - wallet == closed.pnl + run.events(events.OrderFilled)[0].fee
    assert run.engine.account.trading_state is TradingState.ACTIVE
    assert "somebody else" in run.events(events.Incident)[-1].text


async def test_a_position_half_sold_outside_the_engine_keeps_its_stop() -> None:
    run = await holding()
    await tell(run, outside(Side.SELL, held(run) / 2))
    (stop,) = run.engine.orders.live("BTCUSDT", Purpose.STOP)
    assert stop.order.quantity == held(run)
    assert summary(run.engine)["positions"][0]["protected"] is True


async def flat(policy: Policies) -> Run:
    run = never_naked(Run(ListFeed(path([100.0] * 4)), Scripted({}), policy=policy))
    await run.go()
    run.clock.advance(NOW)
    return run


def test_a_position_opened_outside_the_engine_gets_a_stop() -> None:
    wire = Wire()
    wire.give(outside(Side.BUY, D(1)))
    (stop,) = wire.engine.orders.live()
    assert (stop.purpose, stop.order.quantity) == (Purpose.STOP, D(1))
    wire.give(Accepted(stop.ref, "v1"))
    assert summary(wire.engine)["positions"][0]["protected"] is True


async def test_a_position_opened_outside_the_engine_keeps_clear_of_the_exits() -> None:
    policy = policies(gate=GATE, exits={"max_loss": "0.01"}, score={"exit": "0.01", "review": "0.01"})
    run = await flat(policy)
    await tell(run, OutsideFill("f1", "BTCUSDT", Side.BUY, D(1), D(150), D(0), NOW, OutsideCause.OTHER_TRADER))
    await tell(run, Frame(NOW + MINUTE, (candle(4, 100.0),)))
    assert (held(run), run.events(events.ExitDecided)) == (D(1), [])


async def test_an_ignored_position_is_neither_booked_nor_closed() -> None:
    run = await flat(IGNORES)
    wallet = run.engine.account.ledger.wallet
    for name in ("f1", "f2"):
        await tell(run, outside(Side.BUY, D(1), name=name))
    assert (held(run), list(run.engine.orders.live())) == (D(0), [])
    assert run.engine.account.ledger.wallet == wallet
    assert len(run.events(events.Incident)) == 1


async def test_an_addition_of_others_is_sold_if_the_policy_closes() -> None:
    run = await holding(policy=CLOSES)
    before = held(run)
    await tell(run, outside(Side.BUY, D(3)))
    (exit_,) = run.engine.orders.live("BTCUSDT", Purpose.EXIT)
    assert exit_.order.quantity == 3
    assert run.engine.guard.protections["BTCUSDT"].most == before


async def test_an_addition_of_others_is_covered_by_the_stop() -> None:
    run = await holding()
    await tell(run, outside(Side.BUY, D(3)))
    (stop,) = run.engine.orders.live("BTCUSDT", Purpose.STOP)
    assert stop.order.quantity == held(run)


async def test_a_position_opened_outside_the_engine_is_closed_by_policy() -> None:
    run = await Run(ListFeed(path([100.0] * 4)), Scripted({}), policy=CLOSES).go()
    run.clock.advance(NOW)
    await tell(run, outside(Side.BUY, D(1)))
    (exit_,) = run.engine.orders.live("BTCUSDT", Purpose.EXIT)
    assert exit_.intent.principal == "guard"
    assert run.engine.timers[protection_timer("BTCUSDT")] == NOW + WAKES.stop.deadline_s * SECOND


async def test_a_position_reversed_outside_the_engine_is_closed_by_policy() -> None:
    run = await holding(policy=CLOSES)
    await tell(run, outside(Side.SELL, 2 * held(run)))
    assert held(run) < 0
    live = [each for each in run.engine.orders.live() if not each.cancel_requested]
    assert Purpose.EXIT in {each.purpose for each in live}
    assert {each.order.side for each in live} == {Side.BUY}


@pytest.mark.parametrize("cause", [OutsideCause.LIQUIDATION, OutsideCause.DELEVERAGING])
async def test_a_liquidation_halts_the_engine(cause: OutsideCause) -> None:
    run = await holding()
    await tell(run, outside(Side.SELL, held(run), cause))
    assert run.engine.account.trading_state is TradingState.HALTED
    (told,) = run.events(events.OutsideFilled)
    assert told.cause == cause


async def test_a_trade_reported_twice_is_booked_once() -> None:
    run = await holding()
    before = held(run)
    for _ in range(2):
        await tell(run, outside(Side.SELL, D(1)))
    assert held(run) == before - 1
    await tell(run, outside(Side.SELL, D(1), name="f2"))
    assert held(run) == before - 2


@pytest.mark.parametrize("amount", [D(-4_000), D(5_000)])
async def test_a_transfer_is_neither_profit_nor_loss(amount: Decimal) -> None:
    run = await holding()
    account = run.engine.account
    loss, fall, equity = (
        account.day.loss(account.ledger.equity()),
        account.drawdown.state().deepest,
        account.ledger.equity(),
    )
    await tell(run, Transferred("t1", amount, NOW))
    assert account.ledger.equity() == equity + amount
    assert account.day.loss(account.ledger.equity()) == pytest.approx(loss)
    assert account.drawdown.state().deepest == pytest.approx(fall)
    assert account.trading_state is TradingState.ACTIVE
    assert not account.day.today.reached
    await tell(run, Transferred("t1", amount, NOW))
    assert account.ledger.equity() == equity + amount


async def test_the_daily_loss_is_measured_on_equity_after_a_transfer() -> None:
    policy = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, daily_loss={"max_share": "0.03"})
    run = await Run(ListFeed(path([100.0] * 4)), Scripted({1: buy("97", "0.25")}), policy=policy).go()
    run.clock.advance(NOW)
    # Lost 50 of what was 10,000 is nothing; of 1,000 it is 5 %.
    await tell(run, Transferred("t1", D(-9_000), NOW))
    assert not run.engine.account.day.today.reached
    await tell(run, OutsideFill("f1", "BTCUSDT", Side.SELL, held(run), D(98), D(0), NOW, OutsideCause.OTHER_TRADER))
    assert run.engine.account.day.today.reached


async def test_a_paper_liquidation_halts_and_book_and_venue_agree() -> None:
    candles = [candle(0, 100.0), candle(1, 100.0), candle(2, 215.0, open_=210.0), candle(3, 215.0)]
    run = await watched(Run(ListFeed(candles), Scripted({1: short("103")}), policy=WAKES)).go()
    (gone,) = run.events(events.OutsideFilled)
    assert (gone.cause, gone.side, gone.position) == (OutsideCause.LIQUIDATION, "buy", 0)
    assert gone.price < 200
    (closed,) = run.events(events.PositionClosed)
    (entry,) = run.events(events.OrderFilled)
    assert -closed.pnl <= entry.quantity * entry.price + closed.fees
    assert run.engine.account.trading_state is TradingState.HALTED
    assert run.venue.orders == []


@pytest.mark.parametrize(("side", "trigger"), [(Side.BUY, "95.02"), (Side.SELL, "105.01")])
def test_the_stop_of_a_position_opened_outside_is_a_tick_multiple(side: Side, trigger: str) -> None:
    wire = Wire(symbols=("BTCUSDT", "ETHUSDT"))
    wire.give(OutsideFill("f1", "ETHUSDT", side, D(2), D("100.0133"), D("0.1"), wire.now, OutsideCause.OTHER_TRADER))
    protection = wire.engine.guard.protections["ETHUSDT"]
    assert protection.trigger == D(trigger)
    assert wire.last(Purpose.STOP).trigger_price == D(trigger)
    assert protection.deadline is not None

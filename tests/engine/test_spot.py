"""Spot: stop and target are one order and lock the balance, fees reduce the purchase, dust counts as flat."""

from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import CloseRequest
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Candle, Product
from ocw_mcp.domain.money import floor_to
from ocw_mcp.domain.orders import Purpose, Rejected
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.steps import Asked, Command, Send
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.summary import summary
from tests.support.deciders import Reckless, Scripted
from tests.support.invariants import never_naked, watched
from tests.support.legs import add, buy, sell
from tests.support.markets import START, ListFeed, candle, path
from tests.support.runs import Run, policies

D = Decimal
STEP = D("0.00001")
WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


def run(candles: list[Candle], script: dict[int, Decision]) -> Run:
    feed = ListFeed(candles)
    feed.product = Product.SPOT
    return watched(Run(feed, Scripted(script), policy=WAKES))


def live(done: Run) -> list[tuple[Purpose, Decimal | None, Decimal | None, Decimal]]:
    orders = [each.order for each in done.engine.orders.live()]
    return [(each.ref.leg, each.trigger_price, each.take_at, each.quantity) for each in orders]


def held(done: Run) -> Decimal:
    return done.engine.account.ledger.quantity("BTCUSDT")


async def test_spot_stop_and_target_are_one_order_for_quantity_net_of_fee() -> None:
    done = await run(path([100.0] * 4), {1: buy("97", target="104")}).go()
    (fill,) = done.events(events.OrderFilled)
    assert held(done) == fill.quantity * D("0.999")
    assert live(done) == [(Purpose.STOP, D(97), D(104), floor_to(held(done), STEP))]
    assert summary(done.engine)["positions"][0]["protected"] is True


@pytest.mark.parametrize(("close", "won"), [(104.5, True), (96.5, False)])
async def test_a_stop_or_target_on_spot_closes_the_whole_position(close: float, won: bool) -> None:
    candles = [*path([100.0] * 4), candle(4, close, open_=100.0), candle(5, close)]
    done = await run(candles, {1: buy("97", target="104")}).go()
    (closed,) = done.events(events.PositionClosed)
    assert (closed.pnl > 0) == won
    assert held(done) == 0
    assert live(done) == []


async def test_a_spot_position_is_unprotected_while_it_is_sold() -> None:
    done = await run(path([100.0] * 6), {1: buy("97"), 3: sell()}).go()
    kinds = [type(e.event) for e in done.store.domain if getattr(e.event, "ref", None) and e.event.ref.leg != "e"]  # type: ignore[attr-defined]
    after = kinds[kinds.index(events.OrderCancelRequested) - 1 :]
    assert after[:3] == [events.OrderIntended, events.OrderCancelRequested, events.OrderCanceled]
    assert done.events(events.PositionUnprotected)[-1].symbol == "BTCUSDT"
    assert held(done) == 0
    assert len(done.events(events.PositionClosed)) == 1


async def test_spot_dust_is_added_to_the_next_purchase() -> None:
    done = await run(path([100.0] * 12), {1: buy("97", "0.0777"), 3: sell(), 6: buy("97")}).go()
    first, second = (fill for fill in done.events(events.OrderFilled) if fill.ref.leg is Purpose.ENTRY)
    (sold,) = (fill for fill in done.events(events.OrderFilled) if fill.ref.leg is Purpose.EXIT)
    dust = first.quantity * D("0.999") - sold.quantity
    assert 0 < dust < STEP
    assert held(done) == second.quantity * D("0.999") + dust
    assert done.engine.account.ledger.dust == {}


async def test_an_exit_is_journaled_with_the_quantity_that_is_sent() -> None:
    done = await run(path([100.0] * 8), {1: buy("97", "0.0777"), 3: sell()}).go()
    (intended,) = (each for each in done.events(events.OrderIntended) if each.ref.leg is Purpose.EXIT)
    (sold,) = (fill for fill in done.events(events.OrderFilled) if fill.ref.leg is Purpose.EXIT)
    assert intended.intent.quantity == sold.quantity


async def test_spot_addition_gets_one_stop_for_the_whole_position() -> None:
    done = await run(path([100.0] * 6), {1: buy("96", target="110"), 3: add("97")}).go()
    assert live(done) == [(Purpose.STOP, D(97), D(110), floor_to(held(done), STEP))]
    assert summary(done.engine)["positions"][0]["protected"] is True


async def test_a_stop_cancelled_for_an_exit_that_fails_is_replaced() -> None:
    done = await run(path([100.0] * 4), {1: buy("97")}).go()
    done.clock.advance(START + 5 * MINUTE)
    shell = done.simulation.shell
    # The exit is rejected in the same step in which the stop is cancelled for it.
    effects = done.engine.step(Asked(CloseRequest("k", "anna", "BTCUSDT")), done.clock.now())
    (exit_,) = done.engine.orders.live("BTCUSDT", Purpose.EXIT)
    await shell.follow([each for each in effects if not isinstance(each, Send)], done.clock.now())
    await shell.take(Rejected(exit_.ref, RejectReason.INSUFFICIENT_BALANCE, "Account has insufficient balance."))
    (stop,) = done.engine.orders.live("BTCUSDT", Purpose.STOP)
    assert stop.order.trigger_price == D(97)
    assert summary(done.engine)["positions"][0]["protected"] is True


async def test_a_spot_flatten_ends_without_a_position_or_order() -> None:
    first = await run(path([100.0] * 4), {1: buy("97", target="120")}).go()
    feed = ListFeed(path([100.0] * 8))
    feed.product = Product.SPOT
    again = Run(feed, Scripted({}), policy=WAKES, store=first.store)
    again.commands.put(Command("c1", "flatten", "anna"))
    await never_naked(again).go()
    assert held(again) == 0
    assert live(again) == []


@pytest.mark.parametrize("seed", range(1, 6))
async def test_random_decisions_never_leave_a_position_unprotected(seed: int) -> None:
    prices = [100.0 * (1 + 0.02 * ((7 * i * (seed + 3)) % 11 - 5) / 5) for i in range(90)]
    feed = ListFeed(path(prices))
    feed.product = Product.SPOT
    done = await watched(Run(feed, Reckless(seed), policy=WAKES)).go()
    assert done.events(events.OrderFilled)

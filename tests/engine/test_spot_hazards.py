"""Spot has locked balances, dust and no short, and the guard still protects every position."""

from decimal import Decimal

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain import events
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Candle, Instrument, Product
from ocw_mcp.domain.orders import (
    Order,
    OutcomeUnknown,
    OutsideCause,
    OutsideFill,
    Purpose,
    Rejected,
    Side,
)
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.steps import Command, Timer, TimerFired, TimerKind
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.engine.protection import protection_timer, retry_timer
from tests.support.deciders import Scripted
from tests.support.invariants import watched
from tests.support.legs import buy, sell
from tests.support.markets import START, ListFeed, candle, path
from tests.support.runs import Run, policies
from tests.support.venues import LosesExits
from tests.support.wire import Wire

D = Decimal
WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


END = START + 4 * MINUTE


class RefusesOneExit(PaperVenue):
    def __init__(self) -> None:
        super().__init__(Product.SPOT, D(10_000), patience_ms=5 * MINUTE)
        self._refused = False

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        if cleared.order.ref.leg is not Purpose.EXIT or self._refused:
            return await super().submit(cleared, now)
        self._refused = True
        return self.say(Rejected(cleared.redeem(now).ref, RejectReason.FILTER, "no"))


def on_spot(candles: list[Candle], script: dict[int, Decision], venue: PaperVenue | None = None) -> Run:
    return Run(ListFeed(candles, product=Product.SPOT), Scripted(script), policy=WAKES, venue=venue)


def flat(run: Run) -> bool:
    return not run.engine.account.ledger.positions and not list(run.engine.orders.live())


async def test_an_unfilled_part_of_an_entry_reopens_no_stopped_position() -> None:
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
    assert flat(run)


async def test_a_spot_purchase_filled_beyond_its_target_is_closed() -> None:
    gap = [candle(0, 100.0), *(candle(index, 100.1) for index in range(1, 4))]
    run = await watched(on_spot(gap, {1: buy("97", target="100.1")})).go()
    (bought,) = [at for at, fill in run.timed(events.OrderFilled) if fill.ref.leg is Purpose.ENTRY]
    assert [at for at, event in run.timed(events.OrderIntended) if event.ref.leg is Purpose.EXIT] == [bought]
    assert len(run.events(events.OrderRejected)) == 1
    assert flat(run)


async def test_a_spot_exit_stays_live_after_a_sale_outside_the_engine() -> None:
    run = await on_spot(path([100.0] * 4), {1: buy("97"), 4: sell()}).go()
    (exit_,) = run.engine.orders.live(purpose=Purpose.EXIT)
    elsewhere = OutsideFill("f1", "BTCUSDT", Side.SELL, D(1), D(100), D(0), END, OutsideCause.OTHER_TRADER)
    await run.simulation.shell.take(elsewhere)
    assert [each.ref for each in run.engine.orders.live()] == [exit_.ref]
    assert run.engine.timers[protection_timer("BTCUSDT")] == END + WAKES.stop.deadline_s * SECOND


async def test_a_resume_restores_the_target_of_a_spot_position() -> None:
    run = on_spot(path([100.0] * 4), {1: buy("97", target="105")}, venue=RefusesOneExit())
    await run.go()
    for verb in ("flatten", "resume"):
        await run.simulation.shell.take(Command(verb, verb, "anna", END))
    (stop,) = run.engine.orders.live()
    assert (stop.order.trigger_price, stop.order.take_at) == (D(97), D(105))
    assert run.engine.guard.protections["BTCUSDT"].protected
    assert list(run.engine.timers) == [Timer(TimerKind.DAY)]


async def test_few_orders_are_rejected_if_a_gap_fills_entry_and_stop() -> None:
    # An opening fills a part of the entry and triggers the stop under the first part: of the stop's fill the book hears
    # only after all that it made of the entry's, and what it means to sell is not there any more.
    gap = [
        candle(0, 105.0),
        candle(1, 100.5, open_=105.0, low=99.5, volume=50),
        *(candle(index, 96.0, volume=50) for index in range(2, 5)),
    ]
    run = await watched(on_spot(gap, {1: buy("97", "0.2", limit="100")})).go()
    assert len(run.events(events.OrderRejected)) < 5
    assert [fill.ref.leg for fill in run.events(events.OrderFilled)][:3] == [Purpose.ENTRY, Purpose.ENTRY, Purpose.STOP]
    assert flat(run)


async def test_a_stop_protects_a_spot_position_while_its_exit_is_unknown() -> None:
    venue = LosesExits(1, arrives=False, product=Product.SPOT)
    run = await on_spot(path([100.0] * 6), {1: buy("97"), 3: sell()}, venue).go()
    (lost,) = [each for each in run.events(events.OrderIntended) if each.ref.leg is Purpose.EXIT]
    (stop,) = run.engine.orders.live("BTCUSDT", Purpose.STOP)
    assert stop.order.quantity == lost.intent.quantity
    assert run.engine.guard.protections["BTCUSDT"].protected
    await run.simulation.shell.take(Rejected(lost.ref, RejectReason.NEVER_ARRIVED, "no such order"))
    assert list(run.engine.orders.live()) == [stop]


async def test_a_spot_exit_of_unknown_outcome_may_be_sent_a_second_time() -> None:
    venue = LosesExits(1, arrives=True, product=Product.SPOT)
    run = await on_spot(path([100.0] * 8), {1: buy("97"), 3: sell(), 5: sell()}, venue).go()
    sold = [each.quantity for each in run.events(events.OrderFilled) if each.ref.leg is Purpose.EXIT]
    bought = [each.quantity for each in run.events(events.OrderFilled) if each.ref.leg is Purpose.ENTRY]
    assert len([each for each in run.events(events.OrderIntended) if each.ref.leg is Purpose.EXIT]) == 2
    assert sum(sold) <= sum(bought)


def bought_on_spot(quantity: str) -> Wire:
    """Return a book with a spot position whose stop was sent; the smallest notional is 5."""
    filters = Instrument("BTCUSDT", Product.SPOT, D("0.01"), D("0.001"), D("0.001"), D(5))
    wire = Wire(Product.SPOT, filters=filters)
    entry = wire.enter(quantity=quantity)
    assert isinstance(entry, Order)
    wire.fill(entry)
    return wire


def swept(wire: Wire) -> bool:
    """Return whether the position is booked as flat, and nothing waits for it."""
    timers = {protection_timer("BTCUSDT"), retry_timer("BTCUSDT")} & set(wire.engine.timers)
    return wire.held() == 0 and not timers and wire.stands() == []


def test_dust_that_a_sale_outside_the_engine_leaves_is_swept() -> None:
    wire = bought_on_spot("10")
    wire.give(OutcomeUnknown(wire.last(Purpose.STOP).ref, "no answer"))
    wire.give(OutsideFill("f9", "BTCUSDT", Side.SELL, D("9.96"), D(100), D(0), wire.now, OutsideCause.OTHER_TRADER))
    assert swept(wire)
    assert wire.engine.account.ledger.dust["BTCUSDT"].quantity == D("0.04")
    assert [type(each) for each in wire.journal].count(events.PositionClosed) == 1


def test_position_that_became_too_small_to_be_sold_is_swept_at_its_deadline() -> None:
    wire = bought_on_spot("0.054")
    for _ in range(2):
        wire.give(Rejected(wire.last(Purpose.STOP).ref, RejectReason.FILTER, "NOTIONAL"))
    wire.tick({"BTCUSDT": 90.0})
    wire.give(TimerFired(protection_timer("BTCUSDT")))
    assert swept(wire)
    assert wire.engine.account.ledger.dust["BTCUSDT"].quantity == D("0.054")

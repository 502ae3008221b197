"""A flatten halts the engine and closes every position; each stop stays until its position is flat."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Candle, Product
from ocw_mcp.domain.orders import Accepted, Canceled, Order, Purpose, Rejected, VenueReport
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command
from ocw_mcp.runtime import run as runtime_run
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.invariants import watched
from tests.support.legs import buy
from tests.support.markets import ListFeed, candle, path
from tests.support.runs import Commands, Run, policies
from tests.support.stores import Crash, MemoryStore
from tests.support.wire import Wire

D = Decimal
WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
FLATTEN, RESUME = Command("c1", "flatten", "ann"), Command("c2", "resume", "ann")
MINUTE = 60_000


def two_symbols(minutes: int) -> ListFeed:
    return ListFeed(
        [candle(place, 100.0, symbol=symbol) for place in range(minutes) for symbol in ("BTCUSDT", "XRPUSDT")]
    )


BOTH = Decision(
    (
        Leg("BTCUSDT", Action.BUY, size=D("0.1"), stop=D(97), target=D(110)),
        Leg("XRPUSDT", Action.SHORT, size=D("0.1"), stop=D(103)),
    )
)


async def flattened(store: MemoryStore | None = None, *commands: Command) -> Run:
    box = Commands(commands or (FLATTEN,))
    first = Run(two_symbols(9), Scripted({1: BOTH}), policy=WAKES, store=store, commands=Commands())
    if store is None or store.checkpoint() is None:
        await first.go(for_ms=3 * MINUTE)
        store = first.store.reopened()
    return await watched(Run(two_symbols(9), Scripted({1: BOTH}), policy=WAKES, store=store, commands=box)).go()


async def test_a_flatten_closes_every_position_and_halts() -> None:
    run = await flattened()
    assert run.engine.account.ledger.positions == {}
    assert run.engine.account.trading_state is TradingState.HALTED
    exits = [each for each in run.events(events.OrderIntended) if each.ref.leg is Purpose.EXIT]
    assert sorted((each.intent.symbol, each.intent.principal) for each in exits) == [
        ("BTCUSDT", "ann"),
        ("XRPUSDT", "ann"),
    ]


async def test_flatten_cancels_targets_first_and_stops_after_the_exit() -> None:
    run = await flattened()
    happened = [stored.event for stored in run.store.domain]
    flat = {event.symbol: place for place, event in enumerate(happened) if isinstance(event, events.PositionClosed)}
    asked = {
        event.ref.leg: place for place, event in enumerate(happened) if isinstance(event, events.OrderCancelRequested)
    }
    ended = {event.ref.leg: place for place, event in enumerate(happened) if isinstance(event, events.OrderCanceled)}
    assert asked[Purpose.TARGET] < min(flat.values())
    assert Purpose.STOP not in asked
    assert ended[Purpose.STOP] > min(flat.values())


async def test_flatten_cancels_a_waiting_entry() -> None:
    candles = [candle(0, 100.0), candle(0, 50.0, symbol="ETHUSDT"), candle(1, 50.0, symbol="ETHUSDT")]
    box = Commands()
    run = Run(ListFeed(candles), Scripted({1: buy("97")}), policy=WAKES, commands=box)
    box.put(FLATTEN)
    await run.go()
    assert run.events(events.OrderFilled) == []


async def test_a_resume_after_a_flatten_makes_the_engine_active() -> None:
    run = await flattened(None, FLATTEN, RESUME)
    assert run.engine.account.trading_state is TradingState.ACTIVE
    assert run.engine.guard.flattening is False


class RefusesExits:
    """Makes a venue refuse the first exits."""

    def __init__(self, run: Run, count: int) -> None:
        self._venue, self._submit, self._left = run.venue, run.venue.submit, count
        run.venue.submit = self.submit  # type: ignore[method-assign]

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        if cleared.order.ref.leg is Purpose.EXIT and self._left:
            self._left -= 1
            rejected = Rejected(cleared.order.ref, RejectReason.OTHER, "Internal error.")
            self._venue.say(rejected)
        else:
            await self._submit(cleared, now)


@pytest.mark.parametrize("refused", [1, 3])
async def test_an_exit_rejected_in_a_flatten_is_retried_until_flat(refused: int) -> None:
    box = Commands()
    run = Run(ListFeed(path([100.0] * 12)), Scripted({1: buy("97")}), policy=WAKES, commands=box)
    RefusesExits(run, refused)
    await run.go(for_ms=3 * MINUTE)
    box.put(FLATTEN)
    again = Run(ListFeed(path([100.0] * 12)), Scripted({}), policy=WAKES, commands=box, store=run.store.reopened())
    RefusesExits(again, refused)
    await again.go()
    assert again.engine.account.ledger.positions == {}
    assert len(again.events(events.Incident)) == refused


class Late:
    """Makes a venue accept the first stop a candle late, and refuse the first exit meanwhile."""

    def __init__(self, run: Run, box: Commands) -> None:
        self._box, self._held, self._refuses = box, list[VenueReport](), True
        self._venue, self._submit, self._on_candle = run.venue, run.venue.submit, run.venue.on_candle
        run.venue.submit = self.submit  # type: ignore[method-assign]
        run.venue.on_candle = self.on_candle  # type: ignore[method-assign]

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        leg = cleared.order.ref.leg
        if leg is Purpose.STOP and not self._held:
            await self._submit(cleared, now)
            self._held += self._venue.collect()
            self._box.put(FLATTEN)
        elif leg is Purpose.EXIT and self._refuses:
            self._refuses = False
            self._venue.say(Rejected(cleared.redeem(now).ref, RejectReason.OTHER, "Internal error."))
        else:
            await self._submit(cleared, now)

    def on_candle(self, candle: Candle, now: int) -> Sequence[VenueReport]:
        held = [] if self._refuses else self._held
        reports = [*held, *self._on_candle(candle, now)]
        if held:
            self._held = []
        return reports


async def test_a_stop_accepted_during_a_flatten_does_not_end_the_flatten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime_run, "POLL_EVERY", 1)
    box = Commands()
    run = Run(ListFeed(path([100.0] * 12)), Scripted({1: buy("97")}), policy=WAKES, commands=box)
    Late(run, box)
    await run.go()
    assert run.events(events.PositionProtected)
    assert run.engine.account.ledger.positions == {}


async def test_a_resume_before_a_position_is_flat_restores_its_target() -> None:
    box = Commands()
    run = Run(ListFeed(path([100.0] * 12)), Scripted({1: buy("97", target="110")}), policy=WAKES, commands=box)
    await run.go(for_ms=3 * MINUTE)
    box.put(FLATTEN)
    box.put(RESUME)
    again = Run(ListFeed(path([100.0] * 12)), Scripted({}), policy=WAKES, commands=box, store=run.store.reopened())
    RefusesExits(again, 1)
    await again.go()
    assert again.engine.account.ledger.quantity("BTCUSDT") > 0
    assert any(again.engine.orders.live("BTCUSDT", Purpose.TARGET))


def test_an_oversized_fill_is_reduced_after_flatten_and_resume() -> None:
    wire = Wire(policy=policies(position={"max_share": "0.25"}, stop={"max_distance": "0.2"}))
    entry = wire.enter(Action.BUY, "20", stop=D(90))
    assert isinstance(entry, Order)
    wire.fill(entry, price="140")
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v"))
    wire.give(Rejected(wire.last(Purpose.EXIT).ref, RejectReason.OTHER, "no"))
    wire.command("flatten")
    wire.give(Rejected(wire.last(Purpose.EXIT).ref, RejectReason.OTHER, "no"))
    wire.command("resume")
    wire.fire()
    (exit_,) = wire.engine.orders.live("BTCUSDT", Purpose.EXIT)
    assert 0 < exit_.order.quantity < wire.held() == 20


def test_a_spot_stop_gets_its_target_back_after_flatten_and_resume() -> None:
    wire = Wire(Product.SPOT)
    entry = wire.enter(Action.BUY, "10", target=D(110))
    assert isinstance(entry, Order)
    wire.fill(entry)
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v1"))
    wire.command("flatten")
    wire.give(Canceled(wire.last(Purpose.STOP).ref, "requested"))
    wire.give(Rejected(wire.last(Purpose.EXIT).ref, RejectReason.OTHER, "no"))
    bare = wire.last(Purpose.STOP)
    assert bare.take_at is None
    wire.command("resume")
    wire.give(Accepted(bare.ref, "v2"))
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v3"))
    assert [(each.trigger_price, each.take_at) for each in wire.stands()] == [(D(97), D(110))]
    assert wire.engine.guard.protections["BTCUSDT"].protected


def test_spot_position_without_a_live_stop_is_unprotected() -> None:
    wire = Wire(Product.SPOT)
    entry = wire.enter(Action.BUY, "10")
    assert isinstance(entry, Order)
    wire.fill(entry)
    wire.give(Accepted(wire.last(Purpose.STOP).ref, "v1"))
    wire.command("flatten")
    for _ in range(2):
        wire.give(Rejected(wire.last(Purpose.EXIT).ref, RejectReason.OTHER, "no"))
        wire.give(Accepted(wire.last(Purpose.STOP).ref, "v2"))
        wire.fire()
    wire.give(Rejected(wire.last(Purpose.EXIT).ref, RejectReason.OTHER, "no"))
    assert not wire.stands()
    assert not wire.engine.guard.protections["BTCUSDT"].protected


class Alarmed(Scripted):
    """Gives a flatten command while the third wake is answered."""

    def __init__(self, box: Commands) -> None:
        super().__init__({1: BOTH})
        self._box = box

    async def decide(self, request: DecisionRequest) -> Decision:
        if request.wake_id == 3:
            self._box.put(FLATTEN)
        return await super().decide(request)


async def alarmed(store: MemoryStore | None = None) -> Run:
    box = Commands()
    return await Run(two_symbols(9), Alarmed(box), policy=WAKES, store=store, commands=box).go()


@again_among_slow
async def test_a_flatten_killed_at_any_step_resumes_to_the_same_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime_run, "POLL_EVERY", 1)
    whole = await alarmed()
    assert len(whole.events(events.PositionClosed)) == 2
    for moment in some(whole.store.crash_moments()):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await alarmed(dying)
        assert (await alarmed(dying.reopened())).store.fingerprint == whole.store.fingerprint

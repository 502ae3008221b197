"""A live book at an exchange: it trades, is killed, and is restarted, in virtual time."""

import asyncio
from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import ProtectionRequest
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.errors import FeedError, InvariantError, MarketUnreachable, VenueRefused
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.orders import AccountSeen, OrderRef, Purpose, RejectReason
from ocw_mcp.engine.order_names import SKIPPED
from ocw_mcp.engine.step import Engine
from ocw_mcp.runtime import outbox
from ocw_mcp.runtime.run import BookRun
from ocw_mcp.runtime.shell import DRAIN_S
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.exchange_requests import rest_until
from tests.support.legs import buy, sell
from tests.support.live import live_frames
from tests.support.scripted_exchange import RAISES, Exchange, Process
from tests.support.stores import FullFor

FRAMES = live_frames([100.0, 100.0, 100.0])
ENTERS = {1: buy("97")}
ENTRY, STOP = OrderRef(1, Purpose.ENTRY), OrderRef(1, Purpose.STOP)


def test_an_entry_at_an_exchange_fills_and_gets_its_stop() -> None:
    async def play() -> None:
        exchange = Exchange()
        done = await Process(exchange, FRAMES, ENTERS).go()
        assert exchange.requests == ["1-e-0", "1-s-0"]
        assert exchange.at("1-s-0") - exchange.at("1-e-0") == pytest.approx(0.1, abs=0.01)
        assert done.positions == {name: size for name, size in exchange.positions.items() if size}
        assert exchange.protected("BTCUSDT")
        assert done.store.events(events.PositionProtected)
        assert done.venue.closed

    run_in_virtual_time(play())


"""Times (s) of a kill: before the decision, and on each way of entry and stop to the exchange and back."""


def test_a_fill_of_an_exchange_is_durable_at_once() -> None:
    async def play() -> None:
        exchange = Exchange()
        store = await Process(exchange, FRAMES, {1: buy("97"), 2: sell()}).killed_at(120.4)
        assert exchange.positions == {"BTCUSDT": 0}
        assert [each.ref.leg for each in store.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.EXIT]

    run_in_virtual_time(play())


def test_a_new_book_opens_the_exchange_without_orders_before_it_sends() -> None:
    async def play() -> None:
        done = await Process(Exchange(), FRAMES, ENTERS).go()
        assert done.venue.opened_with == [([], None)]

    run_in_virtual_time(play())


def test_the_account_is_taken_before_the_first_frame_of_a_new_book() -> None:
    async def play() -> None:
        store = await Process(Exchange(), FRAMES, {}).killed_at(30.0)
        assert [type(each.event) for each in store.inputs()][:2] == [AccountSeen, Frame]

    # The first commit after the checkpoint of the beginning is made at a wake.
    run_in_virtual_time(play())


def test_a_stop_that_waited_for_the_exchange_is_replaced_by_a_newer_one() -> None:
    async def play() -> None:
        exchange = Exchange()
        store = await Process(exchange, FRAMES, ENTERS).killed_at(70.0)
        again = Process(exchange, FRAMES, {}, store=store, refuses=[MarketUnreachable("no answer")] * 4)
        going = asyncio.ensure_future(again.go())
        for stop in ("98", "98.5"):
            await rest_until(asyncio.get_running_loop().time() + 3)
            await again.run.shell.ask(ProtectionRequest(stop, "anna", "BTCUSDT", Decimal(stop)))
        await going
        assert exchange.requests == ["1-e-0", "1-s-0", f"1-s-{SKIPPED + 2}"]
        (unsent,) = again.store.events(events.OrderRejected)
        assert unsent.ref == OrderRef(1, Purpose.STOP, SKIPPED + 1)
        assert [each.order.trigger_price for each in again.engine.orders.live()][-1] == Decimal("98.5")
        # The exchange could not be reached, and could be again.
        assert ["the account can" in each.text for each in again.store.events(events.Incident)] == [True, True]

    run_in_virtual_time(play())


@pytest.mark.parametrize("error", [VenueRefused("hedge mode"), MarketUnreachable("no answer")])
def test_no_book_is_created_for_an_account_that_cannot_be_used(error: Exception) -> None:
    async def play() -> None:
        process = Process(Exchange(), FRAMES, ENTERS, refuses=[error])
        with pytest.raises(type(error)):
            await process.go()
        assert process.store.domain == []
        assert process.venue.closed

    run_in_virtual_time(play())


def test_an_entry_under_way_at_the_end_of_a_run_gets_its_stop() -> None:
    async def play() -> None:
        exchange = Exchange()
        done = await Process(exchange, FRAMES, ENTERS).go(60.05)
        assert exchange.requests == ["1-e-0", "1-s-0"]
        assert done.positions == exchange.positions
        assert exchange.protected("BTCUSDT")

    run_in_virtual_time(play())


def test_the_end_of_a_run_cancels_a_resting_entry_at_the_exchange() -> None:
    async def play() -> None:
        exchange = Exchange()
        done = await Process(exchange, FRAMES, {1: buy("94", limit="98")}).go(70.0)
        assert exchange.requests == ["1-e-0", "X1-e-0"]
        assert list(done.engine.orders.live()) == []
        (canceled,) = done.store.events(events.OrderCanceled)
        assert canceled.ref == ENTRY
        again = Process(exchange, FRAMES, {}, store=done.store.reopened())
        await again.go(75.0)
        assert again.venue.opened_with[0][0] == []

    run_in_virtual_time(play())


def test_a_run_ends_in_bounded_time_while_the_exchange_hangs() -> None:
    async def play() -> None:
        exchange = Exchange()
        exchange.faults["1-e-0"] = 1_000.0
        await Process(exchange, FRAMES, ENTERS).go(61.0)
        assert asyncio.get_running_loop().time() == pytest.approx(61 + DRAIN_S, abs=1)

    run_in_virtual_time(play())


def test_a_venue_that_raises_leaves_an_unknown_order_and_the_run_goes_on() -> None:
    async def play() -> None:
        exchange = Exchange()
        exchange.faults["1-e-0"] = RAISES
        done = await Process(exchange, FRAMES, ENTERS).go()
        (unknown,) = done.store.events(events.OrderUnknown)
        assert (unknown.ref, unknown.why) == (ENTRY, "ValueError: a bug")

    run_in_virtual_time(play())


def test_reports_that_fail_once_are_read_again() -> None:
    async def play() -> None:
        exchange = Exchange()
        process = Process(exchange, FRAMES, ENTERS)
        process.venue.hear(ValueError("a bug"))
        await process.go()
        assert exchange.protected("BTCUSDT")

    run_in_virtual_time(play())


def test_reports_that_fail_repeatedly_end_the_run_with_a_sentence() -> None:
    async def play() -> None:
        process = Process(Exchange(), FRAMES, ENTERS)
        for _ in range(5):
            process.venue.hear(ValueError("a bug"))
        with pytest.raises(FeedError, match="reports of the venue scripted cannot be read"):
            await process.go()

    run_in_virtual_time(play())


def test_filters_that_change_reach_the_exchange_venue() -> None:
    async def play() -> None:
        changed = Process(Exchange(), (), {}).venue.instrument("BTCUSDT", 100.0)
        done = await Process(Exchange(), live_frames([100.0], instruments=[changed]), {}).go()
        assert done.venue.filters == [changed]

    run_in_virtual_time(play())


@pytest.mark.parametrize(("last", "sent"), [(100.0, True), (110.0, False), (88.0, False)])
def test_an_entry_that_waited_while_the_price_moved_is_not_sent(
    last: float, sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_ENTRIES", 1)

    async def play() -> None:
        exchange = Exchange()
        exchange.faults["1-e-0"] = 25.0
        closes = {"BTCUSDT": [100.0] * 3, "ETHUSDT": [100.0, last, last]}
        frames = sorted((each for name in closes for each in live_frames(closes[name], name)), key=lambda each: each.at)
        both = Decision((*buy("97").legs, *buy("97", symbol="ETHUSDT").legs))
        done = await Process(exchange, frames, {1: both}, symbols=tuple(closes)).go()
        assert ("2-e-0" in exchange.requests) is sent
        rejected = [each for each in done.store.events(events.OrderRejected) if each.ref.n == 2]
        assert [RejectReason.NOT_SENT in msgspec.structs.astuple(each) for each in rejected] == ([] if sent else [True])
        assert done.positions == {name: size for name, size in exchange.positions.items() if size}

    run_in_virtual_time(play())


@pytest.mark.requirement("E06")
def test_on_a_full_disk_no_entry_leaves_and_a_stop_does() -> None:
    async def play(first: int, last: int) -> tuple[Exchange, Process]:
        exchange = Exchange()
        return exchange, await Process(exchange, FRAMES, ENTERS, store=FullFor(first, last)).go()

    whole = run_in_virtual_time(play(10_000, 10_000))[1]
    intents = [each.seq for each in whole.store.domain if isinstance(each.event, events.OrderIntended)]
    exchange, done = run_in_virtual_time(play(intents[0], intents[0] + 1))
    assert exchange.requests == []
    assert [each.ref for each in done.store.events(events.OrderRejected)] == [ENTRY]
    exchange, _ = run_in_virtual_time(play(intents[1], intents[1] + 1))
    assert exchange.requests == ["1-e-0", "1-s-0"]


def test_a_simulated_book_cannot_trade_at_an_exchange() -> None:
    process = Process(Exchange(), FRAMES, {})
    engine = Engine(msgspec.structs.replace(process.engine.config, live=False))
    with pytest.raises(InvariantError, match="live book"):
        BookRun(engine, process.feed, process.venue, process.store, process.clock, process.decider, process.commands)

"""A live book at an exchange is killed and restarted, in virtual time: no fill is lost, and no order is sent twice."""

import asyncio
from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import ProtectionRequest
from ocw_mcp.domain.errors import MarketUnreachable, VenueRefused
from ocw_mcp.domain.orders import OrderRef, Purpose, VenueNotice, VenueNoticeKind
from ocw_mcp.engine.order_names import SKIPPED
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.examples import again_among_slow, among_slow, slow_after
from tests.support.exchange_requests import rest_until
from tests.support.legs import buy, sell
from tests.support.live import live_frames
from tests.support.markets import START
from tests.support.scripted_exchange import LOST, NEVER_ARRIVES, Exchange, Process
from tests.support.stores import Crash, MemoryStore

FRAMES = live_frames([100.0, 100.0, 100.0])
ENTERS = {1: buy("97")}
ENTRY, STOP = OrderRef(1, Purpose.ENTRY), OrderRef(1, Purpose.STOP)


KILLS = [60.0, 60.02, 60.07, 60.12, 60.17, 60.22, 60.5]


@pytest.mark.requirement("E05")
@pytest.mark.parametrize("killed_s", KILLS)
@pytest.mark.parametrize("faults", slow_after(2, [{}, {"1-s-0": LOST}, {"1-e-0": LOST}, {"1-e-0": NEVER_ARRIVES}]))
def test_a_killed_book_restarts_to_the_position_at_the_exchange(killed_s: float, faults: dict[str, str]) -> None:
    async def play() -> None:
        exchange = Exchange()
        exchange.faults.update(faults)
        store = await Process(exchange, FRAMES, ENTERS).killed_at(killed_s)
        await rest_until(61.0)
        exchange.faults.clear()
        sent = len(exchange.requests)
        done = await Process(exchange, FRAMES, {}, store=store).go()
        assert done.positions == {name: size for name, size in exchange.positions.items() if size}
        assert exchange.protected("BTCUSDT")
        assert [what for what in exchange.requests[sent:] if what.endswith("e-0")] == [], "an entry was sent again"

    run_in_virtual_time(play())


@again_among_slow
@pytest.mark.requirement("E05")
def test_a_book_that_crashes_at_any_commit_restarts_to_the_same_position() -> None:
    async def play(die_at: int) -> bool:
        exchange, dying = Exchange(), MemoryStore()
        dying.die_at = die_at
        process = Process(exchange, FRAMES, {1: buy("97"), 2: sell()}, store=dying)
        running = asyncio.ensure_future(process.run.run("test"))
        (ended,) = await asyncio.gather(running, return_exceptions=True)
        await rest_until(asyncio.get_running_loop().time() + 1)
        done = await Process(exchange, FRAMES, {}, store=dying.reopened()).go()
        assert done.positions == {name: size for name, size in exchange.positions.items() if size}, f"died at {die_at}"
        assert exchange.protected("BTCUSDT"), f"died at {die_at}"
        return isinstance(ended, Crash)

    moment = 3
    while run_in_virtual_time(play(moment)):
        moment += 13 if among_slow else 39
    assert moment > 40


@pytest.mark.requirement("E05")
@pytest.mark.parametrize("killed_s", [60.12, 60.17, 60.22])
@pytest.mark.parametrize("refuses", [0, 3])
def test_a_stop_that_outlived_the_process_keeps_its_position_after_a_long_downtime(
    killed_s: float, refuses: int
) -> None:
    async def play() -> None:
        exchange = Exchange()
        store = await Process(exchange, FRAMES, ENTERS).killed_at(killed_s)
        await rest_until(150.0)
        again = Process(exchange, FRAMES, {}, store=store, refuses=[MarketUnreachable("no answer")] * refuses)
        await again.go()
        assert [name for name in exchange.requests if "-x-" in name] == []
        assert exchange.protected("BTCUSDT")
        assert again.positions == exchange.positions

    run_in_virtual_time(play())


def test_nothing_is_sent_while_a_restart_repeats_its_inputs() -> None:
    async def play() -> None:
        exchange = Exchange()
        store = await Process(exchange, FRAMES, ENTERS).killed_at(70.0)
        assert list(store.inputs())
        before, again = exchange.requests, Process(exchange, FRAMES, {}, store=store)
        await again.go(75.0)
        assert exchange.requests == before
        assert again.engine.now > 70_000

    run_in_virtual_time(play())


def test_a_restart_asks_for_its_live_orders_and_what_happened_since_the_account_was_seen() -> None:
    async def play() -> None:
        exchange = Exchange()
        exchange.faults["1-s-0"] = NEVER_ARRIVES
        first = Process(exchange, FRAMES, ENTERS)
        store = await first.killed_at(60.5)
        again = Process(exchange, FRAMES, {}, store=store)
        await again.go(62.0)
        ((orders, since),) = again.venue.opened_with
        assert [each.order.ref for each in orders] == [STOP]
        assert since == first.venue.shown_at[0]
        (rejected,) = again.store.events(events.OrderRejected)
        assert rejected.ref == STOP
        # The guard places another stop under a new id.
        assert exchange.requests == ["1-e-0", f"1-s-{SKIPPED + 1}"]

    run_in_virtual_time(play())


def test_a_run_that_never_reached_the_exchange_hides_no_fill_from_the_next_one() -> None:
    async def play() -> None:
        exchange = Exchange()
        first = Process(exchange, FRAMES, {1: buy("94", limit="98")})
        store = await first.killed_at(70.0)
        exchange.fill(ENTRY)
        unreachable = Process(exchange, FRAMES, {}, store=store, refuses=[MarketUnreachable("no answer")] * 99)
        store = await unreachable.killed_at(130.0)
        assert unreachable.engine.now > START + 120_000
        third = Process(exchange, FRAMES, {}, store=store)
        await third.go()
        ((_, since),) = third.venue.opened_with
        assert since == first.venue.shown_at[0]
        assert third.positions == exchange.positions
        assert exchange.protected("BTCUSDT")

    run_in_virtual_time(play())


def test_a_cancel_without_an_answer_is_asked_for_again_after_a_restart() -> None:
    async def play() -> None:
        exchange = Exchange()
        exchange.faults["X1-e-0"] = NEVER_ARRIVES
        script = {1: buy("94", limit="98", expires_s=5)}
        store = await Process(exchange, FRAMES, script).killed_at(66.0)
        assert exchange.requests == ["1-e-0"]
        exchange.faults.clear()
        again = Process(exchange, FRAMES, {}, store=store)
        await again.go(67.0)
        assert exchange.requests == ["1-e-0", "X1-e-0"]
        ((orders, _),) = again.venue.opened_with
        assert [each.cancel_requested for each in orders] == [True]
        assert list(again.engine.orders.live()) == []

    run_in_virtual_time(play())


def test_a_restarted_book_waits_for_an_exchange_that_does_not_answer() -> None:
    async def play() -> None:
        exchange = Exchange()
        exchange.faults["1-s-0"] = NEVER_ARRIVES
        store = await Process(exchange, FRAMES, ENTERS).killed_at(60.5)
        refuses = [MarketUnreachable("no answer")] * 3
        again = Process(exchange, FRAMES, {}, store=store, refuses=refuses)
        store = await again.killed_at(80.0)
        assert len(again.venue.opened_with) == 4
        assert exchange.protected("BTCUSDT")
        notices = [each.event.kind for each in store.inputs() if isinstance(each.event, VenueNotice)]
        assert notices == [VenueNoticeKind.DEGRADED, VenueNoticeKind.RESTORED]

    run_in_virtual_time(play())


def test_a_restarted_book_opens_the_exchange_when_its_ban_ends() -> None:
    async def play() -> None:
        exchange = Exchange()
        store = await Process(exchange, FRAMES, ENTERS).killed_at(60.5)
        banned = MarketUnreachable("banned", START + 90_000)
        again = Process(exchange, FRAMES, {}, store=store, refuses=[banned] * 6)
        await again.killed_at(100.0)
        assert START + 90_000 < again.venue.shown_at[0] < START + 91_500

    run_in_virtual_time(play())


def test_an_account_that_is_refused_ends_a_restarted_book() -> None:
    async def play() -> None:
        exchange = Exchange()
        store = await Process(exchange, FRAMES, ENTERS).killed_at(70.0)
        again = Process(exchange, FRAMES, {}, store=store, refuses=[VenueRefused("hedge mode")])
        with pytest.raises(VenueRefused, match="hedge mode"):
            await again.go()
        stopped = [event for _, event in again.store.all_events() if isinstance(event, events.RunStopped)]
        assert "the venue is at fault: hedge mode" in stopped[-1].why

    run_in_virtual_time(play())


def test_a_run_killed_while_it_ends_can_be_repeated() -> None:
    async def play() -> None:
        exchange = Exchange()
        exchange.faults["X1-e-0"] = NEVER_ARRIVES
        process = Process(exchange, FRAMES, {1: buy("94", limit="98")})
        going = asyncio.ensure_future(process.go(70.0))
        await rest_until(71.0)
        process.store.commit()
        left = process.store.reopened()
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        assert [type(each.event).__name__ for each in left.inputs()].count("RunEnds") == 1
        exchange.faults.clear()
        again = Process(exchange, FRAMES, {}, store=left)
        await again.go(75.0)
        assert exchange.requests == ["1-e-0", "X1-e-0"]
        assert list(again.engine.orders.live()) == []

    run_in_virtual_time(play())


@pytest.mark.requirement("E07")
def test_a_request_that_is_repeated_after_a_kill_gets_the_same_order() -> None:
    async def play() -> None:
        exchange = Exchange()
        request = ProtectionRequest("k1", "anna", "BTCUSDT", Decimal(98))
        first = Process(exchange, FRAMES, ENTERS)
        asked = asyncio.ensure_future(rest_until(70.0))
        killed = asyncio.ensure_future(first.killed_at(71.0))
        await asked
        answers = [await first.run.shell.ask(request) for _ in range(2)]
        again = Process(exchange, FRAMES, {}, store=await killed)
        going = asyncio.ensure_future(again.go(80.0))
        await rest_until(75.0)
        answers.append(await again.run.shell.ask(request))
        await going
        assert answers == [OrderRef(1, Purpose.STOP, 1)] * 3
        assert exchange.requests == ["1-e-0", "1-s-0", "1-s-1"]

    run_in_virtual_time(play())

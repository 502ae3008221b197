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
from ocw_mcp.domain.orders import AccountSeen, OrderRef, Purpose, RejectReason, VenueNotice, VenueNoticeKind
from ocw_mcp.engine.order_names import SKIPPED
from ocw_mcp.engine.step import Engine
from ocw_mcp.runtime import outbox
from ocw_mcp.runtime.run import BookRun
from ocw_mcp.runtime.shell import DRAIN_S
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.examples import again_among_slow, among_slow, slow_after
from tests.support.exchange_requests import LoopClock
from tests.support.legs import buy, sell
from tests.support.live import live_frames
from tests.support.markets import START
from tests.support.scripted_exchange import LOST, NEVER_ARRIVES, RAISES, Exchange, Process
from tests.support.stores import Crash, FullFor, MemoryStore

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


KILLS = [60.0, 60.02, 60.07, 60.12, 60.17, 60.22, 60.5]
"""Times (s) of a kill: before the decision, and on each way of entry and stop to the exchange and back."""


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


async def rest_until(until_s: float) -> None:
    """Let virtual time pass until `until_s` of the loop."""
    await LoopClock().wait_until(START + round(until_s * 1_000))


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


def test_a_new_book_opens_the_exchange_without_orders_before_it_sends() -> None:
    async def play() -> None:
        done = await Process(Exchange(), FRAMES, ENTERS).go()
        assert done.venue.opened_with == [([], None)]

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


@pytest.mark.parametrize("error", [VenueRefused("hedge mode"), MarketUnreachable("no answer")])
def test_no_book_is_created_for_an_account_that_cannot_be_used(error: Exception) -> None:
    async def play() -> None:
        process = Process(Exchange(), FRAMES, ENTERS, refuses=[error])
        with pytest.raises(type(error)):
            await process.go()
        assert process.store.domain == []
        assert process.venue.closed

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

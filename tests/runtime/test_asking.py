"""A running engine answers its callers between two frames, and a restart repeats their requests."""

import asyncio
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import (
    CallerRequest,
    CancelRequest,
    CloseRequest,
    HaltRequest,
    LegRequest,
    NoteRequest,
    ProtectionRequest,
    SubmitRequest,
)
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.errors import BookError, JournalError, TapeError
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.requests import RequestError
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command, Verb
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.runtime.deciders import AttachedDecider
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.markets import START, HandFed, ListFeed, path
from tests.support.runs import Commands, Run, policies
from tests.support.stores import FullFor, MemoryStore

D = Decimal
WAKES = policies(gate={"close_wakes": ["4h"]})
PRICES = [100.0] * 400
WAITS = LegRequest(
    "k1", "anna", Leg("BTCUSDT", Action.BUY, size=D("0.1"), stop=D(88), limit=D(90), limit_expires_s=10**6)
)
TAKES = LegRequest("k2", "ben", Leg("BTCUSDT", Action.BUY, size=D("0.1"), stop=D(97)))


async def between_frames(run: Run, feed: HandFed, request: CallerRequest) -> Answer:
    """The answer to a request, after as many frames as there are between two polls."""
    asking = asyncio.ensure_future(run.simulation.shell.ask(request))
    while not asking.done():
        feed.give(1)
        await asyncio.sleep(0)  # noqa: TID251 - lets the run go on
    return await asking


async def asked_in_the_middle(store: MemoryStore) -> tuple[Run, list[Answer]]:
    """A run that gets three requests."""
    feed = HandFed(path(PRICES))
    run = Run(feed, policy=WAKES, store=store)
    going = asyncio.ensure_future(run.go())
    cancel = CancelRequest("k3", "anna", OrderRef(1, Purpose.ENTRY))
    answers = [await between_frames(run, feed, each) for each in (WAITS, cancel, TAKES)]
    feed.give(len(PRICES))
    await going
    return run, answers


async def test_a_caller_is_answered_while_the_market_runs() -> None:
    run, answers = await asked_in_the_middle(MemoryStore())
    assert answers[:2] == [OrderRef(1, Purpose.ENTRY)] * 2
    assert isinstance(answers[2], OrderRef)
    assert [event.request.key for event in run.events(events.CallerAsked)] == ["k1", "k3", "k2"]


async def test_a_request_is_durable_when_it_is_answered() -> None:
    store, feed = MemoryStore(), HandFed(path(PRICES))
    run = Run(feed, policy=WAKES, store=store)
    going = asyncio.ensure_future(run.go())
    await between_frames(run, feed, WAITS)
    durable = [event for _, event in store.all_events()]
    assert [event.ref for event in durable if isinstance(event, events.OrderIntended)] == [OrderRef(1, Purpose.ENTRY)]
    feed.give(len(PRICES))
    await going


async def test_a_resumed_run_takes_requests_from_the_journal() -> None:
    store = MemoryStore()
    run, _ = await asked_in_the_middle(store)
    # The process died without a checkpoint: all of it is done again, without anybody asking.
    died = store.without_checkpoint()
    again = await Run(ListFeed(path(PRICES)), policy=WAKES, store=died).go()
    assert again.store.fingerprint == run.store.fingerprint
    assert len(again.events(events.CallerAsked)) == 3


WATCHED = policies(
    gate={"close_wakes": ["1h"], "cooldown_s": 0},
    decision={"deadline_s": 900},
    approval={"above_notional": 500, "modes": [], "answer_s": 86_400},
)
SUBMITS = SubmitRequest("k1", "anna", 1, buy("97", "0.1"))


async def test_a_resumed_run_replays_every_kind_of_request() -> None:
    store, feed, box = MemoryStore(), HandFed(path(PRICES)), Commands()
    run = Run(feed, AttachedDecider(), policy=WATCHED, store=store, commands=box, agent="attached", fallback=True)
    going = asyncio.ensure_future(run.go())
    await between_frames(run, feed, SUBMITS)
    box.put(Command("c1", Verb.APPROVE, "ben", subject="a1"))
    feed.give(70)
    while not box.taken:
        await asyncio.sleep(0)  # noqa: TID251 - lets the run go on
    await between_frames(run, feed, NoteRequest("k2", "anna", "it went well"))
    await between_frames(run, feed, CloseRequest("k3", "cleo", "BTCUSDT"))
    await between_frames(run, feed, HaltRequest("k4", "cleo", "enough"))
    feed.give(len(PRICES))
    await going
    assert [fill.ref.leg for fill in run.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.EXIT]
    assert run.events(events.DecisionMade)[0].decider == "anna"
    died = store.without_checkpoint()
    again = Run(ListFeed(path(PRICES)), AttachedDecider(), policy=WATCHED, store=died, agent="attached", fallback=True)
    assert (await again.go()).store.fingerprint == run.store.fingerprint
    assert again.engine.account.trading_state is TradingState.HALTED


async def test_a_request_to_an_ended_run_raises_an_error() -> None:
    feed = HandFed(path([100.0] * 8), breaks_at=START + 5 * MINUTE)
    run = Run(feed, policy=WAKES)
    going = asyncio.ensure_future(run.go())
    feed.give(2)
    while run.simulation.cursor < 0:
        await asyncio.sleep(0)  # noqa: TID251 - lets the run go on
    asking = asyncio.ensure_future(run.simulation.shell.ask(WAITS))
    feed.give(20)
    with pytest.raises(TapeError):
        await going
    for ask in (asking, run.simulation.shell.ask(TAKES)):
        with pytest.raises(BookError, match="ended before"):
            await ask
    assert run.events(events.CallerAsked) == []


async def test_a_request_is_not_taken_if_its_client_has_disconnected() -> None:
    feed = HandFed(path(PRICES))
    run = Run(feed, policy=WAKES)
    going = asyncio.ensure_future(run.go())
    asking = asyncio.ensure_future(run.simulation.shell.ask(TAKES))
    await asyncio.sleep(0)  # noqa: TID251 - lets it ask
    asking.cancel()
    feed.give(2 * len(PRICES))
    await going
    assert run.events(events.CallerAsked) == []


async def test_a_request_on_a_full_disk_raises_a_not_durable_error() -> None:
    feed = HandFed(path(PRICES))
    store = FullFor(4, 10**9)
    run = Run(feed, policy=WAKES, store=store)
    going = asyncio.ensure_future(run.go())
    feed.give(2)
    with pytest.raises(RequestError, match="NOT_DURABLE"):
        await between_frames(run, feed, HaltRequest("k1", "anna"))
    assert run.engine.account.trading_state is TradingState.HALTED
    feed.give(len(PRICES))
    with pytest.raises(JournalError):
        await going


def leg(**changes: Any) -> LegRequest:
    """A request with an ADD, with some fields of its leg changed."""
    whole = Leg("BTCUSDT", Action.ADD, size=D("0.1"), stop=D(97))
    return LegRequest("k1", "anna", msgspec.structs.replace(whole, **changes))


UNSOUND: dict[str, CallerRequest] = {
    "a limit of a million digits": leg(limit=D("1e999999")),
    "a wait beyond all clocks": leg(limit=D(99), limit_expires_s=10**30),
    "a symbol of a thousand letters": leg(symbol="B" * 1_000),
    "half a character": leg(reasoning="to the moon \ud83d"),
    "a target of a million digits": ProtectionRequest("k1", "anna", "BTCUSDT", target=D("1e999999")),
    "a stop that shouts when it is looked at": ProtectionRequest("k1", "anna", "BTCUSDT", stop=D("sNaN")),
    "a protected symbol of a thousand letters": ProtectionRequest("k1", "anna", "B" * 1_000),
    "an order beyond all counting": CancelRequest("k1", "anna", OrderRef(10**30, Purpose.ENTRY)),
    "a quantity of a million digits": LegRequest("k1", "anna", Leg("BTCUSDT", Action.SELL), D("1e999999")),
    "a shown price that shouts": LegRequest("k1", "anna", Leg("BTCUSDT", Action.SELL), quoted=D("sNaN")),
    "an endless note": NoteRequest("k1", "anna", "n" * 10_000),
    "an endless reason to halt": HaltRequest("k1", "anna", "n" * 10_000),
    "a closed symbol of a thousand letters": CloseRequest("k1", "anna", "B" * 1_000),
    "a wake beyond all counting": SubmitRequest("k1", "anna", 10**30, Decision()),
    "a thousand legs": SubmitRequest("k1", "anna", 1, Decision((Leg("BTCUSDT", Action.SELL),) * 1_000)),
    "no key": LegRequest("", "anna", Leg("BTCUSDT", Action.SELL)),
    "an endless key": LegRequest("k" * 1_000, "anna", Leg("BTCUSDT", Action.SELL)),
    "nobody": LegRequest("k1", "", Leg("BTCUSDT", Action.SELL)),
    "the guard": LegRequest("k1", "guard", Leg("BTCUSDT", Action.SELL)),
    "the rules": LegRequest("k1", "rules", Leg("BTCUSDT", Action.SELL)),
}  # fmt: skip


@pytest.mark.parametrize("request_", UNSOUND.values(), ids=UNSOUND.keys())
async def test_a_request_out_of_bounds_never_reaches_the_engine(request_: CallerRequest) -> None:
    run = await Run(ListFeed(path([100.0] * 4)), Scripted({1: buy("97")}), policy=WAKES).go()
    with pytest.raises(ValueError, match="malformed request: "):
        await run.simulation.shell.ask(request_)
    assert run.events(events.CallerAsked) == []

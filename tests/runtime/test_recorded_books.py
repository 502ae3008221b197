"""A live session on the sandbox exchange, recorded through kills, replays to the same fingerprint."""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.adapters.store.recording_files import RecordingIdentity, RecordingWriter
from ocw_mcp.domain import events
from ocw_mcp.domain.asks import Done, SubmitRequest
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import ATTACHED
from ocw_mcp.domain.protocols import Store
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.steps import Command, Verb
from ocw_mcp.domain.time import SECOND
from ocw_mcp.runtime.deciders import AttachedDecider
from tests.adapters.store.books import open_book
from tests.runtime.test_killed_books import plan_of
from tests.runtime.test_live_conversations import FRAMES, LARGE, WATCHED
from tests.support.exchange_books import Opens, Plan, binance_venue, run_book, stored_on_disk
from tests.support.legs import buy
from tests.support.live import Held
from tests.support.markets import START
from tests.support.recordings import record, replay, replayed, start_of_plan
from tests.support.runs import Commands, Run
from tests.support.sandbox_books import BEGIN
from tests.support.stores import MemoryStore


def recorded_on_disk(directory: Path, recording: Path, plan: Plan) -> Opens:
    """Return a function that opens the journal of a directory, and lets it record."""
    opens = stored_on_disk(directory, plan.market)

    def opened() -> Store:
        store = opens()
        assert isinstance(store, SqliteStore)
        writer = RecordingWriter(recording, RecordingIdentity(1, store.book, store.created_at, BEGIN))
        store.record(writer, start_of_plan(plan, Mode.PAPER if plan.in_process else plan.mode))
        return store

    return opened


@pytest.mark.parametrize(
    ("seed", "product", "exchange", "kills"),
    [
        (1, Product.UM, False, 2),
        pytest.param(4, Product.UM, True, 2, marks=pytest.mark.slow),
        pytest.param(2, Product.SPOT, True, 3, marks=pytest.mark.slow),
        *(pytest.param(seed, Product.UM, seed % 2, 4, marks=pytest.mark.slow) for seed in range(5, 9)),
    ],
)
def test_recorded_session_replays_to_its_fingerprint(
    seed: int, product: Product, exchange: bool, kills: int, tmp_path: Path
) -> None:
    plan = plan_of(seed, product, 6 if seed == 4 else 12, kills)
    if exchange:
        plan = plan._replace(make_venue=binance_venue, in_process=False)
    outcome = run_book(plan, recorded_on_disk(tmp_path / "book", tmp_path / "recording", plan))
    assert outcome.kills > 0
    with closing(stored_on_disk(tmp_path / "book", plan.market)()) as store:
        fingerprint = store.fingerprint
    made = list[events.DomainEvent]()
    found = replayed(tmp_path / "recording", listener=lambda _, event: made.append(event))
    assert (found.difference, found.fingerprint, found.gaps) == (None, fingerprint, [])
    assert len(found.starts) > 1
    assert [each for each in made if isinstance(each, events.OrderFilled)] == outcome.events(events.OrderFilled)
    assert outcome.events(events.OrderFilled)


async def test_requests_decisions_and_commands_of_people_are_repeated(tmp_path: Path) -> None:
    """An attached client submits a decision, another one places an order, and an operator halts: all are inputs."""
    box, feed = Commands(), Held(FRAMES)
    feed.clock.at = START
    with closing(open_book(tmp_path / "book")) as store:
        run = Run(
            feed,
            AttachedDecider(),
            store=cast(MemoryStore, store),
            policy=WATCHED,
            clock=feed.clock,
            live=True,
            agent=ATTACHED,
            fallback=True,
            commands=box,
        )
        record(store, run.config, tmp_path / "recording")
        going = asyncio.ensure_future(run.go())
        async with asyncio.timeout(5):
            await feed.through.wait()
            for _ in range(20):
                await feed.clock.pause(0)
            asked = run.engine.decisions.open_request
            assert asked is not None
            decided = SubmitRequest("d1", ATTACHED, asked.wake_id, buy("97", size="0.01"))
            assert isinstance(await run.simulation.shell.ask(decided), Done)
            assert isinstance(await run.simulation.shell.ask(LARGE), Refusal)
            # The latency of the order passes.
            feed.clock.at += 3 * SECOND
            while not run.engine.account.ledger.positions:
                await feed.clock.pause(1)
            box.put(Command("c1", Verb.HALT, "operator"))
            await run.simulation.poll()
            feed.ends.set()
            await going
        fingerprint = store.fingerprint
    found = await replay(tmp_path / "recording")
    assert (found.difference, found.fingerprint) == (None, fingerprint)
    assert {"Asked", "Command", "DecisionSubmitted", "Frame"} <= found.inputs.keys()
    assert found.events["order.filled"] == 1

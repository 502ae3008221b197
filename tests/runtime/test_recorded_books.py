"""A live session on the sandbox exchange, recorded through kills, replays to the same fingerprint."""

from contextlib import closing
from pathlib import Path

import pytest

from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.adapters.store.recording_files import RecordingOwner, RecordingWriter
from ocw_mcp.domain import events
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.protocols import Store
from ocw_mcp.domain.state import Mode
from tests.runtime.test_killed_books import plan_of
from tests.support.exchange_books import Opens, Plan, binance_venue, run_book, stored_on_disk
from tests.support.recordings import replayed, start_of_plan
from tests.support.sandbox_books import BEGIN


def recorded_on_disk(directory: Path, recording: Path, plan: Plan) -> Opens:
    """Return a function that opens the journal of a directory, and lets it record."""
    opens = stored_on_disk(directory, plan.market)

    def opened() -> Store:
        store = opens()
        assert isinstance(store, SqliteStore)
        writer = RecordingWriter(recording, RecordingOwner(1, store.book, store.created_at, BEGIN))
        store.record(writer, start_of_plan(plan, Mode.PAPER if plan.in_process else plan.mode))
        return store

    return opened


@pytest.mark.parametrize(
    ("seed", "product", "exchange", "kills"),
    [
        (1, Product.UM, False, 2),
        (4, Product.UM, True, 2),
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

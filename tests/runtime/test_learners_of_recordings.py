"""A replay rebuilds a learner that cannot be restored from the outcomes in the recording."""

from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from ocw_mcp.adapters.store.recording_files import decode_entry, encode_entry
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.learning_events import OutcomeImported
from ocw_mcp.domain.market import MarketIdentity
from ocw_mcp.domain.protocols import Checkpoint
from ocw_mcp.domain.recordings import Recorded, RecordedStart, RecordedState, RecordEntry
from ocw_mcp.runtime.recorded_book import BookReplay
from tests.adapters.store.books import open_book
from tests.support.learned_runs import run, scored
from tests.support.markets import START
from tests.support.recordings import entries as recorded
from tests.support.recordings import record, venue_of


async def entries(*, outcomes: bool) -> list[Recorded]:
    """A recording of a book whose learner is damaged."""
    book = await run(0)
    config, saved = book.config, book.store.checkpoint()
    assert saved is not None
    state = msgspec.msgpack.decode(saved.engine)
    state["learning"]["learner"] = state["learning"]["learner"][:-1]
    found = tuple(OutcomeImported(*each) for each in scored(book.store))
    start = RecordedStart(
        *("test", "abc123", config.mode, "paper", "main"),
        MarketIdentity("binance", config.product, config.interval, config.symbols, "1ead" * 16),
        *(config.agent, config.policies.model_dump_json(), None, config.policy_hash, config.prompts_hash),
        *(Decimal(10_000), False, False),
    )
    engine = msgspec.msgpack.encode(state)
    all_of_it: list[RecordEntry] = [
        start,
        RecordedState(
            *(saved.market_at, saved.seq, book.store.fingerprint, engine, saved.venue), found if outcomes else None
        ),
    ]
    return [decode_entry((number, 0, *encode_entry(each))) for number, each in enumerate(all_of_it, 1)]


async def test_a_damaged_learner_is_rebuilt_in_a_replay() -> None:
    replay, found = BookReplay(venue_of, "test"), await entries(outcomes=True)
    await replay.run(lambda: found)
    assert replay.engine is not None
    whole = await run(0)
    assert replay.engine.learning.learned(whole.engine.now) == whole.engine.learning.learned(whole.engine.now)
    assert replay.engine.learning.state().learner == whole.engine.learning.state().learner


async def test_a_damaged_learner_without_outcomes_is_refused() -> None:
    found = await entries(outcomes=False)
    with pytest.raises(BookError, match="the saved learner is damaged"):
        await BookReplay(venue_of, "test").run(lambda: found)


@pytest.mark.parametrize("begins_anew", [False, True])
async def test_a_recording_has_the_outcomes_of_its_first_state(tmp_path: Path, begins_anew: bool) -> None:
    book = await run(0)
    known = scored(book.store)
    imported = OutcomeImported(7, known[0][1])
    with closing(open_book(tmp_path / "book")) as store:
        if begins_anew:
            record(store, book.config, tmp_path / "recording")
        store.append(START, imported)
        for at, event in known:
            store.append(at, event)
        store.commit(Checkpoint(START, store.last_seq, b"", b""))
        if not begins_anew:
            record(store, book.config, tmp_path / "recording")
            store.append(START, known[0][1])
            store.commit(Checkpoint(START, store.last_seq, b"", b""))
    (state,) = [each for _, _, each in recorded(tmp_path / "recording") if isinstance(each, RecordedState)]
    assert state.outcomes == (imported, *(OutcomeImported(*each) for each in known))

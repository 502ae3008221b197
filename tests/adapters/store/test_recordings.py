"""A recording keeps every input of a live book across crashes, and its replay reaches the same fingerprint."""

from contextlib import closing
from pathlib import Path

import pytest

from ocw_mcp.domain.recordings import RecordedStart
from ocw_mcp.runtime import run as runtime_run
from tests.adapters.store.test_live_inputs import Dying, live_run, opened
from tests.support.recordings import record, replay
from tests.support.stores import Crash


@pytest.mark.parametrize("every", [10, 1_000])
async def test_recording_of_a_killed_book_replays_whole(
    every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", every)
    book, recording = tmp_path / "book", tmp_path / "recording"
    for die_at in (5, 9, 9, 20, 21, 33, 47, 60):
        with closing(opened(book)) as store:
            run = live_run(store)
            record(store, run.config, recording)
            store.die_at = die_at
            with pytest.raises(Crash):
                await run.go()
    with closing(opened(book)) as store:
        run = live_run(store)
        record(store, run.config, recording)
        await run.go()
        assert store.verify().ok
        fingerprint = store.fingerprint
    found = await replay(recording)
    assert (found.same, found.fingerprint, found.gaps) == (True, fingerprint, [])
    assert len(found.starts) > 5
    assert found.events["order.filled"] > 3

"""The files of a recording: torn tails, damaged and hostile blocks, a full disk, and who may write."""

import errno
import shutil
import struct
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from ocw_mcp.adapters.store import recording_files, recording_queue
from ocw_mcp.adapters.store.recording_files import (
    RecordingIdentity,
    RecordingReader,
    RecordingWriter,
    decode_entry,
    segments_of,
)
from ocw_mcp.domain.errors import BookError
from ocw_mcp.runtime import run as runtime_run
from tests.adapters.store.test_live_inputs import live_run, opened
from tests.support.recordings import entries, record, replay
from tests.support.stores import Crash


async def whole_recording(tmp_path: Path) -> Path:
    """Return the recording of a book that was not killed, of several blocks."""
    with closing(opened(tmp_path / "book")) as store:
        run = live_run(store)
        record(store, run.config, tmp_path / "recording")
        await run.go()
    return tmp_path / "recording"


async def killed_and_copied(book: Path, recording: Path, copied: Path) -> None:
    """Record a book until it is killed, and copy it as the kill leaves it; closing it then empties its queue."""
    store = opened(book)
    run = live_run(store)
    record(store, run.config, recording)
    store.die_at = 40
    with pytest.raises(Crash):
        await run.go()
    shutil.copytree(book, copied)
    store.close()


async def test_torn_tail_is_read_without_it_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 20)
    recording = await whole_recording(tmp_path)
    whole, (segment,) = entries(recording), segments_of(recording)
    data = segment.read_bytes()
    for cut in (1, 7, 300):
        segment.write_bytes(data[:-cut])
        reader = RecordingReader(recording)
        read = [decode_entry(row) for row in reader.rows()]
        assert 0 < len(read) < len(whole)
        assert read == whole[: len(read)]
        assert f"the first {len(read):,} entries" in reader.torn
        assert (await replay(recording)).same


async def test_torn_tail_is_written_again_from_the_queue(tmp_path: Path) -> None:
    """A process died while it moved the queue to the files: the queue still has what the torn block had."""
    book, recording = tmp_path / "book", tmp_path / "recording"
    store = opened(book)
    run = live_run(store)
    record(store, run.config, recording)
    store.die_at = 40
    with pytest.raises(Crash):
        await run.go()
    copied = tmp_path / "copied"
    shutil.copytree(book, copied)
    before = segments_of(recording)[0].stat().st_size
    store.close()
    (segment,) = segments_of(recording)
    segment.write_bytes(segment.read_bytes()[: before + 31])
    with closing(opened(copied)) as store:
        run = live_run(store)
        record(store, run.config, recording)
        await run.go()
        fingerprint = store.fingerprint
    found = await replay(recording)
    assert (found.same, found.fingerprint) == (True, fingerprint)


async def test_damaged_block_before_others_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_files, "LARGEST_SEGMENT", 1)
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 20)
    recording = await whole_recording(tmp_path)
    first, second, *_ = segments_of(recording)
    data = bytearray(first.read_bytes())
    data[-1] ^= 1
    first.write_bytes(data)
    with pytest.raises(BookError, match=r"000001\.ocwr of the recording is damaged"):
        entries(recording)
    second.unlink()
    with pytest.raises(BookError, match=r"has no segment 000002\.ocwr"):
        entries(recording)


async def test_damage_before_whole_blocks_is_no_torn_tail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a reader nor the next process may take it for one: cutting it off would delete what follows."""
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 20)
    recording = await whole_recording(tmp_path)
    (segment,) = segments_of(recording)
    data = bytearray(segment.read_bytes())
    data[40] ^= 1
    segment.write_bytes(data)
    with pytest.raises(BookError, match="whole blocks follow"):
        entries(recording)
    owner = RecordingReader(recording).owner
    with pytest.raises(BookError, match="whole blocks follow"):
        RecordingWriter(recording, owner)
    assert segment.read_bytes() == data


@pytest.mark.parametrize(
    ("body", "count", "text"),
    [
        (zlib.compress(b"\0" * 4_000), 1, "more than 1,000 bytes"),
        (zlib.compress(b"\x90")[:-3], 1, "incomplete"),
        (zlib.compress(b"\x90"), 7, "has 0 rows, and its header says 7"),
        (zlib.compress(b"\xc1"), 1, "another format"),
        (b"no zlib", 1, "another format"),
    ],
)
async def test_hostile_block_is_refused_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, count: int, text: str
) -> None:
    monkeypatch.setattr(recording_files, "LARGEST_ROWS", 1_000)
    RecordingWriter(tmp_path / "recording", RecordingIdentity(1, "b00k", 0, 0)).close()
    (segment,) = segments_of(tmp_path / "recording")
    segment.write_bytes(struct.pack("<4sIIQI", b"OCWB", len(body), zlib.crc32(body), 1, count) + body)
    with pytest.raises(BookError, match=text):
        entries(tmp_path / "recording")


def test_second_process_cannot_write_a_recording(tmp_path: Path) -> None:
    owner = RecordingIdentity(1, "b00k", 0, 0)
    first = RecordingWriter(tmp_path / "recording", owner)
    with pytest.raises(BookError, match="another process records into"):
        RecordingWriter(tmp_path / "recording", owner)
    first.close()
    RecordingWriter(tmp_path / "recording", owner).close()


async def test_recording_of_another_book_is_refused(tmp_path: Path) -> None:
    recording = await whole_recording(tmp_path)
    with pytest.raises(BookError, match="the recording of another book"):
        RecordingWriter(recording, RecordingIdentity(1, "0ther0", 0, 0))


async def test_full_disk_of_the_files_stops_nothing_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 10)
    monkeypatch.setattr(recording_queue, "MOST_QUEUED", 5)
    write, left = RecordingWriter.append, [4]

    def append(self: RecordingWriter, rows: Sequence[recording_files.Row]) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, rows)

    monkeypatch.setattr(RecordingWriter, "append", append)
    recording = await whole_recording(tmp_path)
    assert [each.number for each in entries(recording)] == list(range(1, len(entries(recording)) + 1))
    assert (await replay(recording)).same
    said = [each.message for each in caplog.records]
    assert len([each for each in said if "cannot be written" in each]) == 1
    assert "the recording is written again, and lacks nothing" in said

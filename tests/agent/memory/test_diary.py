"""The diary's file: saving, loading, and unusable files."""

import os
import stat
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given

from ocw_mcp.agent.memory.diary import (
    ASIDE_FILE,
    DAYS_KEPT,
    DONE_KEPT,
    FORMAT,
    MEMORY_FILE,
    MOST_BYTES,
    Batch,
    Diary,
    MemoryState,
    load_memory,
    save_memory,
)
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.time import DAY, utc_day
from tests.support.memory import NOON, diaries, diary, digest, reflection

BATCH = Batch(NOON, ("1:5", "2:6"), "2026-03-09", Decimal("0.05"))
STATE = MemoryState("abc123", diary=diary(reflection(1, lesson="No."), digest()), done=("1:5",), batch=BATCH)


def test_saved_memory_file_is_owner_only_and_loads_unchanged(tmp_path: Path) -> None:
    save_memory(tmp_path, STATE)
    assert load_memory(tmp_path, "abc123") == (STATE, "")
    assert stat.S_IMODE((tmp_path / MEMORY_FILE).stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == [MEMORY_FILE]


@given(diaries())
def test_any_diary_is_unchanged_after_encoding_and_decoding(entries: Diary) -> None:
    state = msgspec.structs.replace(STATE, diary=entries, spent={"2026-03-09": Decimal("0.0123")})
    assert msgspec.json.decode(msgspec.json.encode(state), type=MemoryState) == state


def test_book_without_a_memory_file_starts_with_an_empty_memory(tmp_path: Path) -> None:
    assert load_memory(tmp_path, "abc123") == (MemoryState("abc123"), "")


def changed(change: dict[str, object]) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(STATE) | change)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 200_000, "Expected `object`"),
        (changed({"book": "other1"}), "it is of book 'other1'"),
        (changed({"format": FORMAT + 1}), "it has format 3"),
        (changed({"mood": "good"}), "unknown field"),
        (changed({"spent": {"2026-03-09": "NaN"}}), "it has an invalid amount"),
        (changed({"batch": msgspec.to_builtins(BATCH) | {"at": 10**17}}), "year"),
        (changed({"batch": msgspec.to_builtins(BATCH) | {"usd": "Infinity"}}), "it has an invalid amount"),
        (changed({"diary": msgspec.to_builtins(diary(digest(NOON + 1), digest(NOON)))}), "out of order"),
        (b" " * (MOST_BYTES + 1), "larger than"),
    ],
)
def test_unusable_memory_file_is_renamed(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / MEMORY_FILE
    path.write_bytes(data)
    state, problem = load_memory(tmp_path, "abc123")
    assert state == MemoryState("abc123")
    assert says in problem
    assert problem.endswith(f"it is set aside as {ASIDE_FILE}, and the memory begins empty")
    assert "\n" not in problem
    assert (tmp_path / ASIDE_FILE).read_bytes() == data
    assert not path.exists()


def test_memory_file_that_is_a_pipe_or_link_is_not_read(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(msgspec.json.encode(STATE))
    path = tmp_path / MEMORY_FILE
    os.mkfifo(path)
    assert "it is a pipe, a device or a socket" in load_memory(tmp_path, "abc123")[1]
    path.symlink_to(elsewhere)
    assert load_memory(tmp_path, "abc123")[0] == MemoryState("abc123")
    assert elsewhere.read_bytes() == msgspec.json.encode(STATE)


def test_unusable_memory_file_that_cannot_be_renamed_is_reported(tmp_path: Path) -> None:
    (tmp_path / MEMORY_FILE).mkdir()
    (tmp_path / ASIDE_FILE).write_text("here already")
    state, problem = load_memory(tmp_path, "abc123")
    assert state == MemoryState("abc123")
    assert "cannot be set aside either" in problem
    with pytest.raises(BookError):
        save_memory(tmp_path, STATE)


def test_diary_entry_cost_counts_for_its_batch_and_its_day() -> None:
    state = STATE.with_cost(Decimal("0.02")).with_cost(Decimal("0.01"))
    assert state.batch is not None
    assert (state.batch.spent, state.spent) == (Decimal("0.03"), {utc_day(NOON): Decimal("0.03")})
    assert state.with_batch_stopped().batch == msgspec.structs.replace(state.batch, trades=(), day=None)


def test_memory_drops_its_oldest_done_entries_and_spending_days() -> None:
    state = STATE
    for n in range(DONE_KEPT + 10):
        state = state.with_done(f"{n}:1")
    for n in range(DAYS_KEPT + 10):
        state = msgspec.structs.replace(state, batch=msgspec.structs.replace(BATCH, at=n * DAY)).with_cost(Decimal(1))
    assert (len(state.done), state.done[-1]) == (DONE_KEPT, f"{DONE_KEPT + 9}:1")
    assert (len(state.spent), max(state.spent)) == (DAYS_KEPT, utc_day((DAYS_KEPT + 9) * DAY))

"""The diary on disk."""

import os
import stat
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given

from ocw_mcp.agent.memory.diary import Diary
from ocw_mcp.agent.memory.keeping import (
    ASIDE,
    DAYS_KEPT,
    DONE_KEPT,
    FORMAT,
    MEMORY,
    MOST_BYTES,
    Batch,
    Kept,
    read_kept,
    write_kept,
)
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.time import DAY, utc_day
from tests.support.memory import NOON, diaries, diary, digest, reflection

BATCH = Batch(NOON, ("1:5", "2:6"), "2026-03-09", Decimal("0.05"))
KEPT = Kept("abc123", diary=diary(reflection(1, lesson="No."), digest()), done=("1:5",), batch=BATCH)


def test_what_is_kept_is_read_again_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    write_kept(tmp_path, KEPT)
    assert read_kept(tmp_path, "abc123") == (KEPT, "")
    assert stat.S_IMODE((tmp_path / MEMORY).stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == [MEMORY]


@given(diaries())
def test_every_diary_comes_back_as_it_was(told: Diary) -> None:
    kept = msgspec.structs.replace(KEPT, diary=told, spent={"2026-03-09": Decimal("0.0123")})
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Kept) == kept


def test_a_book_without_a_memory_begins_one(tmp_path: Path) -> None:
    assert read_kept(tmp_path, "abc123") == (Kept("abc123"), "")


def broken(change: dict[str, object]) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(KEPT) | change)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 200_000, "Expected `object`"),
        (broken({"book": "other1"}), "it is of book 'other1'"),
        (broken({"format": FORMAT + 1}), "it has format 3"),
        (broken({"mood": "good"}), "unknown field"),
        (broken({"spent": {"2026-03-09": "NaN"}}), "an amount in it is none"),
        (broken({"batch": msgspec.to_builtins(BATCH) | {"at": 10**17}}), "year"),
        (broken({"batch": msgspec.to_builtins(BATCH) | {"usd": "Infinity"}}), "an amount in it is none"),
        (broken({"diary": msgspec.to_builtins(diary(digest(NOON + 1), digest(NOON)))}), "out of order"),
        (b" " * (MOST_BYTES + 1), "larger than"),
    ],
)
def test_a_file_that_is_of_no_use_is_set_aside_with_a_sentence(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / MEMORY
    path.write_bytes(data)
    kept, problem = read_kept(tmp_path, "abc123")
    assert kept == Kept("abc123")
    assert says in problem
    assert problem.endswith(f"it is set aside as {ASIDE}, and memory begins anew")
    assert "\n" not in problem
    assert (tmp_path / ASIDE).read_bytes() == data
    assert not path.exists()


def test_neither_a_pipe_is_waited_for_nor_a_link_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(msgspec.json.encode(KEPT))
    path = tmp_path / MEMORY
    os.mkfifo(path)
    assert "it is a pipe" in read_kept(tmp_path, "abc123")[1]
    path.symlink_to(elsewhere)
    assert read_kept(tmp_path, "abc123")[0] == Kept("abc123")
    assert elsewhere.read_bytes() == msgspec.json.encode(KEPT)


def test_what_cannot_be_set_aside_is_left_and_told_of(tmp_path: Path) -> None:
    (tmp_path / MEMORY).mkdir()
    (tmp_path / ASIDE).write_text("here already")
    kept, problem = read_kept(tmp_path, "abc123")
    assert kept == Kept("abc123")
    assert "not be set aside" in problem
    with pytest.raises(BookError):
        write_kept(tmp_path, KEPT)


def test_what_an_entry_cost_is_taken_off_what_its_batch_may_still_cost() -> None:
    kept = KEPT.paying(Decimal("0.02")).paying(Decimal("0.01"))
    assert kept.batch is not None
    assert (kept.batch.left, kept.spent) == (Decimal("0.02"), {utc_day(NOON): Decimal("0.03")})
    assert kept.stopped().batch == msgspec.structs.replace(kept.batch, trades=(), day=None)


def test_what_is_done_and_what_was_spent_does_not_grow_without_end() -> None:
    kept = KEPT
    for n in range(DONE_KEPT + 10):
        kept = kept.having_done(f"{n}:1")
    for n in range(DAYS_KEPT + 10):
        kept = msgspec.structs.replace(kept, batch=msgspec.structs.replace(BATCH, at=n * DAY)).paying(Decimal(1))
    assert (len(kept.done), kept.done[-1]) == (DONE_KEPT, f"{DONE_KEPT + 9}:1")
    assert (len(kept.spent), max(kept.spent)) == (DAYS_KEPT, utc_day((DAYS_KEPT + 9) * DAY))

"""One engine per book: a second one is refused with the holder's process id, and a killed one holds no lock."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ocw_mcp.adapters.store.directory import StateLock, is_locked, lock_owner
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.adapters.store.reader import read_book
from ocw_mcp.domain.errors import BookBusy, BookError
from ocw_mcp.domain.events import Incident
from tests.adapters.store.books import BOOK, STAMP, tell

HOLD = """
import sys
from pathlib import Path
from ocw_mcp.adapters.store.directory import StateLock
with StateLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLD, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_second_lock_is_refused_with_the_holder_process_id(tmp_path: Path) -> None:
    with another_process(tmp_path) as holder:
        assert is_locked(tmp_path)
        assert lock_owner(tmp_path) == holder.pid
        with pytest.raises(BookBusy, match=f"^process {holder.pid} is running the book"), StateLock(tmp_path):
            pass
        assert lock_owner(tmp_path) == holder.pid
        holder.communicate("", timeout=10)
    assert not is_locked(tmp_path)
    assert lock_owner(tmp_path) is None


def test_lock_of_a_killed_process_is_released(tmp_path: Path) -> None:
    with another_process(tmp_path) as holder:
        holder.kill()
        holder.wait(timeout=10)
    assert lock_owner(tmp_path) == holder.pid, "it had no time to tidy up"
    assert not is_locked(tmp_path)
    with StateLock(tmp_path):
        assert lock_owner(tmp_path) == os.getpid()


def test_two_locks_in_one_process_exclude_each_other(tmp_path: Path) -> None:
    with (
        StateLock(tmp_path / "state"),
        pytest.raises(BookBusy, match=f"process {os.getpid()}"),
        StateLock(tmp_path / "state"),
    ):
        pass


def test_released_lock_can_be_acquired_again(tmp_path: Path) -> None:
    for _ in range(3):
        with StateLock(tmp_path):
            assert is_locked(tmp_path)
        assert not is_locked(tmp_path)


def test_invalid_lock_owner_is_reported_as_another_process(tmp_path: Path) -> None:
    with StateLock(tmp_path):
        (tmp_path / "lock.pid").write_text("not a number")
        with pytest.raises(BookBusy, match=r"^another process"), StateLock(tmp_path):
            pass


def test_check_of_the_lock_creates_no_file(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert not is_locked(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["deleted", "replaced", "linked", "moved"])
def test_replaced_lock_file_stops_the_engine(tmp_path: Path, how: str) -> None:
    place, lock = tmp_path / "desk", tmp_path / "desk" / "lock"
    with StateLock(place) as held:
        store = SqliteStore.open(place, STAMP, book_id=BOOK, created_at=1_000, check_lock=held.require_held)
        tell(store)
        if how == "moved":
            place = place.rename(tmp_path / "elsewhere")
        else:
            lock.unlink()
        if how == "replaced":
            lock.touch()
        elif how == "linked":
            lock.symlink_to("/dev/null")
        before = store.chain_head
        store.append(99, Incident("too late"))
        with pytest.raises(BookError, match=r"lock file .* was replaced or deleted"):
            store.commit()
        store.close()
        if how == "deleted":
            with StateLock(place):
                assert lock_owner(place) == os.getpid()
    assert read_book(place).chain_head == before

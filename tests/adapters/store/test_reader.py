"""A book is read from outside, beside a running or after a killed engine, without leaving a file."""

import shutil
from contextlib import closing
from decimal import InvalidOperation
from functools import partial
from pathlib import Path

import pytest

from ocw_mcp.adapters.store.reader import ask_book, read_book, verify_book
from ocw_mcp.domain.canonical import GENESIS
from ocw_mcp.domain.errors import BookError, JournalError
from tests.adapters.store.books import STAMP, STORY, open_book, tell


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_new_book_can_be_read(tmp_path: Path) -> None:
    open_book(tmp_path).close()
    view = read_book(tmp_path)
    assert (view.stamp, view.created_at, view.summary) == (STAMP, 1_000, None)
    assert (view.events, view.orders, view.fills, view.last_event_at) == (0, 0, 0, None)
    assert view.fingerprint == GENESIS


def test_reader_sees_each_commit_of_a_running_engine(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        for number, event in enumerate(STORY, 1):
            store.append(number, event)
            assert read_book(tmp_path).events == number - 1
            store.commit(summarise=partial(dict, seen=number))
            view = read_book(tmp_path)
            assert (view.events, view.last_event_at, view.summary) == (number, number, {"seen": number})
            assert (view.chain_head, view.fingerprint, view.book) == (store.chain_head, store.fingerprint, store.book)
        assert (view.orders, view.fills) == (1, 2)
        assert verify_book(tmp_path).ok


def test_reading_a_closed_book_leaves_no_file(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
    assert read_book(tmp_path).events == len(STORY)
    assert verify_book(tmp_path).ok
    assert names(tmp_path) == ["journal.db"]


@pytest.mark.parametrize("without", [[], ["journal.db-shm"]])
def test_book_of_a_killed_engine_has_all_commits_when_opened(tmp_path: Path, without: list[str]) -> None:
    left = tmp_path / "left"
    with closing(open_book(tmp_path / "running")) as store:
        tell(store)
        # The files of a running engine are those that a killed one leaves.
        shutil.copytree(tmp_path / "running", left, ignore=shutil.ignore_patterns(*without))
        head = store.chain_head
    assert read_book(left).chain_head == head
    assert verify_book(left).ok
    with closing(open_book(left)) as store:
        assert store.chain_head == head


def test_reading_without_a_book_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing"):
        with pytest.raises(BookError, match="holds no book"):
            read_book(place)
        with pytest.raises(BookError, match="holds no book"):
            verify_book(place)
    assert names(tmp_path) == []


def killed_during_a_checkpoint(directory: Path, into: Path) -> None:
    """Write the files of an engine killed during a checkpoint: the main file makes sense only with its log."""
    into.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        shutil.copy(directory / name, into / name)
    log = (into / "journal.db-wal").read_bytes()
    size = int.from_bytes(log[8:12])
    frames = range(32, len(log) - size, 24 + size)
    newest = {int.from_bytes(log[frame : frame + 4]): log[frame + 24 : frame + 24 + size] for frame in frames}
    with (into / "journal.db").open("r+b") as main:
        # The header page is complete; the other pages are torn in half.
        for page, content in sorted(newest.items()):
            main.seek((page - 1) * size)
            main.write(content if page == 1 else content[: size // 2] + b"\xa5" * (size - size // 2))
        main.truncate(main.tell() - size)


def test_book_is_intact_after_a_kill_during_a_wal_checkpoint(tmp_path: Path) -> None:
    running = tmp_path / "running"
    with closing(open_book(running)) as store:
        tell(store)
        store.commit(summarise=lambda: {"seen": 1})
        killed_during_a_checkpoint(running, tmp_path / "killed")
        head, seq = store.chain_head, store.last_seq
    view = read_book(tmp_path / "killed")
    assert (view.chain_head, view.summary) == (head, {"seen": 1})
    assert verify_book(tmp_path / "killed").ok
    with closing(open_book(tmp_path / "killed")) as resumed:
        assert (resumed.chain_head, resumed.last_seq) == (head, seq)
    assert verify_book(tmp_path / "killed").ok


def test_failed_query_reports_an_unreadable_book(tmp_path: Path) -> None:
    open_book(tmp_path).close()
    for error in (ValueError("no number"), JournalError("row 1"), InvalidOperation("NaN")):
        with pytest.raises(BookError, match="cannot be read"):
            ask_book(tmp_path, partial(raises, error))
    assert ask_book(tmp_path, lambda db, book: book.stamp) == STAMP
    with pytest.raises(BookError, match="cannot be read: File name too long"):
        ask_book(tmp_path / ("x" * 300), lambda db, book: None)


def raises(error: Exception, *look: object) -> None:
    raise error

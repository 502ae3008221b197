"""A state directory is one book; any other directory or start is refused in one sentence and left unchanged."""

import os
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from ocw_mcp.adapters.store.book import BookStamp
from ocw_mcp.adapters.store.directory import StateLock
from ocw_mcp.adapters.store.reader import read_book
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.state import Mode
from tests.adapters.store.books import MARKET, STAMP, open_book, tell


def listing(directory: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Return mode, size, time of change and content of everything under a directory."""
    found = {}
    for path in [directory, *sorted(directory.rglob("*"))]:
        known = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = known.st_mode, known.st_size, known.st_mtime_ns, content
    return found


def test_new_state_directory_is_private(tmp_path: Path) -> None:
    open_book(tmp_path / "a" / "state").close()
    assert stat.S_IMODE((tmp_path / "a" / "state").stat().st_mode) == 0o700


def test_reopened_book_keeps_its_id_and_stamp(tmp_path: Path) -> None:
    for asked in ("abc123", "xyz789"):
        with closing(open_book(tmp_path, asked)) as store:
            assert store.book == "abc123"
            assert store.stamp == STAMP


@pytest.mark.parametrize(
    ("asked", "difference"),
    [
        (msgspec.structs.replace(STAMP, mode=Mode.LIVE), "mode paper, and this run has mode live"),
        (
            msgspec.structs.replace(STAMP, venue="binance", account="x"),
            "venue paper, account main, and this run has",
        ),
        (msgspec.structs.replace(STAMP, product=Product.SPOT), "product um, and this run has product spot"),
        (
            msgspec.structs.replace(STAMP, market=msgspec.structs.replace(MARKET, symbols=("SOLUSDT",))),
            "market symbols BTCUSDT,ETHUSDT, and this run has market symbols SOLUSDT",
        ),
    ],
)
def test_start_with_another_mode_venue_or_market_is_refused(tmp_path: Path, asked: BookStamp, difference: str) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
    before = listing(tmp_path)
    with pytest.raises(BookError) as refusal:
        open_book(tmp_path, stamp=asked)
    assert difference in str(refusal.value)
    assert str(refusal.value).endswith("use another --state directory")
    assert listing(tmp_path) == before


def a_file(place: Path) -> None:
    place.write_text("hello")


def below_a_file(place: Path) -> None:
    place.parent.joinpath("f").write_text("hello")
    place.symlink_to(place.parent / "f" / "state")


def a_home(place: Path) -> None:
    (place / "Documents").mkdir(parents=True)
    (place / ".bashrc").write_text("alias ll=ls")


def text_as_journal(place: Path) -> None:
    place.mkdir()
    (place / "journal.db").write_text("dear diary " * 500)


def an_empty_journal(place: Path) -> None:
    place.mkdir()
    (place / "journal.db").write_text("")


def a_directory_as_journal(place: Path) -> None:
    (place / "journal.db").mkdir(parents=True)


def a_foreign_database(place: Path) -> None:
    place.mkdir()
    with closing(sqlite3.connect(place / "journal.db")) as raw, raw:
        raw.execute("CREATE TABLE book (title TEXT)")


def a_foreign_database_with_a_log(place: Path) -> None:
    a_foreign_database(place)
    with closing(sqlite3.connect(place / "journal.db")) as raw:
        raw.execute("PRAGMA journal_mode=WAL")


def a_newer_book(place: Path) -> None:
    open_book(place).close()
    with closing(sqlite3.connect(place / "journal.db")) as raw, raw:
        raw.execute("UPDATE book SET schema = 99")


def an_unreadable_stamp(place: Path) -> None:
    open_book(place).close()
    with closing(sqlite3.connect(place / "journal.db")) as raw, raw:
        raw.execute("UPDATE book SET stamp = '{}'")


def a_book_without_stamp(place: Path) -> None:
    open_book(place).close()
    with closing(sqlite3.connect(place / "journal.db")) as raw, raw:
        raw.execute("DELETE FROM book")


BAD = [
    (a_file, "is a file"),
    (below_a_file, "is a file"),
    (a_home, "other files (.bashrc, Documents)"),
    (text_as_journal, "is not a journal of ocw"),
    (an_empty_journal, "is not a journal of ocw"),
    (a_directory_as_journal, "is not a journal of ocw"),
    (a_foreign_database, "is not a journal of ocw"),
    (a_foreign_database_with_a_log, "is not a journal of ocw"),
    (a_newer_book, "upgrade ocw"),
    (an_unreadable_stamp, "its stamp is unreadable"),
    (a_book_without_stamp, "its table book is empty"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_directory_that_cannot_hold_a_book_is_refused_and_unchanged(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    place = tmp_path / "state"
    make(place)
    before = listing(tmp_path)
    with pytest.raises(BookError) as refusal:
        open_book(place)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    with pytest.raises(BookError), StateLock(place):
        pass
    with pytest.raises(BookError):
        read_book(place)
    assert listing(tmp_path) == before


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run as an unprivileged user, since root may write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(("book_inside", "message"), [(True, "is read-only"), (False, "is read-only")])
def test_read_only_directory_is_refused(book_inside: bool, message: str) -> None:
    # Not under tmp_path, where only its owner gets in at all.
    with tempfile.TemporaryDirectory() as top:
        place = Path(top, "state")
        place.mkdir()
        if book_inside:
            open_book(place).close()
        place.chmod(0o555)
        Path(top).chmod(0o755)
        before = listing(Path(top))
        with unprivileged():
            with pytest.raises(BookError, match=message):
                open_book(place)
            with pytest.raises(BookError, match=message), StateLock(place):
                pass
            with pytest.raises(BookError, match="cannot be made"):
                open_book(place / "deeper" / "state")
        assert listing(Path(top)) == before
        place.chmod(0o755)


def test_unreadable_directory_is_refused() -> None:
    with tempfile.TemporaryDirectory() as top:
        place = Path(top, "state")
        place.mkdir(mode=0o000)
        Path(top).chmod(0o755)
        with unprivileged(), pytest.raises(BookError, match="cannot be read"):
            open_book(place)
        place.chmod(0o755)


def test_directory_with_env_lock_and_commands_may_hold_a_new_book(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OCW_MODE=paper")
    (tmp_path / "lock").touch()
    (tmp_path / "commands").mkdir()
    open_book(tmp_path).close()
    assert (tmp_path / ".env").read_text() == "OCW_MODE=paper"


def test_half_created_book_is_replaced_by_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "journal.db.new").write_bytes(b"SQLite format 3\x00 and then the power went")
    (tmp_path / "journal.db.new-journal").write_bytes(b"half")
    with closing(open_book(tmp_path)) as store:
        tell(store)
        assert store.verify().ok
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.db"]

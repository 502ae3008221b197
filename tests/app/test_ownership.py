"""A state directory of another user, or one that others can write, is refused before anything in it is read."""

import os
import stat
from pathlib import Path

import pytest

from ocw_mcp.adapters.control.address import Address, read_address, write_address
from ocw_mcp.adapters.control.tokens import add_token, read_tokens
from ocw_mcp.adapters.store.directory import StateLock
from ocw_mcp.adapters.store.reader import ask_book, read_book
from ocw_mcp.app.attach import Attachment, Child
from ocw_mcp.app.markets import open_market
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.app.runner import Job, run
from ocw_mcp.app.settings import load_settings
from ocw_mcp.domain.errors import AttachError, BookError, SettingsError
from tests.adapters.store.books import open_book, tell
from tests.support.shell import Ocw

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
STRANGER = 12_345
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("run", "--market", "sim", "--interval", "15m", "--for", "1h"),
    ("status",), ("positions",), ("halt",), ("resume", "--paper"), ("journal", "verify"), ("agent", "pause"),
    ("token", "list"), ("token", "new"), ("token", "revoke", "read-1"), ("passphrase", "set"),
)  # fmt: skip


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    return Ocw(monkeypatch, capsys)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A book with an `.env` whose values appear in errors if the file is read."""
    place = tmp_path / "desk"
    with StateLock(place):
        open_book(place).close()
        add_token(place, "read", None, 0)
        (place / ".env").write_text("ANTHROPIC_BASE_URL=https://canary.example.org\nLOG_LEVEL=canary\n")
        write_address(place, Address("http://127.0.0.1:1", "ocw_canary", 1))
    return place


def never(directory: Path) -> Child:
    raise AssertionError("no engine is to be started")


def listing(place: Path) -> dict[str, tuple[int, int]]:
    return {str(each): (each.lstat().st_mtime_ns, each.lstat().st_size) for each in (place, *place.rglob("*"))}


@root_only
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_reads_the_directory_of_another_user(ocw: Ocw, desk: Path, command: tuple[str, ...]) -> None:
    os.chown(desk, STRANGER, STRANGER)
    before = listing(desk)
    said = ocw(*command, "--state", desk)
    assert said.code == 2
    assert f"{desk} belongs to user {STRANGER}, and you are user 0" in said.err
    assert "chown -R 0" in said.err
    assert "canary" not in said.err + said.out
    assert listing(desk) == before


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
@pytest.mark.parametrize("command", COMMANDS[:2], ids=" ".join)
def test_a_directory_that_others_can_write_is_refused(
    ocw: Ocw, desk: Path, command: tuple[str, ...], mode: int
) -> None:
    desk.chmod(mode)
    said = ocw(*command, "--state", desk)
    assert (said.code, f"chmod 700 {desk}" in said.err, "canary" in said.err) == (2, True, False)


async def test_attachment_to_a_directory_of_another_user_is_refused(desk: Path) -> None:
    desk.chmod(0o770)
    with pytest.raises(AttachError, match="chmod 700"):
        await Attachment(desk, never, market="sim")()
    with pytest.raises(BookError, match="chmod 700"):
        read_address(desk)


def test_directory_that_others_can_read_but_not_write_is_accepted(desk: Path) -> None:
    desk.chmod(0o755)
    assert [row.name for row in read_tokens(desk)] == ["read-1"]


def test_a_link_to_a_directory_of_the_same_user_is_followed(desk: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(desk)
    assert [row.name for row in read_tokens(tmp_path / "link")] == ["read-1"]


@root_only
@pytest.mark.parametrize("whose", ["link", "target"])
def test_link_is_refused_if_another_user_owns_it_or_its_target(desk: Path, tmp_path: Path, whose: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(desk)
    os.chown(link if whose == "link" else desk, STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(BookError, match=f"belongs to user {STRANGER}"):
        read_tokens(link)


@pytest.mark.parametrize(
    ("kind", "told"),
    [("pipe", "it is a pipe"), ("sparse", "larger than"), ("writable", "chmod go-w"), ("device", "it is a")],
)
@pytest.mark.parametrize("name", ["the --env", ".env", "a policy"])
def test_pipe_device_huge_or_writable_file_is_not_read(
    ocw: Ocw, tmp_path: Path, name: str, kind: str, told: str
) -> None:
    path = tmp_path / (".env" if name == ".env" else "given.toml")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.touch()
        path.chmod(0o620 if kind == "writable" else 0o600)
        os.truncate(path, 3_000_000_000 if kind == "sparse" else 0)
    if name == "a policy":
        said = ocw("policies", "show", "--policies", path)
        assert said.code == 2
        assert told in said.err or "no policies can be read from" in said.err
        return
    with pytest.raises(SettingsError, match=told):
        load_settings(path if name == "the --env" else None, tmp_path if name == ".env" else None, {})


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "journal.db-shm"])
def test_a_pipe_in_place_of_a_journal_is_refused_without_waiting(desk: Path, name: str) -> None:
    (desk / name).unlink(missing_ok=True)
    os.mkfifo(desk / name)
    with pytest.raises(BookError, match=f"{name} cannot be read: it is a pipe"):
        read_book(desk)


@root_only
@pytest.mark.parametrize("name", [".env", "tokens.json", "serve.json"])
def test_another_users_file_in_own_directory_is_not_read(desk: Path, name: str) -> None:
    os.chown(desk / name, STRANGER, STRANGER)
    if name == "serve.json":
        assert read_address(desk) is None
        return
    with pytest.raises((SettingsError, BookError), match=f"belongs to user {STRANGER}.*chown"):
        load_settings(None, desk, {}) if name == ".env" else read_tokens(desk)


@pytest.mark.parametrize("umask", [0, 0o077])
def test_created_files_are_private_under_any_umask(tmp_path: Path, umask: int) -> None:
    place = tmp_path / "above" / "desk"
    before = os.umask(umask)
    try:
        with StateLock(place):
            store = open_book(place)
            tell(store)
            add_token(place, "read", None, 0)
            write_address(place, Address("http://127.0.0.1:1", "t", 1))
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in place.iterdir()}
            store.close()
    finally:
        os.umask(before)
    assert {"journal.db", "journal.db-wal", "journal.db-shm", "lock", "lock.pid", "tokens.json"} <= modes.keys()
    assert set(modes.values()) == {0o600}
    assert (stat.S_IMODE(place.stat().st_mode), place.parent.stat().st_mode & 0o022) == (0o700, 0)


def test_book_that_others_could_read_becomes_private(tmp_path: Path) -> None:
    open_book(tmp_path).close()
    (tmp_path / "journal.db").chmod(0o644)
    open_book(tmp_path).close()
    assert stat.S_IMODE((tmp_path / "journal.db").stat().st_mode) == 0o600


@pytest.mark.parametrize("replaced", [True, False])
def test_a_run_whose_lock_file_was_replaced_stops(tmp_path: Path, replaced: bool) -> None:
    """The run journals no end, since another engine may write to the book by then."""
    place, lock = tmp_path / "desk", tmp_path / "desk" / "lock"

    def takes_it_away(at: int, event: object) -> None:
        lock.unlink(missing_ok=True)
        if replaced:
            lock.touch()

    feed = open_market("sim", product=None, interval=None, symbols=(), seed=1)
    job = Job(feed, "none", load_policies(None), load_prompts(None), 3_600_000, place)
    with pytest.raises(BookError, match=r"lock file .* was replaced or deleted"):
        run(job, takes_it_away)
    assert read_book(place).last_event_at is None or "run.stopped" not in kinds(place)


def kinds(place: Path) -> list[str]:
    return ask_book(place, lambda db, book: [kind for (kind,) in db.execute("SELECT kind FROM events")])

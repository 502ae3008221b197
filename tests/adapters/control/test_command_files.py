"""The operator's commands reach the engine through files: each once, in order, whatever other files there are."""

import errno
import os
from pathlib import Path

import pytest

from ocw_mcp.adapters.control.commands import (
    CHECKS_PER_LISTING,
    FILES_PER_CHECK,
    CommandFiles,
    count_waiting,
    halted_by_file,
    write_command,
)
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.protocols import CommandBox
from ocw_mcp.domain.steps import Command


def test_waiting_commands_are_read_oldest_first_until_done(tmp_path: Path) -> None:
    box: CommandBox = CommandFiles(tmp_path)
    assert list(box.waiting()) == []
    write_command(tmp_path, "resume", "ada", "c2", at_ns=2_000)
    write_command(tmp_path, "halt", "ada", "c1", at_ns=1_000)
    halt, resume = Command("c1", "halt", "ada"), Command("c2", "resume", "ada")
    assert list(box.waiting()) == list(box.waiting()) == [halt, resume]
    box.done(halt)
    assert list(box.waiting()) == [resume]
    box.done(resume)
    assert list(box.waiting()) == []
    assert list((tmp_path / "commands").iterdir()) == []


def test_command_is_read_after_a_restart_until_it_is_done(tmp_path: Path) -> None:
    write_command(tmp_path, "halt", "ada", "c1", at_ns=1)
    for _ in range(2):
        assert len(CommandFiles(tmp_path).waiting()) == 1
    CommandFiles(tmp_path).done(Command("c1", "halt", "ada"))
    assert list(CommandFiles(tmp_path).waiting()) == []


def test_commands_in_quick_succession_are_all_read(tmp_path: Path) -> None:
    box = CommandFiles(tmp_path)
    for number in range(100):
        write_command(tmp_path, "halt", "ada", f"c{number}", at_ns=number)
        assert [command.command_id for command in box.waiting()] == [f"c{number}"]
        box.done(box.waiting()[0])


def test_two_readers_of_the_command_folder_both_get_every_command(tmp_path: Path) -> None:
    engine, onlooker = CommandFiles(tmp_path), CommandFiles(tmp_path)
    write_command(tmp_path, "halt", "ada", "c1", at_ns=1)
    assert len(engine.waiting()) == 1
    write_command(tmp_path, "resume", "ada", "c2", at_ns=2)
    assert len(onlooker.waiting()) == 2
    assert len(engine.waiting()) == 2


def test_command_written_during_a_listing_is_read_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = CommandFiles(tmp_path)
    write_command(tmp_path, "halt", "ada", "c1", at_ns=1)
    real = os.listdir

    def listdir_then_write(path: str) -> list[str]:
        names = real(path)
        monkeypatch.undo()
        write_command(tmp_path, "resume", "ada", "c2", at_ns=2)
        return names

    monkeypatch.setattr(os, "listdir", listdir_then_write)
    assert [command.command_id for command in box.waiting()] == ["c1"]
    assert [command.command_id for command in box.waiting()] == ["c1", "c2"]


def test_unchanged_command_folder_is_not_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = CommandFiles(tmp_path)
    write_command(tmp_path, "halt", "ada", "c1", at_ns=1)
    box.waiting()

    def refuse(path: str) -> list[str]:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(os, "listdir", refuse)
    assert len(box.waiting()) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"halt",
        b"\xff\xfe",
        b"[]",
        b'{"verb": "halt"}',
        b'{"verb": "liquidate", "by": "ada", "command_id": "x"}',
        b'{"verb": "halt", "by": "", "command_id": "x"}',
        b'{"verb": "halt", "by": "a\\nb", "command_id": "x"}',
        b'{"verb": "halt", "by": "ada", "command_id": "../x"}',
        b'{"verb": "halt", "by": "ada", "command_id": "x", "limit": 1}',
        b'{"verb": "halt", "by": "' + b"a" * 10_000 + b'", "command_id": "x"}',
    ],
)
def test_invalid_command_is_moved_aside_and_reported(tmp_path: Path, content: bytes) -> None:
    write_command(tmp_path, "halt", "ada", "good", at_ns=5)
    (tmp_path / "commands" / "bad.json").write_bytes(content)
    reports: list[str] = []
    box = CommandFiles(tmp_path, reports.append)
    assert [command.command_id for command in box.waiting()] == ["good"]
    assert [command.command_id for command in box.waiting()] == ["good"]
    assert (tmp_path / "commands" / "refused" / "bad.json").read_bytes() == content
    assert len(reports) == 1
    assert "bad.json" in reports[0]


def test_pipes_links_and_folders_are_moved_aside_unopened(tmp_path: Path) -> None:
    commands = tmp_path / "commands"
    (commands / "folder").mkdir(parents=True)
    os.mkfifo(commands / "pipe")
    (tmp_path / "elsewhere").write_bytes(b'{"verb": "halt", "by": "ada", "command_id": "x"}')
    (commands / "link").symlink_to(tmp_path / "elsewhere")
    reports: list[str] = []
    box = CommandFiles(tmp_path, reports.append)
    assert list(box.waiting()) == []
    assert sorted(path.name for path in (commands / "refused").iterdir()) == ["folder", "link", "pipe"]
    assert len(reports) == 3


def test_command_with_a_repeated_id_is_moved_aside(tmp_path: Path) -> None:
    write_command(tmp_path, "halt", "ada", "same", at_ns=1)
    write_command(tmp_path, "resume", "eve", "same", at_ns=2)
    reports: list[str] = []
    box = CommandFiles(tmp_path, reports.append)
    assert list(box.waiting()) == [Command("same", "halt", "ada")]
    assert "has the same id as" in reports[0]


def test_file_that_cannot_be_moved_is_reported_once(tmp_path: Path) -> None:
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "refused").write_text("in the way")
    (commands / "bad.json").write_text("?")
    reports: list[str] = []
    box = CommandFiles(tmp_path, reports.append)
    for number in range(3):
        (commands / f".touch{number}").touch()
        assert list(box.waiting()) == []
    assert len(reports) == 1
    write_command(tmp_path, "halt", "ada", "c1", at_ns=1)
    assert len(box.waiting()) == 1


def test_half_written_command_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / ".00000000000000000001-c1.json").write_text('{"verb": "ha')
    reports: list[str] = []
    box = CommandFiles(tmp_path, reports.append)
    assert list(box.waiting()) == []
    assert reports == []


def test_deleted_command_folder_gives_no_commands(tmp_path: Path) -> None:
    path = write_command(tmp_path, "halt", "ada", "c1", at_ns=1)
    box = CommandFiles(tmp_path)
    (command,) = box.waiting()
    path.unlink()
    path.parent.rmdir()
    assert list(box.waiting()) == []
    box.done(command)


@pytest.mark.parametrize(("verb", "command_id"), [("liquidate", "c1"), ("halt", "../../x"), ("halt", "")])
def test_invalid_command_cannot_be_written(tmp_path: Path, verb: str, command_id: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        write_command(tmp_path, verb, "ada", command_id, at_ns=1)
    assert list(tmp_path.iterdir()) == []


def test_command_to_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="could not be written"):
        write_command(tmp_path / "missing", "halt", "ada", "c1", at_ns=1)


def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let listing and marking of directories fail, as for those of another user."""

    def refuse(path: object, *_: object, **__: object) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "listdir", refuse)
    monkeypatch.setattr(os, "utime", refuse)


def test_unreadable_command_folder_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[str] = []
    box = CommandFiles(tmp_path, reports.append)
    write_command(tmp_path, "halt", "ada", "c1", at_ns=1)
    with monkeypatch.context() as patch:
        unreadable(patch)
        for _ in range(3):
            assert list(box.waiting()) == []
        assert count_waiting(tmp_path) is None
    (problem,) = reports
    assert "Permission denied" in problem
    assert "neither halted nor resumed" in problem
    assert len(box.waiting()) == 1


def test_file_in_place_of_the_command_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "commands").write_text("in the way")
    reports: list[str] = []
    assert list(CommandFiles(tmp_path, reports.append).waiting()) == []
    assert "cannot be read: Not a directory" in reports[0]
    assert count_waiting(tmp_path) is None


def test_command_written_by_root_gets_the_owner_of_the_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, tuple[int, int, bool]] = {}

    def chown(path: Path, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        given[path.name] = uid, gid, follow_symlinks

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", chown)
    left = write_command(tmp_path, "halt", "root", "c1", at_ns=1)
    owner = tmp_path.stat()
    assert given == dict.fromkeys(("commands", f".{left.name}"), (owner.st_uid, owner.st_gid, False))


def test_waiting_commands_are_counted(tmp_path: Path) -> None:
    assert count_waiting(tmp_path) == 0
    write_command(tmp_path, "halt", "ada", "c1", at_ns=1)
    assert count_waiting(tmp_path) == 1


def test_each_new_halt_file_gives_one_halt_command(tmp_path: Path) -> None:
    box = CommandFiles(tmp_path)
    write_command(tmp_path, "flatten", "ada", "c1", at_ns=1)
    assert len(box.waiting()) == 1
    (tmp_path / "HALT").touch()
    halt, flatten = box.waiting()
    assert (halt.verb, halt.by, flatten.verb) == ("halt", "the file HALT", "flatten")
    box.done(halt)
    (tmp_path / "HALT").write_text("really")
    assert list(box.waiting()) == [flatten]
    assert (tmp_path / "HALT").exists()
    (tmp_path / "HALT").unlink()
    assert list(box.waiting()) == [flatten]
    (tmp_path / "HALT").touch()
    again, _ = box.waiting()
    assert again.by == halt.by


def test_halt_file_gives_the_same_command_id_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "HALT").mkdir()
    first, second = (CommandFiles(tmp_path).waiting() for _ in range(2))
    assert list(first) == list(second) != []


def test_resume_command_is_refused_while_a_halt_file_exists(tmp_path: Path) -> None:
    reports: list[str] = []
    box = CommandFiles(tmp_path, reports.append)
    write_command(tmp_path, "resume", "ada", "c1", at_ns=1)
    assert [command.verb for command in box.waiting()] == ["resume"]
    (tmp_path / "HALT").symlink_to(tmp_path / "nowhere")
    assert halted_by_file(tmp_path)
    assert [command.verb for command in box.waiting()] == ["halt"]
    assert [command.verb for command in box.waiting()] == ["halt"]
    (moved,) = reports
    assert f"the file HALT in {tmp_path} halts this book; nothing resumes while it is there; delete it first" in moved
    assert len(list((tmp_path / "commands" / "refused").iterdir())) == 1


def test_halt_file_that_cannot_be_checked_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    reports: list[str] = []
    box = CommandFiles(tmp_path, reports.append)
    monkeypatch.setattr(os, "lstat", refuse)
    for _ in range(3):
        assert list(box.waiting()) == []
    assert "the file HALT in" in reports[0]
    assert len(reports) == 1


def halt_text(id_: str) -> str:
    return f'{{"verb": "halt", "by": "ada", "command_id": "{id_}"}}'


def test_link_in_place_of_command_folder_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.json").write_text(halt_text("x"))
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "commands").symlink_to(elsewhere)
    reports: list[str] = []
    assert list(CommandFiles(tmp_path / "desk", reports.append).waiting()) == []
    assert "cannot be read" in reports[0]
    with pytest.raises(BookError, match="could not be written"):
        write_command(tmp_path / "desk", "halt", "ada", "c1", at_ns=1)
    assert [each.name for each in elsewhere.iterdir()] == ["a.json"]


def test_commands_in_a_folder_that_others_can_write_are_ignored(tmp_path: Path) -> None:
    left = write_command(tmp_path, "resume", "ada", "c1", at_ns=1)
    reports: list[str] = []
    box = CommandFiles(tmp_path, reports.append)
    left.parent.chmod(0o770)
    assert list(box.waiting()) == []
    assert f"chmod 700 {left.parent}" in reports[0]
    left.parent.chmod(0o700)
    assert len(box.waiting()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_command_or_folder_of_another_user_is_refused(tmp_path: Path, what: str) -> None:
    left = write_command(tmp_path, "resume", "ada", "c1", at_ns=1)
    os.chown(left if what == "file" else left.parent, 12_345, 12_345)
    reports: list[str] = []
    assert list(CommandFiles(tmp_path, reports.append).waiting()) == []
    assert "belongs to user 12345" in reports[0]


def test_one_check_reads_a_bounded_number_of_files(tmp_path: Path) -> None:
    folder = tmp_path / "commands"
    folder.mkdir()
    for number in range(4 * FILES_PER_CHECK):
        (folder / f"-{number:04}").touch()
    write_command(tmp_path, "halt", "ada", "c1", at_ns=1)
    box = CommandFiles(tmp_path)
    assert [command.command_id for command in box.waiting()] == ["c1"]
    assert len(list((folder / "refused").iterdir())) == FILES_PER_CHECK - 1
    for _ in range(4):
        box.waiting()
    assert len(list((folder / "refused").iterdir())) == 4 * FILES_PER_CHECK


def test_a_command_queued_behind_many_files_is_read_soon(tmp_path: Path) -> None:
    folder = tmp_path / "commands"
    folder.mkdir()
    for number in range((CHECKS_PER_LISTING + 3) * FILES_PER_CHECK):
        (folder / f"-{number:04}").touch()
    box = CommandFiles(tmp_path)
    box.waiting()
    write_command(tmp_path, "halt", "ada", "late", at_ns=1)
    checks = [len(box.waiting()) for _ in range(CHECKS_PER_LISTING + 1)]
    assert checks[-1] == 1

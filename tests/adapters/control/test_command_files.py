"""A person's commands reach the engine through files: each one, once, in order, whatever else lies there."""

import errno
import os
from pathlib import Path

import pytest

from ocw_mcp.adapters.control.commands import (
    LISTED_EVERY,
    MOST_A_LOOK,
    CommandFiles,
    count_waiting,
    halted_by_file,
    leave,
)
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.protocols import CommandBox
from ocw_mcp.domain.steps import Command


def test_commands_are_given_oldest_first_until_they_are_done(tmp_path: Path) -> None:
    box: CommandBox = CommandFiles(tmp_path)
    assert list(box.waiting()) == []
    leave(tmp_path, "resume", "ada", "c2", at_ns=2_000)
    leave(tmp_path, "halt", "ada", "c1", at_ns=1_000)
    halt, resume = Command("c1", "halt", "ada"), Command("c2", "resume", "ada")
    assert list(box.waiting()) == list(box.waiting()) == [halt, resume]
    box.done(halt)
    assert list(box.waiting()) == [resume]
    box.done(resume)
    assert list(box.waiting()) == []
    assert list((tmp_path / "commands").iterdir()) == []


def test_commands_outlive_the_engine(tmp_path: Path) -> None:
    leave(tmp_path, "halt", "ada", "c1", at_ns=1)
    for _ in range(2):
        assert len(CommandFiles(tmp_path).waiting()) == 1
    CommandFiles(tmp_path).done(Command("c1", "halt", "ada"))
    assert list(CommandFiles(tmp_path).waiting()) == []


def test_no_command_is_missed_however_fast_they_come(tmp_path: Path) -> None:
    box = CommandFiles(tmp_path)
    for number in range(100):
        leave(tmp_path, "halt", "ada", f"c{number}", at_ns=number)
        assert [command.command_id for command in box.waiting()] == [f"c{number}"]
        box.done(box.waiting()[0])


def test_somebody_else_who_looks_takes_nothing_away(tmp_path: Path) -> None:
    engine, onlooker = CommandFiles(tmp_path), CommandFiles(tmp_path)
    leave(tmp_path, "halt", "ada", "c1", at_ns=1)
    assert len(engine.waiting()) == 1
    leave(tmp_path, "resume", "ada", "c2", at_ns=2)
    assert len(onlooker.waiting()) == 2
    assert len(engine.waiting()) == 2


def test_a_command_that_comes_during_a_look_is_seen_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = CommandFiles(tmp_path)
    leave(tmp_path, "halt", "ada", "c1", at_ns=1)
    real = os.listdir

    def listdir_then_leave(path: str) -> list[str]:
        names = real(path)
        monkeypatch.undo()
        leave(tmp_path, "resume", "ada", "c2", at_ns=2)
        return names

    monkeypatch.setattr(os, "listdir", listdir_then_leave)
    assert [command.command_id for command in box.waiting()] == ["c1"]
    assert [command.command_id for command in box.waiting()] == ["c1", "c2"]


def test_a_look_without_news_does_not_read_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = CommandFiles(tmp_path)
    leave(tmp_path, "halt", "ada", "c1", at_ns=1)
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
def test_what_is_no_command_is_moved_aside_and_told(tmp_path: Path, content: bytes) -> None:
    leave(tmp_path, "halt", "ada", "good", at_ns=5)
    (tmp_path / "commands" / "bad.json").write_bytes(content)
    box = CommandFiles(tmp_path)
    assert [command.command_id for command in box.waiting()] == ["good"]
    assert [command.command_id for command in box.waiting()] == ["good"]
    assert (tmp_path / "commands" / "refused" / "bad.json").read_bytes() == content
    assert len(box.problems) == 1
    assert "bad.json" in box.problems[0]


def test_what_is_no_plain_file_is_moved_aside_unopened(tmp_path: Path) -> None:
    commands = tmp_path / "commands"
    (commands / "folder").mkdir(parents=True)
    os.mkfifo(commands / "pipe")
    (tmp_path / "elsewhere").write_bytes(b'{"verb": "halt", "by": "ada", "command_id": "x"}')
    (commands / "link").symlink_to(tmp_path / "elsewhere")
    box = CommandFiles(tmp_path)
    assert list(box.waiting()) == []
    assert sorted(path.name for path in (commands / "refused").iterdir()) == ["folder", "link", "pipe"]
    assert len(box.problems) == 3


def test_a_repeated_id_is_moved_aside(tmp_path: Path) -> None:
    leave(tmp_path, "halt", "ada", "same", at_ns=1)
    leave(tmp_path, "resume", "eve", "same", at_ns=2)
    box = CommandFiles(tmp_path)
    assert list(box.waiting()) == [Command("same", "halt", "ada")]
    assert "repeats the id" in box.problems[0]


def test_what_cannot_be_moved_aside_is_told_once(tmp_path: Path) -> None:
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "refused").write_text("in the way")
    (commands / "bad.json").write_text("?")
    box = CommandFiles(tmp_path)
    for number in range(3):
        (commands / f".touch{number}").touch()
        assert list(box.waiting()) == []
    assert len(box.problems) == 1
    leave(tmp_path, "halt", "ada", "c1", at_ns=1)
    assert len(box.waiting()) == 1


def test_commands_half_written_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / ".00000000000000000001-c1.json").write_text('{"verb": "ha')
    box = CommandFiles(tmp_path)
    assert list(box.waiting()) == []
    assert box.problems == []


def test_a_directory_that_went_away_holds_no_commands(tmp_path: Path) -> None:
    path = leave(tmp_path, "halt", "ada", "c1", at_ns=1)
    box = CommandFiles(tmp_path)
    (command,) = box.waiting()
    path.unlink()
    path.parent.rmdir()
    assert list(box.waiting()) == []
    box.done(command)


@pytest.mark.parametrize(("verb", "command_id"), [("liquidate", "c1"), ("halt", "../../x"), ("halt", "")])
def test_only_what_an_engine_takes_can_be_left(tmp_path: Path, verb: str, command_id: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        leave(tmp_path, verb, "ada", command_id, at_ns=1)
    assert list(tmp_path.iterdir()) == []


def test_a_command_for_nobody_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="could not be left"):
        leave(tmp_path / "missing", "halt", "ada", "c1", at_ns=1)


def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on directories are another user's, who lets nobody look."""

    def refuse(path: object, *_: object, **__: object) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "listdir", refuse)
    monkeypatch.setattr(os, "utime", refuse)


def test_a_folder_that_cannot_be_read_is_told_of_once_at_once_and_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    box = CommandFiles(tmp_path, told.append)
    leave(tmp_path, "halt", "ada", "c1", at_ns=1)
    with monkeypatch.context() as patch:
        unreadable(patch)
        for _ in range(3):
            assert list(box.waiting()) == []
        assert count_waiting(tmp_path) is None
    (problem,) = told
    assert "Permission denied" in problem
    assert "neither halted nor resumed" in problem
    assert len(box.waiting()) == 1


def test_a_folder_that_is_a_file_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "commands").write_text("in the way")
    told: list[str] = []
    assert list(CommandFiles(tmp_path, told.append).waiting()) == []
    assert "cannot be read: Not a directory" in told[0]
    assert count_waiting(tmp_path) is None


def test_what_root_leaves_belongs_to_the_owner_of_the_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, tuple[int, int, bool]] = {}

    def chown(path: Path, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        given[path.name] = uid, gid, follow_symlinks

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", chown)
    left = leave(tmp_path, "halt", "root", "c1", at_ns=1)
    owner = tmp_path.stat()
    assert given == dict.fromkeys(("commands", f".{left.name}"), (owner.st_uid, owner.st_gid, False))


def test_waiting_commands_can_be_counted_by_whoever_looks(tmp_path: Path) -> None:
    assert count_waiting(tmp_path) == 0
    leave(tmp_path, "halt", "ada", "c1", at_ns=1)
    assert count_waiting(tmp_path) == 1


def test_the_file_halt_is_one_halt_before_all_other_commands_for_each_time_it_appears(tmp_path: Path) -> None:
    box = CommandFiles(tmp_path)
    leave(tmp_path, "flatten", "ada", "c1", at_ns=1)
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


def test_another_process_gives_the_file_halt_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "HALT").mkdir()
    first, second = (CommandFiles(tmp_path).waiting() for _ in range(2))
    assert list(first) == list(second) != []


def test_while_the_file_halt_is_there_a_resume_is_moved_aside_and_told(tmp_path: Path) -> None:
    told: list[str] = []
    box = CommandFiles(tmp_path, told.append)
    leave(tmp_path, "resume", "ada", "c1", at_ns=1)
    assert [command.verb for command in box.waiting()] == ["resume"]
    (tmp_path / "HALT").symlink_to(tmp_path / "nowhere")
    assert halted_by_file(tmp_path)
    assert [command.verb for command in box.waiting()] == ["halt"]
    assert [command.verb for command in box.waiting()] == ["halt"]
    (moved,) = told
    assert f"the file HALT in {tmp_path} halts this book; nothing resumes while it is there; delete it first" in moved
    assert len(list((tmp_path / "commands" / "refused").iterdir())) == 1


def test_a_halt_file_that_cannot_be_looked_for_is_told_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    told: list[str] = []
    box = CommandFiles(tmp_path, told.append)
    monkeypatch.setattr(os, "lstat", refuse)
    for _ in range(3):
        assert list(box.waiting()) == []
    assert "whether the file HALT lies in" in told[0]
    assert len(told) == 1


def halt_text(id_: str) -> str:
    return f'{{"verb": "halt", "by": "ada", "command_id": "{id_}"}}'


def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.json").write_text(halt_text("x"))
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "commands").symlink_to(elsewhere)
    told: list[str] = []
    assert list(CommandFiles(tmp_path / "desk", told.append).waiting()) == []
    assert "cannot be read" in told[0]
    with pytest.raises(BookError, match="could not be left"):
        leave(tmp_path / "desk", "halt", "ada", "c1", at_ns=1)
    assert [each.name for each in elsewhere.iterdir()] == ["a.json"]


def test_a_folder_that_others_can_write_gives_no_command(tmp_path: Path) -> None:
    left = leave(tmp_path, "resume", "ada", "c1", at_ns=1)
    told: list[str] = []
    box = CommandFiles(tmp_path, told.append)
    left.parent.chmod(0o770)
    assert list(box.waiting()) == []
    assert f"chmod 700 {left.parent}" in told[0]
    left.parent.chmod(0o700)
    assert len(box.waiting()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_command_or_folder_of_another_user_gives_no_command(tmp_path: Path, what: str) -> None:
    left = leave(tmp_path, "resume", "ada", "c1", at_ns=1)
    os.chown(left if what == "file" else left.parent, 12_345, 12_345)
    told: list[str] = []
    assert list(CommandFiles(tmp_path, told.append).waiting()) == []
    assert "belongs to user 12345" in told[0]


def test_one_look_handles_a_bounded_number_of_files_and_ours_come_first(tmp_path: Path) -> None:
    folder = tmp_path / "commands"
    folder.mkdir()
    for number in range(4 * MOST_A_LOOK):
        (folder / f"-{number:04}").touch()
    leave(tmp_path, "halt", "ada", "c1", at_ns=1)
    box = CommandFiles(tmp_path)
    assert [command.command_id for command in box.waiting()] == ["c1"]
    assert len(list((folder / "refused").iterdir())) == MOST_A_LOOK - 1
    for _ in range(4):
        box.waiting()
    assert len(list((folder / "refused").iterdir())) == 4 * MOST_A_LOOK


def test_a_command_behind_a_flood_is_seen_within_a_few_looks(tmp_path: Path) -> None:
    folder = tmp_path / "commands"
    folder.mkdir()
    for number in range((LISTED_EVERY + 3) * MOST_A_LOOK):
        (folder / f"-{number:04}").touch()
    box = CommandFiles(tmp_path)
    box.waiting()
    leave(tmp_path, "halt", "ada", "late", at_ns=1)
    looks = [len(box.waiting()) for _ in range(LISTED_EVERY + 1)]
    assert looks[-1] == 1

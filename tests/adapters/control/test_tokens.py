"""Tokens can be changed by many processes at once, and no change is lost."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ocw_mcp.adapters.control import tokens
from ocw_mcp.adapters.control.tokens import TOKENS, add_token, read_tokens, revoke_token
from ocw_mcp.adapters.store.directory import prepare
from ocw_mcp.domain.errors import BookError

CHANGE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from ocw_mcp.adapters.control.tokens import add_token, revoke_token
directory, names = Path(sys.argv[1]), sys.argv[2:]
sys.stdin.read(1)
for name in names:
    add_token(directory, "read", f"new-{name}", 0)
    revoke_token(directory, name)
"""


def test_concurrent_token_changes_of_threads_are_all_kept(tmp_path: Path) -> None:
    names = [f"t{number}" for number in range(20)]
    for name in names:
        add_token(tmp_path, "read", name, 0)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda name: revoke_token(tmp_path, name), names[:18]))
        list(pool.map(lambda name: add_token(tmp_path, "trade", f"new-{name}", 0), names))
    left = {row.name for row in read_tokens(tmp_path)}
    assert left == {"t18", "t19", *(f"new-{name}" for name in names)}


def test_directory_with_leftover_temporary_files_may_hold_a_new_book(tmp_path: Path) -> None:
    place = tmp_path / "desk"
    assert prepare(place) is None
    for name in (".tokens.json.1_fr8mjn", ".passphrase.77", ".serve.json.abc_1"):
        (place / name).touch()
    assert prepare(place) is None
    (place / ".bashrc.orig").touch()
    with pytest.raises(BookError, match="other files"):
        prepare(place)


@pytest.mark.slow
def test_concurrent_token_changes_of_processes_are_all_kept(tmp_path: Path) -> None:
    names = [f"t{number}" for number in range(20)]
    for name in names:
        add_token(tmp_path, "read", name, 0)
    groups = [names[first::5] for first in range(5)]
    command = [sys.executable, "-c", CHANGE, str(tmp_path)]
    processes = [subprocess.Popen([*command, *group], stdin=subprocess.PIPE) for group in groups]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"x")
        process.stdin.close()
    assert [process.wait(30) for process in processes] == [0] * len(processes)
    assert sorted(row.name for row in read_tokens(tmp_path)) == sorted(f"new-{name}" for name in names)


def test_token_change_overwritten_by_another_program_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_token(tmp_path, "read", "one", 0)
    before = (tmp_path / TOKENS).read_bytes()

    def overwritten(path: Path, data: bytes) -> None:
        path.write_bytes(before)

    monkeypatch.setattr(tokens, "write_private", overwritten)
    for change in (lambda: revoke_token(tmp_path, "one"), lambda: add_token(tmp_path, "read", "two", 0)):
        with pytest.raises(BookError, match="changed by another program"):
            change()

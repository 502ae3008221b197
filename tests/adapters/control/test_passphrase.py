"""A passphrase is stored as a digest for its owner alone, and is trusted only if no other user could write it."""

import hashlib
import os
import stat
from pathlib import Path

import msgspec
import pytest

from ocw_mcp.adapters.control import passphrase
from ocw_mcp.adapters.control.passphrase import PASSPHRASE, USUAL, Cost, is_set, keep, matches, require_sound
from ocw_mcp.domain.errors import BookError, SettingsError

CHEAP = Cost(n=16)
WORD = "correct horse battery"


def test_only_the_exact_passphrase_matches(tmp_path: Path) -> None:
    assert not is_set(tmp_path)
    keep(tmp_path, WORD, CHEAP)
    assert is_set(tmp_path)
    assert matches(tmp_path, WORD)
    assert not any(matches(tmp_path, each) for each in ("", WORD[:-1], f"{WORD} ", WORD.upper()))


def test_passphrase_is_stored_as_salted_digest_for_its_owner_only(tmp_path: Path) -> None:
    previous, texts = os.umask(0), []
    try:
        for _ in range(2):
            keep(tmp_path, WORD, CHEAP)
            texts.append((tmp_path / PASSPHRASE).read_bytes())
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / PASSPHRASE).stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [PASSPHRASE]
    assert texts[0] != texts[1]
    kept = msgspec.json.decode(texts[1])
    assert (
        kept["digest"]
        == hashlib.scrypt(WORD.encode(), salt=bytes.fromhex(kept["salt"]), n=16, r=8, p=1, dklen=32).hex()
    )
    assert len(bytes.fromhex(kept["salt"])) == 16


def test_default_scrypt_cost_of_a_guess_is_at_least_128_mb() -> None:
    assert 128 * USUAL.n * USUAL.r * USUAL.p >= 128 * 2**20


def test_passphrase_matches_in_another_unicode_form(tmp_path: Path) -> None:
    keep(tmp_path, "Z\u00fcrich ist sch\u00f6n", CHEAP)
    assert matches(tmp_path, "Zu\u0308rich ist scho\u0308n")


def test_passphrase_does_not_match_input_that_is_not_utf_8(tmp_path: Path) -> None:
    keep(tmp_path, WORD, CHEAP)
    assert not matches(tmp_path, "caf\udce9 au lait")


@pytest.mark.parametrize("word", ["", "1234567", "x" * 1_001])
def test_too_short_or_too_long_passphrase_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(SettingsError, match="expected 8 to 1,000"):
        keep(tmp_path, word, CHEAP)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_the_old_passphrase_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path, WORD, CHEAP)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BookError, match="No space left"):
        keep(tmp_path, "another one", CHEAP)
    assert matches(tmp_path, WORD)
    assert [each.name for each in tmp_path.iterdir()] == [PASSPHRASE]


def test_failed_sync_of_the_passphrase_directory_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def fails_on_directories(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(5, "Input/output error")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fails_on_directories)
    with pytest.raises(BookError, match="cannot be written: Input/output error"):
        keep(tmp_path, WORD, CHEAP)
    assert [each.name for each in tmp_path.iterdir()] == [PASSPHRASE]


def test_missing_passphrase_error_says_how_to_set_it(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="ocw passphrase set --state"):
        require_sound(tmp_path)


def test_passphrase_file_open_to_other_users_is_not_trusted(tmp_path: Path) -> None:
    keep(tmp_path, WORD, CHEAP)
    (tmp_path / PASSPHRASE).chmod(0o640)
    for look in (lambda: require_sound(tmp_path), lambda: matches(tmp_path, WORD)):
        with pytest.raises(BookError, match=r"mode 0640.*chmod 600"):
            look()


def test_passphrase_file_of_another_user_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path, WORD, CHEAP)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(BookError, match="belongs to user"):
        matches(tmp_path, WORD)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_passphrase_set_by_root_gets_the_owner_of_the_book(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1234)
    keep(tmp_path, WORD, CHEAP)
    assert (tmp_path / PASSPHRASE).stat().st_uid == 1234
    assert matches(tmp_path, WORD)
    os.chown(tmp_path / PASSPHRASE, 4321, 4321)
    with pytest.raises(BookError, match="belongs to user 4321"):
        matches(tmp_path, WORD)


def test_link_or_pipe_as_passphrase_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    keep(tmp_path, WORD, CHEAP)
    place = tmp_path / "book" / PASSPHRASE
    place.symlink_to(tmp_path / PASSPHRASE)
    with pytest.raises(BookError, match="cannot be read"):
        matches(tmp_path / "book", WORD)
    place.unlink()
    os.mkfifo(place, 0o600)
    with pytest.raises(BookError, match="not a regular file"):
        matches(tmp_path / "book", WORD)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"secret", b"{}", b"\xff",
        b'{"form":"md5","cost":{},"salt":"00","digest":"' + b"00" * 32 + b'"}',
        b'{"form":"scrypt","cost":{},"salt":"00","digest":"00"}',
        b'{"form":"scrypt","cost":{},"salt":"zz","digest":"' + b"00" * 32 + b'"}',
        b'{"form":"scrypt","cost":{"n":1048577},"salt":"00","digest":"' + b"00" * 32 + b'"}',
        b'{"form":"scrypt","cost":{"n":1073741824},"salt":"00","digest":"' + b"00" * 32 + b'"}',
    ],
)  # fmt: skip
def test_invalid_passphrase_file_matches_nothing(tmp_path: Path, text: bytes) -> None:
    (tmp_path / PASSPHRASE).write_bytes(text)
    (tmp_path / PASSPHRASE).chmod(0o600)
    with pytest.raises(BookError, match="not written by this version"):
        passphrase.matches(tmp_path, "")

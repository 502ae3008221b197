"""The operator's passphrase, which is required to resume a book. Only its scrypt digest is stored.

It also seals the mandate of a live book: a changed mandate, and one of an earlier passphrase, is refused.

The passphrase keeps two callers from resuming a book: a person who can run `ocw` but cannot write to the state
directory, and an agent with tools. It does not stop the owner of the directory, who can replace its files.
"""

import hashlib
import hmac
import os
import stat
import unicodedata
from pathlib import Path

import msgspec

from ocw_mcp.adapters.files import FileRefused, open_regular, write_private
from ocw_mcp.domain.errors import BookError, SettingsError

PASSPHRASE = "passphrase"
SHORTEST, LONGEST = 8, 1_000
"""Numbers of characters."""
_MOST_MEMORY = 1 << 30


class Cost(msgspec.Struct, frozen=True):
    """The cost of one guess, as parameters of scrypt: 128 · n · r bytes of memory, about half a second."""

    n: int = 1 << 17
    r: int = 8
    p: int = 1


USUAL = Cost()


class _PassphraseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="form", tag="scrypt"):
    cost: Cost
    salt: str
    digest: str


def is_set(directory: Path) -> bool:
    """Return whether a state directory has a passphrase file, valid or not."""
    return os.path.lexists(directory / PASSPHRASE)


def keep(directory: Path, passphrase: str, cost: Cost) -> None:
    """Store a passphrase, replacing an older one. Raises SettingsError for its length, BookError for a failed write."""
    if not SHORTEST <= len(passphrase) <= LONGEST:
        raise SettingsError(
            f"the passphrase has {len(passphrase)} characters; expected {SHORTEST} to {LONGEST:,}; choose another"
        )
    salt = os.urandom(16)  # noqa: TID251 - a salt has to be unforeseeable; it never comes near the engine
    stored = _PassphraseFile(cost, salt.hex(), _digest(passphrase, salt, cost).hex())
    write_private(directory / PASSPHRASE, msgspec.json.encode(stored))


def matches(directory: Path, passphrase: str) -> bool:
    """Return whether `passphrase` is the stored one, in constant time. Raises BookError as `require_sound` does."""
    stored = require_sound(directory)
    digest = _digest(passphrase, bytes.fromhex(stored.salt), stored.cost)
    return hmac.compare_digest(digest, bytes.fromhex(stored.digest))


def seal(directory: Path, text: bytes) -> str:
    """Return the seal of a text: its HMAC with a key that follows from the stored passphrase.

    The caller has checked the passphrase before; a seal is checked without it, so that a book can start unattended.
    Raises BookError as `require_sound` does.
    """
    stored = require_sound(directory)
    key = hmac.digest(bytes.fromhex(stored.digest), b"ocw seal " + bytes.fromhex(stored.salt), "sha256")
    return hmac.new(key, text, "sha256").hexdigest()


def is_sealed(directory: Path, text: bytes, found: str) -> bool:
    """Return whether `found` is the seal of a text, in constant time. Raises BookError as `require_sound` does."""
    return hmac.compare_digest(seal(directory, text).encode(), found.encode())


def _digest(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    # One letter can be typed as different characters; a terminal may also send bytes that are not text.
    text = unicodedata.normalize("NFKC", passphrase).encode(errors="surrogateescape")
    memory = 128 * cost.r * (cost.n + cost.p + 2)
    return hashlib.scrypt(text, salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=memory, dklen=32)


def require_sound(directory: Path) -> _PassphraseFile:
    """Return the stored digest and salt. Raises BookError if the file is missing, or others can access it."""
    path = directory / PASSPHRASE
    try:
        with open_regular(path) as (file, status):
            _require_trusted(path, status)
            text = file.read(4_096)
    except FileRefused:
        raise _unsound(path, "is not a regular file", "move it away and set a new passphrase") from None
    except FileNotFoundError:
        raise BookError(
            f"no passphrase is set in {directory}; set one, at a terminal: ocw passphrase set --state {directory}"
        ) from None
    except OSError as error:
        raise BookError(
            f"the passphrase in {directory} cannot be read: {error.strerror}; run as the user who owns the directory"
        ) from None
    try:
        stored = msgspec.json.decode(text, type=_PassphraseFile)
        bytes.fromhex(stored.salt)
        if _is_affordable(stored.cost) and len(bytes.fromhex(stored.digest)) == 32:
            return stored
    except (msgspec.MsgspecError, ValueError):
        pass
    raise _unsound(path, "was not written by this version of ocw", "move it away and set a new passphrase")


def _require_trusted(path: Path, status: os.stat_result) -> None:
    owner = path.parent.stat().st_uid
    if status.st_uid != owner or os.geteuid() not in (0, owner):
        whose = f"belongs to user {status.st_uid}, the directory to user {owner}, and you are user {os.geteuid()}"
        raise _unsound(path, whose, "run as the user who owns both, or move the file away and set a new passphrase")
    if status.st_mode & 0o077:
        mode = f"is open to other users (mode {stat.S_IMODE(status.st_mode):04o})"
        raise _unsound(path, mode, f"run chmod 600 {path}, and set another passphrase")


def _is_affordable(cost: Cost) -> bool:
    """Return whether scrypt accepts these parameters within the memory limit."""
    power_of_two = cost.n > 1 and cost.n & (cost.n - 1) == 0
    return power_of_two and 1 <= cost.r <= 64 and 1 <= cost.p <= 16 and 128 * cost.r * cost.n <= _MOST_MEMORY


def _unsound(path: Path, what: str, todo: str) -> BookError:
    return BookError(f"the passphrase {path} {what}, so it cannot be trusted; {todo}")

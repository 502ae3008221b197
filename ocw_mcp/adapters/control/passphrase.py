"""A person's passphrase: what it takes to let a book take new risk again. Only its scrypt digest is kept.

It keeps out whoever can run `ocw` but not write to the state directory, and an agent with tools; whoever owns the
directory owns the book.
"""

import hashlib
import hmac
import os
import stat
import unicodedata
from contextlib import suppress
from pathlib import Path

import msgspec

from ocw_mcp.adapters.files import FileRefused, opened
from ocw_mcp.domain.errors import BookError, SettingsError

PASSPHRASE = "passphrase"
SHORTEST, LONGEST = 8, 1_000
"""Characters."""
_FORM = "scrypt"
_LARGEST = 4_096
_MOST_MEMORY = 1 << 30


class Cost(msgspec.Struct, frozen=True):
    """What one guess costs, by scrypt's own names: 128 · n · r bytes of memory, about half a second."""

    n: int = 1 << 17
    r: int = 8
    p: int = 1


USUAL = Cost()


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    form: str
    cost: Cost
    salt: str
    digest: str


def is_set(directory: Path) -> bool:
    """Whether a state directory has a passphrase, sound or not."""
    return os.path.lexists(directory / PASSPHRASE)


def require_sound(directory: Path) -> None:
    """Refuse a passphrase that somebody else could have put there or can read. Raises BookError with what to do."""
    _read(directory)


def keep(directory: Path, passphrase: str, cost: Cost) -> None:
    """Keep a passphrase from here on, in place of an older one; wholly or not at all, for the owner alone.

    What root keeps belongs to the owner of the directory. Raises SettingsError for one that is too short or too long,
    BookError when it cannot be written.
    """
    if not SHORTEST <= len(passphrase) <= LONGEST:
        raise SettingsError(
            f"the passphrase has {len(passphrase)} characters; expected {SHORTEST} to {LONGEST:,}; choose another"
        )
    salt = os.urandom(16)  # noqa: TID251 - a salt has to be unforeseeable; it never comes near the engine
    kept = _Kept(_FORM, cost, salt.hex(), _digest(passphrase, salt, cost).hex())
    unfinished = directory / f".{PASSPHRASE}.{os.getpid()}"
    try:
        with suppress(FileNotFoundError):
            unfinished.unlink()
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(msgspec.json.encode(kept))
            if os.geteuid() == 0:
                owner = directory.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            file.flush()
            os.fsync(descriptor)
        os.replace(unfinished, directory / PASSPHRASE)
        _sync(directory)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise BookError(
            f"the passphrase could not be kept in {directory}: {error.strerror}; expected a state directory that you "
            "may write to; check --state"
        ) from None


def matches(directory: Path, passphrase: str) -> bool:
    """Whether this is the passphrase; a near miss takes as long as any other. Raises BookError as `require_sound`."""
    kept = _read(directory)
    digest = _digest(passphrase, bytes.fromhex(kept.salt), kept.cost)
    return hmac.compare_digest(digest, bytes.fromhex(kept.digest))


def _digest(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    # The same letters can be typed as different characters; a terminal may also send bytes that are none.
    text = unicodedata.normalize("NFKC", passphrase).encode(errors="surrogateescape")
    memory = 128 * cost.r * (cost.n + cost.p + 2)
    return hashlib.scrypt(text, salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=memory, dklen=32)


def _read(directory: Path) -> _Kept:
    path = directory / PASSPHRASE
    try:
        with opened(path) as (file, found):
            _require_trusted(path, found)
            text = file.read(_LARGEST)
    except FileRefused:
        raise _unsound(path, "is no plain file", "move it away and set a passphrase anew") from None
    except FileNotFoundError:
        raise BookError(
            f"no passphrase is set in {directory}; set one, at a terminal: ocw passphrase set --state {directory}"
        ) from None
    except OSError as error:
        raise BookError(
            f"the passphrase in {directory} cannot be read: {error.strerror}; ask as the user who owns the directory"
        ) from None
    try:
        kept = msgspec.json.decode(text, type=_Kept)
        sound = kept.form == _FORM and _bearable(kept.cost) and len(bytes.fromhex(kept.digest)) == 32
        bytes.fromhex(kept.salt)
    except (msgspec.MsgspecError, UnicodeError, ValueError):
        sound = False
    if not sound:
        raise _unsound(path, "was not written by this version of ocw", "move it away and set a passphrase anew")
    return kept


def _require_trusted(path: Path, found: os.stat_result) -> None:
    owner = path.parent.stat().st_uid
    if found.st_uid != owner or os.geteuid() not in (0, owner):
        whose = f"belongs to user {found.st_uid}, the directory to user {owner}, and you are user {os.geteuid()}"
        raise _unsound(path, whose, "act as the owner of both, or move it away and set a passphrase anew")
    if found.st_mode & 0o077:
        mode = f"is open to other users (mode {stat.S_IMODE(found.st_mode):04o})"
        raise _unsound(path, mode, f"make it yours alone: chmod 600 {path}; and set another passphrase")


def _bearable(cost: Cost) -> bool:
    """Whether scrypt takes these, and this machine may."""
    power = cost.n > 1 and cost.n & (cost.n - 1) == 0
    return power and 1 <= cost.r <= 64 and 1 <= cost.p <= 16 and 128 * cost.r * cost.n <= _MOST_MEMORY


def _unsound(path: Path, what: str, todo: str) -> BookError:
    return BookError(f"the passphrase {path} {what}, so it cannot be trusted; {todo}")


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

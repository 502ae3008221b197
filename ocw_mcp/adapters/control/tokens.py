"""Bearer tokens: who may come in through the doors, and for what. Kept in the state directory, for its owner alone.

A token is 256 random bits, so it is kept as a plain SHA-256: nobody guesses it, and the file gives none away. Scopes
contain each other: `trade` reads, too, and `operate` trades, too.
"""

import fcntl
import hashlib
import hmac
import os
import re
import secrets  # noqa: TID251 - a token has to be unguessable; it never enters the engine
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from ocw_mcp.adapters.files import FileRefused, read_file, require_own_directory, write_private
from ocw_mcp.domain.errors import BookError, SettingsError
from ocw_mcp.domain.orders import MOST_TOKENS as MOST

TOKENS: Final = "tokens.json"
SCOPES: Final = {"read": ("read",), "trade": ("read", "trade"), "operate": ("read", "trade", "operate")}
PREFIX: Final = "ocw_"
"""A token begins with it, so that whoever finds one knows what it opens."""
_LARGEST: Final = 1 << 18


class Principal(msgspec.Struct, frozen=True):
    """Who came in, and what it may do."""

    name: str
    scopes: tuple[str, ...]


class TokenRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token as it is kept; `created_at` in ms."""

    name: str
    scope: str
    sha256: str
    created_at: int


_decode = msgspec.json.Decoder(list[TokenRow]).decode


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def fresh() -> str:
    """A new token."""
    return PREFIX + secrets.token_urlsafe(32)


def read_tokens(directory: Path) -> list[TokenRow]:
    """The tokens of a state directory.

    Raises BookError for a file or directory that is not the user's alone, and for a file that holds no tokens.
    """
    require_own_directory(directory)
    path = directory / TOKENS
    try:
        data = read_file(path, _LARGEST, private=True)
    except FileNotFoundError:
        return []
    except FileRefused as error:
        raise BookError(str(error)) from None
    except OSError as error:
        raise BookError(f"{path} cannot be read: {error.strerror}; ask as the user who runs the engine") from None
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeError):
        raise BookError(f"{path} holds no tokens of ocw; move it away, and make new ones with ocw token new") from None


def add_token(directory: Path, scope: str, name: str | None, created_at: int) -> tuple[str, TokenRow]:
    """Make a token; it is given back this once. Raises SettingsError and BookError."""
    if scope not in SCOPES:
        raise SettingsError(f"--scope is {scope!r}; expected one of {', '.join(SCOPES)}")
    with _changing(directory) as rows:
        token, row = _added(rows, scope, name, created_at)
        _write(directory, [*rows, row])
    return token, row


def _added(rows: list[TokenRow], scope: str, name: str | None, created_at: int) -> tuple[str, TokenRow]:
    """A fresh token beside those that there are, and its row. Raises SettingsError."""
    taken = {row.name for row in rows}
    chosen = name or next(f"{scope}-{number}" for number in range(1, MOST + 2) if f"{scope}-{number}" not in taken)
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,30}", chosen):
        raise SettingsError(f"--name is {chosen[:40]!r}; expected up to 31 of a-z, 0-9, '.', '_' and '-'")
    if chosen in taken or len(rows) >= MOST:
        what = f"there is a token {chosen!r} already" if chosen in taken else f"there are {MOST} tokens already"
        raise SettingsError(f"{what}; choose another --name, or revoke one with ocw token revoke NAME")
    token = fresh()
    return token, TokenRow(chosen, scope, digest(token), created_at)


def revoke_token(directory: Path, name: str) -> None:
    """Take a token away; a running engine heeds it at once. Raises SettingsError and BookError."""
    with _changing(directory) as rows:
        left = [row for row in rows if row.name != name]
        if len(left) == len(rows):
            there = ", ".join(row.name for row in rows) or "none"
            raise SettingsError(f"there is no token {name[:40]!r}; there is {there}")
        _write(directory, left)


@contextmanager
def _changing(directory: Path) -> Iterator[list[TokenRow]]:
    """The tokens, while no other process can change them: its change waits for this one. Raises BookError."""
    require_own_directory(directory)
    try:
        # The lock is on the directory itself: the file in it is replaced by each change.
        locked = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise BookError(f"{directory} cannot be opened: {error.strerror}; give the directory of a book") from None
    try:
        fcntl.flock(locked, fcntl.LOCK_EX)
        yield read_tokens(directory)
    finally:
        os.close(locked)


def _write(directory: Path, rows: list[TokenRow]) -> None:
    """Write the tokens and read them back. Raises BookError where the file then holds others."""
    write_private(directory / TOKENS, msgspec.json.encode(rows))
    if read_tokens(directory) != rows:
        raise BookError(
            f"{directory / TOKENS} was changed by another program while it was written; see ocw token list, and ask "
            "for the same again"
        )


class Keyring:
    """The tokens as the running engine knows them: those of the file, read again when it changes, and its own."""

    def __init__(self, directory: Path, own: Sequence[tuple[str, Principal]] = ()) -> None:
        """`own` are tokens that live as long as this process. Raises BookError for a file that cannot be believed."""
        self._path = directory / TOKENS
        self._directory = directory
        self._own = [(digest(token), principal) for token, principal in own]
        self._seen: object = None
        self._known: list[tuple[str, Principal]] = []
        self._mark()
        self._known = self._read()

    def find(self, token: str) -> Principal | None:
        """Whose token it is, or None. A file that cannot be believed any more lets nobody in."""
        if self._mark():
            try:
                self._known = self._read()
            except BookError:
                self._known = []
        given = digest(token)
        found = None
        for known, principal in (*self._own, *self._known):
            if hmac.compare_digest(known, given):
                found = principal
        return found

    def _read(self) -> list[tuple[str, Principal]]:
        rows = read_tokens(self._directory)
        return [(row.sha256, Principal(row.name, SCOPES[row.scope])) for row in rows if row.scope in SCOPES]

    def _mark(self) -> bool:
        """Whether the file changed since the last look."""
        try:
            found = self._path.lstat()
            seen: object = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode)
        except OSError:
            seen = None
        changed, self._seen = seen != self._seen, seen
        return changed

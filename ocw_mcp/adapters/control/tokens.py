"""Bearer tokens: who may come in through the doors, and for what. Kept in the state directory, for its owner alone.

A token is 256 random bits, so it is kept as a plain SHA-256: nobody guesses it, and the file gives none away. Scopes
contain each other: `trade` reads, too, and `operate` trades, too.
"""

import hashlib
import hmac
import os
import re
import secrets  # noqa: TID251 - a token has to be unguessable; it never enters the engine
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from ocw_mcp.domain.errors import BookError, SettingsError

TOKENS: Final = "tokens.json"
SCOPES: Final = {"read": ("read",), "trade": ("read", "trade"), "operate": ("read", "trade", "operate")}
PREFIX: Final = "ocw_"
"""A token begins with it, so that whoever finds one knows what it opens."""
MOST: Final = 64


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
    """The tokens of a state directory. Raises BookError for a file that others may read or that holds none."""
    path = directory / TOKENS
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BookError(f"{path} cannot be read: {error.strerror}; ask as the user who runs the engine") from None
    if mode & 0o077:
        raise BookError(f"{path} is open to other users (mode {mode:04o}); expected 0600; make it so: chmod 600 {path}")
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeError):
        raise BookError(f"{path} holds no tokens of ocw; move it away, and make new ones with ocw token new") from None


def add_token(directory: Path, scope: str, name: str | None, created_at: int) -> tuple[str, TokenRow]:
    """Make a token; it is given back this once. Raises SettingsError and BookError."""
    if scope not in SCOPES:
        raise SettingsError(f"--scope is {scope!r}; expected one of {', '.join(SCOPES)}")
    rows = read_tokens(directory)
    taken = {row.name for row in rows}
    chosen = name or next(f"{scope}-{number}" for number in range(1, MOST + 2) if f"{scope}-{number}" not in taken)
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,30}", chosen):
        raise SettingsError(f"--name is {chosen[:40]!r}; expected up to 31 of a-z, 0-9, '.', '_' and '-'")
    if chosen in taken or len(rows) >= MOST:
        what = f"there is a token {chosen!r} already" if chosen in taken else f"there are {MOST} tokens already"
        raise SettingsError(f"{what}; choose another --name, or revoke one with ocw token revoke NAME")
    token = fresh()
    row = TokenRow(chosen, scope, digest(token), created_at)
    write_private(directory / TOKENS, msgspec.json.encode([*rows, row]))
    return token, row


def revoke_token(directory: Path, name: str) -> None:
    """Take a token away; a running engine heeds it at the next request. Raises SettingsError and BookError."""
    rows = read_tokens(directory)
    left = [row for row in rows if row.name != name]
    if len(left) == len(rows):
        there = ", ".join(row.name for row in rows) or "none"
        raise SettingsError(f"there is no token {name[:40]!r}; there is {there}")
    write_private(directory / TOKENS, msgspec.json.encode(left))


def write_private(path: Path, data: bytes) -> None:
    """Write a file wholly or not at all, readable by its owner only. Raises BookError."""
    try:
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.chown(draft, owner.st_uid, owner.st_gid)
            os.replace(draft, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise
    except OSError as error:
        raise BookError(
            f"{path} cannot be written: {error.strerror}; allow writing to the state directory, or use another"
        ) from None


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
            found = self._path.stat()
            seen: object = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)
        except OSError:
            seen = None
        changed, self._seen = seen != self._seen, seen
        return changed

"""Bearer tokens for HTTP and MCP, with their scopes, in a file of the state directory that only its owner can read.

The file holds the SHA-256 of each token. No salt is needed, because a token has 256 random bits and cannot be guessed.
The scope `trade` includes `read`, and `operate` includes `trade`.
"""

import fcntl
import hashlib
import hmac
import itertools
import os
import re
import secrets  # noqa: TID251 - a token has to be unguessable; it never enters the engine
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from ocw_mcp.adapters.files import read_own, require_own_directory, write_private
from ocw_mcp.domain.errors import BookError, SettingsError
from ocw_mcp.domain.orders import MOST_TOKENS

TOKENS: Final = "tokens.json"
SCOPES: Final = {"read": ("read",), "trade": ("read", "trade"), "operate": ("read", "trade", "operate")}
PREFIX: Final = "ocw_"
"""The beginning of every token, so that a leaked one can be recognised."""
_LARGEST: Final = 1 << 18


class Principal(msgspec.Struct, frozen=True):
    """The caller that a token identifies, and its scopes."""

    name: str
    scopes: tuple[str, ...]


class TokenRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stored token; `created_at` is in ms."""

    name: str
    scope: str
    sha256: str
    created_at: int


_decode = msgspec.json.Decoder(list[TokenRow]).decode


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def new_token() -> str:
    """Return a new token."""
    return PREFIX + secrets.token_urlsafe(32)


def read_tokens(directory: Path) -> list[TokenRow]:
    """Return the tokens of a state directory. Raises BookError if their file cannot be trusted."""
    data = read_own(directory, TOKENS, _LARGEST)
    if data is None:
        return []
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeError):
        raise BookError(
            f"{directory / TOKENS} holds no tokens of ocw; move it away, and create others with ocw token new"
        ) from None


def add_token(directory: Path, scope: str, name: str | None, created_at: int) -> tuple[str, TokenRow]:
    """Create a token; return it, and the stored row with its digest. Raises SettingsError and BookError."""
    if scope not in SCOPES:
        raise SettingsError(f"--scope is {scope!r}; expected one of {', '.join(SCOPES)}")
    with _locked_rows(directory) as rows:
        taken = {row.name for row in rows}
        chosen = name or next(each for each in map(f"{scope}-{{}}".format, itertools.count(1)) if each not in taken)
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,30}", chosen):
            raise SettingsError(f"--name is {chosen[:40]!r}; expected up to 31 of a-z, 0-9, '.', '_' and '-'")
        if chosen in taken or len(rows) >= MOST_TOKENS:
            what = f"is a token {chosen!r}" if chosen in taken else f"are {MOST_TOKENS} tokens"
            raise SettingsError(
                f"there {what} already; choose another --name, or revoke one with ocw token revoke NAME"
            )
        token = new_token()
        row = TokenRow(chosen, scope, _digest(token), created_at)
        _write(directory, [*rows, row])
    return token, row


def revoke_token(directory: Path, name: str) -> None:
    """Delete a token; a running engine refuses it from its next request on. Raises SettingsError and BookError."""
    with _locked_rows(directory) as rows:
        left = [row for row in rows if row.name != name]
        if len(left) == len(rows):
            there = ", ".join(row.name for row in rows) or "none"
            raise SettingsError(f"there is no token {name[:40]!r}; existing tokens: {there}")
        _write(directory, left)


@contextmanager
def _locked_rows(directory: Path) -> Iterator[list[TokenRow]]:
    """Yield the tokens while a lock keeps other processes from changing them. Raises BookError."""
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
    """Write the tokens and read them back. Raises BookError if the file then holds other tokens."""
    write_private(directory / TOKENS, msgspec.json.encode(rows))
    if read_tokens(directory) != rows:
        raise BookError(
            f"{directory / TOKENS} was changed by another program while it was written; check ocw token list, and "
            "repeat the command"
        )


class Keyring:
    """The tokens that a running engine accepts: its own, and those of the token file, read again when it changes."""

    def __init__(self, directory: Path, own: Sequence[tuple[str, Principal]] = ()) -> None:
        """`own` tokens are valid until this process ends. Raises BookError for a token file that cannot be trusted."""
        self._directory = directory
        self._own = [(_digest(token), principal) for token, principal in own]
        self._status: object = self
        self._known: list[tuple[str, Principal]] = []
        self._update()

    def find(self, token: str) -> Principal | None:
        """Return the principal of a token, or None. Tokens in an untrusted file are not accepted."""
        with suppress(BookError):
            self._update()
        given = _digest(token)
        found = None
        for known, principal in (*self._own, *self._known):
            if hmac.compare_digest(known, given):
                found = principal
        return found

    def _update(self) -> None:
        """Read the file again if it changed since the last call. A file that cannot be trusted raises BookError."""
        status: object = None
        with suppress(OSError):
            found = (self._directory / TOKENS).lstat()
            status = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode)
        if status != self._status:
            self._status, self._known = status, []
            rows = read_tokens(self._directory)
            self._known = [(row.sha256, Principal(row.name, SCOPES[row.scope])) for row in rows if row.scope in SCOPES]

"""The API keys of a state directory, each with its mode, product and host, and with the account that it belongs to.

`ocw connect` writes `keys.json`, which only its owner can read. A key is kept in that file, in the keyring of the
system, or in the environment; in the latter two cases the file has only the fingerprint of the key. No error and no
`repr` shows a key or a secret.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

from ocw_mcp.adapters.binance.api_key import SHOWN, ApiKey
from ocw_mcp.adapters.files import read_own, write_private
from ocw_mcp.domain.errors import BookError, SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.state import Mode

KEYS: Final = "keys.json"
SERVICE: Final = "ocw-mcp"
"""The name of the entries in the keyring of the system."""
_LARGEST: Final = 1 << 16
_FORM: Final = re.compile(r"[!-~]{16,512}")


class HostClass(StrEnum):
    """Where requests that are signed with a key may go."""

    EXCHANGE = "exchange"
    """The exchange's own hosts of the key's mode."""
    LOOPBACK = "loopback"
    """A sandbox exchange on this machine."""


class Kept(StrEnum):
    """Where a key and its secret are kept."""

    FILE = "file"
    KEYRING = "keyring"
    ENVIRONMENT = "environment"


class Connection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key that `ocw connect` has checked for a mode, a product and a class of hosts."""

    mode: Mode
    product: Product
    host: HostClass
    kept: Kept
    fingerprint: str
    """The fingerprint of the key."""
    account: str
    """The fingerprint of the account that the key belongs to."""
    checked_at: int
    """The time (ms) of the last successful check."""

    @property
    def place(self) -> tuple[Mode, Product, HostClass]:
        """What the key is for."""
        return self.mode, self.product, self.host


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    connection: Connection
    key: ApiKey | None = None

    def __repr__(self) -> str:
        return f"_Row({self.connection})"


_decode = msgspec.json.Decoder(list[_Row]).decode


def checked_form(key: str, secret: str) -> ApiKey:
    """Return a typed key and secret. Raises SettingsError, which shows neither, if one of them cannot be one."""
    for name, text in (("key", key), ("secret", secret)):
        if not _FORM.fullmatch(text):
            raise SettingsError(
                f"the {name} is not one of the exchange (it is not shown); expected 16 or more letters and digits "
                "without a blank; copy it again"
            )
    return ApiKey(key, secret)


def account_fingerprint(mode: Mode, product: Product, alias: str) -> str:
    """Return the fingerprint of an account, from the name that the exchange gives it."""
    return hashlib.sha256(f"ocw account binance {mode} {product} {alias}".encode()).hexdigest()[:SHOWN]


def connections(directory: Path) -> Sequence[Connection]:
    """Return the checked keys of a state directory, without keys and secrets. Raises BookError."""
    return [row.connection for row in _rows(directory)]


def keep_key(directory: Path, connection: Connection, key: ApiKey) -> str:
    """Store a checked key in place of the one for the same mode, product and host.

    A key that it replaces in the keyring is deleted there; return why that failed, or an empty text.
    Raises BookError if the file cannot be written, SettingsError if there is no keyring.
    """
    known = _rows(directory)
    rows = [row for row in known if row.connection.place != connection.place]
    if connection.kept is Kept.KEYRING:
        text = msgspec.json.encode(key).decode()
        _ask_keyring(lambda ring: ring.set_password(SERVICE, _entry(directory, connection), text))
    row = _Row(connection, key if connection.kept is Kept.FILE else None)
    write_private(directory / KEYS, msgspec.json.encode([*rows, row]))
    replaced = [each.connection for each in known if each.connection.place == connection.place]
    if connection.kept is not Kept.KEYRING and any(each.kept is Kept.KEYRING for each in replaced):
        return _delete_from_keyring(_entry(directory, connection))
    return ""


def _delete_from_keyring(entry: str) -> str:
    """Delete an entry of the system's keyring; return why it is still there, or an empty text."""

    def delete(ring: Any) -> None:
        if ring.get_password(SERVICE, entry) is not None:
            ring.delete_password(SERVICE, entry)

    try:
        _ask_keyring(delete)
    except SettingsError as error:
        return f"the key that was replaced is still in the keyring of the system, as {SERVICE}, {entry}: {error}"
    return ""


def find_connection(
    directory: Path, mode: Mode, product: Product, host: HostClass, given: ApiKey | None = None
) -> tuple[Connection, ApiKey]:
    """Return the checked key for a mode, a product and a class of hosts; `given` is the key of the settings, if any.

    Raises SettingsError if there is none, or if `given` was not checked; BookError if the file cannot be trusted.
    """
    where = f"{mode} {product} at {'a sandbox exchange' if host is HostClass.LOOPBACK else 'Binance'}"
    way = f"run ocw connect --mode {mode} --product {product} --state {directory}"
    row = next((each for each in _rows(directory) if each.connection.place == (mode, product, host)), None)
    if given is not None:
        if row is None or row.connection.fingerprint != given.fingerprint:
            raise SettingsError(
                f"the key of BINANCE_API_KEY was not checked for {where}, and a key is used only for what it was "
                f"checked for; {way}, or remove the setting to use the stored key"
            )
        return row.connection, given
    if row is None:
        raise SettingsError(f"there is no key for {where} in {directory}; expected a key that was checked; {way}")
    return row.connection, _key_of(directory, row, way)


def _key_of(directory: Path, row: _Row, way: str) -> ApiKey:
    kept = row.connection.kept
    if kept is Kept.ENVIRONMENT:
        raise SettingsError(
            "the checked key was in the environment, and BINANCE_API_KEY and BINANCE_SECRET_KEY are not set now; "
            f"set both, or {way} to store a key"
        )
    key, where = row.key, str(directory / KEYS)
    if kept is Kept.KEYRING or key is None:
        where = "the keyring of the system"
        text = _ask_keyring(lambda ring: ring.get_password(SERVICE, _entry(directory, row.connection)))
        try:
            key = msgspec.json.decode(text or "", type=ApiKey)
        except msgspec.MsgspecError:
            raise SettingsError(f"{where} has no such key (any more); {way} --new-key") from None
    if key.fingerprint != row.connection.fingerprint:
        raise SettingsError(
            f"{where} has another key than the one that was checked: its fingerprint is {key.fingerprint}, expected "
            f"{row.connection.fingerprint}; {way} --new-key"
        )
    return key


def _entry(directory: Path, connection: Connection) -> str:
    return f"{directory.resolve()} {connection.mode} {connection.product} {connection.host}"


def _ask_keyring(ask: "Callable[[Any], Any]") -> Any:
    """Return the answer of the system's keyring. Raises SettingsError if there is none, or if it refuses."""
    try:
        ring = import_module("keyring")
    except ImportError:
        raise SettingsError(
            "the package keyring is not installed; expected it for a key in the keyring of the system; install "
            "ocw-mcp[keyring], or leave out --keyring"
        ) from None
    try:
        return ask(ring)
    except Exception as error:
        # Each kind of keyring has its own errors; their texts are not shown, because they may have the secret.
        raise SettingsError(
            f"the keyring of the system refused ({type(error).__name__}); unlock it, or leave out --keyring"
        ) from None


def _rows(directory: Path) -> list[_Row]:
    data = read_own(directory, KEYS, _LARGEST)
    if data is None:
        return []
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeError):
        # The error of the decoder is not shown: it may quote the file.
        raise BookError(f"{directory / KEYS} holds no keys of ocw; move it away, and run ocw connect again") from None

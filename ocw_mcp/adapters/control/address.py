"""The address of a state directory's running engine, and the token for programs of the directory's owner."""

from contextlib import suppress
from pathlib import Path

import msgspec

from ocw_mcp.adapters.files import read_file, require_own_directory, write_private
from ocw_mcp.domain.errors import BookError

ADDRESS = "serve.json"


class Address(msgspec.Struct, frozen=True):
    """The address of a served engine: `url` is its root. The token is valid as long as process `pid` lives."""

    url: str
    token: str
    pid: int

    def __repr__(self) -> str:
        return f"Address({self.url}, pid={self.pid})"


_decode = msgspec.json.Decoder(Address).decode


def write_address(directory: Path, address: Address) -> None:
    """Write the address to a file that only its owner can read. Raises BookError."""
    write_private(directory / ADDRESS, msgspec.json.encode(address))


def read_address(directory: Path) -> Address | None:
    """Return the last engine's address or None; it is valid only while the directory is locked. Raises BookError."""
    require_own_directory(directory)
    try:
        return _decode(read_file(directory / ADDRESS, 4_096, private=True))
    except (OSError, msgspec.MsgspecError, ValueError):
        return None


def forget_address(directory: Path, address: Address) -> None:
    """Delete the address of an engine that stopped serving; the address of a newer engine is kept."""
    with suppress(OSError, BookError):
        if read_address(directory) == address:
            (directory / ADDRESS).unlink(missing_ok=True)

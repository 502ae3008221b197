"""Where the running engine of a state directory is served, and the token with which its owner's programs attach."""

from contextlib import suppress
from pathlib import Path

import msgspec

from ocw_mcp.adapters.files import read_file, require_own_directory, write_private
from ocw_mcp.domain.errors import BookError

ADDRESS = "serve.json"
_LARGEST = 4_096


class Address(msgspec.Struct, frozen=True):
    """A served engine: `url` is that of its root. The token lives as long as the process does."""

    url: str
    token: str
    pid: int

    def __repr__(self) -> str:
        return f"Address({self.url}, pid={self.pid})"


_decode = msgspec.json.Decoder(Address).decode


def write_address(directory: Path, address: Address) -> None:
    """Tell the owner's programs, and nobody else. Raises BookError."""
    write_private(directory / ADDRESS, msgspec.json.encode(address))


def read_address(directory: Path) -> Address | None:
    """What the last engine told; true only while the directory is locked. None where there is nothing to read.

    Raises BookError for the directory of another user, or one that others can write.
    """
    require_own_directory(directory)
    try:
        return _decode(read_file(directory / ADDRESS, _LARGEST, private=True))
    except (OSError, msgspec.MsgspecError, ValueError):
        return None


def forget_address(directory: Path, address: Address) -> None:
    """The engine is not served any more; the address of another engine is left where it is."""
    with suppress(OSError, BookError):
        if read_address(directory) == address:
            (directory / ADDRESS).unlink(missing_ok=True)

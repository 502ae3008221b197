"""Where the running engine of a state directory is served, and the token with which its owner's programs attach."""

from contextlib import suppress
from pathlib import Path

import msgspec

from ocw_mcp.adapters.control.tokens import write_private

ADDRESS = "serve.json"


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
    """What the last engine told; true only while the directory is locked. None where there is nothing to read."""
    try:
        return _decode((directory / ADDRESS).read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeError):
        return None


def forget_address(directory: Path) -> None:
    """The engine is not served any more."""
    with suppress(OSError):
        (directory / ADDRESS).unlink(missing_ok=True)

"""The heartbeat of a running engine: a small file that is written anew at fixed times, for monitors of the machine."""

from pathlib import Path
from typing import Final

import msgspec

from ocw_mcp.adapters.files import read_file, write_private
from ocw_mcp.domain.errors import BookError

HEARTBEAT: Final = "heartbeat.json"


class Heartbeat(msgspec.Struct, frozen=True):
    """The state of an engine at the engine time `at` (ms)."""

    at: int
    written_at: int
    """The time of the machine (ms), which differs from `at` if the market does not run in real time."""
    pid: int
    state: str
    """The trading state."""
    data_at: int | None
    """The time (ms) of the latest market data; None before the first."""
    last_event: int
    """The sequence number of the last domain event."""


_decode = msgspec.json.Decoder(Heartbeat).decode


def write_heartbeat(directory: Path, beat: Heartbeat) -> None:
    """Write the heartbeat to a file that only its owner can read. Raises BookError."""
    write_private(directory / HEARTBEAT, msgspec.json.encode(beat))


def read_heartbeat(directory: Path) -> Heartbeat | None:
    """Return the last heartbeat; None if there is none or it cannot be read."""
    try:
        return _decode(read_file(directory / HEARTBEAT, 4_096, private=True))
    except (OSError, BookError, msgspec.MsgspecError, ValueError):
        return None

"""Everything that is wanted, file by file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from ocw_mcp.adapters.feeds.archive.download import Downloader, Got, UnsoundFileError
from ocw_mcp.adapters.feeds.archive.plan import Cap, Piece, cap_of
from ocw_mcp.domain.errors import FetchError

ARCHIVE = "https://data.binance.vision"
"""The exchange's public archive."""


class Watcher(Protocol):
    """Whoever wants to see how far it is."""

    def file(self, path: str) -> None:
        """A file is looked at."""

    def size(self, done: int, total: int | None) -> None:
        """So many bytes of it are here, of so many if that is known."""

    def piece(self, more: int) -> None:
        """A piece of the plan is done; `more` pieces took its place."""


class Fetched(msgspec.Struct):
    """What became of the files."""

    downloaded: int = 0
    kept: int = 0
    """Files that were here already, whole."""
    absent: list[str] = msgspec.field(default_factory=list)
    """Names of the files that the archive does not have, or not yet."""
    bytes: int = 0
    """Bytes that came over the network, without checksums."""
    unsound: list[str] = msgspec.field(default_factory=list)
    """What is wrong with each file that was not kept: its checksum, its size, or no checksum at all."""

    @property
    def fault(self) -> FetchError | None:
        """The first of these, and how many more there are."""
        if not self.unsound:
            return None
        more = len(self.unsound) - 1
        return FetchError(self.unsound[0] + (f" (and {more} more file{'s' * (more > 1)} not kept)" if more else ""))


def fetch(
    plan: Sequence[Piece],
    directory: Path,
    watcher: Watcher,
    wait: Callable[[float], None],
    base: str = ARCHIVE,
    cap_of: Callable[[str], Cap] = cap_of,
    done: Callable[[Fetched], None] | None = None,
) -> Fetched:
    """Bring all files of a plan under a directory, laid out as in the archive.

    `wait` lets so many seconds pass. What is here and whole is left alone, what is here in part is completed.
    A file whose checksum or size is wrong is not kept, and the others are fetched all the same. `done` hears what came
    of the plan. Raises FetchError after that, or at the first file that cannot be had; all before it stay.
    """
    fetched = Fetched()
    downloader = Downloader(base, directory, wait, watcher.size, cap_of)
    try:
        for piece in plan:
            _take(piece, downloader, watcher, fetched)
    finally:
        fetched.bytes = downloader.fetched_bytes
        downloader.close()
    if done is not None:
        done(fetched)
    if fetched.fault is not None:
        raise fetched.fault
    return fetched


def _take(piece: Piece, downloader: Downloader, watcher: Watcher, fetched: Fetched) -> None:
    watcher.file(piece.path)
    # A month that came day by day is asked for as a month again only while a day of it is missing.
    by_days = bool(piece.instead) and all(downloader.is_here(each.path) for each in piece.instead)
    try:
        got = Got.ABSENT if by_days else downloader.get(piece.path)
    except UnsoundFileError as fault:
        fetched.unsound.append(str(fault))
        watcher.piece(0)
        return
    if got is Got.ABSENT and piece.instead:
        watcher.piece(len(piece.instead))
        for each in piece.instead:
            _take(each, downloader, watcher, fetched)
        return
    if got is Got.ABSENT:
        fetched.absent.append(piece.path.rpartition("/")[2])
    elif got is Got.KEPT:
        fetched.kept += 1
    else:
        fetched.downloaded += 1
    watcher.piece(0)

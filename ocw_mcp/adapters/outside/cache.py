"""Limits each read of a source in time, and keeps its last report on disk: an old report is better than none."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from ocw_mcp.adapters.files import FileRefused, make_directory, read_file, write_private
from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.errors import BookError, SourceUnavailable
from ocw_mcp.domain.macro import MacroReading
from ocw_mcp.domain.protocols import OutsideFound, OutsideSource
from ocw_mcp.domain.time import DAY, MINUTE
from ocw_mcp.domain.unknown import Unknown

SECONDS: Final = 60.0
"""The longest time of one read."""
RETRY_MS: Final = 5 * MINUTE
"""The time until a source that failed is read again."""
OLDEST: Final = 14 * DAY
"""The age (ms) from which a report is not shown, not even as stale."""
LARGEST: Final = 1 << 20


class _Kept(msgspec.Struct):
    source: str
    at: int
    """The time (ms) of the machine at which the source was read."""
    found: MacroReading | Unknown | tuple[ContextItem, ...]


def no_items(problem: str) -> tuple[ContextItem, ...]:
    """Return the report of a source of items that has none."""
    return ()


class CachedSource:
    """A source with its last report. Reading it never raises and never takes longer than `seconds`."""

    def __init__(
        self,
        source: OutsideSource,
        directory: Path | None,
        machine_ms: Callable[[], int],
        seconds: float = SECONDS,
        unread: Callable[[str], OutsideFound] = no_items,
    ) -> None:
        """`directory` keeps the report, readable by the user only; None keeps it in memory. `machine_ms`: its time.

        `unread` makes the report of a source that has none, from its problem.
        """
        self._source, self._machine_ms, self._seconds = source, machine_ms, seconds
        self._unread = unread
        self._path = None if directory is None else directory / f"{source.name}.json"
        self._kept: _Kept | None = None
        self._loaded = False
        self.problem = ""
        """Why the last read failed; empty if it did not."""

    @property
    def name(self) -> str:
        """The name of the source."""
        return self._source.name

    async def read(self, now: int) -> tuple[OutsideFound, int]:
        """Return the report at `now` (ms), and the time (ms) until the next read is useful.

        A report that is older than its source is cached, because the source fails, is marked as stale.
        """
        if not self._loaded:
            self._loaded = True
            self._kept = await asyncio.to_thread(self._load)
        if (left := self._fresh_ms()) > 0:
            assert self._kept is not None
            return self._kept.found, left
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._source.fetch(now)
        except SourceUnavailable as error:
            self.problem = str(error)
        except TimeoutError:
            self.problem = f"{self.name} did not answer within {self._seconds:g} s"
        else:
            self.problem = ""
            self._kept = _Kept(self.name, self._machine_ms(), found)
            await asyncio.to_thread(self._store, self._kept)
            return found, self._source.every_ms
        return self._stale(), min(RETRY_MS, self._source.every_ms)

    def _fresh_ms(self) -> int:
        """Return how long (ms) the last report can be used; 0 for one that a changed clock has put into the future."""
        if self._kept is None:
            return 0
        age = self._machine_ms() - self._kept.at
        return self._source.every_ms - age if age >= 0 else 0

    def _stale(self) -> OutsideFound:
        kept = self._kept
        if kept is None or not 0 <= self._machine_ms() - kept.at < OLDEST:
            return self._unread(self.problem)
        if isinstance(kept.found, Unknown):
            return kept.found
        if isinstance(kept.found, MacroReading):
            return msgspec.structs.replace(kept.found, stale=True)
        return tuple(msgspec.structs.replace(each, stale=True) for each in kept.found)

    def _load(self) -> _Kept | None:
        """Return the report on disk; None if it is missing, damaged or of another source, so that it is read again."""
        if self._path is None:
            return None
        try:
            kept = msgspec.json.decode(read_file(self._path, LARGEST), type=_Kept)
        except (OSError, FileRefused, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return kept if kept.source == self.name else None

    def _store(self, kept: _Kept) -> None:
        """Write the report to disk. If that fails, it is in memory all the same, and a restart reads the source."""
        if self._path is None:
            return
        try:
            make_directory(self._path.parent)
            write_private(self._path, msgspec.json.encode(kept))
        except (OSError, BookError) as error:
            self.problem = f"the report of {self.name} is not kept: {error}"

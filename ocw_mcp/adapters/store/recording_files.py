"""The files of a recording: segments of compressed blocks, to which entries are only appended.

A directory has `recording.json`, which names the book, and segments `000001.ocwr`, `000002.ocwr`, and so on. A block
has a header (marker, length and CRC-32 of the body, number of its first entry, number of entries) and a body:
MessagePack rows (time, kind, payload), compressed with zlib. A process that dies may leave an incomplete block at the
end of the last segment; the next process cuts it off, because the entries are still in the queue of the journal.
"""

import fcntl
import io
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec

from ocw_mcp.adapters.files import (
    FileRefused,
    make_directory,
    open_regular,
    read_file,
    require_own_directory,
    sync_directory,
    write_private,
)
from ocw_mcp.adapters.store.inputs import decode_input, encode_input
from ocw_mcp.domain import recordings
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.recordings import Recorded, RecordEntry

FORMAT: Final = 1
OWNER: Final = "recording.json"
SUFFIX: Final = ".ocwr"
LARGEST_SEGMENT: Final = 16 << 20
"""Bytes of a segment after which a new one begins."""
LARGEST_BLOCK: Final = 256 << 20
"""The largest plausible length of a block: a state with years of candles has a few megabytes."""
LARGEST_ROWS: Final = 1 << 30
"""The largest plausible size (bytes) of the rows of a block; more is a bomb, which a checksum does not exclude."""
ROWS_PER_BLOCK: Final = 1_024
_HEADER: Final = struct.Struct("<4sIIQI")
_MARKER: Final = b"OCWB"
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_OWN_KINDS: Final[dict[str, Any]] = {
    kind.__name__: msgspec.msgpack.Decoder(kind)
    for kind in (
        recordings.RecordedStart,
        recordings.RecordedState,
        recordings.RecordedMark,
        recordings.RecordedUnsent,
    )
}
_rows = msgspec.msgpack.Decoder(list[tuple[int, str, bytes]])
_encode = msgspec.msgpack.Encoder().encode

Row = tuple[int, int, str, bytes]
"""Number, time (ms), kind and stored form of an entry."""


class RecordingIdentity(msgspec.Struct, frozen=True):
    """The book of a recording, and the time (ms) at which the recording began."""

    format: int
    book: str
    made_at: int
    """The time (ms) at which the book was created."""
    began_at: int

    @property
    def name(self) -> str:
        """The name of the recording in the journal of its book."""
        return f"{self.book}-{self.made_at}-{self.began_at}"


class _Block(NamedTuple):
    first: int
    size: int
    body: bytes
    ends: int
    """The position in the segment at which the block ends."""


def encode_entry(entry: RecordEntry) -> tuple[str, bytes]:
    """Return kind and stored form of an entry."""
    if type(entry).__name__ in _OWN_KINDS:
        return type(entry).__name__, _encode(entry)
    return encode_input(entry)  # type: ignore[arg-type]


def decode_entry(row: Row) -> Recorded:
    """Return a stored entry. Raises BookError if this version does not know it."""
    number, at, kind, payload = row
    try:
        own = _OWN_KINDS.get(kind)
        return Recorded(number, at, decode_input(kind, payload) if own is None else own.decode(payload))
    except msgspec.MsgspecError as error:
        raise BookError(
            f"entry {number} of the recording cannot be read by this version ({error}); replay it with the version "
            "that recorded it; ocw replay --json names that"
        ) from None


class RecordingWriter:
    """Appends entries to a recording. Each `append` is durable when it returns."""

    def __init__(self, directory: Path, owner: RecordingIdentity) -> None:
        """Create the recording of a book, or open the one in `directory` and cut off an incomplete last block.

        Raises BookError for another book's recording, one that another process writes or that is damaged before its
        end, and for a directory that this user does not own.
        """
        self._directory = directory
        self.last = 0
        """The number of the last entry in the files; 0 without any."""
        self._number = 1
        self._ends = 0
        try:
            require_own_directory(directory)
            make_directory(directory)
            self._lock = _locked(directory)
            try:
                self.owner = _claimed(directory, owner)
                self._file = self._open()
            except BaseException:
                os.close(self._lock)
                raise
        except OSError as error:
            raise _unusable(directory, error) from None

    @property
    def name(self) -> str:
        """The name of the recording in the journal of its book."""
        return self.owner.name

    def append(self, rows: Sequence[Row]) -> None:
        """Append rows whose numbers follow on `last`, and sync the file. Raises OSError; then nothing was appended."""
        blocks = [_packed(rows[start : start + ROWS_PER_BLOCK]) for start in range(0, len(rows), ROWS_PER_BLOCK)]
        if self._ends >= LARGEST_SEGMENT:
            self._next_segment()
        data = b"".join(blocks)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._file, data[written:], self._ends + written)
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._ends)
            raise
        self._ends += len(data)
        if rows:
            self.last = rows[-1][0]

    def close(self) -> None:
        """Close the file, so that another process may write the recording."""
        os.close(self._file)
        os.close(self._lock)

    def _open(self) -> int:
        """Return the descriptor of the last segment, cut off after its last whole block."""
        segments = segments_of(self._directory)
        self._number = len(segments) or 1
        path = self._path()
        for segment in reversed(segments):
            # A new segment may have no block yet.
            if (found := _last_block(segment)) is not None:
                self.last = found.first + found.size - 1
                self._ends = found.ends if segment == path else 0
                break
        if path.exists():
            with open_regular(path) as (file, _):
                _require_end(file, path, self._ends)
        opened = os.open(path, _FLAGS, 0o600)
        os.ftruncate(opened, self._ends)
        os.fsync(opened)
        sync_directory(self._directory)
        return opened

    def _next_segment(self) -> None:
        before, self._number = self._number, self._number + 1
        try:
            opened = os.open(self._path(), _FLAGS, 0o600)
        except OSError:
            self._number = before
            raise
        os.close(self._file)
        self._file, self._ends = opened, 0
        sync_directory(self._directory)

    def _path(self) -> Path:
        return self._directory / f"{self._number:06d}{SUFFIX}"


class RecordingReader:
    """Reads a recording, also while a process appends to it. `torn` says what is missing at its end."""

    def __init__(self, directory: Path) -> None:
        """Raises BookError if `directory` has no recording, or another user can write it."""
        self._directory = directory
        self.owner = _owner(directory)
        self.torn = ""
        """One clause on an incomplete block at the end; empty if there is none."""
        self.last = 0
        """The number of the last entry that was read."""

    def rows(self) -> Iterator[Row]:
        """Yield the rows in order. Raises BookError if rows are missing, or a block before the last is damaged."""
        segments = segments_of(self._directory)
        self.last = 0
        for segment in segments:
            try:
                with open_regular(segment) as (file, status):
                    ends = 0
                    for block in _blocks(file):
                        if block.first != self.last + 1:
                            raise BookError(
                                f"entries {self.last + 1:,} to {block.first - 1:,} are missing before {segment.name}; "
                                "restore the whole directory from one backup"
                            )
                        ends = block.ends
                        yield from _unpacked(block, segment)
                        self.last = block.first + block.size - 1
                    if (left := status.st_size - ends) > 0:
                        _require_end(file, segment, ends)
                        self._take_torn(segment, segment == segments[-1], left)
            except (OSError, FileRefused) as error:
                raise _unusable(self._directory, error) from None

    def _take_torn(self, segment: Path, is_last: bool, left: int) -> None:
        if not is_last:
            raise BookError(
                f"{segment.name} of the recording is damaged: its last {left:,} bytes are no block, and later segments "
                "exist; restore the whole directory from one backup"
            )
        self.torn = (
            f"the last {left:,} bytes of {segment.name} are an incomplete block, as a process leaves it that died "
            f"while it wrote; the files have the first {self.last:,} entries"
        )


def is_recording(directory: Path) -> bool:
    """Return whether a directory has a recording of inputs."""
    return (directory / OWNER).is_file()


def segments_of(directory: Path) -> list[Path]:
    """Return the segments of a recording in order. Raises BookError if one is missing, and OSError."""
    found = sorted(path for path in directory.iterdir() if path.suffix == SUFFIX)
    expected = [f"{number:06d}{SUFFIX}" for number in range(1, len(found) + 1)]
    if missing := [name for name, path in zip(expected, found, strict=True) if name != path.name]:
        raise BookError(
            f"the recording in {directory} has no segment {missing[0]}, but later ones; restore the whole directory "
            "from one backup"
        )
    return found


def _packed(rows: Sequence[Row]) -> bytes:
    body = zlib.compress(_encode([row[1:] for row in rows]), level=3)
    return _HEADER.pack(_MARKER, len(body), zlib.crc32(body), rows[0][0], len(rows)) + body


def _blocks(file: BinaryIO) -> Iterator[_Block]:
    """Yield the blocks of a segment up to the first one that is incomplete or damaged."""
    ends = 0
    while len(head := file.read(_HEADER.size)) == _HEADER.size:
        marker, length, crc, first, count = _HEADER.unpack(head)
        if marker != _MARKER or length > LARGEST_BLOCK:
            return
        body = file.read(length)
        if len(body) != length or zlib.crc32(body) != crc:
            return
        ends += _HEADER.size + length
        yield _Block(first, count, body, ends)


def _require_end(file: BinaryIO, segment: Path, ends: int) -> None:
    """Raise BookError if whole blocks follow on a damaged one at `ends`: then the end is not one that a crash left."""
    file.seek(ends)
    rest = file.read(LARGEST_BLOCK)
    place = 0
    if next(_blocks(io.BytesIO(rest)), None) is not None:
        return  # the process that appends has completed it meanwhile
    while (place := rest.find(_MARKER, place + 1)) >= 0:
        if next(_blocks(io.BytesIO(rest[place:])), None) is not None:
            raise BookError(
                f"{segment.name} of the recording is damaged at byte {ends:,}, and whole blocks follow; restore the "
                "whole directory from one backup"
            )


def _locked(directory: Path) -> int:
    """Return a descriptor that keeps other processes from writing the recording. Raises BookError if one does."""
    opened = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        raise BookError(
            f"another process records into {directory}; wait for its end, or name another directory"
        ) from None
    return opened


def _last_block(segment: Path) -> _Block | None:
    with open_regular(segment) as (file, _):
        return next(iter(deque(_blocks(file), maxlen=1)), None)


def _unpacked(block: _Block, segment: Path) -> Iterator[Row]:
    try:
        packed = zlib.decompressobj()
        found = packed.decompress(block.body, LARGEST_ROWS)
        if not packed.eof:
            raise ValueError(f"its rows are incomplete or have more than {LARGEST_ROWS:,} bytes")
        rows = _rows.decode(found)
        if len(rows) != block.size:
            raise ValueError(f"it has {len(rows):,} rows, and its header says {block.size:,}")
    except (zlib.error, ValueError, msgspec.MsgspecError) as error:
        raise BookError(f"{segment.name} of the recording has a block of another format: {error}") from None
    for number, (at, kind, payload) in enumerate(rows, block.first):
        yield number, at, kind, payload


def _owner(directory: Path) -> RecordingIdentity:
    require_own_directory(directory)
    try:
        owner = msgspec.json.decode(read_file(directory / OWNER, 4_096), type=RecordingIdentity)
    except FileNotFoundError:
        raise BookError(f"{directory} has no recording; expected a directory that ocw record made") from None
    except (OSError, FileRefused, msgspec.MsgspecError, UnicodeError) as error:
        raise _unusable(directory, error) from None
    if owner.format != FORMAT:
        raise BookError(
            f"the recording in {directory} has format {owner.format}, and this version of ocw knows {FORMAT}; use the "
            "version that recorded it"
        )
    return owner


def _claimed(directory: Path, owner: RecordingIdentity) -> RecordingIdentity:
    """Return the identity of the recording of a book, new or existing. Raises BookError for another book's recording.

    A book that never began is deleted; it leaves a recording without an entry, which another book may take.
    """
    found = _owner(directory) if (directory / OWNER).exists() else None
    if found is not None and (found.book, found.made_at) == (owner.book, owner.made_at):
        return found
    if found is not None and any(_last_block(segment) is not None for segment in segments_of(directory)):
        raise BookError(
            f"{directory} has the recording of another book ({found.book}), and this book is {owner.book}; expected a "
            "new directory, or the recording of this book; name another directory"
        )
    write_private(directory / OWNER, msgspec.json.encode(owner) + b"\n")
    return owner


def _unusable(directory: Path, error: Exception) -> BookError:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return BookError(f"the recording in {directory} cannot be used: {why}; check the path, its owner and the disk")

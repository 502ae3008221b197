"""Reads the rows of zip, csv and csv.gz files block by block, in time order over files that overlap or are shuffled.

Every file is first scanned, which is cheap. Nearly every file is in order, and its blocks are yielded unchanged. Rows
are sorted only if a file is not in order or files overlap. Sorting keeps up to WINDOW rows in memory; a row that would
have to move by more than WINDOW rows is a fault.
"""

import gzip
import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from heapq import heappop, heappush
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from ocw_mcp.adapters.feeds.tape.options import AGAIN, RowCounts
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.text import printable

BLOCK = 1 << 16
"""Number of characters in one read."""
LONGEST = 1_000
"""Characters of the longest line that can be a candle; a file of another kind may have no line ends at all."""
CHECKSUM = ".CHECKSUM"
"""Suffix of the file that holds the SHA-256 of the file beside it."""
WINDOW = 500_000
"""Number of rows in memory for sorting a shuffled file; a month has 44,640 minutes, a busy hour 240,000 trades."""

_NEVER = 1 << 120


class Stream(StrEnum):
    """The kind of rows in a file, named as in the archive."""

    KLINES = "klines"
    TRADES = "aggTrades"
    METRICS = "metrics"
    FUNDING = "fundingRate"


class TapeFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a tape, with the values that its name states."""

    path: Path
    name: str
    """Path relative to that of the tape, in printable characters, for messages."""
    stream: Stream
    symbol: str
    interval: str = ""
    """Interval of candles, such as `15m`; empty for other streams, and until the name or the rows have given it."""
    starts: int | None = None
    ends: int | None = None
    """Exclusive. `starts` and `ends` are in ms; None if the name has no date."""
    product: Product | None = None


class RowBlock(NamedTuple):
    """Consecutive rows of one file: the file's name, line numbers, columns per row, and the lines."""

    name: str
    numbers: Sequence[int]
    width: int
    lines: list[str]


class Layout(NamedTuple):
    """How the rows of one stream are read."""

    content: str
    """The name of the rows in messages, such as `candles`."""
    key: Callable[[str], int]
    """Returns the sort key of a line. Raises ValueError or IndexError for a line that is not a row."""
    header: Callable[[list[str]], str | None]
    """Returns the fault of a file's first line, "" if it is a good header, and None if it is a row."""
    check: Callable[[TapeFile, list[str], int], None] = lambda _file, _cells, _number: None
    """Checks the first row of a file, given its cells and line number. Raises TapeError."""
    shift: int = 0
    """Number of low bits of a key that are not part of its time in ms."""
    leads: bool = False
    """Whether a line begins with its key, so that comparing lines as text shows whether a block is in order."""


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Turn any error while a file is opened or read into a TapeError that names the file."""
    try:
        yield
    except TapeError:
        raise
    except PermissionError:
        raise TapeError(f"{name} cannot be read: permission denied; allow reading it or choose another path") from None
    except FileNotFoundError:
        raise TapeError(f"{name} does not exist; check the path, or {AGAIN}") from None
    except UnicodeDecodeError:
        raise TapeError(
            f"{name} holds bytes that are not text; expected candles as comma-separated text; {AGAIN}"
        ) from None
    except Exception as error:
        # Damaged bytes make zipfile, gzip and zlib raise a dozen types, EOFError and struct.error among them.
        why = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise TapeError(
            f"{name} is damaged or cut off ({why}); expected a whole zip, csv or csv.gz file; {AGAIN}"
        ) from None


def checksum(path: Path, name: str) -> str:
    """Return the size in bytes and, for zip and gz, the checksum of the content. Raises TapeError."""
    with refusing(name):
        size = path.stat().st_size
        if size == 0:
            raise TapeError(f"{name} is empty; expected candles; {AGAIN}")
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                member = csv_member(archive, name)
                return f"{size}:{member.CRC:08x}:{member.file_size}"
        with path.open("rb") as stream:
            if path.suffix.lower() != ".gz":
                return str(size)
            stream.seek(max(0, size - 8))
            return f"{size}:{stream.read().hex()}"


def published_digest(path: Path, name: str) -> str | None:
    """Return the SHA-256 in the CHECKSUM file beside a path; None without one. Raises TapeError."""
    beside = path.with_name(path.name + CHECKSUM)
    with refusing(name + CHECKSUM):
        if not beside.is_file():
            return None
        with beside.open("rb") as stream:
            return parse_digest(stream.read(LONGEST))


def parse_digest(text: bytes) -> str | None:
    """Return the digest in a CHECKSUM file, `<64 hex digits>  NAME.zip`, in lower case; None without one."""
    match = re.match(rb"\s*([0-9a-fA-F]{64})(?:\s|$)", text)
    return match[1].decode().lower() if match else None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def printable_name(name: str) -> str:
    """Return a file's name on one line, with each control character escaped as `\\x1b`."""
    if name.isprintable():
        return name
    return printable("".join(each if each.isprintable() else repr(each)[1:-1] for each in name))


def blocks(path: Path, name: str) -> Generator[list[str], None, None]:
    """Yield the lines of a file without their ends, one or many at a time. Raises TapeError."""
    with refusing(name):
        binary = _binary(path, name)
    # Each read of a packed file costs Python calls; the buffer reads large pieces when TextIOWrapper asks for small.
    buffer = io.BufferedReader(binary, BLOCK)  # type: ignore[type-var]  # it has readinto, but its stub says less
    with io.TextIOWrapper(buffer, encoding="utf-8-sig") as stream:
        rest = ""
        while True:
            with refusing(name):
                text = stream.read(BLOCK)
            if not text:
                break
            lines = (rest + text).split("\n")
            rest = lines.pop()
            if len(rest) > LONGEST:
                raise TapeError(f"{name} has a line of over {LONGEST} characters; expected one candle a line; {AGAIN}")
            if lines:
                yield lines
        if rest:
            yield [rest]


def row_blocks(file: TapeFile, layout: Layout, counters: RowCounts) -> Generator[RowBlock, None, None]:
    """Yield the rows of a file block by block, without its header and the blank lines at its end.

    A blank line before other lines is a fault. Raises TapeError if there is no row at all, or if the rest of the file
    cannot be read.
    """
    name = file.name
    number, width, blank = 1, 0, 0
    for block in blocks(file.path, name):
        start, lines = number, block
        number += len(block)
        counters.taken += len(block)
        if start == 1 and lines[0] and (wrong := layout.header(lines[0].split(","))) is not None:
            if wrong:
                counters.leave_out(name, 1, wrong)
            start, lines = 2, lines[1:]
        if not blank and "" in lines:
            blank = start + lines.index("")
        if blank:
            if any(lines[max(0, blank - start) :]):
                one = "candle" if layout.content == "candles" else "row"
                counters.leave_out(name, blank, f"the line is blank though others follow; expected one {one} a line")
                # From here on in this block the line numbers are not consecutive, so each row is a block of its own.
                for place, line in enumerate(lines, start):
                    if line:
                        width = width or line.count(",") + 1
                        yield RowBlock(name, (place,), width, [line])
                blank = 0
                continue
            lines = lines[: max(0, blank - start)]
        if not lines:
            continue
        if not width:
            cells = lines[0].split(",")
            width = len(cells)
            layout.check(file, cells, start)
        yield RowBlock(name, range(start, start + len(lines)), width, lines)
    if not width:
        raise TapeError(f"{name} holds no {layout.content}; expected one a line; {AGAIN}")


def _binary(path: Path, name: str) -> IO[bytes] | gzip.GzipFile:
    match path.suffix.lower():
        case ".zip":
            # The member keeps the archive's file open as long as it needs it.
            with zipfile.ZipFile(path) as archive:
                return archive.open(csv_member(archive, name))
        case ".gz":
            return gzip.open(path)
        case _:
            return path.open("rb")


def csv_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Return the csv file in a zip file called `name`. Raises TapeError unless there is exactly one, not encrypted."""
    members = [
        info
        for info in archive.infolist()
        if info.filename.lower().endswith(".csv") and not info.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        raise TapeError(
            f"{name} holds {len(members) or 'no'} csv file{'s' if members else ''}; expected exactly one; "
            f"{'unpack it into one directory and give that' if members else AGAIN}"
        )
    if members[0].flag_bits & 1:
        raise TapeError(f"{name} is encrypted; expected a plain zip file; unpack it and give the csv file")
    return members[0]


class Scan(NamedTuple):
    """The earliest and the latest key of a file, and whether its rows are in order."""

    first: int
    last: int
    ordered: bool


class _Row(NamedTuple):
    """A row to be sorted by key, file and number; no two rows have the same three."""

    key: int
    file: int
    number: int
    line: str
    width: int


def scan(file: TapeFile, layout: Layout) -> Scan:
    """Return the range of a file's keys; for an unreadable file, from the time in its name on, without end."""
    first, last, ordered = _NEVER, -1, True
    try:
        with closing(blocks(file.path, file.name)) as parts:
            for block in parts:
                keys = _ends(block, layout) or [key for line in block if (key := _key(layout, line)) is not None]
                if keys:
                    ordered = ordered and keys[0] >= last and keys == sorted(keys)
                    first, last = min(first, min(keys)), max(last, max(keys))
    except TapeError:
        last = -1
    return Scan(first, last, ordered) if last >= 0 else Scan((file.starts or 0) << layout.shift, _NEVER, True)


def _ends(block: list[str], layout: Layout) -> list[int]:
    """Return the first and the last key of a block whose text shows that it is in order; else an empty list."""
    lines = block if block[0][:1].isdecimal() else block[1:]
    if not layout.leads or not lines:
        return []
    width = lines[0].find(",")
    heads = [line[:width] for line in lines]
    # Numbers with the same count of digits sort like text. The reader of the rows reports a head that is no number.
    if lines[-1].find(",") != width or heads != sorted(heads):
        return []
    keys = [key for line in (lines[0], lines[-1]) if (key := _key(layout, line)) is not None]
    return keys if len(keys) == 2 else []


def in_order(files: Sequence[TapeFile], layout: Layout, counters: RowCounts) -> Generator[RowBlock, None, None]:
    """Yield the rows of all files in the order of their keys; rows of one key in the order of files and lines.

    The files must come in the order of the start dates in their names. The dates may be wrong: before a row is yielded,
    all files that start by its time according to their names are scanned, and one more file. Raises TapeError.
    """
    scanned = 0
    waiting: list[tuple[int, int, Scan]] = []
    opened: list[tuple[_Row, Generator[_Row, None, None]]] = []

    def scan_until(until: int) -> None:
        """Scan the files whose names give a start up to the key `until`, and the next file."""
        nonlocal scanned
        while scanned < len(files) and (not waiting or (files[scanned - 1].starts or 0) << layout.shift <= until):
            found = scan(files[scanned], layout)
            heappush(waiting, (found.first, scanned, found))
            scanned += 1

    def push(rows: Generator[_Row, None, None]) -> None:
        if (row := next(rows, None)) is not None:
            heappush(opened, (row, rows))

    try:
        scan_until(0)
        while waiting or opened:  # while a file is left, one is always waiting: scan_until adds it
            key = opened[0][0].key if opened else waiting[0][0]
            scan_until(key)
            if waiting and waiting[0][0] <= key:
                _, place, found = heappop(waiting)
                if not opened:
                    scan_until(found.last)
                    if found.ordered and (not waiting or found.last <= waiting[0][0]):
                        yield from _readable_rows(files[place], layout, counters)
                        continue
                push(_sorted_rows(place, files[place], found.ordered, layout, counters))
                continue
            row, rows = heappop(opened)
            yield RowBlock(files[row.file].name, (row.number,), row.width, [row.line])
            push(rows)
    finally:
        for _, rows in opened:
            rows.close()


def _sorted_rows(
    place: int, file: TapeFile, ordered: bool, layout: Layout, counters: RowCounts
) -> Generator[_Row, None, None]:
    """Yield a file's rows with their keys, sorted within the window unless they are `ordered`."""
    latest = -1
    held: list[_Row] = []
    for block in _readable_rows(file, layout, counters):
        for number, line in zip(block.numbers, block.lines, strict=True):
            key = _key(layout, line)
            if key is None:  # the reader of the row reports its fault; the row stays at its place in the file
                key = max(latest, 0)
            elif key < latest:
                counters.disordered += 1
            latest = max(latest, key)
            row = _Row(key, place, number, line, block.width)
            if ordered:
                yield row
                continue
            heappush(held, row)
            if len(held) > WINDOW:
                yield heappop(held)
    while held:
        yield heappop(held)


def _readable_rows(file: TapeFile, layout: Layout, counters: RowCounts) -> Generator[RowBlock, None, None]:
    """Yield a file's rows up to the fault after which it cannot be read."""
    try:
        yield from row_blocks(file, layout, counters)
    except TapeError as fault:
        counters.give_up(file.name, fault)


def _key(layout: Layout, line: str) -> int | None:
    try:
        return layout.key(line)
    except (ValueError, IndexError):
        return None

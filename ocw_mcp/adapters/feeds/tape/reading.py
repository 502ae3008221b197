"""Reads zip, csv and csv.gz files block by block: as text lines, and as rows without a header."""

import gzip
import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from ocw_mcp.adapters.feeds.tape.options import AGAIN, RowCounts
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.text import printable

BLOCK = 1 << 16
"""Characters in memory at once, per symbol."""
LONGEST = 1_000
"""Characters of the longest line that can be a candle; a file of another kind may have no line ends at all."""
CHECKSUM = ".CHECKSUM"
"""Suffix of the file that holds the SHA-256 of the file beside it."""


class Stream(StrEnum):
    """The kind of rows in a file, in the archive's own words."""

    KLINES = "klines"
    TRADES = "aggTrades"
    METRICS = "metrics"
    FUNDING = "fundingRate"


class TapeFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a tape, with the values that its name states."""

    path: Path
    name: str
    """Relative to the given path, in printable characters; errors name the file by it."""
    stream: Stream
    symbol: str
    interval: str = ""
    """Of candles, such as `15m`; empty for every other stream, and for candles until their rows have shown it."""
    starts: int | None = None
    ends: int | None = None
    """Exclusive. Both are in ms; None if the name has no date."""
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
    """The name of the rows, in the plural."""
    key: Callable[[str], int]
    """Returns the sort key of a line. Raises ValueError or IndexError for a line that is not a row."""
    header: Callable[[list[str]], str | None]
    """Returns the fault of a file's first line, "" if it is a good header, and None if it is a row."""
    check: Callable[[TapeFile, list[str], int], None] = lambda _file, _cells, _number: None
    """Checks the first row of a file, given its cells and line number. Raises TapeError."""
    shift: int = 0
    """Number of low bits of a key that are not part of its time in ms."""
    leads: bool = False
    """Whether a line begins with its key as a number, so that the text of a block shows whether it is in order."""


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
    """Return the size in bytes and, if the format has one, the checksum of the content. Raises TapeError."""
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
    """Return the digest in a CHECKSUM file, `<64 hex digits>  NAME.zip`, in lower case; None if it holds none."""
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

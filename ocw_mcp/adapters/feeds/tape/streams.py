"""The text inside zip, csv and csv.gz files, block by block, and one sentence for every way in which it fails."""

import gzip
import hashlib
import io
import re
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ocw_mcp.domain.errors import TapeError

BLOCK = 1 << 16
"""Characters that are in memory at once, per symbol."""
LONGEST = 1_000
"""Characters in the longest line that can be a candle; a foreign file may have no line ends at all."""

AGAIN = "download it again"
CHECKSUM = ".CHECKSUM"
"""The ending of the file with the SHA-256 of another one, beside it."""


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Turn whatever goes wrong while a file is opened or read into a TapeError that names it."""
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
            f"{name} holds bytes that are no text; expected candles as comma-separated text; {AGAIN}"
        ) from None
    except Exception as error:
        # Damaged bytes make zipfile, gzip and zlib raise a dozen types, EOFError and struct.error among them.
        why = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise TapeError(
            f"{name} is damaged or cut off ({why}); expected a whole zip, csv or csv.gz file; {AGAIN}"
        ) from None


def checksum(path: Path, name: str) -> str:
    """Size in bytes and, where the format carries one, the checksum of the content. Raises TapeError."""
    with refusing(name):
        size = path.stat().st_size
        if size == 0:
            raise TapeError(f"{name} is empty; expected candles; {AGAIN}")
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                member = _member(archive, name)
                return f"{size}:{member.CRC:08x}:{member.file_size}"
        with path.open("rb") as stream:
            if path.suffix.lower() != ".gz":
                return str(size)
            stream.seek(max(0, size - 8))
            return f"{size}:{stream.read().hex()}"


def csv_name(path: Path, name: str) -> str | None:
    """What the csv file in a zip file is called; None for other files. Raises TapeError."""
    if path.suffix.lower() != ".zip":
        return None
    with refusing(name), zipfile.ZipFile(path) as archive:
        return _member(archive, name).filename


def published_digest(path: Path, name: str) -> str | None:
    """The SHA-256 that the file beside a path says it has; None where no file says one. Raises TapeError."""
    beside = path.with_name(path.name + CHECKSUM)
    with refusing(name + CHECKSUM):
        if not beside.is_file():
            return None
        with beside.open("rb") as stream:
            match = re.match(rb"\s*([0-9a-fA-F]{64})(?:\s|$)", stream.read(LONGEST))
    return match[1].decode().lower() if match else None


def sha256(path: Path, name: str) -> str:
    """The SHA-256 of a file, in hex. Raises TapeError."""
    with refusing(name), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def blocks(path: Path, name: str) -> Generator[list[str], None, None]:
    """The lines of a file without their ends, one or many at a time. Raises TapeError."""
    with refusing(name):
        binary = _binary(path, name)
    # Each read of a packed file costs Python calls; the buffer reads large pieces where TextIOWrapper asks for small.
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


def last_line(path: Path, name: str) -> str:
    """The last line that is not blank, without looking at the others. Raises TapeError."""
    tail = b""
    with refusing(name), _binary(path, name) as stream:
        while chunk := stream.read(1 << 20):
            tail = (tail + chunk)[-LONGEST:]
        return tail.decode().rstrip().rpartition("\n")[2]


def _binary(path: Path, name: str) -> IO[bytes] | gzip.GzipFile:
    match path.suffix.lower():
        case ".zip":
            # The member keeps the archive's file open for as long as it needs it.
            with zipfile.ZipFile(path) as archive:
                return archive.open(_member(archive, name))
        case ".gz":
            return gzip.open(path)
        case _:
            return path.open("rb")


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
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

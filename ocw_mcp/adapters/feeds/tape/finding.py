"""Finds the files of a tape under a path, and reads their names and folders; lists the other files."""

import os
import re
import unicodedata
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath, PurePosixPath

import msgspec

from ocw_mcp.adapters.feeds.tape.candles import looks_like_candles
from ocw_mcp.adapters.feeds.tape.options import LeftOut
from ocw_mcp.adapters.feeds.tape.reading import CHECKSUM, Stream, TapeFile, csv_member, printable_name, refusing
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import SECOND, span_ms, span_name

MONTHLY = "1mo"
SUFFIXES = (".csv.gz", ".zip", ".csv")
_ANY_SUFFIX = ".zip, .csv or .csv.gz"
GOOD_NAMES = "names such as ETHUSDT-1m-2026-03-09.zip, BTCUSDT-1h-2025-01.csv or um-SOLUSDT-15m.csv.gz"
PART = ".part"
"""Suffix of an unfinished download."""

# These folders have files named like candles, but hold other prices, or prices of another product.
_FOREIGN = {"markpriceklines", "indexpriceklines", "premiumindexklines", "cm", "option"}

_DATE = r"[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?"
_NAME = re.compile(
    r"(?:(?P<product>spot|um)[-_])?"
    r"(?P<symbol>[^\W_]{2,40}(?:_[0-9]{6})?)"
    r"(?:[-_](?:(?P<interval>[0-9]{1,3}(?:mo|[smhdwM]))|(?P<stream>(?i:aggTrades|metrics|fundingRate))))?"
    rf"(?:[-_](?P<first>{_DATE})(?:_(?P<last>{_DATE}|[0-9]{{2}}(?:-[0-9]{{2}})?))?)?"
)


def find(path: Path, left_out: list[LeftOut]) -> list[TapeFile]:
    """Return the files of a tape at or under a path, sorted by their names.

    Folders above `path` are ignored, unless they are the archive's complete layout: they then give spot or futures.
    Every other file goes to `left_out`, except checksums. Raises TapeError if there is no file of a tape.
    """
    name = printable_name(path.name or str(path))
    if path.is_dir():
        found: list[TapeFile] = []
        for each in _walk(path, left_out):
            below = PurePosixPath(each.relative_to(path).as_posix())
            file = read_name(below, each, printable_name(str(below)))
            if why := _why_not(below, each, file):
                left_out.append(LeftOut(printable_name(str(below)), why))
            elif file is not None:
                found.append(_with_product(file, path.resolve() / below))
        if not found:
            more = f", and {len(left_out) - 1:,} more are left out" if len(left_out) > 1 else ""
            first = f" ({left_out[0]}{more})" if left_out else ""
            raise TapeError(
                f"{name} holds no candle files{first}; expected the archive's spot or USD-M klines under "
                f"{GOOD_NAMES}; give another path or rename the files"
            )
        return found
    if not path.exists():
        raise TapeError(f"{name} does not exist; expected a directory or a file of candles; check the path")
    if not path.is_file() or not path.name.lower().endswith(SUFFIXES):
        raise TapeError(
            f"{name} is not a candle file; expected a directory or one file ending in {_ANY_SUFFIX}; give another path"
        )
    file = read_name(PurePosixPath(path.name), path, name)
    if file is None:
        raise TapeError(f"{name} does not name the symbol of its candles; expected {GOOD_NAMES}; rename the file")
    return [_with_product(file, path.resolve().parent / path.name)]


def require_own_member(file: TapeFile) -> None:
    """Raise TapeError for a zip file that cannot be read, or whose csv file names another symbol."""
    if file.path.suffix.lower() != ".zip":
        return
    with refusing(file.name), zipfile.ZipFile(file.path) as archive:
        member = csv_member(archive, file.name).filename
    inside = read_name(PurePosixPath(PurePosixPath(member).name), file.path, file.name)
    if inside is not None and inside.symbol != file.symbol:
        raise TapeError(
            f"{file.name} holds a file of {inside.symbol}, {printable_name(member)}; expected {file.symbol} as in the "
            "name; rename the zip file, or download it again"
        )


def read_name(below: PurePath, path: Path, name: str) -> TapeFile | None:
    """Return the file at `path`, as its path `below` the tape describes it; None if not named like a tape file."""
    # A file system may store a name in another Unicode form of the same characters.
    text = unicodedata.normalize("NFC", below.name)
    suffix = next((end for end in SUFFIXES if text.lower().endswith(end)), None)
    match = suffix and _NAME.fullmatch(text[: -len(suffix)])
    if not match or _is_foreign(below):
        return None
    symbol, interval = match["symbol"], match["interval"] or ""
    stream = next((each for each in Stream if each.lower() == (match["stream"] or "").lower()), Stream.KLINES)
    if not interval and stream is Stream.KLINES and (len(symbol) < 5 or symbol != symbol.upper()):
        return None  # without an interval beside it, a word such as `data` or `notes` is no symbol
    starts, ends = _dates(match["first"], match["last"])
    return TapeFile(
        path=path,
        name=name,
        stream=stream,
        symbol=symbol.upper(),
        interval=canonical_interval(interval) if interval else "",
        starts=starts,
        ends=ends,
        product=Product(match["product"]) if match["product"] else _product(_folders(below)),
    )


def canonical_interval(interval: str) -> str:
    """Return one spelling for equal intervals (`60m` is `1h`, `1M` is `1mo`). Raises ValueError if invalid."""
    return MONTHLY if interval.endswith(("M", "mo")) else span_name(span_ms(interval))


def interval_length(interval: str) -> int:
    """Return the length of an interval in ms, for sorting; a month, which has no fixed length, comes last."""
    return 1 << 62 if interval == MONTHLY else span_ms(interval)


def _folders(path: PurePath) -> list[str]:
    return [part.lower() for part in path.parts[:-1]]


def _is_foreign(path: PurePath) -> bool:
    """Return whether a path has a folder of mark, index or premium prices, or of a product that OCW does not trade."""
    return not _FOREIGN.isdisjoint(_folders(path))


def _why_not(below: PurePosixPath, path: Path, file: TapeFile | None) -> str:
    """Return why the file at `path` is not read; empty if it is read. `file` is from `read_name`."""
    if any(part.startswith(".") for part in below.parts):
        return "hidden"
    if below.name.endswith(PART):
        return "the unfinished part of a download"
    if not below.name.lower().endswith(SUFFIXES):
        return f"not a {_ANY_SUFFIX} file"
    if not path.is_file() and path.exists():
        return "a pipe or a device, not a file"
    if _is_foreign(below):
        return "in a folder that holds no trades of spot or USD-M"
    if file is None:
        return "its name does not give a symbol and a stream"
    try:
        # A name without an interval may be any word in capitals, such as a table of unemployment: the text decides.
        is_known = file.interval or file.stream is not Stream.KLINES or looks_like_candles(file)
    except TapeError:
        return ""  # reading the rows reports the fault
    return "" if is_known else "its first line is not a candle"


def _walk(top: Path, left_out: list[LeftOut]) -> list[Path]:
    def refuse(error: OSError) -> None:
        name = printable_name(Path(error.filename).name)
        raise TapeError(f"{name} cannot be read: permission denied; allow reading it or choose another path") from None

    files: list[Path] = []

    def leave_out(path: Path, ending: str, why: str) -> None:
        left_out.append(LeftOut(printable_name(path.relative_to(top).as_posix()) + ending, why))

    for folder, inner, names in os.walk(top, onerror=refuse):
        for name in inner:
            path = Path(folder, name)
            if name.startswith("."):
                leave_out(path, "/", "hidden")
            elif path.is_symlink():
                leave_out(path, "/", "a link to a folder, which may lead back here; give its own path")
        inner[:] = [name for name in inner if not name.startswith(".")]
        there = set(names)
        for name in names:
            if not name.endswith(CHECKSUM):
                files.append(Path(folder, name))
            elif name.removesuffix(CHECKSUM) not in there:
                leave_out(Path(folder, name), "", "the checksum of a file that is not there")
    return sorted(files)


def _with_product(file: TapeFile, path: Path) -> TapeFile:
    """Return a file with its product; if its name has none, the last folders of its resolved `path` may give it.

    These folders must be the archive's layout: `spot` or `futures/um`, then `daily` or `monthly`, a stream, the symbol,
    and for candles an interval.
    """
    if file.product is not None:
        return file
    folders = _folders(path)
    if folders and re.fullmatch(r"[0-9]{1,3}(?:mo|[smhdw])", folders[-1]):
        folders.pop()
    match folders:
        case [*above, "daily" | "monthly", stream, symbol] if (
            symbol == file.symbol.lower() and stream in map(str.lower, Stream) and above[-1:] in (["spot"], ["um"])
        ):
            return msgspec.structs.replace(file, product=_product(above[-2:]))
    return file


def _product(folders: list[str]) -> Product | None:
    """Return spot or futures, from the innermost folder of a path that is named as in the archive."""
    for place in range(len(folders) - 1, -1, -1):
        if folders[place] == "spot":
            return Product.SPOT
        if folders[place] == "um" and place and folders[place - 1] == "futures":
            return Product.UM
    return None


def _dates(first: str | None, last: str | None) -> tuple[int | None, int | None]:
    """Return start and end (ms) of `2026-03`, `2025-05_06` or `2024-07-26_2024-08-25`; None for an invalid date."""
    if first is None:
        return None, None
    head = first.split("-")
    tail = last.split("-") if last else head
    if len(tail[0]) == 2:
        tail = head[: len(head) - len(tail)] + tail
    try:
        starts, ends = _bounds(head)[0], _bounds(tail)[1]
    except ValueError:
        return None, None
    return (starts, ends) if starts < ends else (None, None)


def _bounds(parts: list[str]) -> tuple[int, int]:
    """Return the start of a year, month or day, and of the next one, in ms. Raises ValueError for no real date."""
    year, month, day = ([int(part) for part in parts] + [1, 1])[:3]
    begin = datetime(year, month, day, tzinfo=UTC)
    # A year, a month or a day later, at the begin of that year, month or day.
    months = year * 12 + month - 1 + {1: 12, 2: 1, 3: 0}[len(parts)]
    end = datetime(months // 12, months % 12 + 1, day, tzinfo=UTC) + timedelta(days=len(parts) == 3)
    return int(begin.timestamp()) * SECOND, int(end.timestamp()) * SECOND

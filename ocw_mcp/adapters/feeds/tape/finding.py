"""Finds the files of a tape under a path, and reads their names and folders; lists the other files."""

import os
import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

import msgspec

from ocw_mcp.adapters.feeds.tape.candles import looks_like_candles
from ocw_mcp.adapters.feeds.tape.options import LeftOut
from ocw_mcp.adapters.feeds.tape.reading import CHECKSUM, csv_name, printable_name
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import SECOND, span_ms, span_name

MONTHLY = "1mo"
SUFFIXES = (".zip", ".csv", ".csv.gz")
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


class Stream(StrEnum):
    """The kind of rows in a file, in the archive's own words."""

    KLINES = "klines"
    TRADES = "aggTrades"
    METRICS = "metrics"
    FUNDING = "fundingRate"


class TapeName(msgspec.Struct, frozen=True):
    """The parts of a file's name; None for a part that it lacks. `starts` and `ends` (exclusive) are in ms."""

    stream: Stream
    symbol: str
    interval: str | None
    starts: int | None
    ends: int | None
    product: Product | None


class FoundFile(NamedTuple):
    """A file of a tape: its path, its printable name relative to the given path, and the parts of that name."""

    path: Path
    name: str
    parts: TapeName


def find(path: Path, left_out: list[LeftOut]) -> list[FoundFile]:
    """Return the files of a tape at or under a path, sorted by their names.

    Only the path below the given one determines the kind of a file, unless the archive's whole layout is above it.
    Every other file goes to `left_out`, except checksums. Raises TapeError if there is no file of a tape.
    """
    name = printable_name(path.name or str(path))
    if path.is_dir():
        found = [each for file in _walk(path, left_out) if (each := _found(path, file, left_out)) is not None]
        if not found:
            raise TapeError(
                f"{name} holds no candle files{_first_of(left_out)}; expected the archive's spot or USD-M klines under "
                f"{GOOD_NAMES}; give another path or rename the files"
            )
        return found
    if not path.exists():
        raise TapeError(f"{name} does not exist; expected a directory or a file of candles; check the path")
    if not path.is_file() or not _has_suffix(path.name):
        raise TapeError(
            f"{name} is not a candle file; expected a directory or one file ending in {_either(SUFFIXES)}; "
            "give another path"
        )
    parts = read_name(PurePosixPath(path.name))
    if parts is None:
        raise TapeError(f"{name} does not name the symbol of its candles; expected {GOOD_NAMES}; rename the file")
    return [FoundFile(path, name, _with_product(parts, path.resolve().parent / path.name))]


def foreign_member(path: Path, name: str, symbol: str) -> str:
    """Return the fault of a zip file whose member names another symbol; empty otherwise. Raises TapeError."""
    member = csv_name(path, name)
    inside = None if member is None else read_name(PurePosixPath(PurePosixPath(member).name))
    if inside is None or inside.symbol == symbol:
        return ""
    return (
        f"{name} holds a file of {inside.symbol}, {printable_name(member or '')}; expected {symbol} as in the name; "
        "rename the zip file, or download it again"
    )


def read_name(path: PurePath) -> TapeName | None:
    """Return the parts of a file's name, from its path below the tape; None if that is no name of a tape's file."""
    folders = [part.lower() for part in path.parts[:-1]]
    # A file system may store a name in another Unicode form of the same characters.
    name = unicodedata.normalize("NFC", path.name)
    suffix = next((end for end in sorted(SUFFIXES, key=len, reverse=True) if name.lower().endswith(end)), None)
    match = suffix and _NAME.fullmatch(name[: -len(suffix)])
    if not match or _is_foreign(path):
        return None
    symbol, interval = match["symbol"], match["interval"]
    stream = next((each for each in Stream if each.lower() == (match["stream"] or "").lower()), Stream.KLINES)
    if interval is None and stream is Stream.KLINES and (len(symbol) < 5 or symbol != symbol.upper()):
        return None  # without an interval beside it, a word such as `data` or `notes` is no symbol
    starts, ends = _dates(match["first"], match["last"])
    return TapeName(
        stream=stream,
        symbol=symbol.upper(),
        interval=None if interval is None else canonical_interval(interval),
        starts=starts,
        ends=ends,
        product=Product(match["product"]) if match["product"] else _product(folders),
    )


def canonical_interval(interval: str) -> str:
    """Return one spelling for equal intervals (`60m` is `1h`, `1M` is `1mo`). Raises ValueError for another text."""
    return MONTHLY if interval.endswith(("M", "mo")) else span_name(span_ms(interval))


def interval_length(interval: str) -> int:
    """Return the length of an interval in ms, for sorting; a month, which has no fixed length, comes last."""
    return 1 << 62 if interval == MONTHLY else span_ms(interval)


def _first_of(left_out: list[LeftOut]) -> str:
    """Return the first file that is left out with its reason, and the number of others; empty for none."""
    if not left_out:
        return ""
    more = f", and {len(left_out) - 1:,} more are left out" if len(left_out) > 1 else ""
    return f" ({left_out[0]}{more})"


def _has_suffix(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _is_foreign(path: PurePath) -> bool:
    """Return whether a folder of a path holds something else than trades, or another product than OCW trades."""
    return not _FOREIGN.isdisjoint(part.lower() for part in path.parts[:-1])


def _found(top: Path, file: Path, left_out: list[LeftOut]) -> FoundFile | None:
    below = PurePosixPath(file.relative_to(top).as_posix())
    name = printable_name(str(below))
    parts = read_name(below) if _has_suffix(below.name) else None
    why = ""
    if any(part.startswith(".") for part in below.parts):
        why = "hidden"
    elif below.name.endswith(PART):
        why = "the unfinished part of a download"
    elif not _has_suffix(below.name):
        why = f"not a {_either(SUFFIXES)} file"
    elif not file.is_file() and file.exists():
        why = "a pipe or a device, not a file"
    elif _is_foreign(below):
        why = "in a folder that holds no trades of spot or USD-M"
    elif parts is None:
        why = "its name does not give a symbol and a stream"
    elif parts.interval is None and parts.stream is Stream.KLINES and not _like_candles(file, name):
        # A name without an interval may be any word in capitals, such as a table of unemployment: the text decides.
        why = "its first line is not a candle"
    if not why and parts is not None:
        return FoundFile(file, name, _with_product(parts, top.resolve() / below))
    left_out.append(LeftOut(name, why))
    return None


def _like_candles(file: Path, name: str) -> bool:
    try:
        return looks_like_candles(file, name)
    except TapeError:
        return True  # reading the rows reports the fault


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


def _with_product(parts: TapeName, path: Path) -> TapeName:
    """Return the parts of a name; a missing product comes from the last folders if they are the archive's layout.

    That is `spot` or `futures/um`, then `daily` or `monthly`, a stream, the symbol, and for candles an interval.
    """
    if parts.product is not None:
        return parts
    folders = [part.lower() for part in path.parts[:-1]]
    if folders and re.fullmatch(r"[0-9]{1,3}(?:mo|[smhdw])", folders[-1]):
        folders.pop()
    product = None
    match folders:
        case [*above, "daily" | "monthly", stream, symbol] if (
            symbol == parts.symbol.lower() and stream in map(str.lower, Stream) and above[-1:] in (["spot"], ["um"])
        ):
            product = _product(above[-2:])
    return msgspec.structs.replace(parts, product=product)


def _product(folders: list[str]) -> Product | None:
    """Return the product of the nearest folder that names one in the archive's layout."""
    for place in range(len(folders) - 1, -1, -1):
        if folders[place] == "spot":
            return Product.SPOT
        if folders[place] == "um" and place and folders[place - 1] == "futures":
            return Product.UM
    return None


def _dates(first: str | None, last: str | None) -> tuple[int | None, int | None]:
    """Return the span of `2026-03-09`, `2026-03`, `2025-05_06` or `2024-07-26_2024-08-25`; None for no real date."""
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
    if len(parts) == 3:
        end = begin + timedelta(days=1)
    else:
        months = year * 12 + month - 1 + (1 if len(parts) == 2 else 12)
        end = datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
    return int(begin.timestamp()) * SECOND, int(end.timestamp()) * SECOND

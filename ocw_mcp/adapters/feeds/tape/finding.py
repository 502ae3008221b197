"""Finds the files under a path: those of a tape, and the others, each with the reason why it is not read."""

import os
from pathlib import Path, PurePosixPath

import msgspec

from ocw_mcp.adapters.feeds.tape.names import (
    GOOD_NAMES,
    SUFFIXES,
    Stream,
    TapeName,
    archive_product,
    has_suffix,
    is_foreign,
    read_name,
)
from ocw_mcp.adapters.feeds.tape.rows import looks_like_candles
from ocw_mcp.adapters.feeds.tape.streams import CHECKSUM, csv_name
from ocw_mcp.adapters.feeds.tape.terms import LeftOut, shown_name
from ocw_mcp.domain.errors import TapeError

Found = tuple[Path, str, TapeName]
"""A file, its name relative to the given path as it is shown, and what that name says."""

_PART = ".part"


def find(path: Path, left_out: list[LeftOut]) -> list[Found]:
    """Files of a tape at or under a path, with their names relative to it, in the order of these names.

    Only the part of a path below the given one says what a file is, unless the archive's whole layout is there. Every
    other file goes to `left_out`, but checksums.
    Raises TapeError when there is no file of a tape.
    """
    shown = shown_name(path.name or str(path))
    if path.is_dir():
        found = [each for file in _walk(path, left_out) if (each := _found(path, file, left_out)) is not None]
        if not found:
            raise TapeError(
                f"{shown} holds no candle files{_some(left_out)}; expected the archive's spot or USD-M klines under "
                f"{GOOD_NAMES}; give another path or rename the files"
            )
        return found
    if not path.exists():
        raise TapeError(f"{shown} does not exist; expected a directory or a file of candles; check the path")
    if not path.is_file() or not has_suffix(path.name):
        raise TapeError(
            f"{shown} is no candle file; expected a directory or one file ending in {', '.join(SUFFIXES[:-1])} or "
            f"{SUFFIXES[-1]}; give another path"
        )
    only = read_name(PurePosixPath(path.name))
    if only is None:
        raise TapeError(
            f"{shown} does not tell which symbol's candles it holds; expected {GOOD_NAMES}; rename the file"
        )
    return [(path, shown, _placed(only, path.resolve().parent / path.name))]


def _some(left_out: list[LeftOut]) -> str:
    """The first file that is left out with the reason, and how many more there are; empty for none."""
    if not left_out:
        return ""
    more = f", and {len(left_out) - 1:,} more are left out" if len(left_out) > 1 else ""
    return f" ({left_out[0]}{more})"


def _placed(named: TapeName, place: Path) -> TapeName:
    """What a name says, with the product that the whole of the archive's own layout says, where it is silent."""
    if named.product is not None:
        return named
    return msgspec.structs.replace(named, product=archive_product(place, named.symbol))


def _found(top: Path, file: Path, left_out: list[LeftOut]) -> Found | None:
    below = PurePosixPath(file.relative_to(top).as_posix())
    name = shown_name(str(below))
    named = read_name(below) if has_suffix(below.name) else None
    why = ""
    if any(part.startswith(".") for part in below.parts):
        why = "hidden"
    elif below.name.endswith(_PART):
        why = "the unfinished part of a download"
    elif not has_suffix(below.name):
        why = f"no {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file"
    elif not file.is_file() and file.exists():
        why = "a pipe or a device, not a file"
    elif is_foreign(below):
        why = "of a folder that holds no trades of spot or USD-M"
    elif named is None:
        why = "its name does not tell a symbol and a stream"
    elif named.interval is None and named.stream is Stream.KLINES and not _like_candles(file, name):
        # A name without an interval may be anything in capitals, such as a table of unemployment: the text decides.
        why = "its first line is no candle"
    if not why and named is not None:
        return file, name, _placed(named, top.resolve() / below)
    left_out.append(LeftOut(name, why))
    return None


def _like_candles(file: Path, name: str) -> bool:
    try:
        return looks_like_candles(file, name)
    except TapeError:
        return True  # whoever reads it tells what is wrong


def _walk(top: Path, left_out: list[LeftOut]) -> list[Path]:
    def refuse(error: OSError) -> None:
        place = shown_name(Path(error.filename).name)
        raise TapeError(f"{place} cannot be read: permission denied; allow reading it or choose another path") from None

    files: list[Path] = []

    def leave_out(place: Path, ending: str, why: str) -> None:
        left_out.append(LeftOut(shown_name(place.relative_to(top).as_posix()) + ending, why))

    for folder, inner, names in os.walk(top, onerror=refuse):
        for name in inner:
            place = Path(folder, name)
            if name.startswith("."):
                leave_out(place, "/", "hidden")
            elif place.is_symlink():
                leave_out(place, "/", "a link to a folder, which may lead back here; give its own path")
        inner[:] = [name for name in inner if not name.startswith(".")]
        there = set(names)
        for name in names:
            if not name.endswith(CHECKSUM):
                files.append(Path(folder, name))
            elif name.removesuffix(CHECKSUM) not in there:
                leave_out(Path(folder, name), "", "the checksum of a file that is not there")
    return sorted(files)


def foreign_member(path: Path, name: str, symbol: str) -> str:
    """What is wrong with a zip whose member names another symbol; empty otherwise. Raises TapeError."""
    member = csv_name(path, name)
    inside = None if member is None else read_name(PurePosixPath(PurePosixPath(member).name))
    if inside is None or inside.symbol == symbol:
        return ""
    return (
        f"{name} holds a file of {inside.symbol}, {shown_name(member or '')}; expected {symbol} as its own name says; "
        "rename the zip file, or download it again"
    )

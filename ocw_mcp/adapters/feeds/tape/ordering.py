"""Yields rows in time order from files that overlap, and from files whose rows were shuffled.

Nearly every file is in order already. Each is scanned once, which is cheap, and then passed on block by block as it is.
Only if rows jump back, or files overlap, are rows sorted one by one. Up to WINDOW rows are held for that, more than any
file of the archive has minutes; a row that comes later than that is a fault.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from heapq import heappop, heappush
from typing import NamedTuple

from ocw_mcp.adapters.feeds.tape.options import RowCounts
from ocw_mcp.adapters.feeds.tape.reading import Layout, RowBlock, RowFile, blocks
from ocw_mcp.domain.errors import TapeError

WINDOW = 500_000
"""Rows of a shuffled file held at once; a month has 44,640 minutes, and a busy hour 240,000 trades."""


class Scan(NamedTuple):
    """The earliest and the latest key of a file, and whether its rows are in order."""

    first: int
    last: int
    ordered: bool


class _KeyedRow(NamedTuple):
    """A row that is being sorted; the sort order is that of the fields."""

    key: int
    file: int
    number: int
    line: str


_NEVER = 1 << 120


def scan(file: RowFile, layout: Layout) -> Scan:
    """Return the range of a file's keys. Lines without a key are skipped: the reader of the rows reports them.

    An unreadable file begins at the time in its name, and never ends.
    """
    first, last, ordered = _NEVER, -1, True
    key = layout.key
    try:
        with closing(blocks(file.path, file.name)) as parts:
            for block in parts:
                keys = _ends(block, layout) or [each for line in block if (each := _key_or_none(key, line)) is not None]
                if keys:
                    ordered = ordered and keys[0] >= last and keys == sorted(keys)
                    first, last = min(first, min(keys)), max(last, max(keys))
    except TapeError:
        last = -1
    return Scan(first, last, ordered) if last >= 0 else Scan((file.starts or 0) << layout.shift, _NEVER, True)


def _ends(block: list[str], layout: Layout) -> list[int]:
    """Return the first and the last key of a block whose text shows that it is in order; else an empty list."""
    if not layout.leads:
        return []
    lines = block if block[0][:1].isdecimal() else block[1:]
    if not lines:
        return []
    width = lines[0].find(",")
    heads = [line[:width] for line in lines]
    # Numbers with the same count of digits sort like text. The reader of the rows reports a head that is no number.
    if lines[-1].find(",") != width or heads != sorted(heads):
        return []
    keys = [_key_or_none(layout.key, lines[0]), _key_or_none(layout.key, lines[-1])]
    return [each for each in keys if each is not None] if None not in keys else []


def in_order(files: Sequence[RowFile], layout: Layout, counters: RowCounts) -> Generator[RowBlock, None, None]:
    """Yield the rows of all files in the order of their keys; rows of one key in the order of files and lines.

    The files must come in the order of the start dates in their names. The names are not trusted: before a row is
    read, every file whose name begins by then is scanned, and one file more. Raises TapeError.
    """
    scanned = 0
    waiting: list[tuple[int, int, Scan]] = []
    opened: list[_OpenFile] = []

    def scan_until(until: int) -> None:
        """Scan the files whose names begin by the key `until`, and the first that begins after it."""
        nonlocal scanned
        while scanned < len(files) and (not waiting or (files[scanned - 1].starts or 0) << layout.shift <= until):
            found = scan(files[scanned], layout)
            heappush(waiting, (found.first, scanned, found))
            scanned += 1

    def begin(place: int, found: Scan) -> None:
        _push(opened, _keyed_rows(place, files[place], found.ordered, layout, counters))

    try:
        scan_until(0)
        while waiting or opened:  # while a file is left, one is always waiting: scan_until adds it
            if not opened:
                scan_until(waiting[0][0])
                _, place, found = heappop(waiting)
                scan_until(found.last)
                if found.ordered and (not waiting or found.last <= waiting[0][0]):
                    yield from _readable_rows(files[place], layout, counters)
                else:
                    begin(place, found)
                continue
            key = opened[0].row.key
            scan_until(key)
            if waiting and waiting[0][0] <= key:
                begin(*heappop(waiting)[1:])
                continue
            each = heappop(opened)
            yield RowBlock(files[each.row.file].name, (each.row.number,), each.width, [each.row.line])
            _push(opened, each.rest)
    finally:
        for each in opened:
            each.rest.close()


class _OpenFile(NamedTuple):
    """A file that is read beside others. No two have the same row, so the widths are never compared."""

    row: _KeyedRow
    width: int
    rest: Generator[tuple[int, _KeyedRow], None, None]


def _push(opened: list[_OpenFile], rest: Generator[tuple[int, _KeyedRow], None, None]) -> None:
    if (head := next(rest, None)) is not None:
        heappush(opened, _OpenFile(head[1], head[0], rest))


def _keyed_rows(
    place: int, file: RowFile, ordered: bool, layout: Layout, counters: RowCounts
) -> Generator[tuple[int, _KeyedRow], None, None]:
    """Yield a file's rows with their keys, sorted within the window."""
    latest, width = -1, 0
    held: list[_KeyedRow] = []
    rows = (
        (block.width, number, line)
        for block in _readable_rows(file, layout, counters)
        for number, line in zip(block.numbers, block.lines, strict=True)
    )
    for width, number, line in rows:
        key = _key_or_none(layout.key, line)
        if key is None:  # the reader of the row reports its fault; the row stays at its place in the file
            key = max(latest, 0)
        elif key < latest:
            counters.disordered += 1
        latest = max(latest, key)
        each = _KeyedRow(key, place, number, line)
        if ordered:
            yield width, each
            continue
        heappush(held, each)
        if len(held) > WINDOW:
            yield width, heappop(held)
    while held:
        yield width, heappop(held)


def _readable_rows(file: RowFile, layout: Layout, counters: RowCounts) -> Generator[RowBlock, None, None]:
    """Yield a file's rows up to the fault after which it cannot be read."""
    try:
        yield from layout.rows(file, counters)
    except TapeError as fault:
        counters.give_up(file.name, fault)


def _key_or_none(key: Callable[[str], int], line: str) -> int | None:
    try:
        return key(line)
    except (ValueError, IndexError):
        return None

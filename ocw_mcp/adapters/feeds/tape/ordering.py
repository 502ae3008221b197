"""Yields rows in time order from files that overlap, and from files whose rows were shuffled.

Nearly every file is in order already. Each is scanned once, which is cheap, and then passed on block by block as it is.
Only if rows jump back, or files overlap, are rows sorted one by one. Up to WINDOW rows are held for that, more than any
file of the archive has minutes; a row that comes later than that is a fault.
"""

from collections.abc import Generator, Sequence
from contextlib import closing
from heapq import heappop, heappush
from typing import NamedTuple

from ocw_mcp.adapters.feeds.tape.options import RowCounts
from ocw_mcp.adapters.feeds.tape.reading import Layout, RowBlock, TapeFile, blocks, row_blocks
from ocw_mcp.domain.errors import TapeError

WINDOW = 500_000
"""Rows of a shuffled file held at once; a month has 44,640 minutes, and a busy hour 240,000 trades."""

_NEVER = 1 << 120


class Scan(NamedTuple):
    """The earliest and the latest key of a file, and whether its rows are in order."""

    first: int
    last: int
    ordered: bool


class _Row(NamedTuple):
    """A row that is being sorted, in the order of these fields. No two rows have the same first three."""

    key: int
    file: int
    number: int
    line: str
    width: int


def scan(file: TapeFile, layout: Layout) -> Scan:
    """Return the range of a file's keys. Lines without a key are skipped: the reader of the rows reports them.

    An unreadable file begins at the time in its name, and never ends.
    """
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

    The files must come in the order of the start dates in their names. The names are not trusted: before a row is
    read, every file whose name begins by then is scanned, and one file more. Raises TapeError.
    """
    scanned = 0
    waiting: list[tuple[int, int, Scan]] = []
    opened: list[tuple[_Row, Generator[_Row, None, None]]] = []

    def scan_until(until: int) -> None:
        """Scan the files whose names begin by the key `until`, and the first that begins after it."""
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

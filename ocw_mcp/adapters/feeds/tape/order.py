"""Rows in the order of time, out of files that overlap, and out of files whose rows were shuffled.

Nearly every file is in order already. Each is scanned once for that, which costs little, and then handed on block by
block as it is. Only where rows jump back, or files overlap, are rows put in order one by one: up to WINDOW of them are
held, which is more than any file of the archive has minutes, and a row that comes later than that cannot be helped.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from heapq import heappop, heappush
from pathlib import Path
from typing import NamedTuple, Protocol

from ocw_mcp.adapters.feeds.tape.streams import blocks
from ocw_mcp.adapters.feeds.tape.terms import RowCounts
from ocw_mcp.domain.errors import TapeError

WINDOW = 500_000
"""Rows of a shuffled file that are held at once; a month has 44,640 minutes, and a busy hour 240,000 trades."""


class Rows(Protocol):
    """A file that rows are read from, and the name it has in errors. `starts` and `ends` (ms) are what it promises."""

    @property
    def path(self) -> Path: ...

    @property
    def name(self) -> str: ...

    @property
    def starts(self) -> int | None: ...

    @property
    def ends(self) -> int | None: ...


class Body(NamedTuple):
    """Rows of one file that follow each other: their line numbers, the number of columns in the file, the lines."""

    name: str
    numbers: Sequence[int]
    width: int
    lines: list[str]


class Layout(NamedTuple):
    """How a stream's files are read."""

    key: Callable[[str], int]
    """What a line is ordered by. Raises ValueError or IndexError for what is no row."""
    body: Callable[[Rows, RowCounts], Generator[Body, None, None]]
    """The rows of a file, without its header. Raises TapeError where the whole file cannot be read on."""
    shift: int = 0
    """A key without so many of its lowest bits is its time in ms."""
    leads: bool = False
    """Whether a line begins with its key, as a number: then a block in order is told by its text alone."""


class Scan(NamedTuple):
    """The earliest and the latest key of a file, and whether its rows go only forward."""

    first: int
    last: int
    ordered: bool


class _Place(NamedTuple):
    """A row on its way into order; the order is that of the fields."""

    key: int
    file: int
    number: int
    line: str


_NEVER = 1 << 120


def scan(file: Rows, layout: Layout) -> Scan:
    """Look through a file's keys. What cannot be read is left to whoever reads the rows: it must be told in its turn.

    A file that cannot be read at all counts as what its name promises, and as never over.
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
    """The first and the last key of a block that its text alone shows to be in order; else nothing."""
    if not layout.leads:
        return []
    lines = block if block[0][:1].isdecimal() else block[1:]
    if not lines:
        return []
    width = lines[0].find(",")
    heads = [line[:width] for line in lines]
    # Numbers of as many digits sort like text. What is no number is for whoever reads the rows.
    if lines[-1].find(",") != width or heads != sorted(heads):
        return []
    keys = [_key_or_none(layout.key, lines[0]), _key_or_none(layout.key, lines[-1])]
    return [each for each in keys if each is not None] if None not in keys else []


def in_order(files: Sequence[Rows], layout: Layout, counters: RowCounts) -> Generator[Body, None, None]:
    """The rows of all files in the order of their keys; rows of one key in the order of files and lines.

    The files must come in the order in which their names say that they begin. Names are not believed: a file is looked
    at before anything is read that is not earlier than its name, and so is one file more. Raises TapeError.
    """
    looked = 0
    waiting: list[tuple[int, int, Scan]] = []
    opened: list[_Opened] = []

    def look(until: int) -> None:
        """Scan the files whose names say that they begin by the key `until`, and the first that begins after it."""
        nonlocal looked
        while looked < len(files) and (not waiting or (files[looked - 1].starts or 0) << layout.shift <= until):
            seen = scan(files[looked], layout)
            heappush(waiting, (seen.first, looked, seen))
            looked += 1

    def begin(place: int, seen: Scan) -> None:
        _push(opened, _places(place, files[place], seen.ordered, layout, counters))

    try:
        look(0)
        while waiting or opened:  # while a file is left there is always one waiting, or look would have found it
            if not opened:
                look(waiting[0][0])
                _, place, seen = heappop(waiting)
                look(seen.last)
                if seen.ordered and (not waiting or seen.last <= waiting[0][0]):
                    yield from _body(files[place], layout, counters)
                else:
                    begin(place, seen)
                continue
            key = opened[0].row.key
            look(key)
            if waiting and waiting[0][0] <= key:
                begin(*heappop(waiting)[1:])
                continue
            each = heappop(opened)
            yield Body(files[each.row.file].name, (each.row.number,), each.width, [each.row.line])
            _push(opened, each.rest)
    finally:
        for each in opened:
            each.rest.close()


class _Opened(NamedTuple):
    """A file being read beside others. No two have the same row, so no two widths are ever compared."""

    row: _Place
    width: int
    rest: Generator[tuple[int, _Place], None, None]


def _push(opened: list[_Opened], rest: Generator[tuple[int, _Place], None, None]) -> None:
    if (head := next(rest, None)) is not None:
        heappush(opened, _Opened(head[1], head[0], rest))


def _places(
    place: int, file: Rows, ordered: bool, layout: Layout, counters: RowCounts
) -> Generator[tuple[int, _Place], None, None]:
    """A file's rows with their keys, put in order as far as the window reaches."""
    latest, width = -1, 0
    held: list[_Place] = []
    rows = (
        (body.width, number, line)
        for body in _body(file, layout, counters)
        for number, line in zip(body.numbers, body.lines, strict=True)
    )
    for width, number, line in rows:
        key = _key_or_none(layout.key, line)
        if key is None:  # whoever takes the row will tell what is wrong with it; it comes where the file has it
            key = max(latest, 0)
        elif key < latest:
            counters.disordered += 1
        latest = max(latest, key)
        each = _Place(key, place, number, line)
        if ordered:
            yield width, each
            continue
        heappush(held, each)
        if len(held) > WINDOW:
            yield width, heappop(held)
    while held:
        yield width, heappop(held)


def _body(file: Rows, layout: Layout, counters: RowCounts) -> Generator[Body, None, None]:
    """A file's rows, up to where it cannot be read on."""
    try:
        yield from layout.body(file, counters)
    except TapeError as fault:
        counters.give_up(file.name, fault)


def _key_or_none(key: Callable[[str], int], line: str) -> int | None:
    try:
        return key(line)
    except (ValueError, IndexError):
        return None

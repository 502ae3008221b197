"""Rows become candles: one straight path for good rows, and the way to a sentence for the others."""

from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import islice, pairwise
from math import inf
from pathlib import Path
from typing import Protocol

import msgspec

from ocw_mcp.adapters.feeds.tape.faults import (
    COLUMNS,
    EARLIEST,
    LATEST,
    LEAP,
    MICROSECONDS,
    header_fault,
    open_ms,
    row_fault,
    sequel_fault,
)
from ocw_mcp.adapters.feeds.tape.streams import AGAIN, blocks
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import DAY, SECOND, span_name

_PROBE = 100


class Rows(Protocol):
    """A file that rows are read from, and the name it has in errors."""

    @property
    def path(self) -> Path: ...

    @property
    def name(self) -> str: ...


class Tally(msgspec.Struct):
    """Rows left out by the pass under way: duplicates, and such as came after a later one."""

    dropped: int = 0


class Head(msgspec.Struct, frozen=True):
    """What the first rows tell, ms: when the first candle opens, and how long one lasts (0 when that is unclear)."""

    open_time: int
    interval: int


def candles(
    files: Sequence[Rows], symbol: str, interval: int, after: int | None, tally: Tally
) -> Generator[Candle, None, None]:
    """The candles of one symbol's files that close later than `after` (ms), with one file open at a time.

    Raises TapeError at the first row that cannot be believed.
    """
    grid = min(interval, DAY)  # longer candles open on a day, but on no multiple of their length since 1970
    known = -1 if after is None else after - interval
    due, previous = EARLIEST, 0.0
    for file in files:
        for start, width, lines in _body(file.path, file.name, interval):
            for number, line in enumerate(lines, start):
                cells = line.split(",")
                try:
                    opens_at = int(cells[0])
                    if opens_at > MICROSECONDS and opens_at % 1000 == 0:
                        opens_at //= 1000
                    open_, high, low = float(cells[1]), float(cells[2]), float(cells[3])
                    close, volume = float(cells[4]), float(cells[5])
                    good = (
                        due <= opens_at < LATEST
                        and opens_at % grid == 0
                        and 0.0 < low <= open_ <= high
                        and low <= close <= high <= previous * LEAP
                        and previous <= low * LEAP
                        and 0.0 <= volume < inf
                        and len(cells) == width
                        and cells[-1] != ""
                    )
                except (ValueError, IndexError):
                    good = False
                if not good:  # the very first row comes here too, for want of a previous price
                    wrong = row_fault(cells, width, grid)
                    if not wrong:
                        if opens_at <= due - interval:
                            tally.dropped += 1
                            continue
                        wrong = sequel_fault(opens_at, due, low, high, previous or open_)
                    if wrong:
                        raise _refusal(file.name, number, wrong)
                due, previous = opens_at + interval, close
                if opens_at > known:
                    yield Candle(symbol, opens_at, interval, open_, high, low, close, volume)


def looks_like_candles(path: Path, name: str) -> bool:
    """Whether a file begins like candles; an empty one does, so that it is refused later. Raises TapeError."""
    with closing(blocks(path, name)) as parts:
        first = next(parts, [""])[0].split(",")
    return first == [""] or not header_fault(first) or (len(first) in COLUMNS and len(first[0]) > 11)


def read_head(path: Path, name: str) -> Head:
    """What the first rows tell. Raises TapeError when there are none, or when the first is no candle."""
    opens: list[int] = []
    lasts: list[int] = []
    with closing(_body(path, name)) as body:
        rows = ((number, width, line) for start, width, lines in body for number, line in enumerate(lines, start))
        for number, width, line in islice(rows, _PROBE):
            cells = line.split(",")
            if wrong := row_fault(cells, width, SECOND):
                if opens:
                    break  # whoever reads all rows will tell
                raise _refusal(name, number, wrong)
            opens.append(open_ms(cells[0]))
            lasts.append(_lasts(cells))
    steps = [later - earlier for earlier, later in pairwise(opens) if later > earlier]
    interval = max(lasts) or min(steps, default=0)
    return Head(opens[0], interval if 0 < interval <= 7 * DAY and interval % SECOND == 0 else 0)


def _body(path: Path, name: str, interval: int = 0) -> Generator[tuple[int, int, list[str]], None, None]:
    """Line number of the first row, number of columns, and rows, without header and trailing blank lines.

    Raises TapeError when there is no row at all, or when the first one lasts longer than `interval` (ms).
    """
    number, width, blank = 1, 0, 0
    for block in blocks(path, name):
        start, lines = number, block
        number += len(block)
        if start == 1 and lines and lines[0] and not lines[0].split(",")[0].strip().isdecimal():
            if wrong := header_fault(lines[0].split(",")):
                raise _refusal(name, 1, wrong)
            start, lines = 2, lines[1:]
        if not blank and "" in lines:
            blank = start + lines.index("")
        if blank:
            if any(lines[max(0, blank - start) :]):
                raise _refusal(name, blank, "the line is blank though others follow; expected one candle a line")
            lines = lines[: max(0, blank - start)]
        if lines and not width:
            cells = lines[0].split(",")
            width = len(cells)
            lasts = 0 if row_fault(cells, width, 1) else _lasts(cells)
            if interval and lasts > interval:
                raise TapeError(
                    f"{name}, line {start}: the candle lasts {span_name(lasts)}; expected {span_name(interval)} "
                    "as the file's name says; rename the file"
                )
        if lines:
            yield start, width, lines
    if not width:
        raise TapeError(f"{name} holds no candles; expected one a line; {AGAIN}")


def _lasts(cells: list[str]) -> int:
    """How long a candle of 12 columns lasts by its close_time, ms; 0 when that cannot be told."""
    try:
        return (int(cells[6]) - int(cells[0]) + 1) // (1000 if int(cells[0]) > MICROSECONDS else 1)
    except (IndexError, ValueError):
        return 0


def _refusal(name: str, number: int, wrong: str) -> TapeError:
    return TapeError(f"{name}, line {number}: {wrong}; correct the line, or if the file is damaged, {AGAIN}")

"""Rows become candles: one straight path for good rows, and the way to a sentence for the others."""

from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import islice, pairwise
from math import inf
from pathlib import Path
from typing import NamedTuple

import msgspec

from ocw_mcp.adapters.feeds.tape.body import body, refusal
from ocw_mcp.adapters.feeds.tape.faults import (
    COLUMNS,
    EARLIEST,
    LATEST,
    LEAP,
    MICROSECONDS,
    again_fault,
    header_fault,
    off_grid,
    open_ms,
    row_fault,
    sequel_fault,
    taker_volume,
)
from ocw_mcp.adapters.feeds.tape.order import Body, Layout, Rows, in_order
from ocw_mcp.adapters.feeds.tape.streams import blocks
from ocw_mcp.adapters.feeds.tape.terms import RowCounts
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import DAY, SECOND, span_name

_PROBE = 100


class Head(msgspec.Struct, frozen=True):
    """What the first rows tell, ms: when the first candle opens, and how long one lasts (0 when that is unclear)."""

    open_time: int
    interval: int


def layout(interval: int) -> Layout:
    """How files of candles of `interval` (ms) are read."""
    return Layout(_key, lambda file, counters: _body(file, counters, interval), leads=True)


def candles(
    files: Sequence[Rows],
    symbol: str,
    interval: int,
    after: int | None,
    counters: RowCounts,
    before: Candle | None = None,
) -> Generator[Candle, None, None]:
    """The candles of one symbol's files that close later than `after` (ms), in the order of time.

    `before` is the last candle of earlier files, where there are some. They end before a price in another unit.
    A row that cannot be believed, or that contradicts the one before it, is left out or raises TapeError, as the terms
    of `tally` say.
    """
    grid = min(interval, DAY)  # longer candles open on a day, but on no multiple of their length since 1970
    known = -1 if after is None else after - interval
    due, previous = EARLIEST, 0.0
    past: list[str] = []
    place = ("", 0)
    for name, numbers, width, lines in in_order(files, layout(interval), counters):
        for number, line in zip(numbers, lines, strict=True):
            cells = line.split(",")
            try:
                opens_at = int(cells[0])
                if opens_at > MICROSECONDS and opens_at % 1000 == 0:
                    opens_at //= 1000
                open_, high, low = float(cells[1]), float(cells[2]), float(cells[3])
                close, volume = float(cells[4]), float(cells[5])
                taker = float(cells[9]) if width == 12 else None
                good = (
                    due <= opens_at < LATEST
                    and opens_at % grid == 0
                    and 0.0 < low <= open_ <= high
                    and low <= close <= high <= previous * LEAP
                    and previous <= low * LEAP
                    and 0.0 <= volume < inf
                    and (taker is None or 0.0 <= taker <= volume)
                    and len(cells) == width
                    and cells[-1] != ""
                )
            except (ValueError, IndexError):
                good = False
            if not good:  # the very first row comes here too, for want of a previous price
                if wrong := row_fault(cells, width, grid):
                    often = off_grid(cells[0], grid)
                    counters.leave_out(name, refusal(name, number, wrong), often=often)
                    continue
                opens_at, (open_, high, low, close, volume) = open_ms(cells[0]), map(float, cells[1:6])
                taker = taker_volume(cells, volume)
                if past and opens_at <= open_ms(past[0]):
                    if opens_at == open_ms(past[0]) and list(map(float, cells[1:6])) == list(map(float, past[1:6])):
                        counters.duplicates += 1
                    else:
                        wrong = again_fault(opens_at, open_ms(past[0]), *place)
                        counters.leave_out(name, refusal(name, number, wrong))
                    continue
                if not past and before is not None and opens_at > before.close_time:
                    due, previous = before.close_time, before.close
                if previous and opens_at > due and counters.is_discontinuity(symbol, due, opens_at, previous, open_):
                    return
                if wrong := sequel_fault(opens_at, due, low, high, previous or open_):
                    counters.leave_out(name, refusal(name, number, wrong))
                    continue
            elif opens_at != due and counters.is_discontinuity(symbol, due, opens_at, previous, open_):
                return
            due, previous, past, place = opens_at + interval, close, cells, (name, number)
            if opens_at > known:
                yield Candle(symbol, opens_at, interval, open_, high, low, close, volume, taker)


def _key(line: str) -> int:
    opens_at = int(line[: line.index(",")])
    if opens_at > MICROSECONDS:
        opens_at //= 1000
    if not EARLIEST <= opens_at < LATEST:
        raise ValueError(line)
    return opens_at


def looks_like_candles(path: Path, name: str) -> bool:
    """Whether a file begins like candles; an empty one does, so that it is refused later. Raises TapeError."""
    with closing(blocks(path, name)) as parts:
        first = next(parts, [""])[0].split(",")
    return first == [""] or not header_fault(first) or (len(first) in COLUMNS and len(first[0]) > 11)


class _File(NamedTuple):
    """A file of which only path and name are known."""

    path: Path
    name: str
    starts: int | None = None
    ends: int | None = None


def read_head(path: Path, name: str) -> Head:
    """What the first rows tell. Raises TapeError when there are none, or when the first is no candle."""
    opens: list[int] = []
    lasts: list[int] = []
    with closing(_body(_File(path, name), RowCounts(), 0)) as body:
        rows = (
            (number, width, line)
            for _, numbers, width, lines in body
            for number, line in zip(numbers, lines, strict=True)
        )
        for number, width, line in islice(rows, _PROBE):
            cells = line.split(",")
            if wrong := row_fault(cells, width, SECOND):
                if opens:
                    break  # whoever reads all rows will tell
                raise refusal(name, number, wrong)
            opens.append(open_ms(cells[0]))
            lasts.append(_lasts(cells))
    steps = [later - earlier for earlier, later in pairwise(opens) if later > earlier]
    interval = max(lasts) or min(steps, default=0)
    return Head(opens[0], interval if 0 < interval <= 7 * DAY and interval % SECOND == 0 else 0)


def _body(file: Rows, counters: RowCounts, interval: int) -> Generator[Body, None, None]:
    """The rows. Raises TapeError when there is none, or when the first one lasts longer than `interval` (ms)."""
    name = file.name

    def check(cells: list[str], number: int) -> None:
        lasts = 0 if row_fault(cells, len(cells), 1) else _lasts(cells)
        if interval and lasts > interval:
            raise TapeError(
                f"{name}, line {number}: the candle lasts {span_name(lasts)}; expected {span_name(interval)} "
                "as the file's name says; rename the file"
            )

    return body(file, counters, _header, "candles", check)


def _header(cells: list[str]) -> str | None:
    return None if cells[0].strip().isdecimal() else header_fault(cells)


def _lasts(cells: list[str]) -> int:
    """How long a candle of 12 columns lasts by its close_time, ms; 0 when that cannot be told."""
    try:
        return (int(cells[6]) - int(cells[0]) + 1) // (1000 if int(cells[0]) > MICROSECONDS else 1)
    except (IndexError, ValueError):
        return 0

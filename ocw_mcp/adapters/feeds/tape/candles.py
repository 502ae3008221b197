"""Reads candles from rows: one straight path for good rows, and a sentence for each other one."""

from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import islice, pairwise
from math import inf, isfinite
from pathlib import Path

from ocw_mcp.adapters.feeds.tape.faults import (
    EARLIEST,
    LATEST,
    LEAP,
    MICROSECONDS,
    columns_fault,
    leap_fault,
    order_fault,
    refusal,
    shown,
)
from ocw_mcp.adapters.feeds.tape.options import RowCounts
from ocw_mcp.adapters.feeds.tape.ordering import in_order
from ocw_mcp.adapters.feeds.tape.reading import Layout, RowBlock, RowFile, blocks, row_blocks
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import DAY, SECOND, iso, span_name

COLUMNS = (6, 12)
TAKER = 9
"""The column of the taker buy volume, in rows of 12."""
_FIELDS = ("open", "high", "low", "close", "volume")
_PROBE = 100


def candle_layout(interval: int) -> Layout:
    """Return the layout of files with candles of `interval` (ms)."""
    return Layout(_key, lambda file, counters: _rows(file, counters, interval), leads=True)


def read_candles(
    files: Sequence[RowFile],
    symbol: str,
    interval: int,
    after: int | None,
    counters: RowCounts,
    before: Candle | None = None,
) -> Generator[Candle, None, None]:
    """Yield the candles of one symbol's files that close later than `after` (ms), in time order.

    `before` is the last candle of earlier files, if there are any. The candles end before a price in another unit.
    A row that is invalid, or that contradicts the row before it, is left out or raises TapeError, depending on the
    options of `counters`.
    """
    grid = min(interval, DAY)  # longer candles open on a day, but on no multiple of their length since 1970
    known = -1 if after is None else after - interval
    due, previous = EARLIEST, 0.0
    past: list[str] = []
    place = ("", 0)
    for name, numbers, width, lines in in_order(files, candle_layout(interval), counters):
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
            if not good:  # this is also the path of the first row, which has no previous price
                if wrong := _row_fault(cells, width, grid):
                    counters.leave_out(name, number, wrong, often=_is_off_grid(cells[0], grid))
                    continue
                opens_at, (open_, high, low, close, volume) = _open_ms(cells[0]), map(float, cells[1:6])
                taker = _taker_volume(cells, volume)
                if past and opens_at <= _open_ms(past[0]):
                    if opens_at == _open_ms(past[0]) and list(map(float, cells[1:6])) == list(map(float, past[1:6])):
                        counters.duplicates += 1
                    else:
                        counters.leave_out(name, number, order_fault(opens_at, _open_ms(past[0]), *place))
                    continue
                if not past and before is not None and opens_at > before.close_time:
                    due, previous = before.close_time, before.close
                if previous and opens_at > due and counters.is_discontinuity(symbol, due, opens_at, previous, open_):
                    return
                if wrong := _sequel_fault(opens_at, due, low, high, previous or open_):
                    counters.leave_out(name, number, wrong)
                    continue
            elif opens_at != due and counters.is_discontinuity(symbol, due, opens_at, previous, open_):
                return
            due, previous, past, place = opens_at + interval, close, cells, (name, number)
            if opens_at > known:
                yield Candle(symbol, opens_at, interval, open_, high, low, close, volume, taker)


def looks_like_candles(path: Path, name: str) -> bool:
    """Return whether a file begins like candles. An empty one does, so that it is refused later. Raises TapeError."""
    with closing(blocks(path, name)) as parts:
        first = next(parts, [""])[0].split(",")
    return first == [""] or not _header_fault(first) or (len(first) in COLUMNS and len(first[0]) > 11)


def candle_length(path: Path, name: str) -> int:
    """Return how long a file's candles last (ms) by its first rows; 0 if that is unclear.

    Raises TapeError if there are no rows, or if the first is not a candle.
    """
    opens: list[int] = []
    lengths: list[int] = []
    with closing(_rows(RowFile(path=path, name=name), RowCounts(), 0)) as parts:
        rows = (
            (number, width, line)
            for _, numbers, width, lines in parts
            for number, line in zip(numbers, lines, strict=True)
        )
        for number, width, line in islice(rows, _PROBE):
            cells = line.split(",")
            if wrong := _row_fault(cells, width, SECOND):
                if opens:
                    break  # read_candles reports it
                raise refusal(name, number, wrong)
            opens.append(_open_ms(cells[0]))
            lengths.append(_length(cells))
    steps = [later - earlier for earlier, later in pairwise(opens) if later > earlier]
    interval = max(lengths) or min(steps, default=0)
    return interval if 0 < interval <= 7 * DAY and interval % SECOND == 0 else 0


def _rows(file: RowFile, counters: RowCounts, interval: int) -> Generator[RowBlock, None, None]:
    """Yield the rows of a file. Raises TapeError without a row, or if the first lasts longer than `interval` (ms)."""
    name = file.name

    def check(cells: list[str], number: int) -> None:
        length = 0 if _row_fault(cells, len(cells), 1) else _length(cells)
        if interval and length > interval:
            raise TapeError(
                f"{name}, line {number}: the candle lasts {span_name(length)}; expected {span_name(interval)} "
                "as the file's name says; rename the file"
            )

    return row_blocks(file, counters, _header, "candles", check)


def _header(cells: list[str]) -> str | None:
    return None if cells[0].strip().isdecimal() else _header_fault(cells)


def _key(line: str) -> int:
    opens_at = int(line[: line.index(",")])
    if opens_at > MICROSECONDS:
        opens_at //= 1000
    if not EARLIEST <= opens_at < LATEST:
        raise ValueError(line)
    return opens_at


def _length(cells: list[str]) -> int:
    """Return how long a candle of 12 columns lasts by its close_time (ms); 0 if the row does not show it."""
    try:
        return (int(cells[6]) - int(cells[0]) + 1) // (1000 if int(cells[0]) > MICROSECONDS else 1)
    except (IndexError, ValueError):
        return 0


def _open_ms(cell: str) -> int:
    """Return an open_time, written in ms or µs, in ms. Raises ValueError if it is no whole number of ms."""
    stamp = int(cell)
    if stamp > MICROSECONDS:
        stamp, rest = divmod(stamp, 1000)
        if rest:
            raise ValueError(f"{cell} is not a whole number of milliseconds")
    return stamp


def _is_off_grid(cell: str, grid: int) -> bool:
    """Return whether an open_time is valid but no multiple of `grid` (ms), as after an outage of the exchange."""
    try:
        opens_at = _open_ms(cell)
    except ValueError:
        return False
    return EARLIEST <= opens_at < LATEST and opens_at % grid != 0


def _taker_volume(cells: list[str], volume: float) -> float | None:
    """Return the taker buy volume of a good row; None without such a column, or if it exceeds the volume."""
    if len(cells) < TAKER + 1 or not cells[TAKER].strip():
        return None
    taken = float(cells[TAKER])
    return taken if taken <= volume else None


def _header_fault(cells: list[str]) -> str:
    """Return the fault of a first line that is no row; empty if it is a header of candles."""
    if [cell.strip().lower() for cell in cells[1:6]] == list(_FIELDS) and len(cells) in COLUMNS:
        return ""
    return (
        f"{shown(','.join(cells))} is neither a candle nor the header of candles; "
        f"expected open_time,{','.join(_FIELDS)} and perhaps six columns more"
    )


def _row_fault(cells: list[str], width: int, grid: int) -> str:
    """Return the fault of a row by itself; empty if it is a candle that opens on a multiple of `grid` (ms)."""
    if len(cells) not in COLUMNS or len(cells) != width:
        return columns_fault(cells, width if width in COLUMNS else "12, or 6 without close_time and the rest")
    return _time_fault(cells[0], grid) or _number_fault(cells) or _shape_fault(*map(float, cells[1:5]))


def _sequel_fault(opens_at: int, due: int, low: float, high: float, previous: float) -> str:
    """Return the fault of a good row that does not fit the row before it; empty if it fits."""
    if opens_at < due:
        return f"the candle opens at {iso(opens_at)}, before the previous one closes at {iso(due)}; expected no overlap"
    for name, price in (("low", low), ("high", high)):
        if not previous <= price * LEAP or not price <= previous * LEAP:
            return leap_fault(name, price, previous)
    return ""


def _time_fault(cell: str, grid: int) -> str:
    try:
        opens_at = _open_ms(cell)
    except ValueError:
        return f"open_time {shown(cell)} is not a whole number of milliseconds; expected ms or µs since 1970"
    if not EARLIEST <= opens_at < LATEST:
        return f"open_time {shown(cell)} is not between 2009 and 2100; expected ms or µs since 1970"
    if opens_at % grid:
        return f"open_time {iso(opens_at)} is not a multiple of {span_name(grid)}; expected candles on that grid"
    return ""


def _number_fault(cells: list[str]) -> str:
    for name, cell in zip(_FIELDS, cells[1:6], strict=True):
        try:
            number = float(cell)
        except ValueError:
            return f"the {name} {shown(cell)} is not a number; expected a decimal number"
        if not isfinite(number):
            return f"the {name} is {number}; expected a finite number"
        if number <= 0 and name != "volume":
            return f"the {name} {number!r} is not above zero; expected a price"
        if number < 0:
            return f"the volume {number!r} is negative; expected zero or more"
    if cells[-1] == "":
        return "the last column is empty, as in a half-written line; expected a value"
    if len(cells) <= TAKER:
        return ""
    try:
        taken = float(cells[TAKER].strip() or 0)
    except ValueError:
        return f"the taker_buy_volume {shown(cells[TAKER])} is not a number; expected a decimal number"
    return "" if 0.0 <= taken < inf else f"the taker_buy_volume is {taken}; expected zero or more"


def _shape_fault(open_: float, high: float, low: float, close: float) -> str:
    if high < low:
        return f"the high {high!r} is below the low {low!r}; expected it at or above"
    if low > min(open_, close):
        return f"the low {low!r} is above the open {open_!r} or the close {close!r}; expected it at or below both"
    if high < max(open_, close):
        return f"the high {high!r} is below the open {open_!r} or the close {close!r}; expected it at or above both"
    return ""

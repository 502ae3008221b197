"""Reads metrics and funding rates from rows."""

from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any, TypeVar

import msgspec

from ocw_mcp.adapters.feeds.stamps import METRICS_EVERY
from ocw_mcp.adapters.feeds.tape.options import RowCounts, number_of, order_fault, require_columns, shown, time_of
from ocw_mcp.adapters.feeds.tape.reading import Layout, RowBlock, TapeFile, in_order
from ocw_mcp.domain.market import Funding, Metrics
from ocw_mcp.domain.time import SECOND

Row = TypeVar("Row", Metrics, Funding)

_METRICS = (
    "create_time",
    "symbol",
    "sum_open_interest",
    "sum_open_interest_value",
    "count_toptrader_long_short_ratio",
    "sum_toptrader_long_short_ratio",
    "count_long_short_ratio",
    "sum_taker_long_short_vol_ratio",
)
_FUNDING = ("calc_time", "funding_interval_hours", "last_funding_rate")
_SMALLEST, _LARGEST_RATIO, _LARGEST_AMOUNT = 1e-9, 1e6, 1e18
"""The bounds of a valid ratio or amount, except 0."""
_RATE_BOUND = 1.0
"""A funding rate of the whole notional or more is invalid: it may be in percent or in basis points."""


def read_metrics(
    files: Sequence[TapeFile], symbol: str, after: int | None, counters: RowCounts
) -> Generator[Metrics, None, None]:
    """Yield the metrics of one symbol's files that are known later than `after` (ms), in time order.

    A row is known at the end of its five minutes: at its timestamp, or 5 min later if the timestamp is their beginning.
    A row that is invalid, or that contradicts another row of the same five minutes, is left out or raises TapeError,
    depending on the options of `counters`.
    """
    begins_from = counters.options.begins_from
    # The last row of the last day before the change has the time of the change, which is an end in that file.
    old = {file.name for file in files if file.ends is not None and file.ends <= begins_from}
    new = {file.name for file in files if file.starts is not None and file.starts >= begins_from}

    def make(cells: list[str], name: str, following: str) -> Metrics:
        stamp = _time(cells[0])
        if cells[1].strip().upper() != symbol:
            raise ValueError(f"the row is of {shown(cells[1])}; expected {symbol} as the file's name says")
        figures: list[Any] = [_figure(column, cell) for column, cell in zip(_METRICS[2:], cells[2:], strict=True)]
        begins = stamp > begins_from
        if stamp == begins_from and name not in old:
            # A file without a date may hold both: the end of the last old five minutes, then the new beginning.
            begins = name in new or following.split(",")[0] != cells[0] or following.split(",") == cells
        return Metrics(symbol, stamp + METRICS_EVERY if begins else stamp, *figures)

    def needs_next(line: str) -> bool:
        try:
            return METRICS.key(line) == begins_from
        except ValueError:
            return False

    return _read(files, METRICS, _METRICS, make, after, counters, needs_next)


def read_funding(
    files: Sequence[TapeFile], symbol: str, after: int | None, counters: RowCounts
) -> Generator[Funding, None, None]:
    """Yield the funding rates of one symbol's files that are settled later than `after` (ms), in time order.

    Settlement times, which may be some milliseconds late, are rounded up to a whole second, so that no rate is known
    too early. Raises TapeError as `read_metrics` does.
    """

    def make(cells: list[str], _name: str, _following: str) -> Funding:
        at = _settled(cells[0])
        try:
            hours = int(cells[1])
        except ValueError:
            hours = 0
        if not 1 <= hours <= 24:
            raise ValueError(f"the funding interval {shown(cells[1])} is not between 1 and 24; expected whole hours")
        rate = number_of("rate", cells[2], "a fraction such as 0.0001")
        if not abs(rate) < _RATE_BOUND:
            raise ValueError(f"the rate {rate} is not between -1 and 1; expected a fraction such as 0.0001")
        return Funding(symbol, at, rate, hours)

    return _read(files, FUNDING, _FUNDING, make, after, counters)


def _read(
    files: Sequence[TapeFile],
    layout: Layout,
    columns: tuple[str, ...],
    make: Callable[[list[str], str, str], Row],
    after: int | None,
    counters: RowCounts,
    needs_next: Callable[[str], bool] = lambda _line: False,
) -> Generator[Row, None, None]:
    """Yield what `make` returns for cells, file name and, if `needs_next(line)`, the text of the next row."""
    last: Row | None = None
    place = ("", 0)
    for name, number, line, following in _with_next(in_order(files, layout, counters), needs_next):
        try:
            cells = line.replace('"', "").split(",")
            require_columns(cells, len(cells) == len(columns), f"{len(columns)}: {','.join(columns)}")
            row = make(cells, name, following.replace('"', ""))
            if last is not None and row.at <= last.at:
                if row != last:
                    raise ValueError(order_fault(row.at, last.at, *place))
                counters.duplicates += 1
                continue
        except ValueError as fault:
            counters.leave_out(name, number, str(fault))
            continue
        counters.empty += msgspec.structs.astuple(row)[: len(columns)].count(None)
        last, place = row, (name, number)
        if after is None or row.at > after:
            yield row


def _with_next(
    parts: Iterator[RowBlock], needs_next: Callable[[str], bool]
) -> Generator[tuple[str, int, str, str], None, None]:
    """Yield each row's file, line number and text, and, if `needs_next(line)`, the text of its file's next row."""
    held: tuple[str, int, str] | None = None
    for part in parts:
        for number, line in zip(part.numbers, part.lines, strict=True):
            if held is not None:
                yield (*held, line if held[0] == part.name else "")
                held = None
            if needs_next(line):
                held = (part.name, number, line)
            else:
                yield part.name, number, line, ""
    if held is not None:
        yield (*held, "")


def _time(cell: str) -> int:
    """Return the time (ms) of a cell: a UTC time such as `2026-03-22 00:05:00`, or whole ms. Raises ValueError."""
    if cell.isdecimal():
        return _stamp(cell)
    try:
        time = datetime.fromisoformat(cell)
    except ValueError:
        raise ValueError(f"create_time {shown(cell)} is not a time; expected one such as 2026-03-22 00:05:00") from None
    utc = time if time.tzinfo else time.replace(tzinfo=UTC)
    return _stamp(cell, lambda _: round(utc.timestamp() * SECOND))


def _stamp(cell: str, parse: Callable[[str], int] = int) -> int:
    return time_of("the time", cell, parse, "ms since 1970", ", or a date")


def _settled(cell: str) -> int:
    """Return the time of a settlement, rounded up to a whole second, in ms. Raises ValueError."""
    return -(-_stamp(cell) // SECOND) * SECOND


def _figure(name: str, cell: str) -> float | None:
    """Return the number in a cell; None if the exchange left the cell empty. Raises ValueError."""
    if cell == "":
        return None
    number = number_of(name, cell, "one, or nothing")
    if not isfinite(number) or number < 0:
        raise ValueError(f"the {name} is {number}; expected zero or more")
    largest = _LARGEST_RATIO if "ratio" in name else _LARGEST_AMOUNT
    if number and not _SMALLEST <= number <= largest:
        raise ValueError(f"the {name} is {number:g}; expected 0, or {_SMALLEST:g} to {largest:g}")
    return number


def _layout(content: str, names: tuple[str, ...], time: Callable[[str], int]) -> Layout:
    """Return the layout of rows with the columns `names`; `time` returns the time (ms) in the first column."""

    def header(cells: list[str]) -> str | None:
        if cells[0].strip('"')[:1].isdigit():
            return None
        if [cell.strip().strip('"').lower() for cell in cells] == list(names):
            return ""
        return f"{shown(','.join(cells))} is neither a row nor the header; expected {','.join(names)}"

    return Layout(content, lambda line: time(line[: line.index(",")].strip('"')), header)


METRICS = _layout("metrics", _METRICS, _time)
FUNDING = _layout("funding rates", _FUNDING, _settled)

"""Builds candles from aggregate trades, for a tape that has trades and no candles."""

from collections.abc import Generator, Sequence
from math import inf
from typing import NamedTuple

from ocw_mcp.adapters.feeds.tape.faults import (
    EARLIEST,
    LATEST,
    LEAP,
    MICROSECONDS,
    columns_fault,
    leap_fault,
    shown,
)
from ocw_mcp.adapters.feeds.tape.options import RowCounts
from ocw_mcp.adapters.feeds.tape.ordering import in_order
from ocw_mcp.adapters.feeds.tape.reading import Layout, RowFile, row_blocks
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import DAY

_COLUMNS = (7, 8)
"""The columns of futures and of spot. The last one of spot is whether the price was the best."""
_FIRST = "agg_trade_id"
_ID_BITS = 44
"""A key is the time with the id in its low bits: trades of one ms keep their order, and duplicates are adjacent."""
_WORDS = {"true": True, "false": False}
_DIGITS = 8
"""Decimals of a volume: the exchange's quantities have no more, and rounding removes the noise of adding floats."""


class AggregateTrade(NamedTuple):
    """One aggregate trade: time in ms, price in quote currency, quantity in the base asset."""

    id: int
    at: int
    price: float
    quantity: float
    buyer_is_maker: bool


def read_trades(files: Sequence[RowFile], counters: RowCounts) -> Generator[AggregateTrade, None, None]:
    """Yield the trades of one symbol's files in time order.

    A row that is invalid, or that contradicts one of the same id, is left out or raises TapeError, depending on the
    options of `counters`.
    """
    last = AggregateTrade(-1, EARLIEST, 0.0, 0.0, False)
    place = ("", 0)
    for name, numbers, width, lines in in_order(files, TRADES, counters):
        for number, line in zip(numbers, lines, strict=True):
            cells = line.split(",")
            try:
                trade = AggregateTrade(
                    int(cells[0]), _ms(cells[5]), float(cells[1]), float(cells[2]), _WORDS[cells[6].lower()]
                )
                good = (
                    last.at <= trade.at < LATEST
                    and 0.0 < trade.price <= last.price * LEAP
                    and last.price <= trade.price * LEAP
                    and 0.0 <= trade.quantity < inf
                    and len(cells) == width
                    and trade.id != last.id
                )
            except (ValueError, IndexError, KeyError):
                counters.leave_out(name, number, _fault(cells, width))
                continue
            if not good:
                if trade == last and not _fault(cells, width):
                    counters.duplicates += 1
                    continue
                if wrong := _fault(cells, width) or _sequel_fault(trade, last, place):
                    counters.leave_out(name, number, wrong)
                    continue
            last, place = trade, (name, number)
            yield trade


def _sequel_fault(trade: AggregateTrade, last: AggregateTrade, place: tuple[str, int]) -> str:
    """Return the fault of a good trade that does not fit the trade before it; empty if it fits."""
    if trade.id == last.id:
        return f"the trade {trade.id} has other numbers than in {place[0]}, line {place[1]}; expected one and the same"
    if trade.at < last.at:
        return "the trade comes long after a later one; expected rows in the order of time"
    return leap_fault("price", trade.price, last.price) if last.id >= 0 else ""


def candles_from_trades(
    files: Sequence[RowFile],
    symbol: str,
    interval: int,
    after: int | None,
    counters: RowCounts,
    before: Candle | None = None,
) -> Generator[Candle, None, None]:
    """Yield candles of `interval` (ms) that close later than `after` (ms), built from trades; none without a trade.

    The last candle holds the trades that the files have of it. `before` is the last candle of earlier files, if there
    are any. The candles end before a price in another unit. Raises TapeError as `read_trades` does.
    """
    known = -1 if after is None else after - interval
    anchor = 4 * DAY if interval % (7 * DAY) == 0 else 0  # 1970 began on a Thursday, and weeks begin on Mondays
    opens_at, until = -1, -1
    open_ = high = low = close = volume = taken = 0.0

    def candle() -> Candle:
        totals = round(volume, _DIGITS), round(taken, _DIGITS)
        return Candle(symbol, opens_at, interval, open_, high, low, close, *totals)

    for _, at, price, quantity, buyer_is_maker in read_trades(files, counters):
        if at >= until:
            if opens_at > known:
                yield candle()
            opens_at = at - (at - anchor) % interval
            if before is not None and until < 0:
                until, close = before.close_time, before.close
            if opens_at > until >= 0 and counters.is_discontinuity(symbol, until, opens_at, close, price):
                return
            until = opens_at + interval
            open_ = high = low = price
            volume = taken = 0.0
        elif price > high:
            high = price
        elif price < low:
            low = price
        close = price
        volume += quantity
        if not buyer_is_maker:
            taken += quantity
    if opens_at > known:
        yield candle()


def _ms(cell: str) -> int:
    """Return a time in ms. A trade's microseconds are cut off, which leaves it in its candle. Raises ValueError."""
    stamp = int(cell)
    return stamp // 1000 if stamp > MICROSECONDS else stamp


def _key(line: str) -> int:
    cells = line.split(",", 6)
    number, at = int(cells[0]), _ms(cells[5])
    if not (EARLIEST <= at < LATEST and 0 <= number < 1 << _ID_BITS):
        raise ValueError(line)
    return at << _ID_BITS | number


def _fault(cells: list[str], width: int) -> str:
    """Return the fault of a row by itself; empty if it is a trade."""
    if len(cells) not in _COLUMNS or len(cells) != width:
        return columns_fault(cells, width if width in _COLUMNS else "7, or 8 on spot")
    try:
        if not 0 <= int(cells[0]) < 1 << _ID_BITS:
            raise ValueError
    except ValueError:
        return f"{_FIRST} {shown(cells[0])} is not an id; expected a whole number"
    try:
        if not EARLIEST <= _ms(cells[5]) < LATEST:
            return f"the time {shown(cells[5])} is not between 2009 and 2100; expected ms or µs since 1970"
    except ValueError:
        return f"the time {shown(cells[5])} is not a whole number of milliseconds; expected ms or µs since 1970"
    for name, cell in (("price", cells[1]), ("quantity", cells[2])):
        try:
            number = float(cell)
        except ValueError:
            return f"the {name} {shown(cell)} is not a number; expected a decimal number"
        if not 0.0 <= number < inf or (name == "price" and number == 0):
            return f"the {name} is {number}; expected a finite number above zero"
    if cells[6].lower() not in _WORDS:
        return f"is_buyer_maker is {shown(cells[6])}; expected true or false"
    return ""


def _header(cells: list[str]) -> str | None:
    if cells[0].strip().isdecimal():
        return None
    if cells[0].strip().lower() == _FIRST and len(cells) in _COLUMNS:
        return ""
    return f"{shown(','.join(cells))} is neither a trade nor the header of trades; expected {_FIRST},price,quantity,…"


TRADES = Layout(_key, lambda file, counters: row_blocks(file, counters, _header, "trades"), shift=_ID_BITS)

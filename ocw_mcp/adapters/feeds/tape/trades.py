"""Builds candles from aggregate trades, for a tape that has trades and no candles."""

from collections.abc import Generator, Sequence
from math import inf
from typing import NamedTuple

from ocw_mcp.adapters.feeds.tape.options import (
    EARLIEST,
    LATEST,
    LEAP,
    MICROSECONDS,
    RowCounts,
    number_of,
    require_columns,
    require_same_unit,
    shown,
    time_of,
)
from ocw_mcp.adapters.feeds.tape.reading import Layout, TapeFile, in_order
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


def read_trades(files: Sequence[TapeFile], counters: RowCounts) -> Generator[AggregateTrade, None, None]:
    """Yield the trades of one symbol's files in time order.

    A row that is invalid, or that contradicts one of the same id, is left out or raises TapeError, depending on the
    options of `counters`.
    """
    trade = last = AggregateTrade(-1, EARLIEST, 0.0, 0.0, False)
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
                good = False
            if not good:
                try:
                    _check(cells, width)
                    if trade == last:
                        counters.duplicates += 1
                        continue
                    if trade.id == last.id:
                        raise ValueError(
                            f"the trade {trade.id} has other numbers than in {place[0]}, line {place[1]}; expected one "
                            "and the same"
                        )
                    if trade.at < last.at:
                        raise ValueError("the trade comes long after a later one; expected rows in the order of time")
                    if last.id >= 0:
                        require_same_unit("price", trade.price, last.price)
                except ValueError as fault:
                    counters.leave_out(name, number, str(fault))
                    continue
            last, place = trade, (name, number)
            yield trade


def candles_from_trades(
    files: Sequence[TapeFile],
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
    at = int(cell)
    return at // 1000 if at > MICROSECONDS else at


def _key(line: str) -> int:
    cells = line.split(",", 6)
    number, at = int(cells[0]), _ms(cells[5])
    if not (EARLIEST <= at < LATEST and 0 <= number < 1 << _ID_BITS):
        raise ValueError(line)
    return at << _ID_BITS | number


def _check(cells: list[str], width: int) -> None:
    """Raise ValueError with the fault of a row that is no trade."""
    right = len(cells) in _COLUMNS and len(cells) == width
    require_columns(cells, right, width if width in _COLUMNS else "7, or 8 on spot")
    try:
        number = int(cells[0])
    except ValueError:
        number = -1
    if not 0 <= number < 1 << _ID_BITS:
        raise ValueError(f"{_FIRST} {shown(cells[0])} is not an id; expected a whole number")
    time_of("the time", cells[5], _ms)
    for name, cell in (("price", cells[1]), ("quantity", cells[2])):
        amount = number_of(name, cell)
        if not 0.0 <= amount < inf or (name == "price" and amount == 0):
            raise ValueError(f"the {name} is {amount}; expected a finite number above zero")
    if cells[6].lower() not in _WORDS:
        raise ValueError(f"is_buyer_maker is {shown(cells[6])}; expected true or false")


def _header(cells: list[str]) -> str | None:
    if cells[0].strip().isdecimal():
        return None
    if cells[0].strip().lower() == _FIRST and len(cells) in _COLUMNS:
        return ""
    return f"{shown(','.join(cells))} is neither a trade nor the header of trades; expected {_FIRST},price,quantity,…"


TRADES = Layout("trades", _key, _header, shift=_ID_BITS)

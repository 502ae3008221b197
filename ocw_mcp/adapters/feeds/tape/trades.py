"""Candles built from aggregate trades, where a tape has trades and no candles."""

from collections.abc import Generator, Sequence
from math import inf
from typing import NamedTuple

from ocw_mcp.adapters.feeds.tape.body import body, refusal, shown
from ocw_mcp.adapters.feeds.tape.faults import EARLIEST, LATEST, LEAP, MICROSECONDS
from ocw_mcp.adapters.feeds.tape.order import Layout, Rows, in_order
from ocw_mcp.adapters.feeds.tape.terms import RowCounts
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import DAY

_COLUMNS = (7, 8)
"""Of futures and of spot, whose last one tells whether the price was the best."""
_FIRST = "agg_trade_id"
_ID_BITS = 44
"""A key is the time with the id below it: trades of one moment keep their order, and overlapping files meet."""
_WORDS = {"true": True, "false": False}
_DIGITS = 8
"""Decimals of a volume: the exchange's quantities have no more, and the noise of adding floats is cut off."""


class AggregateTrade(NamedTuple):
    """One aggregate trade: time in ms, price in quote currency, quantity in the base asset."""

    id: int
    at: int
    price: float
    quantity: float
    buyer_is_maker: bool


def trades(files: Sequence[Rows], counters: RowCounts) -> Generator[AggregateTrade, None, None]:
    """The trades of one symbol's files in the order of time.

    Raises TapeError at the first row that cannot be believed, or that contradicts one of the same id.
    """
    last = AggregateTrade(-1, EARLIEST, 0.0, 0.0, False)
    place = ("", 0)
    for name, numbers, width, lines in in_order(files, TRADES, counters):
        counters.rows += len(lines)
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
                counters.leave_out(name, refusal(name, number, _fault(cells, width)))
                continue
            if not good:
                if trade == last and not _fault(cells, width):
                    counters.duplicates += 1
                    continue
                if wrong := _fault(cells, width) or _sequel_fault(trade, last, place):
                    counters.leave_out(name, refusal(name, number, wrong))
                    continue
            last, place = trade, (name, number)
            yield trade


def _sequel_fault(trade: AggregateTrade, last: AggregateTrade, place: tuple[str, int]) -> str:
    """What is wrong with a trade, good by itself, after the one before it; empty when nothing is."""
    if trade.id == last.id:
        return f"the trade {trade.id} has other numbers than in {place[0]}, line {place[1]}; expected one and the same"
    if trade.at < last.at:
        return "the trade comes long after a later one; expected rows in the order of time"
    if last.id >= 0:
        return (
            f"the price {trade.price!r} is over a million times off the previous price {last.price!r}; "
            "expected the same unit and decimal point throughout"
        )
    return ""


def trade_candles(
    files: Sequence[Rows],
    symbol: str,
    interval: int,
    after: int | None,
    counters: RowCounts,
    before: Candle | None = None,
) -> Generator[Candle, None, None]:
    """Candles of `interval` (ms) that close later than `after` (ms), built from trades; none where nothing was traded.

    The last one holds whatever the files have of it. `before` is the last candle of earlier files, if there are some.
    They end before a price in another unit. Raises TapeError as `trades` does.
    """
    known = -1 if after is None else after - interval
    anchor = 4 * DAY if interval % (7 * DAY) == 0 else 0  # 1970 began on a Thursday, and weeks begin on Mondays
    opens_at, until = -1, -1
    open_ = high = low = close = volume = taken = 0.0
    for _, at, price, quantity, buyer_is_maker in trades(files, counters):
        if at >= until:
            if opens_at > known:
                yield _candle(symbol, opens_at, interval, open_, high, low, close, volume, taken)
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
        yield _candle(symbol, opens_at, interval, open_, high, low, close, volume, taken)


def _candle(
    symbol: str,
    opens_at: int,
    interval: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
    taken: float,
) -> Candle:
    return Candle(symbol, opens_at, interval, open_, high, low, close, round(volume, _DIGITS), round(taken, _DIGITS))


def _ms(cell: str) -> int:
    """A time in ms; a trade's microseconds are cut off, which leaves it in its candle. Raises ValueError."""
    stamp = int(cell)
    return stamp // 1000 if stamp > MICROSECONDS else stamp


def _key(line: str) -> int:
    cells = line.split(",", 6)
    number, at = int(cells[0]), _ms(cells[5])
    if not (EARLIEST <= at < LATEST and 0 <= number < 1 << _ID_BITS):
        raise ValueError(line)
    return at << _ID_BITS | number


def _fault(cells: list[str], width: int) -> str:
    """What is wrong with a row by itself; empty when it is a trade."""
    if len(cells) not in _COLUMNS or len(cells) != width:
        expected = str(width) if width in _COLUMNS else "7, or 8 on spot"
        return f"the row has {len(cells)} column{'s' * (len(cells) != 1)}; expected {expected}"
    try:
        if not 0 <= int(cells[0]) < 1 << _ID_BITS:
            raise ValueError
    except ValueError:
        return f"{_FIRST} {shown(cells[0])} is no id; expected a whole number"
    try:
        if not EARLIEST <= _ms(cells[5]) < LATEST:
            return f"the time {shown(cells[5])} is not between 2009 and 2100; expected ms or µs since 1970"
    except ValueError:
        return f"the time {shown(cells[5])} is no whole number of milliseconds; expected ms or µs since 1970"
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


TRADES = Layout(_key, lambda file, counters: body(file, counters, _header, "trades"), shift=_ID_BITS)

"""Reads candles from rows, or builds them from aggregate trades for a tape that has trades and no candles."""

from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import islice, pairwise
from math import inf, isfinite
from typing import NamedTuple

from ocw_mcp.adapters.feeds.tape.options import (
    EARLIEST,
    LATEST,
    LEAP,
    MICROSECONDS,
    RowCounts,
    number_of,
    order_fault,
    refusal,
    require_columns,
    require_same_unit,
    shown,
    time_of,
)
from ocw_mcp.adapters.feeds.tape.reading import Layout, TapeFile, blocks, in_order, row_blocks
from ocw_mcp.adapters.feeds.tape.whole_blocks import whole_block
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import DAY, SECOND, iso, span_name

COLUMNS = (6, 12)
TAKER = 9
"""The column of the taker buy volume, in rows of 12 columns."""
_FIELDS = ("open", "high", "low", "close", "volume")
_PROBE = 100
_TRADE_COLUMNS = (7, 8)
"""Numbers of columns for futures and for spot; the eighth column says whether the price was the best match."""
_FIRST = "agg_trade_id"
_ID_BITS = 44
"""Number of low bits of a sort key that hold the trade's id; the others hold its time (ms)."""
_WORDS = {"true": True, "false": False}
_DIGITS = 8
"""Decimals of a volume: the exchange's quantities have no more, and rounding removes the noise of adding floats."""


class _OffGridError(ValueError):
    """An open time that is no multiple of the interval (at most a day), as after an outage: a frequent fault."""


def candle_layout(interval: int) -> Layout:
    """Return the layout of files with candles of `interval` (ms), which is 0 if unknown."""

    def check(file: TapeFile, cells: list[str], number: int) -> None:
        try:
            _checked(cells, len(cells), 1)
            length = _length(cells)
        except ValueError:
            return
        if 0 < interval < length:
            raise TapeError(
                f"{file.name}, line {number}: the candle lasts {span_name(length)}; expected {span_name(interval)} "
                "as the file's name says; rename the file"
            )

    return Layout("candles", _key, _header, check, leads=True)


def read_candles(
    files: Sequence[TapeFile],
    symbol: str,
    interval: int,
    after: int | None,
    counters: RowCounts,
    before: Candle | None = None,
) -> Generator[Candle, None, None]:
    """Yield the candles of one symbol's files that close later than `after` (ms), in time order.

    `before` is the last candle of earlier files, if there are any. The candles end before a gap after which prices are
    in another unit. A row that is invalid, or that contradicts the row before it, is left out or raises TapeError,
    depending on the options of `counters`.
    """
    grid = min(interval, DAY)  # longer candles open on a day, but on no multiple of their length since 1970
    known = -1 if after is None else after - interval
    due, previous = EARLIEST, 0.0
    past: list[str] = []
    place = ("", 0)
    for name, numbers, width, lines in in_order(files, candle_layout(interval), counters):
        whole = whole_block(lines, width, symbol, interval, due, previous) if previous and due % grid == 0 else None
        if whole is not None:
            due, previous = whole[-1].close_time, whole[-1].close
            past, place = lines[-1].split(","), (name, numbers[-1])
            yield from whole if whole[0].open_time > known else (each for each in whole if each.open_time > known)
            continue
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
                try:
                    opens_at, open_, high, low, close, volume, taker = _checked(cells, width, grid)
                    if past and opens_at <= (last := _open_ms(past[0])):
                        if opens_at != last or list(map(float, cells[1:6])) != list(map(float, past[1:6])):
                            raise ValueError(order_fault(opens_at, last, *place))
                        counters.duplicates += 1
                        continue
                    if not past and before is not None and opens_at > before.close_time:
                        due, previous = before.close_time, before.close
                    if (
                        previous
                        and opens_at > due
                        and counters.is_discontinuity(symbol, due, opens_at, previous, open_)
                    ):
                        return
                    if opens_at < due:
                        raise ValueError(
                            f"the candle opens at {iso(opens_at)}, before the previous one closes at {iso(due)}; "
                            "expected no overlap"
                        )
                    require_same_unit("low", low, previous or open_)
                    require_same_unit("high", high, previous or open_)
                except ValueError as fault:
                    counters.leave_out(name, number, str(fault), often=isinstance(fault, _OffGridError))
                    continue
            elif opens_at != due and counters.is_discontinuity(symbol, due, opens_at, previous, open_):
                return
            due, previous, past, place = opens_at + interval, close, cells, (name, number)
            if opens_at > known:
                yield Candle(symbol, opens_at, interval, open_, high, low, close, volume, taker)


def looks_like_candles(file: TapeFile) -> bool:
    """Return whether a file begins like candles, or is empty (reading it reports that). Raises TapeError."""
    with closing(blocks(file.path, file.name)) as parts:
        first = next(parts, [""])[0].split(",")
    return first == [""] or _is_header(first) or (len(first) in COLUMNS and len(first[0]) > 11)


def candle_length(file: TapeFile) -> int:
    """Return the length of candles (ms) from a file's first rows; 0 if unclear. Raises TapeError without a candle."""
    opens: list[int] = []
    lengths: list[int] = []
    with closing(row_blocks(file, candle_layout(0), RowCounts())) as parts:
        rows = ((part.width, *row) for part in parts for row in zip(part.numbers, part.lines, strict=True))
        for width, number, line in islice(rows, _PROBE):
            cells = line.split(",")
            try:
                opens.append(_checked(cells, width, SECOND)[0])
            except ValueError as fault:
                if opens:
                    break  # read_candles reports it
                raise refusal(file.name, number, str(fault)) from None
            lengths.append(_length(cells))
    steps = [later - earlier for earlier, later in pairwise(opens) if later > earlier]
    interval = max(lengths) or min(steps, default=0)
    return interval if 0 < interval <= 7 * DAY and interval % SECOND == 0 else 0


def _header(cells: list[str]) -> str | None:
    if cells[0].strip().isdecimal():
        return None
    if _is_header(cells):
        return ""
    return (
        f"{shown(','.join(cells))} is neither a candle nor the header of candles; "
        f"expected open_time,{','.join(_FIELDS)} and perhaps six columns more"
    )


def _is_header(cells: list[str]) -> bool:
    return [cell.strip().lower() for cell in cells[1:6]] == list(_FIELDS) and len(cells) in COLUMNS


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
    at = int(cell)
    if at <= MICROSECONDS:
        return at
    if at % 1000:
        raise ValueError(cell)
    return at // 1000


def _checked(cells: list[str], width: int, grid: int) -> tuple[int, float, float, float, float, float, float | None]:
    """Return the open time (ms), prices, volume and taker volume of a row; None for an unknown taker volume.

    Raises ValueError with the fault, unless the row is a candle that opens on a multiple of `grid` (ms).
    """
    right = len(cells) in COLUMNS and len(cells) == width
    require_columns(cells, right, width if width in COLUMNS else "12, or 6 without close_time and the rest")
    opens_at = time_of("open_time", cells[0], _open_ms)
    if opens_at % grid:
        raise _OffGridError(
            f"open_time {iso(opens_at)} is not a multiple of {span_name(grid)}; expected candles on that grid"
        )
    for name, cell in zip(_FIELDS, cells[1:6], strict=True):
        number = number_of(name, cell)
        if not isfinite(number):
            raise ValueError(f"the {name} is {number}; expected a finite number")
        if number <= 0 and name != "volume":
            raise ValueError(f"the {name} {number!r} is not above zero; expected a price")
        if number < 0:
            raise ValueError(f"the volume {number!r} is negative; expected zero or more")
    if cells[-1] == "":
        raise ValueError("the last column is empty, as in a half-written line; expected a value")
    open_, high, low, close, volume = map(float, cells[1:6])
    taker = number_of("taker_buy_volume", cells[TAKER]) if width > TAKER and cells[TAKER].strip() else None
    if taker is not None and not 0.0 <= taker < inf:
        raise ValueError(f"the taker_buy_volume is {taker}; expected zero or more")
    ends = f"open {open_!r} or the close {close!r}"
    if high < low:
        raise ValueError(f"the high {high!r} is below the low {low!r}; expected a high at or above the low")
    if low > min(open_, close):
        raise ValueError(f"the low {low!r} is above the {ends}; expected a low at or below both")
    if high < max(open_, close):
        raise ValueError(f"the high {high!r} is below the {ends}; expected a high at or above both")
    return opens_at, open_, high, low, close, volume, taker if taker is None or taker <= volume else None


class AggregateTrade(NamedTuple):
    """One aggregate trade: time in ms, price in quote currency, quantity in the base asset."""

    id: int
    at: int
    price: float
    quantity: float
    buyer_is_maker: bool


def read_trades(files: Sequence[TapeFile], counters: RowCounts) -> Generator[AggregateTrade, None, None]:
    """Yield the trades of one symbol's files in time order.

    A row that is invalid, or that contradicts another row of the same id, is left out or raises TapeError, depending on
    the options of `counters`.
    """
    trade = last = AggregateTrade(-1, EARLIEST, 0.0, 0.0, False)
    place = ("", 0)
    for name, numbers, width, lines in in_order(files, TRADES, counters):
        for number, line in zip(numbers, lines, strict=True):
            cells = line.split(",")
            try:
                trade = AggregateTrade(
                    int(cells[0]), _trade_ms(cells[5]), float(cells[1]), float(cells[2]), _WORDS[cells[6].lower()]
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
                    _check_trade(cells, width)
                    if trade == last:
                        counters.duplicates += 1
                        continue
                    if trade.id == last.id:
                        raise ValueError(
                            f"the trade {trade.id} differs from that in {place[0]}, line {place[1]}; expected "
                            "one trade per id"
                        )
                    if trade.at < last.at:
                        raise ValueError("the trade is earlier than the previous one; expected rows in time order")
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
    """Yield candles of `interval` (ms) that close later than `after` (ms), built from trades.

    Intervals without trades have no candle; the last candle may lack trades. `before` is the last candle of earlier
    files, if there are any. The candles end before a gap after which prices are in another unit. Raises TapeError as
    `read_trades` does.
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


def _trade_ms(cell: str) -> int:
    """Return a time in ms; microseconds are cut off, so that a trade stays in its candle. Raises ValueError."""
    at = int(cell)
    return at // 1000 if at > MICROSECONDS else at


def _trade_key(line: str) -> int:
    cells = line.split(",", 6)
    number, at = int(cells[0]), _trade_ms(cells[5])
    if not (EARLIEST <= at < LATEST and 0 <= number < 1 << _ID_BITS):
        raise ValueError(line)
    return at << _ID_BITS | number


def _check_trade(cells: list[str], width: int) -> None:
    """Raise ValueError with the fault of a row that is no trade."""
    right = len(cells) in _TRADE_COLUMNS and len(cells) == width
    require_columns(cells, right, width if width in _TRADE_COLUMNS else "7, or 8 on spot")
    try:
        number = int(cells[0])
    except ValueError:
        number = -1
    if not 0 <= number < 1 << _ID_BITS:
        raise ValueError(f"{_FIRST} {shown(cells[0])} is not an id; expected a whole number")
    time_of("the time", cells[5], _trade_ms)
    for name, cell in (("price", cells[1]), ("quantity", cells[2])):
        amount = number_of(name, cell)
        if not 0.0 <= amount < inf or (name == "price" and amount == 0):
            raise ValueError(f"the {name} is {amount}; expected a finite number above zero")
    if cells[6].lower() not in _WORDS:
        raise ValueError(f"is_buyer_maker is {shown(cells[6])}; expected true or false")


def _trade_header(cells: list[str]) -> str | None:
    if cells[0].strip().isdecimal():
        return None
    if cells[0].strip().lower() == _FIRST and len(cells) in _TRADE_COLUMNS:
        return ""
    return f"{shown(','.join(cells))} is neither a trade nor the header of trades; expected {_FIRST},price,quantity,…"


TRADES = Layout("trades", _trade_key, _trade_header, shift=_ID_BITS)

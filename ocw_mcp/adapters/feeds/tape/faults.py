"""What can be wrong with a row, as half a sentence: what it is, and what was expected. Called for odd rows only."""

from math import inf, isfinite

from ocw_mcp.domain.time import iso, span_name

EARLIEST = 1_230_768_000_000
LATEST = 4_102_444_800_000
"""2009 and 2100, ms: no market that is traded here is older, and no candle is that far in the future."""
MICROSECONDS = 10**14
"""Stamps above this count microseconds, as the archive's spot files do from 2025; in ms it would be the year 5138."""
LEAP = 1e6
"""No price moves by this factor from one candle to the next: a misplaced decimal point or another unit does."""

COLUMNS = (6, 12)
TAKER = 9
"""The column of the volume that buyers took, in rows of 12."""
_FIELDS = ("open", "high", "low", "close", "volume")
_SHOWN = 40


def open_ms(cell: str) -> int:
    """An open_time in ms, whichever unit it is written in. Raises ValueError for no whole number of ms."""
    stamp = int(cell)
    if stamp > MICROSECONDS:
        stamp, rest = divmod(stamp, 1000)
        if rest:
            raise ValueError(f"{cell} is no whole number of milliseconds")
    return stamp


def header_fault(cells: list[str]) -> str:
    """What is wrong with a first line that is no row; empty when it is a header of candles."""
    if [cell.strip().lower() for cell in cells[1:6]] == list(_FIELDS) and len(cells) in COLUMNS:
        return ""
    return (
        f"{_shown(','.join(cells))} is neither a candle nor the header of candles; "
        f"expected open_time,{','.join(_FIELDS)} and perhaps six columns more"
    )


def row_fault(cells: list[str], width: int, grid: int) -> str:
    """What is wrong with a row by itself; empty when it is a candle that opens on a multiple of `grid` (ms)."""
    if len(cells) not in COLUMNS or len(cells) != width:
        expected = str(width) if width in COLUMNS else "12, or 6 without close_time and what follows"
        return f"the row has {len(cells)} column{'s' * (len(cells) != 1)}; expected {expected}"
    return _time_fault(cells[0], grid) or _number_fault(cells) or _shape_fault(*map(float, cells[1:6]))


def sequel_fault(opens_at: int, due: int, low: float, high: float, previous: float) -> str:
    """What is wrong with a row, good by itself, after the one before it; empty when nothing is."""
    if opens_at < due:
        return f"the candle opens at {iso(opens_at)}, before the previous one closes at {iso(due)}; expected no overlap"
    for name, price in (("low", low), ("high", high)):
        if not previous <= price * LEAP or not price <= previous * LEAP:
            return (
                f"the {name} {price!r} is over a million times off the previous price {previous!r}; "
                "expected the same unit and decimal point throughout"
            )
    return ""


def again_fault(at: int, last: int, name: str, number: int) -> str:
    """What is wrong with a row that does not come after the one before it, which stands in `name`, line `number`."""
    if at == last:
        return (
            f"the row of {iso(at)} has other numbers than the one in {name}, line {number}; "
            "expected one and the same; take one of them out"
        )
    return f"the row of {iso(at)} comes long after that of {iso(last)}; expected rows in the order of time"


def off_grid(cell: str, grid: int) -> bool:
    """Whether an open_time is a time, but on no multiple of `grid` (ms), as after an outage of the exchange."""
    try:
        opens_at = open_ms(cell)
    except ValueError:
        return False
    return EARLIEST <= opens_at < LATEST and opens_at % grid != 0


def taker_volume(cells: list[str], volume: float) -> float | None:
    """What buyers took, out of a good row; None where it has no such column, or no share of the volume in it."""
    if len(cells) < TAKER + 1 or not cells[TAKER].strip():
        return None
    taken = float(cells[TAKER])
    return taken if taken <= volume else None


def _time_fault(cell: str, grid: int) -> str:
    try:
        opens_at = open_ms(cell)
    except ValueError:
        return f"open_time {_shown(cell)} is no whole number of milliseconds; expected ms or µs since 1970"
    if not EARLIEST <= opens_at < LATEST:
        return f"open_time {_shown(cell)} is not between 2009 and 2100; expected ms or µs since 1970"
    if opens_at % grid:
        return f"open_time {iso(opens_at)} is no multiple of {span_name(grid)}; expected candles on that grid"
    return ""


def _number_fault(cells: list[str]) -> str:
    for name, cell in zip(_FIELDS, cells[1:6], strict=True):
        try:
            number = float(cell)
        except ValueError:
            return f"the {name} {_shown(cell)} is not a number; expected a decimal number"
        if not isfinite(number):
            return f"the {name} is {number}; expected a finite number"
        if number <= 0 and name != "volume":
            return f"the {name} {number!r} is not above zero; expected a price"
        if number < 0:
            return f"the volume {number!r} is negative; expected zero or more"
    if cells[-1] == "":
        return "the last column is empty, as in a half-written line; expected a value"
    return _taker_fault(cells[TAKER]) if len(cells) > TAKER else ""


def _taker_fault(cell: str) -> str:
    try:
        taken = float(cell.strip() or 0)
    except ValueError:
        return f"the taker_buy_volume {_shown(cell)} is not a number; expected a decimal number"
    return "" if 0.0 <= taken < inf else f"the taker_buy_volume is {taken}; expected zero or more"


def _shape_fault(open_: float, high: float, low: float, close: float, _volume: float) -> str:
    if high < low:
        return f"the high {high!r} is below the low {low!r}; expected it at or above"
    if low > min(open_, close):
        return f"the low {low!r} is above the open {open_!r} or the close {close!r}; expected it at or below both"
    if high < max(open_, close):
        return f"the high {high!r} is below the open {open_!r} or the close {close!r}; expected it at or above both"
    return ""


def _shown(text: str) -> str:
    """What a file says, fit for one line of a message."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")

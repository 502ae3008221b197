"""The options of reading a tape, the bounds of valid rows, and the faults that are found while reading."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.time import SECOND, iso

EARLIEST: Final = 1_230_768_000_000
LATEST: Final = 4_102_444_800_000
"""The beginnings of 2009 and 2100 (ms): a row before EARLIEST, or at LATEST or later, is invalid."""
MICROSECONDS: Final = 10**14
"""Times above this number are in µs, as in the archive's spot files from 2025 on; in ms, it means the year 5138."""
LEAP: Final = 1e6
"""A price that moves by this factor from one row to the next has a misplaced decimal point or another unit."""
STAMP_CHANGE: Final = int(datetime(2026, 6, 25, tzinfo=UTC).timestamp()) * SECOND
"""From this time (ms) on, a timestamp of the archive's metrics is the beginning of five minutes; before, the end."""
ROWS_PER_FAULT: Final = 10
"""At most one row in this number of rows may be left out."""
ALREADY_READ: Final = 1 << 60
"""Initial `RowCounts.taken` of a resumed pass: so large that invalid rows are never more than a tenth."""
DISCONTINUITY_FACTOR: Final = 10.0
"""A price that changes by more than this factor across a gap is taken to be in another unit."""
AGAIN: Final = "download it again"
_SHOWN = 40


class TapeOptions(msgspec.Struct, frozen=True):
    """Options of reading a tape. Options that change the market data are part of the tape's identity."""

    strict: bool = True
    """Refuse the tape at its first fault; otherwise invalid rows and files are left out and reported."""
    discontinuity: float = DISCONTINUITY_FACTOR
    begins_from: int = STAMP_CHANGE
    """From this time (ms) on, the timestamp of metrics is the beginning of their five minutes, and not the end."""

    @property
    def changes(self) -> str:
        """The options that differ from the defaults, as text for a fingerprint; empty if none does."""
        usual = TapeOptions()
        names = ("discontinuity", "begins_from")
        return " ".join(f"{n}={getattr(self, n)!r}" for n in names if getattr(self, n) != getattr(usual, n))


class LeftOut(msgspec.Struct):
    """A part of a tape that is not read: a whole file, or some of its rows."""

    file: str
    """Path relative to that of the tape."""
    why: str
    rows: int | None = None
    """The number of rows that are not read; None if no row of the file is read, or none after the fault."""
    read: bool = False
    """Whether the file is read in spite of its fault, which is only reported."""

    def __str__(self) -> str:
        return f"{self.verdict}: {self.fault}"

    @property
    def verdict(self) -> str:
        """The outcome for the file or its rows: `read anyway` or `left out`."""
        return "read anyway" if self.read else "left out"

    @property
    def fault(self) -> str:
        """The name of the file, its fault, and the number of rows that are left out."""
        if self.rows is None:
            return self.why if self.why.startswith(self.file) else f"{self.file}: {self.why}"
        more = f" ({self.rows:,} rows of this file are left out)" if self.rows > 1 else " (this row is left out)"
        return self.why + more


class Discontinuity(msgspec.Struct, frozen=True):
    """A price in another unit after a gap; the symbol ends before the gap. Times in ms, prices in quote currency."""

    symbol: str
    since: int
    """Close time of the last candle before the gap."""
    until: int
    """Open time of the first candle after the gap."""
    before: float
    after: float

    def __str__(self) -> str:
        return (
            f"{self.symbol} goes from {self.before!r} to {self.after!r} between {iso(self.since)} and "
            f"{iso(self.until)}, in which it has no candles"
        )


class RowCounts(msgspec.Struct):
    """The counts and the faults of one pass over a tape so far."""

    duplicates: int = 0
    """Rows equal to an earlier row, which are dropped."""
    disordered: int = 0
    """Rows that came after a later row of their file, and are put in order."""
    empty: int = 0
    """Fields without a value, in streams that allow them."""
    options: TapeOptions = TapeOptions()
    taken: int = 0
    """Number of rows read so far in all streams, counted in whole blocks."""
    faults: int = 0
    """Number of rows left out, except those of a frequent fault."""
    left_out: dict[str, LeftOut] = {}
    """The first fault of each file, and its number of rows that are left out."""
    discontinuities: dict[str, Discontinuity] = {}
    """By symbol."""

    def leave_out(self, file: str, number: int, wrong: str, *, often: bool = False) -> None:
        """Leave one row out, given its file, line number and fault.

        Raises TapeError if the options are strict, or if more than a tenth of the rows so far are left out: the
        file is then not a tape. Rows of a frequent fault (`often`) do not count towards the tenth.
        """
        fault = refusal(file, number, wrong)
        self.faults += not often
        if self.options.strict or (not often and self.faults * ROWS_PER_FAULT > self.taken):
            raise fault from None
        known = self.left_out.setdefault(file, LeftOut(file, str(fault), 0))
        if known.rows is not None:
            known.rows += 1

    def give_up(self, file: str, fault: TapeError) -> None:
        """Leave out the rest of a file because of `fault`, or raise it if the options are strict."""
        if self.options.strict:
            raise fault
        known = self.left_out.get(file)
        before = f"{known.why}; " if known is not None else ""
        self.left_out[file] = LeftOut(file, f"{before}{fault}; the rest of the file is left out")

    def is_discontinuity(self, symbol: str, since: int, until: int, before: float, after: float) -> bool:
        """Return whether a price after a gap is in another unit; if so, record it."""
        factor = self.options.discontinuity
        if before <= after * factor and after <= before * factor:
            return False
        self.discontinuities[symbol] = Discontinuity(symbol, since, until, before, after)
        return True


def shown(text: str) -> str:
    """Return a text from a file in quotes, shortened for a message."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def refusal(name: str, number: int, wrong: str) -> TapeError:
    """Return the error for an invalid line of a file."""
    return TapeError(f"{name}, line {number}: {wrong}; correct the line, or if the file is damaged, {AGAIN}")


def require_columns(cells: list[str], right: bool, expected: object) -> None:
    """Raise ValueError unless the number of columns of a row is `right`; the message names the `expected` number."""
    if not right:
        raise ValueError(f"the row has {len(cells)} column{'s' * (len(cells) != 1)}; expected {expected}")


def time_of(
    name: str, cell: str, parse: Callable[[str], int], expected: str = "ms or µs since 1970", otherwise: str = ""
) -> int:
    """Return the time (ms) that `parse` reads from a cell. Raises ValueError if there is none from 2009 to 2100.

    The message names the units of whole numbers (`expected`), and other accepted forms of a time (`otherwise`).
    """
    try:
        at = parse(cell)
    except ValueError:
        raise ValueError(f"{name} {shown(cell)} is not a whole number of milliseconds; expected {expected}") from None
    if not EARLIEST <= at < LATEST:
        raise ValueError(f"{name} {shown(cell)} is not between 2009 and 2100; expected {expected}{otherwise}")
    return at


def number_of(name: str, cell: str, expected: str = "a decimal number") -> float:
    """Return the number in a cell. Raises ValueError."""
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"the {name} {shown(cell)} is not a number; expected {expected}") from None


def require_same_unit(name: str, price: float, previous: float) -> None:
    """Raise ValueError for a price that is more than LEAP times the previous price, or less than its inverse."""
    if not (previous <= price * LEAP and price <= previous * LEAP):
        raise ValueError(
            f"the {name} {price!r} differs from the previous price {previous!r} by a factor of over a million; "
            "expected the same unit and decimal point in all rows"
        )


def order_fault(at: int, last: int, name: str, number: int) -> str:
    """Return the fault of a row whose time (ms) is not after that of the previous row, line `number` of `name`."""
    if at == last:
        return (
            f"the row of {iso(at)} differs from that of the same time in {name}, line {number}; "
            "expected equal rows; remove one of them"
        )
    return f"the row of {iso(at)} comes after the later row of {iso(last)}; expected rows in the order of time"

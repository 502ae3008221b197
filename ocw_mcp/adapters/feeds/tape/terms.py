"""How a tape is read: what stops a run, what is left out and named, and which moment a stamp means."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.text import printable
from ocw_mcp.domain.time import SECOND, iso

CUT_OVER: Final = int(datetime(2026, 6, 25, tzinfo=UTC).timestamp()) * SECOND
"""From this moment (ms) on the archive stamps metrics with the beginning of their five minutes, no longer the end."""
MOST_FAULTS: Final = 10
"""One row of so many may be left out."""
PROVEN: Final = 1 << 60
"""Rows that count as taken where a pass goes on after others, which had them."""
FACTOR: Final = 10.0
"""A price that changes by more than this factor while no candle was there is in another unit."""


class TapeTerms(msgspec.Struct, frozen=True):
    """The reader's choices. Those that change what is traded on are part of a tape's identity."""

    strict: bool = True
    """Refuse the tape at its first fault; else rows and files that cannot be believed are left out and named."""
    discontinuity: float = FACTOR
    begins_from: int = CUT_OVER
    """Metrics stamped at or after this moment (ms) carry the beginning of their five minutes."""

    @property
    def changes(self) -> str:
        """The choices that are not the usual ones, for a fingerprint; empty where all are."""
        usual = TapeTerms()
        parts = [] if self.discontinuity == usual.discontinuity else [f"discontinuity={self.discontinuity!r}"]
        return " ".join(parts + ([] if self.begins_from == usual.begins_from else [f"begins_from={self.begins_from}"]))


class LeftOut(msgspec.Struct):
    """A part of a tape that is not read: a whole file, or some of its rows."""

    file: str
    """Relative to the given path."""
    why: str
    rows: int | None = None
    """How many rows; None for a file, or for the rest of it."""
    read: bool = False
    """Whether it is read all the same, and is only named."""

    def __str__(self) -> str:
        """In one sentence, with what became of it in front."""
        return f"{self.verdict}: {self.fault}"

    @property
    def verdict(self) -> str:
        """The outcome, in two words."""
        return "read anyway" if self.read else "left out"

    @property
    def fault(self) -> str:
        """The file and what is wrong with it, with the number of rows."""
        if self.rows is None:
            return self.why if self.why.startswith(self.file) else f"{self.file}: {self.why}"
        more = f" ({self.rows:,} rows of this file are left out)" if self.rows > 1 else " (this row is left out)"
        return self.why + more


class Discontinuity(msgspec.Struct, frozen=True):
    """A price in another unit after a hole: the symbol ends before it. Times in ms, prices in quote currency."""

    symbol: str
    since: int
    """When the last candle before the hole closed."""
    until: int
    """When the first one after it opened."""
    before: float
    after: float

    def __str__(self) -> str:
        return (
            f"{self.symbol} goes from {self.before!r} to {self.after!r} between {iso(self.since)} and "
            f"{iso(self.until)}, in which it has no candles"
        )


class RowCounts(msgspec.Struct):
    """What the pass under way met: mended, left out, or ended."""

    duplicates: int = 0
    """Rows that say the same as one before them; they are left out."""
    disordered: int = 0
    """Rows that came after a later one of their file; they are put where they belong."""
    empty: int = 0
    """Fields without a value, where a stream allows them."""
    rows: int = 0
    """Rows read, the duplicates included; counted by streams other than candles."""
    terms: TapeTerms = TapeTerms()
    taken: int = 0
    """Rows of all streams so far, by whole blocks of a file, the one under way included."""
    faults: int = 0
    """Rows left out, but those that may come often."""
    left_out: dict[str, LeftOut] = {}
    """By file. Only the first fault of a file is kept, with the number of rows."""
    discontinuities: dict[str, Discontinuity] = {}
    """By symbol."""

    def leave_out(self, file: str, fault: TapeError, *, often: bool = False) -> None:
        """Leave one row out and name it.

        Raises the fault where the terms are strict, and where more than a tenth of the rows so far are left out: that
        is no market with a fault, but another kind of file. Rows that may come `often` do not count.
        """
        if self.terms.strict:
            raise fault
        if not often:
            self.faults += 1
            if self.faults * MOST_FAULTS > self.taken:
                raise fault
        known = self.left_out.get(file)
        if known is None:
            known = self.left_out[file] = LeftOut(file, str(fault), 0)
        if known.rows is not None:
            known.rows += 1

    def give_up(self, file: str, fault: TapeError) -> None:
        """Leave out what is not read yet of a file, and name it. Raises the fault where the terms are strict."""
        if self.terms.strict:
            raise fault
        known = self.left_out.get(file)
        before = f"{known.why}; " if known is not None else ""
        self.left_out[file] = LeftOut(file, f"{before}{fault}; what follows in it is left out")

    def is_discontinuity(self, symbol: str, since: int, until: int, before: float, after: float) -> bool:
        """Whether a price after a hole is in another unit; if so, that is noted."""
        factor = self.terms.discontinuity
        if before <= after * factor and after <= before * factor:
            return False
        self.discontinuities[symbol] = Discontinuity(symbol, since, until, before, after)
        return True


def shown_name(name: str) -> str:
    """A file's name on one line, without anything that a terminal obeys: each such character as `\\x1b`."""
    if name.isprintable():
        return name
    return printable("".join(each if each.isprintable() else repr(each)[1:-1] for each in name))

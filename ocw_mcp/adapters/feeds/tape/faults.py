"""The bounds of believable rows, and the sentences for faults that several streams share."""

from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.time import iso

EARLIEST = 1_230_768_000_000
LATEST = 4_102_444_800_000
"""2009 and 2100, ms: no market of OCW is older, and no row is that far in the future."""
MICROSECONDS = 10**14
"""Stamps above this are in µs, as in the archive's spot files from 2025 on; in ms it would be the year 5138."""
LEAP = 1e6
"""No price moves by this factor from one row to the next; a misplaced decimal point or another unit does."""
AGAIN = "download it again"
_SHOWN = 40


def shown(text: str) -> str:
    """Return the quoted text of a file, shortened for one line of a message."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def refusal(name: str, number: int, wrong: str) -> TapeError:
    """Return the error for an invalid line of a file."""
    return TapeError(f"{name}, line {number}: {wrong}; correct the line, or if the file is damaged, {AGAIN}")


def columns_fault(cells: list[str], expected: object) -> str:
    """Return the fault of a row with another number of columns than `expected` says."""
    return f"the row has {len(cells)} column{'s' * (len(cells) != 1)}; expected {expected}"


def leap_fault(name: str, price: float, previous: float) -> str:
    """Return the fault of a price that is more than LEAP times the previous price, or less than its inverse."""
    return (
        f"the {name} {price!r} is over a million times off the previous price {previous!r}; "
        "expected the same unit and decimal point throughout"
    )


def order_fault(at: int, last: int, name: str, number: int) -> str:
    """Return the fault of a row whose time (ms) is not after that of the previous row, line `number` of `name`."""
    if at == last:
        return (
            f"the row of {iso(at)} has other numbers than the one in {name}, line {number}; "
            "expected one and the same; take one of them out"
        )
    return f"the row of {iso(at)} comes long after that of {iso(last)}; expected rows in the order of time"

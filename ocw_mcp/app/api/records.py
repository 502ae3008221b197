"""Sequences of typed records that print as a table and become a data frame."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any, Final, TypeVar, overload

import msgspec

from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.figures import TradePart
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.snapshot import SymbolWake

R = TypeVar("R", bound=msgspec.Struct)
SHOWN: Final = 10
"""The largest number of printed rows; a longer sequence prints its first five and its last five."""
WIDEST: Final = 28
"""The largest number of characters of a printed value."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Records(Sequence[R]):
    """A sequence of typed records of one kind, oldest first. A slice is also a `Records`.

    Money is Decimal and times are ms in the records themselves. In a data frame money is float64 and times are
    datetimes in UTC; a value that is neither a number, a text nor a time is JSON text.
    """

    def __init__(self, kind: type[R], rows: Iterable[R]) -> None:
        self._kind = kind
        self._rows = tuple(rows)

    @overload
    def __getitem__(self, place: int) -> R: ...
    @overload
    def __getitem__(self, place: slice) -> "Records[R]": ...
    def __getitem__(self, place: int | slice) -> "R | Records[R]":
        if isinstance(place, slice):
            return Records(self._kind, self._rows[place])
        return self._rows[place]

    def __len__(self) -> int:
        return len(self._rows)

    def __eq__(self, other: object) -> bool:
        return self._rows == tuple(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def columns(self) -> dict[str, list[Any]]:
        """Return the values of each field, as in a data frame."""
        return self._columns(_value)

    def _columns(self, show: Callable[[str, Any], Any]) -> dict[str, list[Any]]:
        names = self._kind.__struct_fields__
        return {name: [show(name, getattr(row, name)) for row in self._rows] for name in names}

    def to_polars(self) -> Any:
        """Return a polars.DataFrame. Raises SettingsError when polars is not installed."""
        return _library("polars").DataFrame(self.columns())

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame. Raises SettingsError when pandas is not installed."""
        return _library("pandas").DataFrame(self.columns())

    def __repr__(self) -> str:
        half, count = SHOWN // 2, len(self._rows)
        title = f"{count:,} {self._kind.__name__}"
        if not count:
            return title
        shown = self if count <= SHOWN else Records(self._kind, [*self._rows[:half], *self._rows[-half:]])
        cells = [[name, *column] for name, column in shown._columns(_text).items()]
        widths = [max(map(len, column)) for column in cells]
        padded = [[cell.ljust(width) for cell in column] for column, width in zip(cells, widths, strict=True)]
        lines = ["  ".join(row).rstrip() for row in zip(*padded, strict=True)]
        if count > SHOWN:
            lines.insert(half + 1, "…")
        return "\n".join([title, *lines])


def _is_time(name: str, value: object) -> bool:
    return (name == "at" or name.endswith("_at")) and isinstance(value, int)


def _value(name: str, value: Any) -> Any:
    if _is_time(name, value):
        return _EPOCH + timedelta(milliseconds=value)
    if isinstance(value, Decimal):
        return float(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return msgspec.json.encode(value).decode()


def _text(name: str, value: Any) -> str:
    if _is_time(name, value):
        return f"{_value(name, value):%Y-%m-%d %H:%M}"
    if isinstance(value, Decimal):
        return plain(round(value, 8))
    if isinstance(value, Decision):
        value = "; ".join(f"{leg.action} {leg.symbol}" for leg in value.legs) or "hold"
    elif isinstance(value, tuple) and value and all(isinstance(each, TradePart) for each in value):
        value = ", ".join(f"{each.reason} {each.share:.0%}" for each in value)
    elif isinstance(value, tuple) and all(isinstance(each, SymbolWake) for each in value):
        value = "; ".join(" ".join(filter(None, [each.symbol, *map(str, each.reasons)])) for each in value)
    text = "-" if value is None else " ".join(str(_value(name, value)).split())
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise SettingsError(f"a data frame of {name} needs {name}, which is not installed; install {name}") from None

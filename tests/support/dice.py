"""Many values from one draw of Hypothesis, whose draws take longer than most checks of a value."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TypeVar, overload

from hypothesis import strategies as st

Value = TypeVar("Value")
_FEW = 16


class Dice:
    """Picks values by the bytes of one draw. Bytes of 0, to which Hypothesis shrinks, pick the first value."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def __repr__(self) -> str:
        return f"Dice({self._data!r})"

    def pick(self, values: Sequence[Value]) -> Value:
        """Return one of the values. Of many, the first, the last and the first few are picked more often."""
        count = len(values)
        if count <= _FEW:
            return values[self._number(1) * count >> 8]
        kind, number = self._number(1), self._number(4)
        if kind < 32:
            return values[number % _FEW]
        if kind < 48:
            return values[-1]
        return values[number * count >> 32]

    def seldom(self, values: Sequence[Value], usual: Value) -> Value:
        """Return the usual value, and in one case of five one of the others."""
        return self.pick(values) if self._number(1) >= 205 else usual

    def yes(self) -> bool:
        """Return True in every second case."""
        return self.pick((False, True))

    def _number(self, size: int) -> int:
        self._place += size
        return int.from_bytes(self._data[self._place - size : self._place].ljust(size, b"\0"), "big")


def dice(size: int) -> st.SearchStrategy[Dice]:
    """Return a strategy of dice for about `size` bytes: one for a pick of few values, five for a pick of many."""
    return st.binary(min_size=size, max_size=size).map(Dice)


class Decimals(Sequence[Decimal]):
    """The decimals from `low` to `high` with a number of places."""

    def __init__(self, low: str, high: str, places: int = 2) -> None:
        self._places = places
        self._units = range(int(Decimal(low).scaleb(places)), int(Decimal(high).scaleb(places)) + 1)

    def __len__(self) -> int:
        return len(self._units)

    @overload
    def __getitem__(self, index: int) -> Decimal: ...

    @overload
    def __getitem__(self, index: slice) -> list[Decimal]: ...

    def __getitem__(self, index: int | slice) -> Decimal | list[Decimal]:
        found = self._units[index]
        if isinstance(found, int):
            return Decimal(found).scaleb(-self._places)
        return [Decimal(each).scaleb(-self._places) for each in found]

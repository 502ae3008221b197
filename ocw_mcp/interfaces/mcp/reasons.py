"""Collects why values of a typed result are unknown."""

from collections.abc import Iterable
from typing import Final

import msgspec

from ocw_mcp.domain.unknown import Reading, Unknown
from ocw_mcp.interfaces.mcp.results import Readings

_PLACES_NAMED: Final = 12


class Reasons:
    """Why values are unknown: each reason with the names of the values."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}

    def add(self, where: str, unknown: Unknown) -> None:
        self._places.setdefault(unknown.reason, []).append(where)

    def numbers(self, where: str, values: msgspec.Struct, names: Iterable[str]) -> Readings:
        """Return fields of `values` by name; reasons of unknown values are kept."""
        found: Readings = {}
        for name in names:
            found[name] = self.number(f"{where} {name}", getattr(values, name))
        return found

    def number(self, where: str, value: Reading) -> float | None:
        """Return a value; the reason of an unknown one is kept."""
        if isinstance(value, Unknown):
            self.add(where, value)
            return None
        return float(f"{value:.7g}")

    def texts(self) -> dict[str, str]:
        """Return, for each reason, the names of the first values and the number of further ones."""
        return {
            reason: ", ".join(places[:_PLACES_NAMED])
            + (f" and {len(places) - _PLACES_NAMED} more" if len(places) > _PLACES_NAMED else "")
            for reason, places in self._places.items()
        }

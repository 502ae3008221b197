"""Reads the parameters of a request, and refuses them with the exchange's error codes."""

import re
from collections.abc import Collection

from ocw_mcp.domain.market import Product

_SYMBOL = re.compile(r"[A-Z0-9_.-]{1,20}")
_LEGAL = "^[A-Z0-9-_.]{1,20}$"
_NUMBER = re.compile(r"-?[0-9]{1,20}")


class ApiError(Exception):
    """An error response of the exchange."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


class Parameters:
    """The query of one request."""

    def __init__(self, query: dict[str, str], product: Product, symbols: Collection[str]) -> None:
        self._query, self._product, self._symbols = query, product, symbols
        self._read: set[str] = set()

    def text(self, name: str) -> str | None:
        """Return a parameter, None if it was not sent. Raises ApiError if it is empty."""
        self._read.add(name)
        value = self._query.get(name)
        if value == "":
            raise ApiError(-1105, f"Parameter '{name}' was empty.")
        return value

    def required(self, name: str) -> str:
        """Return a mandatory parameter. Raises ApiError if it is missing or empty."""
        self._read.add(name)
        value = self._query.get(name)
        if not value:
            raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return value

    def one_of(self, name: str, choices: Collection[str], default: str | None = None) -> str:
        """Return a parameter that has to be one of some values. Raises ApiError."""
        value = self.required(name) if default is None else self.text(name) or default
        if value not in choices:
            raise ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")
        return value

    def interval(self, choices: Collection[str]) -> str:
        """Return the interval of klines. Raises ApiError."""
        value = self.required("interval")
        if value not in choices:
            raise ApiError(-1120, "Invalid interval.")
        return value

    def symbol(self, name: str = "symbol") -> str:
        """Return a mandatory symbol. Raises ApiError."""
        return self._listed(name, self.required(name))

    def optional_symbol(self, name: str = "symbol") -> str | None:
        """Return a symbol, None if it was not sent. Raises ApiError."""
        value = self.text(name)
        return None if value is None else self._listed(name, value)

    def symbol_list(self) -> tuple[str, ...] | None:
        """Return the symbols of a list such as `["BTCUSDT","ETHUSDT"]`, None if it was not sent. Raises ApiError."""
        value = self.text("symbols")
        if value is None:
            return None
        names = re.fullmatch(r'\["[^"\]]*"(,"[^"\]]*")*\]', value)
        if names is None:
            raise ApiError(-1100, "Illegal characters found in parameter 'symbols'; legal range is '^\\[.*\\]$'.")
        return tuple(self._listed("symbols", name) for name in re.findall(r'"([^"]*)"', value))

    def _listed(self, name: str, value: str) -> str:
        if not _SYMBOL.fullmatch(value):
            raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{_LEGAL}'.")
        if value not in self._symbols:
            raise ApiError(-1121, "Invalid symbol.")
        return value

    def number(self, name: str) -> int | None:
        """Return a whole number of zero or more, None if it was not sent. Raises ApiError."""
        value = self.text(name)
        if value is None:
            return None
        if not _NUMBER.fullmatch(value):
            legal = "^[0-9]{1,20}$"
            raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
        if int(value) < 0:
            raise ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")
        return int(value)

    def limit(self, default: int, most: int) -> int:
        """Return the limit of rows: larger limits are lowered to `most`. Raises ApiError for zero."""
        value = self.number("limit")
        if value == 0:
            raise ApiError(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(default if value is None else value, most)

    def times(self) -> tuple[int | None, int | None]:
        """Return startTime and endTime (ms), None if not sent. Raises ApiError if the end is before the start."""
        start, end = self.number("startTime"), self.number("endTime")
        if start is not None and end is not None and start > end and self._product is Product.UM:
            raise ApiError(-1023, "Start time is greater than end time.")
        return start, end

    def finish(self) -> None:
        """Raise ApiError if spot was sent a parameter that was not read; futures ignore such parameters."""
        if self._product is Product.SPOT and not self._query.keys() <= self._read:
            count = len(self._query.keys() & self._read)
            raise ApiError(
                -1104,
                f"Not all sent parameters were read; read '{count}' parameter(s) but was sent '{len(self._query)}'.",
            )

"""Leverage and margin type of the symbols, as queries and events have shown them."""

from collections.abc import Callable, Iterable
from typing import Final

from ocw_mcp.adapters.venues.binance.rest_wire import SymbolConfig

ISOLATED: Final = "ISOLATED"
"""The margin type that OCW needs."""
SET_UP: Final = "run `ocw connect --set-up` with the --mode and --state of the book"
"""The command that sets the account's settings as OCW needs them."""


class Terms:
    """The terms of the symbols that the account has now."""

    def __init__(self, leverage_seen: Callable[[str, int], None]) -> None:
        """`leverage_seen` is called with symbol and leverage whenever the exchange shows one."""
        self._leverage_seen = leverage_seen
        self._leverages: dict[str, int] = {}
        self._isolated: dict[str, bool] = {}

    def take(self, rows: Iterable[SymbolConfig]) -> None:
        """Take what a query answered."""
        for row in rows:
            self.set_leverage(row.symbol, row.leverage)
            self.set_margin_type(row.symbol, row.margin_type)

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Take the leverage of a symbol."""
        self._leverages[symbol] = leverage
        self._leverage_seen(symbol, leverage)

    def set_margin_type(self, symbol: str, kind: str) -> None:
        """Take the margin type of a symbol, such as `isolated`, in upper or lower case."""
        self._isolated[symbol] = kind.upper() == ISOLATED

    def leverage(self, symbol: str) -> int:
        """Return the leverage of a symbol; 1 if it is not known."""
        return self._leverages.get(symbol, 1)

    def is_isolated(self, symbol: str) -> bool | None:
        """Return whether a symbol has isolated margin; None if it is not known."""
        return self._isolated.get(symbol)

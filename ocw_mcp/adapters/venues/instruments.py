"""Filters and margin brackets of the instruments that paper trades: those of the exchange if known, else an estimate.

The USD-M filters are those of exchangeInfo in July 2026. The brackets are in `brackets.toml`, because the exchange
shows them only to its members. The tick and the step of any other symbol follow the prices of its market, and only ever
become finer, so that every order and position stays valid.
"""

import math
import tomllib
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from ocw_mcp.domain.margin import Bracket, Brackets
from ocw_mcp.domain.market import Instrument, Product

_UM = {
    # symbol: tick, step, smallest quantity, smallest notional
    "BTCUSDT": ("0.1", "0.001", "0.001", "50"),
    "ETHUSDT": ("0.01", "0.001", "0.001", "20"),
    "SOLUSDT": ("0.01", "0.01", "0.01", "5"),
    "BNBUSDT": ("0.01", "0.01", "0.01", "5"),
    "XRPUSDT": ("0.0001", "0.1", "0.1", "5"),
    "ADAUSDT": ("0.0001", "1", "1", "5"),
    "DOGEUSDT": ("0.00001", "1", "1", "5"),
    "AVAXUSDT": ("0.001", "1", "1", "5"),
    "NEARUSDT": ("0.001", "1", "1", "5"),
    "LINKUSDT": ("0.001", "0.01", "0.01", "20"),
    "LTCUSDT": ("0.01", "0.001", "0.001", "20"),
}

_SPOT = {
    "BTCUSDT": ("0.01", "0.00001", "0.00001", "5"),
    "ETHUSDT": ("0.01", "0.0001", "0.0001", "5"),
    "SOLUSDT": ("0.01", "0.001", "0.001", "5"),
}

KNOWN: Final = tuple(sorted({*_UM, *_SPOT}))
"""The symbols whose filters are those of the exchange."""

_USUAL_DIGITS: Final = 5
"""Significant digits of a price, until the market's own prices show how many it has."""
_MOST_DIGITS: Final = 8
"""More digits than this are the noise of a calculation, not decimals of an exchange."""
_COARSEST: Final = 2
"""A tick is at most 10**-2 of the lowest price."""
_ENOUGH: Final = 32
"""Number of different prices after which the market is assumed to have no more decimals than these."""


class SeenPrices(msgspec.Struct):
    """The lowest and the highest price of a symbol so far (quote), and the most decimals of any."""

    low: float
    high: float
    decimals: int = 0
    different: list[float] = []
    """The first different prices, up to _ENOUGH."""

    def add(self, price: float) -> bool:
        """Add a price; return whether the filters may change with it."""
        changed = False
        if price < self.low:
            changed, self.low = _magnitude(price) != _magnitude(self.low), price
        elif price > self.high:
            changed, self.high = _magnitude(price) != _magnitude(self.high), price
        if round(price, self.decimals) != price:
            most = max(0, _MOST_DIGITS - 1 - _magnitude(self.low))
            if self.decimals < most:
                self.decimals, changed = min(_decimals(price), most), True
        if len(self.different) < _ENOUGH and price not in self.different:
            self.different.append(price)
            changed = changed or len(self.different) == _ENOUGH
        return changed

    def tick(self) -> Decimal:
        """Return the tick (quote) of these prices: five digits of the lowest, or as many decimals as they have.

        Few prices, or whole numbers alone, do not show the market's decimals: they only make the five-digit tick finer.
        """
        magnitude, shown = _magnitude(self.low), Decimal(10) ** -self.decimals
        if self.decimals and len(self.different) >= _ENOUGH:
            return min(shown, Decimal(10) ** (magnitude - _COARSEST))
        return min(shown, Decimal(10) ** (magnitude + 1 - _USUAL_DIGITS))

    def step(self) -> Decimal:
        """Return the step (base asset) that is worth between 1 and 10 of the quote currency at the highest price."""
        return Decimal(10) ** -_magnitude(self.high)


class PaperInstruments(msgspec.Struct):
    """The filters of one paper account's symbols, and the prices that they derive from, as saved and restored."""

    product: Product
    filters: dict[str, Instrument] = {}
    """The filters of every symbol requested so far."""
    seen: dict[str, SeenPrices] = {}
    """The prices of every symbol whose filters follow them."""
    reported: set[str] = set()
    """The symbols whose filters the exchange has reported: these never follow prices."""

    def get(self, symbol: str, price: float) -> Instrument:
        """Return the current filters of a symbol; `price` (quote) is its first price if the market has shown none."""
        known = self.filters.get(symbol)
        if known is None:
            if symbol not in self.seen and symbol not in _TABLES[self.product]:
                self.observe(symbol, price)
            texts = _TABLES[self.product].get(symbol, ("Infinity", "Infinity", "Infinity", "5"))
            brackets = paper_brackets(symbol) if self.product is Product.UM else None
            tick, step, min_quantity, min_notional = map(Decimal, texts)
            self.filters[symbol] = Instrument(symbol, self.product, tick, step, min_quantity, min_notional, brackets)
            known = self._refine(symbol)
        return known

    def set(self, reported: Instrument) -> None:
        """Use the filters that the exchange reports; without brackets, those of the file. Raises ValueError.

        Filters of another product are an error.
        """
        symbol = reported.symbol
        if reported.product is not self.product:
            raise ValueError(f"the filters of {symbol} are those of {reported.product}, expected {self.product}")
        if reported.brackets is None and self.product is Product.UM:
            reported = msgspec.structs.replace(reported, brackets=paper_brackets(symbol))
        self.filters[symbol] = reported
        self.reported.add(symbol)

    def observe(self, symbol: str, price: float) -> None:
        """Adapt a symbol's filters to its latest price (quote), unless the exchange's tick is known or fine enough."""
        if symbol in self.reported:
            return
        followed_below = _UM_FOLLOWED_BELOW if self.product is Product.UM else _SPOT_FOLLOWED_BELOW
        if price >= followed_below.get(symbol, math.inf):
            return
        seen = self.seen.get(symbol)
        if seen is None:
            seen = self.seen[symbol] = SeenPrices(price, price)
        if seen.add(price) and symbol in self.filters:
            self._refine(symbol)

    def _refine(self, symbol: str) -> Instrument:
        """Lower a symbol's tick to that of its observed prices; for an unknown symbol, also the step."""
        filters, seen = self.filters[symbol], self.seen.get(symbol)
        if seen is not None:
            filters = msgspec.structs.replace(filters, tick=min(filters.tick, seen.tick()))
            if symbol not in _TABLES[self.product]:
                step = min(filters.step, seen.step())
                filters = msgspec.structs.replace(filters, step=step, min_quantity=step)
            self.filters[symbol] = filters
        return filters


_TABLES: Final = {Product.UM: _UM, Product.SPOT: _SPOT}
_UM_FOLLOWED_BELOW, _SPOT_FOLLOWED_BELOW = (
    {symbol: float(tick) * 10**_COARSEST for symbol, (tick, *_) in table.items()} for table in (_UM, _SPOT)
)
"""By symbol, the price (quote) below which the exchange's tick is too coarse: the tick then follows prices."""


def paper_brackets(symbol: str) -> Brackets:
    """Return the margin brackets of a symbol; for a symbol that is not in the file, the strictest brackets."""
    known = _all_brackets()
    return known.get(symbol, known["UNKNOWN"])


@cache
def _all_brackets() -> dict[str, Brackets]:
    text = files(__package__).joinpath("brackets.toml").read_text(encoding="utf-8")
    return {
        symbol: Brackets(tuple(Bracket(Decimal(cap), leverage, Decimal(rate)) for cap, leverage, rate in rows))
        for symbol, rows in tomllib.loads(text, parse_float=Decimal).items()
    }


def _magnitude(price: float) -> int:
    """Return the power of ten of a price's first digit."""
    return math.floor(math.log10(price))


def _decimals(price: float) -> int:
    """Return the number of decimals with which a price is written."""
    exponent = Decimal(repr(price)).normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)

"""Filters of the instruments that paper trades: facts of the exchange where they are known, an estimate elsewhere.

The USD-M figures are those of exchangeInfo in July 2026; their brackets are in `brackets.toml`. A live venue reads its
own. The tick and the step of any other symbol follow the prices of its market, and only ever become finer, so that
every order and position stays valid.
"""

import math
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.adapters.venues.brackets import paper_brackets
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
"""Significant digits of a price, where the market's own prices do not show how many it has."""
_MOST_DIGITS: Final = 8
"""More digits than these are noise of a calculation, not decimals of an exchange."""
_COARSEST: Final = 2
"""A tick is at most 10**-2 of the lowest price."""
_ENOUGH: Final = 32
"""Different prices after which the decimals of the market's prices are believed to be all there are."""


class SeenPrices(msgspec.Struct):
    """What the prices of a symbol have shown: the lowest and the highest (quote), and the most decimals of any."""

    low: float
    high: float
    decimals: int = 0
    different: list[float] = []
    """The first different prices, until they are enough."""

    def take(self, price: float) -> bool:
        """Take in a price; whether the filters may change with it."""
        changed = False
        if price < self.low:
            changed, self.low = _magnitude(price) != _magnitude(self.low), price
        elif price > self.high:
            changed, self.high = _magnitude(price) != _magnitude(self.high), price
        if round(price, self.decimals) != price and self.decimals < self._most_decimals():
            self.decimals, changed = min(_decimals(price), self._most_decimals()), True
        if len(self.different) < _ENOUGH and price not in self.different:
            self.different.append(price)
            changed = changed or len(self.different) == _ENOUGH
        return changed

    def tick(self) -> Decimal:
        """The tick (quote) that these prices show: five digits of the lowest, or as many decimals as they have.

        Few prices may all end in a zero by chance, and whole numbers show nothing, so those only make it finer.
        """
        magnitude, shown = _magnitude(self.low), Decimal(10) ** -self.decimals
        if self.decimals and len(self.different) >= _ENOUGH:
            return min(shown, Decimal(10) ** (magnitude - _COARSEST))
        return min(shown, Decimal(10) ** (magnitude + 1 - _USUAL_DIGITS))

    def step(self) -> Decimal:
        """The step (base asset) that is worth between 1 and 10 of the quote currency at the highest price."""
        return Decimal(10) ** -_magnitude(self.high)

    def _most_decimals(self) -> int:
        return max(0, _MOST_DIGITS - 1 - _magnitude(self.low))


class PaperInstruments(msgspec.Struct):
    """The filters of all symbols of one paper account, and what they stand on. All of it survives a restart."""

    product: Product
    filters: dict[str, Instrument] = {}
    """Of every symbol that was asked for."""
    seen: dict[str, SeenPrices] = {}
    """Of every symbol whose filters follow its prices."""

    def get(self, symbol: str, price: float) -> Instrument:
        """The filters of a symbol; `price` (quote) is its first one where the market has shown none yet."""
        known = self.filters.get(symbol)
        if known is None:
            if symbol not in self.seen and symbol not in _TABLES[self.product]:
                self.take(symbol, price)
            known = self.filters[symbol] = self._first(symbol)
        return known

    def take(self, symbol: str, price: float) -> None:
        """Follow a price (quote) of the market, in the order of time."""
        seen = self.seen.get(symbol)
        if seen is None:
            if price >= self.followed_below(symbol):
                return
            seen = self.seen[symbol] = SeenPrices(price, price)
        if seen.take(price) and symbol in self.filters:
            self._refine(symbol, seen)

    def followed_below(self, symbol: str) -> float:
        """The price (quote) below which the filters of a symbol follow its prices; infinite for an unknown symbol."""
        return FOLLOWED_BELOW[self.product].get(symbol, math.inf)

    def _first(self, symbol: str) -> Instrument:
        known, seen = _TABLES[self.product].get(symbol), self.seen.get(symbol)
        if known is not None:
            tick, step, min_quantity, min_notional = (Decimal(text) for text in known)
            if seen is not None:
                tick = min(tick, seen.tick())
        else:
            assert seen is not None
            tick, step = seen.tick(), seen.step()
            min_quantity, min_notional = step, Decimal(5)
        brackets = paper_brackets(symbol) if self.product is Product.UM else None
        return Instrument(symbol, self.product, tick, step, min_quantity, min_notional, brackets)

    def _refine(self, symbol: str, seen: SeenPrices) -> None:
        """Make the filters as fine as prices show them, and never coarser: a known step stays."""
        old = self.filters[symbol]
        new = msgspec.structs.replace(old, tick=min(old.tick, seen.tick()))
        if symbol not in _TABLES[self.product]:
            step = min(old.step, seen.step())
            new = msgspec.structs.replace(new, step=step, min_quantity=step)
        self.filters[symbol] = new


_TABLES: Final = {Product.UM: _UM, Product.SPOT: _SPOT}
FOLLOWED_BELOW: Final = {
    product: {symbol: float(tick) * 10**_COARSEST for symbol, (tick, *_) in table.items()}
    for product, table in _TABLES.items()
}
"""By product and known symbol, the price (quote) below which its tick is too coarse, and follows the prices."""


def _magnitude(price: float) -> int:
    """The power of ten of a price's first digit."""
    return math.floor(math.log10(price))


def _decimals(price: float) -> int:
    """How many decimals a price is written with."""
    exponent = Decimal(repr(price)).normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)

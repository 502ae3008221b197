"""Filters of the instruments that paper trades: facts of the exchange where they are known, a cautious guess elsewhere.

The USD-M figures are those of exchangeInfo in July 2026; their brackets are in `brackets.toml`. A live venue reads its
own.
"""

import math
from decimal import Decimal

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


def paper_instrument(product: Product, symbol: str, price: float) -> Instrument:
    """The filters of a symbol; `price` (quote) is its first one, for a symbol that is not in the tables.

    The guess: five significant digits of price, and a step worth between 1 and 10 of the quote currency.
    """
    known = (_UM if product is Product.UM else _SPOT).get(symbol)
    if known is not None:
        tick, step, min_quantity, min_notional = (Decimal(text) for text in known)
    else:
        magnitude = math.floor(math.log10(price))
        tick, step = Decimal(10) ** (magnitude - 4), Decimal(10) ** -magnitude
        min_quantity, min_notional = step, Decimal(5)
    brackets = paper_brackets(symbol) if product is Product.UM else None
    return Instrument(symbol, product, tick, step, min_quantity, min_notional, brackets)

"""The rules of the listed symbols that a source of candles does not have, and how numbers are written."""

from typing import NamedTuple

from ocw_mcp.domain.market import Product
from ocw_mcp.sandbox.binance.source import DECIMALS

_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY")
_AMOUNT_DECIMALS = 5
"""The fewest decimals of turnover on futures."""


class Rules(NamedTuple):
    """Rules of a perpetual in the exchange's exchangeInfo of July 2026."""

    price_precision: int
    """Decimals with which prices are written; the tick may have fewer."""
    min_notional: str
    max_price: str
    max_quantity: str
    max_market_quantity: str
    onboarded: int
    kind: str
    liquidation_fee: str = "0.015000"
    market_bound: str = "0.05"
    trigger_protect: str = "0.0500"


_PERPETUALS = {
    "BTCUSDT": Rules(2, "50", "4529764", "1000", "120", 1_567_965_300_000, "PoW", "0.012500"),
    "ETHUSDT": Rules(2, "20", "306177", "10000", "2000", 1_574_840_700_000, "Layer-1", "0.012500"),
    "SOLUSDT": Rules(4, "5", "6857", "1000000", "80000", 1_600_066_800_000, "Layer-1"),
    "DOGEUSDT": Rules(
        6, "5", "30", "300000000", "30000000", 1_594_371_600_000, "Meme", market_bound="0.10", trigger_protect="0.1000"
    ),
}
_ONBOARDED = 1_600_000_000_000
SPOT_MIN_NOTIONAL = "5.00000000"
"""The smallest notional of an order on spot (quote)."""


def rules(symbol: str, price_decimals: int) -> Rules:
    """Return the rules of a perpetual; those of an unknown symbol are usual ones."""
    found = _PERPETUALS.get(symbol)
    if found is None:
        found = Rules(price_decimals, "5", "1000000", "10000000", "1000000", _ONBOARDED, "Layer-1")
    return found._replace(price_precision=max(found.price_precision, price_decimals))


def assets(symbol: str) -> tuple[str, str]:
    """Return the base asset and the quote asset that a symbol is made of."""
    for quote in _QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol[: -len(quote)], quote
    return symbol[:-3], symbol[-3:]


def step_text(decimals: int, written: int) -> str:
    """Return a step of `10 ** -decimals` with `written` decimals, such as 0.10."""
    return f"{10**-decimals:.{max(written, decimals)}f}"


def number_text(number: float, decimals: int) -> str:
    """Return a number with `decimals` decimals, or with eight if it does not fit into them."""
    text = f"{number:.{decimals}f}"
    return text if float(text) == number else f"{number:.{DECIMALS}f}"


class Notation(NamedTuple):
    """How the exchange writes the numbers of one symbol: decimals of prices, quantities and turnover."""

    price: int
    quantity: int
    amount: int


def notation(symbol: str, product: Product, decimals: tuple[int, int]) -> Notation:
    """Return the notation of a symbol with these decimals of ticks and lots; spot always writes eight decimals."""
    if product is Product.SPOT:
        return Notation(DECIMALS, DECIMALS, DECIMALS)
    precision = rules(symbol, decimals[0]).price_precision
    return Notation(precision, decimals[1], max(_AMOUNT_DECIMALS, min(sum(decimals), DECIMALS)))

"""Names of symbols: the engine's one spelling, and equivalent spellings of other programs."""

from collections.abc import Collection
from typing import Final

QUOTES: Final = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD")
"""The quote currencies that are tried for a text that names only a base asset."""
_SECOND_QUOTES: Final = ("BTC", "ETH", "BNB")
_SEPARATORS: Final = dict.fromkeys(map(ord, "/-_ "))


def matched(text: str, symbols: Collection[str]) -> str | None:
    """Return the one of `symbols` that a text names; None if it names none of them, or several.

    `BTC/USDT`, `btcusdt`, `BTC-USDT`, `BTC_USDT` and ccxt's `BTC/USDT:USDT` all mean `BTCUSDT`.
    """
    exact = text.strip()
    if exact in symbols:
        return exact
    name = _plain(exact)
    equivalent = [symbol for symbol in symbols if _plain(symbol) == name]
    return equivalent[0] if name and len(equivalent) == 1 else None


def spelt(text: str, symbols: Collection[str]) -> str:
    """Return the symbol that a text names, or else the text without outer blanks."""
    return matched(text, symbols) or text.strip()


def of_market(text: str, symbols: Collection[str]) -> str | None:
    """Return the one of a market's symbols that a text such as `eth` or `ETH/USDT` names; None for none or several."""
    found = matched(text, symbols)
    if found is not None:
        return found
    base = _plain(text)
    of_base = [symbol for symbol in symbols if base and _plain(symbol) in {base + quote for quote in QUOTES}]
    return of_base[0] if len(of_base) == 1 else None


def assets_of(symbol: str) -> tuple[str, str]:
    """Return the base asset and the quote asset of a symbol such as `BTCUSDT`; the quote is empty if not known."""
    quote = next((each for each in (*QUOTES, *_SECOND_QUOTES) if symbol.endswith(each) and symbol != each), "")
    return symbol.removesuffix(quote), quote


def _plain(text: str) -> str:
    """Return a name in capitals without separators; empty if its settlement currency is not the quote currency."""
    # Letters of other scripts stay unchanged: a letter that only looks like a Latin one names another symbol.
    upper = "".join(each.upper() if each.isascii() else each for each in text.strip())
    name, colon, settles_in = upper.partition(":")
    quote = name.translate({ord("-"): "/", ord("_"): "/"}).rpartition("/")[2]
    return "" if colon and (settles_in != quote or "/" not in name) else name.translate(_SEPARATORS)

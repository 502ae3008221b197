"""The names of symbols: one spelling inside the engine, and the spellings of other programs that mean the same."""

from collections.abc import Collection
from typing import Final

QUOTES: Final = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD")
"""The quote currencies that a base asset alone may stand for."""
_SEPARATORS: Final = dict.fromkeys(map(ord, "/-_ "))


def matched(text: str, symbols: Collection[str]) -> str | None:
    """Return the one of `symbols` that a text means, or None where it means none of them, or several.

    `BTC/USDT`, `btcusdt`, `BTC-USDT`, `BTC_USDT` and ccxt's `BTC/USDT:USDT` all mean `BTCUSDT`. A symbol that is
    spelt exactly wins over one that is only spelt alike.
    """
    exact = text.strip()
    if exact in symbols:
        return exact
    wanted = _plain(exact)
    alike = [symbol for symbol in symbols if _plain(symbol) == wanted]
    return alike[0] if wanted and len(alike) == 1 else None


def spelt(text: str, symbols: Collection[str]) -> str:
    """Return the symbol that a text means, or the text itself without outer blanks where it means none."""
    return matched(text, symbols) or text.strip()


def of_market(text: str, symbols: Collection[str]) -> str | None:
    """Return the one of a market's symbols that a person means; a base asset alone, such as `eth`, will do.

    None where it means none of them, or several.
    """
    found = matched(text, symbols)
    if found is not None:
        return found
    base = _plain(text)
    of_base = [symbol for symbol in symbols if base and _plain(symbol) in {base + quote for quote in QUOTES}]
    return of_base[0] if len(of_base) == 1 else None


def _plain(text: str) -> str:
    """Return the letters and digits of a name in capitals; empty for a settlement currency that is not the quote."""
    # Other scripts are left as they are: a letter that only looks like one of ours is another symbol.
    upper = "".join(each.upper() if each.isascii() else each for each in text.strip())
    name, colon, settles_in = upper.partition(":")
    quote = name.translate({ord("-"): "/", ord("_"): "/"}).rpartition("/")[2]
    return "" if colon and (settles_in != quote or "/" not in name) else name.translate(_SEPARATORS)

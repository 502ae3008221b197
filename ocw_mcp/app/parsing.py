"""Parses the arguments that the command line and `replay` share; each error names the option or argument."""

import re
import unicodedata

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import span_ms


def parse_product(text: str | None, option: str = "--product") -> Product | None:
    """Return the product of a text, `um` or `spot`; None for None. Raises SettingsError for any other text."""
    try:
        return Product(text) if text is not None else None
    except ValueError as error:
        raise SettingsError(f"{option} is {text!r}; expected spot or um") from error


def parse_symbols(text: str | None, option: str = "--symbols") -> tuple[str, ...]:
    """Return the symbols of a comma-separated text, sorted and spelled as given; the market finds its own symbols.

    None has no symbols. Raises SettingsError for a part that cannot be a symbol.
    """
    if text is None:
        return ()
    symbols = sorted({unicodedata.normalize("NFC", part.strip()) for part in text.split(",")})
    wrong = [symbol for symbol in symbols if not re.fullmatch(r"\w[\w/:\- ]{0,38}\w", symbol)]
    if wrong:
        raise SettingsError(f"{option} has {wrong[0]!r}, which is not a symbol; expected such as BTCUSDT,ETHUSDT")
    return tuple(symbols)


def parse_span(text: str | None, option: str = "--for") -> int | None:
    """Return a span of time such as `30d` in ms; None for None. Raises SettingsError for any other text."""
    try:
        return span_ms(text) if text is not None else None
    except ValueError as error:
        raise SettingsError(f"{option}: {error}") from error

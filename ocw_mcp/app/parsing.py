"""Parses the arguments that the command line and `replay` share; each error names the option or argument."""

import re
import unicodedata
from datetime import UTC, date, datetime
from math import inf

from ocw_mcp.adapters.feeds.tape.options import DISCONTINUITY_FACTOR, STAMP_CHANGE, TapeOptions
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import SECOND, span_ms

END, BEGINNING = "end", "beginning"
NEVER = 1 << 62
"""A time (ms) after every time stamp."""


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


def tape_terms(strict: bool, discontinuity: float | None, stamps: str | None) -> TapeOptions:
    """Return the options for reading a tape from the command line's values; None is the default.

    `stamps` is the meaning of the time stamp of metrics: `end` or `beginning` of five minutes, or the day from which on
    it is the beginning. Raises SettingsError for any other value, or for a factor that is not above 1.
    """
    factor = DISCONTINUITY_FACTOR if discontinuity is None else discontinuity
    if not 1 < factor < inf:
        raise SettingsError(
            f"--discontinuity is {factor:g}; expected a factor above 1 such as {DISCONTINUITY_FACTOR:g}; correct it"
        )
    begins_from = {None: STAMP_CHANGE, END: NEVER, BEGINNING: 0}.get(stamps)
    if begins_from is None:
        try:
            day = date.fromisoformat(stamps or "")
        except ValueError:
            raise SettingsError(
                f"--metrics-stamps is {stamps!r}; expected {END}, {BEGINNING}, or the first day on which they mean the "
                "beginning, such as 2026-06-25; correct it"
            ) from None
        begins_from = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * SECOND
    return TapeOptions(strict, factor, begins_from)

"""From the word after `--market` to a feed."""

from datetime import UTC, date, datetime
from math import inf
from pathlib import Path

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.feeds.simulated.feed import SYMBOLS
from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.adapters.feeds.tape.options import DISCONTINUITY_FACTOR, STAMP_CHANGE, TapeOptions
from ocw_mcp.adapters.venues.instruments import KNOWN
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.protocols import Feed
from ocw_mcp.domain.symbols import of_market
from ocw_mcp.domain.time import MINUTE, SECOND, span_ms

SIMULATED = "sim"
LENIENT = TapeOptions(strict=False)
"""A tape's rows and files that cannot be believed are left out and named."""

MarketFeed = SimulatedFeed | TapeFeed


def open_market(
    market: str,
    *,
    product: Product | None = None,
    interval: str | None = None,
    symbols: tuple[str, ...] = (),
    seed: int = 1,
    terms: TapeOptions = LENIENT,
) -> MarketFeed:
    """The simulated market for `sim`, a tape for the path of one.

    Raises TapeError when the tape cannot be believed, SettingsError when the simulated market cannot be as wished.
    """
    if market != SIMULATED:
        return TapeFeed.open(Path(market), product, interval, symbols or None, terms)
    try:
        step = MINUTE if interval is None else span_ms(interval)
    except ValueError as error:
        raise SettingsError(f"--interval: {error}") from None
    return SimulatedFeed(seed, _simulated(symbols) or SYMBOLS, product or Product.UM, step=step)


def market_end(feed: Feed) -> int | None:
    """When (ms) the last candle of a market closes, as the names of a tape's files say; None if nothing says it."""
    if not isinstance(feed, TapeFeed):
        return None
    ends = [file.ends for files in feed.selection.files.values() for file in files]
    return None if None in ends else max(each for each in ends if each is not None)


def _simulated(asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return the symbols of the simulated market that are meant. Raises SettingsError with the list."""
    meant = {text: of_market(text, KNOWN) for text in asked}
    if unknown := [text for text, symbol in meant.items() if symbol is None]:
        raise SettingsError(
            f"--symbols names {unknown[0]!r}, which the simulated market does not have; it has {', '.join(KNOWN)}"
        )
    return tuple(symbol for symbol in meant.values() if symbol is not None)


END, BEGINNING = "end", "beginning"


def tape_terms(strict: bool, discontinuity: float | None, stamps: str | None) -> TapeOptions:
    """How a tape is read, from the words of the command line; None is the usual.

    `stamps` is what the stamp of metrics means: `end` or `beginning` of five minutes, or the day from which on it is
    the beginning. Raises SettingsError for what is none of these, or for a factor that is not above 1.
    """
    factor = DISCONTINUITY_FACTOR if discontinuity is None else discontinuity
    if not 1 < factor < inf:
        raise SettingsError(
            f"--discontinuity is {factor:g}; expected a factor above 1 such as {DISCONTINUITY_FACTOR:g}; correct it"
        )
    begins_from = {None: STAMP_CHANGE, END: _NEVER, BEGINNING: 0}.get(stamps)
    if begins_from is None:
        try:
            day = date.fromisoformat(stamps or "")
        except ValueError:
            raise SettingsError(
                f"--metrics-stamps is {stamps!r}; expected {END}, {BEGINNING}, or the day from which on they are the "
                "beginning, such as 2026-06-25; correct it"
            ) from None
        begins_from = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * SECOND
    return TapeOptions(strict, factor, begins_from)


_NEVER = 1 << 62

"""Opens the feed of a market from the value of `--market`."""

from pathlib import Path

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.feeds.simulated.feed import SYMBOLS
from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.adapters.feeds.tape.options import TapeOptions
from ocw_mcp.adapters.venues.instruments import KNOWN
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.protocols import Feed
from ocw_mcp.domain.symbols import of_market
from ocw_mcp.domain.time import MINUTE, span_ms

SIMULATED = "sim"
BINANCE = "binance"
FIRST_SEED = 1
LENIENT = TapeOptions(strict=False)
"""Options with which invalid rows and files of a tape are skipped and listed."""

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
    """Return the simulated market for `sim`, or the tape of a path. Raises SettingsError and TapeError."""
    if market != SIMULATED:
        return TapeFeed.open(Path(market), product, interval, symbols or None, terms)
    try:
        step = MINUTE if interval is None else span_ms(interval)
    except ValueError as error:
        raise SettingsError(f"--interval: {error}") from None
    return SimulatedFeed(seed, _simulated(symbols) or SYMBOLS, product or Product.UM, step=step)


def market_end(feed: Feed) -> int | None:
    """Return the time (ms) at which the last candle of a tape closes, from its file names; None if not known."""
    if not isinstance(feed, TapeFeed):
        return None
    ends = [file.ends for files in feed.selection.files.values() for file in files]
    return None if None in ends else max(filter(None, ends))


def _simulated(asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return the symbols of the simulated market for the given names. Raises SettingsError for an unknown name."""
    meant = {text: of_market(text, KNOWN) for text in asked}
    if unknown := [text for text, symbol in meant.items() if symbol is None]:
        raise SettingsError(
            f"--symbols has {unknown[0]!r}, which the simulated market does not have; "
            f"expected some of {', '.join(KNOWN)}"
        )
    return tuple(symbol for symbol in meant.values() if symbol is not None)

"""From the word after `--market` to a feed."""

from pathlib import Path

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.feeds.simulated.feed import SYMBOLS
from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import MINUTE, span_ms

SIMULATED = "sim"

MarketFeed = SimulatedFeed | TapeFeed


def open_market(
    market: str,
    *,
    product: Product | None = None,
    interval: str | None = None,
    symbols: tuple[str, ...] = (),
    seed: int = 1,
) -> MarketFeed:
    """The simulated market for `sim`, a tape for the path of one.

    Raises TapeError when the tape cannot be believed, SettingsError when the simulated market cannot be as wished.
    """
    if market != SIMULATED:
        return TapeFeed.open(Path(market), product, interval, symbols or None)
    try:
        step = MINUTE if interval is None else span_ms(interval)
    except ValueError as error:
        raise SettingsError(f"--interval: {error}") from None
    return SimulatedFeed(seed, symbols or SYMBOLS, product or Product.UM, step=step)

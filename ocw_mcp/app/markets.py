"""From the word after `--market` to a feed."""

from pathlib import Path

from ocw_mcp.adapters.feeds.random_walk import RandomWalkFeed
from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product

SIMULATED = "sim"

MarketFeed = RandomWalkFeed | TapeFeed


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
    if interval not in (None, "1m"):
        raise SettingsError(f"the simulated market has candles of 1m, not {interval}; leave --interval away")
    chosen = product or Product.UM
    return RandomWalkFeed(seed, symbols, product=chosen) if symbols else RandomWalkFeed(seed, product=chosen)

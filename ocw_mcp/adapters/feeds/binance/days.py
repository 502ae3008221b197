"""The daily candles of one symbol from before a new book's beginning, from which the regime is known at its start."""

import asyncio
from typing import Final

import msgspec

from ocw_mcp.adapters.feeds.binance.fill import KLINES, ROWS, WEIGHTS
from ocw_mcp.adapters.feeds.binance.rest import Priority, RestClient
from ocw_mcp.domain.errors import FeedError, MarketUnreachable
from ocw_mcp.domain.market import Candle, Product
from ocw_mcp.domain.time import DAY

DAYS: Final = 1_488
"""The days that the longest fit uses: four years and the windows before them."""
_LONGEST_S: Final = 20.0
"""The time (s) after which a new book begins without the days."""


async def fetch_days(rest: RestClient, product: Product, symbol: str, now: int) -> tuple[Candle, ...]:
    """Return the last `DAYS` closed days before `now` (ms), oldest first; fewer if the symbol is younger.

    Raises FeedError, and MarketUnreachable if they are not there within `_LONGEST_S`.
    """
    most, _ = WEIGHTS[product][-1]
    until, found = now // DAY * DAY, dict[int, Candle]()
    try:
        async with asyncio.timeout(_LONGEST_S):
            since = until - DAYS * DAY
            while since < until:
                limit = min(most, (until - since) // DAY)
                weight = next(weight for bound, weight in WEIGHTS[product] if limit <= bound)
                query: dict[str, str | int] = {"symbol": symbol, "interval": "1d", "startTime": since}
                query |= {"endTime": until - 1, "limit": limit}
                body = await rest.get(KLINES[product], query, weight=weight, priority=Priority.URGENT)
                rows = [row for row in ROWS.decode(body) if since <= row[0] < until and row[0] % DAY == 0]
                if not rows:
                    break
                found |= {row[0]: Candle(symbol, row[0], DAY, *row[1:6], taker_volume=row[9]) for row in rows}
                since = rows[-1][0] + DAY
    except TimeoutError:
        raise MarketUnreachable(f"the daily candles of {symbol} took longer than {_LONGEST_S:g} s") from None
    except msgspec.DecodeError as error:
        raise FeedError(f"the daily candles of {symbol} have other fields than expected: {error}") from None
    return tuple(found[at] for at in sorted(found))

"""The intervals of klines: their names, and the times at which they open."""

from datetime import UTC, datetime

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND, next_month

FIXED = {
    "1s": SECOND,
    "1m": MINUTE,
    "3m": 3 * MINUTE,
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "30m": 30 * MINUTE,
    "1h": HOUR,
    "2h": 2 * HOUR,
    "4h": 4 * HOUR,
    "6h": 6 * HOUR,
    "8h": 8 * HOUR,
    "12h": 12 * HOUR,
    "1d": DAY,
    "3d": 3 * DAY,
    "1w": 7 * DAY,
}
"""The lengths (ms) of the intervals, without the calendar month `1M`."""
PERIODS = {name: FIXED[name] for name in ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")}
"""The lengths (ms) of the periods of `/futures/data`."""
MONTH = "1M"
_MONDAY = 4 * DAY
"""1970 began on a Thursday, and weeks begin on Mondays."""


def intervals(product: Product) -> tuple[str, ...]:
    """Return the names of the intervals of a product: spot also has seconds."""
    names = (*FIXED, MONTH)
    return names if product is Product.SPOT else names[1:]


def opens_at(interval: str, at: int) -> int:
    """Return the open time (ms) of the kline of an interval that contains a time (ms)."""
    if interval == MONTH:
        time = datetime.fromtimestamp(at / SECOND, UTC)
        return int(datetime(time.year, time.month, 1, tzinfo=UTC).timestamp()) * SECOND
    length = FIXED[interval]
    offset = _MONDAY if interval == "1w" else 0
    return at - (at - offset) % length


def opens_next(interval: str, opened: int) -> int:
    """Return the open time (ms) of the kline after the one that opens at `opened` (ms)."""
    return next_month(opened) if interval == MONTH else opened + FIXED[interval]


def opens_before(interval: str, opened: int, count: int) -> int:
    """Return the open time (ms) of the kline that is `count` klines before the one that opens at `opened` (ms)."""
    if interval != MONTH:
        return opened - count * FIXED[interval]
    for _ in range(count):
        opened = opens_at(interval, opened - 1)
        if opened <= 0:
            break
    return opened

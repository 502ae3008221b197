"""The exchange's five-minute statistics of a perpetual: the paths of `/futures/data`, and what is read from their rows.

The paths have no weight and a limit of their own. They have the last thirty days. A row may lack a column or have an
unusable number; the field is then empty.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.domain.market import Metrics
from ocw_mcp.domain.time import DAY, MINUTE

ROWS_AT_MOST: Final = 500
"""The largest number of rows of one answer."""
_SMALLEST, _LARGEST_RATIO, _LARGEST_AMOUNT = 1e-9, 1e6, 1e18
"""The bounds of a usable ratio or amount, except 0."""
_EVERY: Final = 5 * MINUTE

Fields = dict[str, float]
"""Values by the name of their field in `Metrics`."""


class Source(NamedTuple):
    """One path, with the field of `Metrics` for each column that is read."""

    name: str
    columns: Mapping[str, str]
    is_of_pair: bool = False
    """Whether it is asked for a pair and the kind of contract."""

    @property
    def path(self) -> str:
        """The path of the request."""
        return f"/futures/data/{self.name}"

    def query(self, symbol: str, limit: int) -> dict[str, str | int]:
        """Return the query for the latest `limit` rows of a symbol."""
        asked = {"pair": symbol, "contractType": "PERPETUAL"} if self.is_of_pair else {"symbol": symbol}
        return {**asked, "period": "5m", "limit": min(limit, ROWS_AT_MOST)}


TAKERS: Final = Source("takerlongshortRatio", {"buySellRatio": "taker_ratio"})
"""The only rows that describe a time, and not the moment at its end: candles show which time it is."""
NEEDED: Final = (
    TAKERS,
    Source("openInterestHist", {"sumOpenInterest": "open_interest", "sumOpenInterestValue": "open_interest_value"}),
    Source("topLongShortPositionRatio", {"longShortRatio": "top_positions_ratio"}),
)
"""What the readings are computed from."""
SHOWN: Final = (
    Source("topLongShortAccountRatio", {"longShortRatio": "top_accounts_ratio"}),
    Source("globalLongShortAccountRatio", {"longShortRatio": "accounts_ratio"}),
)
"""What the rows have besides, as the exchange's archive has it."""
BASIS: Final = Source("basis", {"futuresPrice": "perp_price", "indexPrice": "index_price"}, is_of_pair=True)
"""Prices of the past, from which the basis is known at once; later ones are those of the premium index."""


class Premium(NamedTuple):
    """The prices of a perpetual and its index (quote), and the rate of its next funding as of now; None if unknown."""

    mark_price: float | None
    index_price: float | None
    rate: float | None


def statistics_of(source: Source, body: bytes) -> list[tuple[int, Fields]]:
    """Return time stamp (ms) and fields of each row, oldest first. Raises MarketUnreachable for another form."""
    found: dict[int, Fields] = {}
    for row in _rows(source.path, body):
        stamp = _number(row.get("timestamp"))
        if stamp is None or stamp % _EVERY or not stamp:
            continue
        values = {field: _bounded(field, _number(row.get(column))) for column, field in source.columns.items()}
        found[int(stamp)] = {field: value for field, value in values.items() if value is not None}
    return sorted(found.items())


def premiums_of(body: bytes) -> dict[str, Premium]:
    """Return the premium index by symbol, from the answer for one symbol or for all. Raises MarketUnreachable."""
    found = {}
    for row in _rows("/fapi/v1/premiumIndex", body):
        mark, index = (_bounded("price", _number(row.get(name))) or None for name in ("markPrice", "indexPrice"))
        rate = _number(row.get("lastFundingRate"))
        found[str(row.get("symbol"))] = Premium(mark, index, rate if rate is not None and abs(rate) < 1 else None)
    return found


def open_interest_of(body: bytes) -> float | None:
    """Return the present open interest (base asset). Raises MarketUnreachable for another form."""
    for row in _rows("/fapi/v1/openInterest", body):
        return _bounded("open_interest", _number(row.get("openInterest"))) or None
    return None


def history_limit(last_end: int | None, now: int) -> int:
    """Return how many rows are asked for at `now` (ms), if the last known one ended at `last_end`: at most a day."""
    since = now - DAY - _EVERY if last_end is None else max(last_end, now - DAY - _EVERY)
    return (now - since) // _EVERY + 2


def metrics_of(symbol: str, end: int, fields: Mapping[str, float]) -> Metrics:
    """Return the row of a symbol whose five minutes end at a time (ms)."""
    return msgspec.structs.replace(Metrics(symbol, end), **fields)


def _rows(path: str, body: bytes) -> Iterator[Mapping[str, Any]]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MarketUnreachable(f"{path} was answered with no JSON: {error}") from None
    rows = answer if isinstance(answer, list) else [answer]
    if not all(isinstance(row, dict) for row in rows):
        raise MarketUnreachable(f"{path} was answered with another form than expected: {body[:60]!r}")
    yield from rows


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _bounded(field: str, value: float | None) -> float | None:
    """Return a usable value of a field, or None."""
    largest = _LARGEST_RATIO if field.endswith("ratio") else _LARGEST_AMOUNT
    return value if value is not None and (value == 0 or _SMALLEST <= value <= largest) else None

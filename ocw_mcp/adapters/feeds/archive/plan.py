"""Plans which files of the archive to fetch for a request."""

import re
import unicodedata
from calendar import monthrange
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final

import msgspec

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product

KLINES, TRADES, METRICS, FUNDING = "klines", "aggTrades", "metrics", "fundingRate"
STREAMS = {Product.UM: (KLINES, METRICS, FUNDING, TRADES), Product.SPOT: (KLINES, TRADES)}
DEFAULT_STREAMS = {Product.UM: (KLINES, METRICS, FUNDING), Product.SPOT: (KLINES,)}
"""The streams that are fetched by default; trades are not, because they are a hundred times larger than candles."""
INTERVALS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1mo")

FOLDERS = {Product.UM: "futures/um", Product.SPOT: "spot"}
"""The folder of each product below the archive's `data/`."""
_OLDEST = date(2017, 1, 1)
"""The first day for which the archive may have files."""


class SizeLimit(msgspec.Struct, frozen=True):
    """The largest size of one file in bytes, packed and unpacked: a multiple of the archive's largest files."""

    packed: int
    unpacked: int


_MB: Final = 1_000_000
SIZE_LIMITS: Final = {
    KLINES: SizeLimit(500 * _MB, 4_000 * _MB),
    TRADES: SizeLimit(8_000 * _MB, 60_000 * _MB),
    METRICS: SizeLimit(20 * _MB, 200 * _MB),
    FUNDING: SizeLimit(20 * _MB, 200 * _MB),
}


def size_limit(path: str) -> SizeLimit:
    """Return the size limit of a file by its path in the archive."""
    return next((cap for stream, cap in SIZE_LIMITS.items() if f"/{stream}/" in path), SIZE_LIMITS[KLINES])


class PlannedFile(msgspec.Struct, frozen=True):
    """A file of the archive, and the smaller files with the same content in case it was never published."""

    path: str
    """Path below the archive's `data/`, such as `futures/um/daily/klines/ETHUSDT/1m/ETHUSDT-1m-2026-03-09.zip`."""
    instead: tuple["PlannedFile", ...] = ()


def plan_files(
    symbol: str,
    first: str,
    last: str,
    product: Product = Product.UM,
    interval: str = "1m",
    streams: Sequence[str] | None = None,
) -> list[PlannedFile]:
    """Return the archive's files of a symbol's streams from the first day to the last, both included.

    A whole month is one monthly file, or its daily files if the archive has no monthly one. `first` and `last` are days
    (`2026-03-09`) or whole months (`2026-03`). Raises SettingsError for a request that the archive cannot fulfil.
    """
    name = unicodedata.normalize("NFC", symbol.strip()).upper()
    if not re.fullmatch(r"[^\W_]{2,40}(?:_[0-9]{6})?", name):
        raise SettingsError(f"{symbol!r} is not a symbol; expected one such as ETHUSDT; correct it")
    begin, end = _day(first, last_of_month=False), _day(last, last_of_month=True)
    if begin > end:
        raise SettingsError(f"FROM {begin} is after TO {end}; expected the earlier day first; swap them")
    if begin < _OLDEST:
        raise SettingsError(f"FROM {begin} is before the archive begins; expected {_OLDEST} or later; begin later")
    canonical = {"1M": "1mo", "60m": "1h"}.get(interval, interval)
    if canonical not in INTERVALS:
        raise SettingsError(f"--interval is {interval!r}; expected one of {', '.join(INTERVALS)}; pick one")
    if canonical == "1s" and product is not Product.SPOT:
        raise SettingsError("--interval is 1s; expected 1m or more, since only spot has seconds; pick another")
    by_name = {each.lower(): each for each in STREAMS[product]}
    chosen = dict.fromkeys(streams) if streams is not None else DEFAULT_STREAMS[product]
    for each in chosen:
        if each.lower() not in by_name:
            raise SettingsError(
                f"--streams names {each!r}; expected some of {','.join(STREAMS[product])} for {product}; pick those"
            )
    if not chosen:
        raise SettingsError(f"--streams is empty; expected some of {','.join(STREAMS[product])}; name one")

    def file(stream: str, when: str, folder: str, instead: tuple[PlannedFile, ...] = ()) -> PlannedFile:
        top = f"{FOLDERS[product]}/{folder}/{stream}/{name}"
        if stream == KLINES:
            return PlannedFile(f"{top}/{canonical}/{name}-{canonical}-{when}.zip", instead)
        return PlannedFile(f"{top}/{name}-{stream}-{when}.zip", instead)

    plan: list[PlannedFile] = []
    for stream in (by_name[each.lower()] for each in chosen):
        for month, days in _months(begin, end):
            daily = tuple(file(stream, day.isoformat(), "daily") for day in days)
            if stream == FUNDING:
                plan.append(file(stream, f"{month:%Y-%m}", "monthly"))  # published by month only
            elif stream == METRICS or len(days) < _days_in(month):
                plan += daily  # metrics are published by day only
            else:
                plan.append(file(stream, f"{month:%Y-%m}", "monthly", daily))
    return plan


def _months(first: date, last: date) -> Iterator[tuple[date, list[date]]]:
    day = first
    while day <= last:
        month = day.replace(day=1)
        until = min(last, month + timedelta(days=_days_in(month) - 1))
        yield month, [day + timedelta(days=each) for each in range((until - day).days + 1)]
        day = until + timedelta(days=1)


def _days_in(month: date) -> int:
    return monthrange(month.year, month.month)[1]


def _day(text: str, *, last_of_month: bool) -> date:
    """Return the day of `2026-03-09`, or the first or last day of `2026-03`. Raises SettingsError."""
    match = re.fullmatch(r"(\d{4})-(\d{2})(?:-(\d{2}))?", text.strip())
    try:
        if match is None:
            raise ValueError
        month = date(int(match[1]), int(match[2]), 1)
        if match[3] is not None:
            return month.replace(day=int(match[3]))
        return month + timedelta(days=_days_in(month) - 1) if last_of_month else month
    except (ValueError, OverflowError):
        raise SettingsError(
            f"{text!r} is not a day; expected one such as 2026-03-09, or a month such as 2026-03; correct it"
        ) from None

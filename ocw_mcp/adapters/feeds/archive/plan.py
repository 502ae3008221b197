"""Which files of the archive hold what is wanted."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final

import msgspec

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product

KLINES, TRADES, METRICS, FUNDING = "klines", "aggTrades", "metrics", "fundingRate"
STREAMS = {
    Product.UM: (KLINES, METRICS, FUNDING, TRADES),
    Product.SPOT: (KLINES, TRADES),
}
"""What the archive has of a product."""
USUAL = {Product.UM: (KLINES, METRICS, FUNDING), Product.SPOT: (KLINES,)}
"""What is fetched unless asked for otherwise: trades are a hundred times the rest, and candles are made of them."""
INTERVALS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1mo")

_FOLDERS = {Product.UM: "futures/um", Product.SPOT: "spot"}
_OLDEST = date(2017, 1, 1)
"""Before the exchange."""


class Cap(msgspec.Struct, frozen=True):
    """The most bytes of one file, packed and unpacked: some times what the archive's largest ones have."""

    packed: int
    unpacked: int


_MB: Final = 1_000_000
CAPS: Final = {
    KLINES: Cap(500 * _MB, 4_000 * _MB),
    TRADES: Cap(8_000 * _MB, 60_000 * _MB),
    METRICS: Cap(20 * _MB, 200 * _MB),
    FUNDING: Cap(20 * _MB, 200 * _MB),
}


def cap_of(path: str) -> Cap:
    """The cap of a file by its place in the archive."""
    return next((cap for stream, cap in CAPS.items() if f"/{stream}/" in path), CAPS[KLINES])


class Wanted(msgspec.Struct, frozen=True):
    """One symbol's streams, from the first day to the last, both included."""

    symbol: str
    first: date
    last: date
    product: Product
    interval: str
    streams: tuple[str, ...]


class Piece(msgspec.Struct, frozen=True):
    """A file of the archive, and the smaller ones that hold the same where it was never published."""

    path: str
    """Below the archive's `data/`, as `futures/um/daily/klines/ETHUSDT/1m/ETHUSDT-1m-2026-03-09.zip`."""
    instead: tuple["Piece", ...] = ()


def wanted(
    symbol: str,
    first: str,
    last: str,
    product: Product = Product.UM,
    interval: str = "1m",
    streams: Sequence[str] | None = None,
) -> Wanted:
    """What was asked for, checked. Days are `2026-03-09`; `2026-03` is the month's first day, or its last.

    Raises SettingsError for what the archive cannot have.
    """
    name = unicodedata.normalize("NFC", symbol.strip()).upper()
    if not re.fullmatch(r"[^\W_]{2,40}(?:_[0-9]{6})?", name):
        raise SettingsError(f"{symbol!r} is no symbol; expected one such as ETHUSDT; correct it")
    begin, end = _day(first, last_of_month=False), _day(last, last_of_month=True)
    if begin > end:
        raise SettingsError(f"FROM {begin} is after TO {end}; expected the earlier day first; swap them")
    if begin < _OLDEST:
        raise SettingsError(f"FROM {begin} is before the archive; expected {_OLDEST} or later; begin later")
    spelt = {"1M": "1mo", "60m": "1h"}.get(interval, interval)
    if spelt not in INTERVALS:
        raise SettingsError(f"--interval is {interval!r}; expected one of {', '.join(INTERVALS)}; pick one")
    if spelt == "1s" and product is not Product.SPOT:
        raise SettingsError("--interval is 1s; expected 1m or more, since only spot has seconds; pick another")
    chosen = tuple(dict.fromkeys(streams)) if streams is not None else USUAL[product]
    by_name = {each.lower(): each for each in STREAMS[product]}
    for each in chosen:
        if each.lower() not in by_name:
            raise SettingsError(
                f"--streams names {each!r}; expected some of {','.join(STREAMS[product])} for {product}; pick those"
            )
    if not chosen:
        raise SettingsError(f"--streams is empty; expected some of {','.join(STREAMS[product])}; name one")
    return Wanted(name, begin, end, product, spelt, tuple(by_name[each.lower()] for each in chosen))


def pieces(want: Wanted) -> Iterator[Piece]:
    """The files that hold what is wanted: a monthly one for a whole month, with its days in case there is none."""
    for stream in want.streams:
        for month, days in _months(want.first, want.last):
            daily = tuple(Piece(_path(want, stream, day.isoformat(), "daily")) for day in days)
            monthly = _path(want, stream, f"{month:%Y-%m}", "monthly")
            if stream == FUNDING:
                yield Piece(monthly)  # published by months alone
            elif stream == METRICS or len(days) < _days_in(month):
                yield from daily  # metrics are published by days alone
            else:
                yield Piece(monthly, daily)


def _path(want: Wanted, stream: str, when: str, folder: str) -> str:
    top = f"{_FOLDERS[want.product]}/{folder}/{stream}/{want.symbol}"
    if stream == KLINES:
        return f"{top}/{want.interval}/{want.symbol}-{want.interval}-{when}.zip"
    return f"{top}/{want.symbol}-{stream}-{when}.zip"


def _months(first: date, last: date) -> Iterator[tuple[date, list[date]]]:
    day = first
    while day <= last:
        month = day.replace(day=1)
        until = min(last, month + timedelta(days=_days_in(month) - 1))
        yield month, [day + timedelta(days=each) for each in range((until - day).days + 1)]
        day = until + timedelta(days=1)


def _days_in(month: date) -> int:
    following = (month + timedelta(days=31)).replace(day=1)
    return (following - month).days


def _day(text: str, *, last_of_month: bool) -> date:
    """A day out of `2026-03-09` or `2026-03`. Raises SettingsError."""
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
            f"{text!r} is no day; expected one such as 2026-03-09, or a month such as 2026-03; correct it"
        ) from None

"""What the name and the place of a file say: stream, symbol, interval, dates, product."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import PurePath

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import SECOND, span_ms, span_name

MONTHLY = "1mo"
SUFFIXES = (".zip", ".csv", ".csv.gz")
GOOD_NAMES = "names such as ETHUSDT-1m-2026-03-09.zip, BTCUSDT-1h-2025-01.csv or um-SOLUSDT-15m.csv.gz"

# These archives have the same file names as candles, or prices in another currency; none of them is what traded.
_FOREIGN = {"markpriceklines", "indexpriceklines", "premiumindexklines", "cm", "option"}

_DATE = r"[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?"
_NAME = re.compile(
    r"(?:(?P<product>spot|um)[-_])?"
    r"(?P<symbol>[^\W_]{2,40}(?:_[0-9]{6})?)"
    r"(?:[-_](?:(?P<interval>[0-9]{1,3}(?:mo|[smhdwM]))|(?P<stream>(?i:aggTrades|metrics|fundingRate))))?"
    rf"(?:[-_](?P<first>{_DATE})(?:_(?P<last>{_DATE}|[0-9]{{2}}(?:-[0-9]{{2}})?))?)?"
)


class Stream(StrEnum):
    """What the rows of a file are, in the archive's own words."""

    KLINES = "klines"
    TRADES = "aggTrades"
    METRICS = "metrics"
    FUNDING = "fundingRate"


class TapeName(msgspec.Struct, frozen=True):
    """What a name tells; None where it is silent. `starts` and `ends` (exclusive) are in ms."""

    stream: Stream
    symbol: str
    interval: str | None
    starts: int | None
    ends: int | None
    product: Product | None


def has_suffix(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def is_foreign(path: PurePath) -> bool:
    """Whether a folder of a path says that its files are no trades, or of another product than is traded here."""
    return not _FOREIGN.isdisjoint(part.lower() for part in path.parts[:-1])


def read_name(path: PurePath) -> TapeName | None:
    """Return what the part of a path below the tape says about a file; None if that names no file of a tape."""
    folders = [part.lower() for part in path.parts[:-1]]
    # A file system may keep a name in another form of the same characters.
    name = unicodedata.normalize("NFC", path.name)
    suffix = next((end for end in sorted(SUFFIXES, key=len, reverse=True) if name.lower().endswith(end)), None)
    match = suffix and _NAME.fullmatch(name[: -len(suffix)])
    if not match or is_foreign(path):
        return None
    symbol, interval = match["symbol"], match["interval"]
    stream = next((each for each in Stream if each.lower() == (match["stream"] or "").lower()), Stream.KLINES)
    if interval is None and stream is Stream.KLINES and (len(symbol) < 5 or symbol != symbol.upper()):
        return None  # without an interval beside it, a word such as `data` or `notes` is no symbol
    starts, ends = _dates(match["first"], match["last"])
    return TapeName(
        stream=stream,
        symbol=symbol.upper(),
        interval=None if interval is None else canonical(interval),
        starts=starts,
        ends=ends,
        product=Product(match["product"]) if match["product"] else _product(folders),
    )


def archive_product(path: PurePath, symbol: str) -> Product | None:
    """The product that a file's place says, where its last folders are exactly those of the archive's layout.

    That is `spot` or `futures/um`, then `daily` or `monthly`, a stream, the symbol, and for candles an interval.
    """
    folders = [part.lower() for part in path.parts[:-1]]
    if folders and re.fullmatch(r"[0-9]{1,3}(?:mo|[smhdw])", folders[-1]):
        folders.pop()
    match folders:
        case [*above, "daily" | "monthly", stream, of] if of == symbol.lower() and stream in map(str.lower, Stream):
            return _product(above[-2:]) if above[-1:] in (["spot"], ["um"]) else None
    return None


def canonical(interval: str) -> str:
    """One spelling for equal intervals (`60m` is `1h`, `1M` is `1mo`). Raises ValueError for what is no interval."""
    return MONTHLY if interval.endswith(("M", "mo")) else span_name(span_ms(interval))


def _product(folders: list[str]) -> Product | None:
    """The product that the nearest folder tells, after the archive's layout."""
    for place in range(len(folders) - 1, -1, -1):
        if folders[place] == "spot":
            return Product.SPOT
        if folders[place] == "um" and place and folders[place - 1] == "futures":
            return Product.UM
    return None


def _dates(first: str | None, last: str | None) -> tuple[int | None, int | None]:
    """The span that `2026-03-09`, `2026-03`, `2025-05_06` or `2024-07-26_2024-08-25` covers; None for no real date."""
    if first is None:
        return None, None
    head = first.split("-")
    tail = last.split("-") if last else head
    if len(tail[0]) == 2:
        tail = head[: len(head) - len(tail)] + tail
    try:
        starts, ends = _bounds(head)[0], _bounds(tail)[1]
    except ValueError:
        return None, None
    return (starts, ends) if starts < ends else (None, None)


def _bounds(parts: list[str]) -> tuple[int, int]:
    """First moment of a year, month or day, and of the one after it, ms. Raises ValueError for no real date."""
    year, month, day = ([int(part) for part in parts] + [1, 1])[:3]
    begin = datetime(year, month, day, tzinfo=UTC)
    if len(parts) == 3:
        end = begin + timedelta(days=1)
    else:
        months = year * 12 + month - 1 + (1 if len(parts) == 2 else 12)
        end = datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
    return int(begin.timestamp()) * SECOND, int(end.timestamp()) * SECOND

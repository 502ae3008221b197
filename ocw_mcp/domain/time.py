"""Times and spans in whole milliseconds; times are counted from 1970 in UTC."""

import re
from datetime import UTC, date, datetime
from functools import lru_cache

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}


@lru_cache(maxsize=256)
def span_ms(text: str) -> int:
    """Return the milliseconds of a span such as `90s`, `15m`, `4h` or `7d`. Raises ValueError for any other text."""
    if re.fullmatch(r"\d{7,}[smhdw]", text):
        raise ValueError(f"{text[:20]!r} is too long a span of time; write at most six digits, such as 365d")
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if match is None or int(match[1]) == 0:
        raise ValueError(f"{text!r} is not a span of time; write a number and one of s, m, h, d, w, such as 15m or 24h")
    return int(match[1]) * _UNITS[match[2]]


@lru_cache(maxsize=256)
def span_name(ms: int) -> str:
    """Return the exchange's short name of a span: `1m`, `15m`, `4h`, `1d`."""
    for unit in ("d", "h", "m", "s"):
        if ms % _UNITS[unit] == 0:
            return f"{ms // _UNITS[unit]}{unit}"
    return f"{ms}ms"


def iso(ms: int) -> str:
    """Return a time as ISO 8601 text in UTC: `2026-03-09T00:01:00Z`. Milliseconds are omitted if they are 0."""
    time = datetime.fromtimestamp(ms / SECOND, UTC)
    return time.isoformat(timespec="milliseconds" if ms % SECOND else "seconds").replace("+00:00", "Z")


def utc_day(ms: int) -> str:
    """Return the UTC day of a time: `2026-03-09`."""
    return _day_name(ms // DAY)


@lru_cache(maxsize=64)
def _day_name(day: int) -> str:
    return iso(day * DAY)[:10]


def next_month(ms: int) -> int:
    """Return the first midnight (UTC) of the next month."""
    time = datetime.fromtimestamp(ms / SECOND, UTC)
    year, month = divmod(time.year * 12 + time.month, 12)
    return int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp()) * SECOND


def day_begins(day: str) -> int:
    """Return the beginning (ms) of a UTC day such as `2026-03-09`. Raises ValueError for an invalid date."""
    found = date.fromisoformat(day)
    return int(datetime(found.year, found.month, found.day, tzinfo=UTC).timestamp()) * SECOND


def next_midnight(ms: int) -> int:
    """Return the first UTC midnight after a time."""
    return (ms // DAY + 1) * DAY

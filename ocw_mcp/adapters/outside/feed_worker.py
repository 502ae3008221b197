"""Parses a feed of headlines (RSS or Atom) from standard input, in a process of its own; see `apart.py`."""

import calendar
import sys
import warnings
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ocw_mcp.adapters.outside.apart import limit_this_process
from ocw_mcp.domain.text import printable

MOST: Final = 5
"""The headlines that are kept of a feed: the newest."""
LONGEST: Final = 200
"""The most characters of a headline."""


class Headline(msgspec.Struct, frozen=True, array_like=True):
    """A headline, with the time (ms) at which it was published, if the feed states it."""

    text: str
    at: int | None


def headlines(feed: bytes) -> list[Headline] | None:
    """Return the newest headlines of a feed; None if the text is no feed. Entities of a document are not expanded."""
    import feedparser

    if b"<!ENTITY" in feed.replace(b"\0", b""):
        return None  # no feed needs it, and a few entities can stand for gigabytes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = feedparser.parse(feed, sanitize_html=False, resolve_relative_uris=False)
    if not found.get("version"):
        return None
    kept = [each for entry in found.entries if (each := _headline(entry)) is not None]
    return sorted(kept, key=lambda each: -(each.at or 0))[:MOST]


def _headline(entry: Mapping[str, Any]) -> Headline | None:
    text = printable(str(entry.get("title", ""))[: 4 * LONGEST])[:LONGEST]
    if not text:
        return None
    stamp = entry.get("published_parsed") or entry.get("updated_parsed")
    try:
        return Headline(text, None if stamp is None else calendar.timegm(stamp) * 1_000)
    except (ValueError, OverflowError, TypeError):
        return Headline(text, None)


def main() -> None:
    """Read a feed from standard input, and write its headlines; exit with 1 if it is none."""
    limit_this_process()
    found = headlines(sys.stdin.buffer.read())
    if found is None:
        sys.exit(1)
    sys.stdout.buffer.write(msgspec.json.encode(found))

"""Reads the daily candles of one symbol from a market; shorter candles become days."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.protocols import Feed
from ocw_mcp.domain.time import DAY, span_name


def read_days(feed: Feed, for_ms: int | None = None) -> list[Candle]:
    """Return the daily candles of a feed of one symbol, up to `for_ms` after its first candle; by default all.

    Raises SettingsError if its candles are longer than a day or do not divide one, and TapeError for an invalid tape.
    """
    if DAY % feed.identity.interval:
        raise SettingsError(
            f"the candles are {span_name(feed.identity.interval)} long, and the regime needs days; expected candles of "
            "a day or a part of it; choose them with --interval, such as 1d"
        )
    return list(days_of(asyncio.run(_read(feed, for_ms))))


async def _read(feed: Feed, for_ms: int | None) -> list[Candle]:
    found: list[Candle] = []
    async with aclosing(feed.frames()) as frames:
        async for frame in frames:
            if for_ms is not None and found and frame.at > found[0].open_time + for_ms:
                break
            found.extend(frame.closed)
    return found


def days_of(candles: Sequence[Candle]) -> Iterator[Candle]:
    """Yield the whole UTC days of consecutive candles of one symbol; a day that lacks a candle is left out."""
    part: list[Candle] = []
    for candle in candles:
        if part and candle.open_time // DAY != part[0].open_time // DAY:
            part = []
        part.append(candle)
        if len(part) * candle.interval == DAY:
            yield Candle(
                candle.symbol,
                part[0].open_time,
                DAY,
                part[0].open,
                max(each.high for each in part),
                min(each.low for each in part),
                candle.close,
                sum(each.volume for each in part),
            )

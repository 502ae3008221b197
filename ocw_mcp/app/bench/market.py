"""The facts of a tape beside those of simulated markets of equal length that begin on the same weekday."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.feeds.simulated.feed import START, SYMBOLS
from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.app.bench.facts import Series, facts, together
from ocw_mcp.app.markets import MarketFeed
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, MINUTE, utc_day

SEEDS = 5
"""Number of simulated markets whose median is shown, since months of a volatile market differ widely."""
DAYS = 30
"""Length of the simulated markets if there is no tape."""
MOST_DAYS = 400
"""Largest number of days compared: the last ones of a longer tape."""


HEADINGS = {"sim": "sim", "low": "from", "high": "to", "tape": "tape", "ratio": "sim/tape"}
"""The values of a fact, and the headings of their columns."""


class SeriesComparison(NamedTuple):
    """The result of a comparison, ready for JSON, and the series of which a picture is drawn."""

    found: dict[str, Any]
    tape: dict[str, Series]
    simulated: tuple[dict[str, Series], ...]
    """One market for each seed."""


def compare(
    tape: Path | None, product: Product | None, interval: str | None, symbols: tuple[str, ...], seed: int
) -> SeriesComparison:
    """Return the comparison of simulated markets with a tape, or of simulated markets alone if there is no tape.

    Raises TapeError if the tape is invalid, SettingsError if no market like it can be simulated.
    """
    if tape is None:
        recorded: dict[str, Series] = {}
        names, step, days, start = symbols or SYMBOLS, MINUTE, DAYS, START
    else:
        feed = TapeFeed.open(tape, product, interval, symbols or None)
        product, step = feed.product, feed.interval
        kept = MOST_DAYS * DAY // step
        recorded = {
            name: Series(step, each.time[-kept:], *(column[-kept:] for column in each[2:]))
            for name, each in series_of(feed).items()
        }
        if not recorded or min(len(each.close) for each in recorded.values()) * step < DAY:
            raise SettingsError(
                f"{tape.name} holds less than a day of candles; expected at least one day; choose a longer tape"
            )
        names = tuple(sorted(recorded))
        first = min(int(each.time[0]) for each in recorded.values())
        last = max(int(each.time[-1]) for each in recorded.values())
        days = max(1, round((last + step - first) / DAY))
        start = START + ((first - START) // DAY % 7) * DAY
    markets = tuple(
        series_of(SimulatedFeed(each, names, product or Product.UM, start, days, step, warmup_days=0))
        for each in range(seed, seed + SEEDS)
    )
    found = {
        "tape": None if tape is None else f"{product}, {utc_day(first)} to {utc_day(last)}",
        "step_ms": step,
        "days": days,
        "seeds": [seed, seed + SEEDS - 1],
        "symbols": {
            name: _beside(
                [facts(market[name]) for market in markets], facts(recorded[name]) if name in recorded else None
            )
            for name in names
        },
        "correlation": _beside([together(market) for market in markets], together(recorded) if recorded else None),
    }
    return SeriesComparison(found, recorded, markets)


def _beside(
    simulated: list[dict[str, float | None]], tape: dict[str, float | None] | None
) -> dict[str, dict[str, float | None]]:
    """Return for each fact the median and range over the seeds, the value of the tape, and their ratio."""
    beside = {}
    for name in simulated[0]:
        values = [value for each in simulated if (value := each[name]) is not None]
        middle = float(np.median(values)) if values else None
        recorded = tape[name] if tape is not None else None
        ratio = middle / recorded if middle is not None and recorded else None
        row = middle, min(values, default=None), max(values, default=None), recorded, ratio
        rounded = [None if value is None else float(f"{value:.4g}") for value in row]
        beside[name] = dict(zip(HEADINGS, rounded, strict=True))
    return beside


def table(found: dict[str, Any]) -> Table:
    """Return the comparison as a table with one row for each fact and symbol."""
    against = f"against {found['tape']}" if found["tape"] else "alone"
    seeds = f"median of seeds {found['seeds'][0]} to {found['seeds'][1]}, and their range"
    view = Table(title=f"Simulated market {against}, {found['days']} days: {seeds}", title_justify="left", box=None)
    view.add_column("fact")
    view.add_column("symbol")
    for heading in HEADINGS.values():
        view.add_column(heading, justify="right")
    rows = [(fact, symbol, row) for symbol, facts in found["symbols"].items() for fact, row in facts.items()]
    rows += [("correlation", pair, row) for pair, row in found["correlation"].items()]
    for fact, symbol, row in rows:
        view.add_row(fact, symbol, *("-" if value is None else f"{value:.3g}" for value in row.values()))
    return view


def series_of(feed: MarketFeed) -> dict[str, Series]:
    """Return all candles of a finite feed by symbol. Raises TapeError if a tape is invalid."""
    rows: dict[str, list[tuple[float, ...]]] = {symbol: [] for symbol in feed.symbols}

    async def read() -> None:
        async with aclosing(feed.frames()) as frames:
            async for frame in frames:
                for c in frame.closed:
                    taker = np.nan if c.taker_volume is None else c.taker_volume
                    rows[c.symbol].append((c.open_time, c.open, c.high, c.low, c.close, c.volume, taker))

    asyncio.run(read())
    return {symbol: Series.of_rows(feed.interval, np.array(given)) for symbol, given in rows.items() if given}

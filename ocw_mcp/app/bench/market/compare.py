"""The facts of a tape beside those of simulated markets that are as long and begin on the same weekday."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.feeds.simulated.feed import START, SYMBOLS
from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.app.bench.market.facts import facts, together
from ocw_mcp.app.bench.market.series import Series, series_of
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, MINUTE, utc_day

SEEDS = 5
"""Simulated markets whose median is told: one month of a wild market tells little of the next."""
DAYS = 30
"""Length where there is no tape."""
MOST_DAYS = 400
"""Days of a longer tape that are compared: its last ones."""


class SeriesComparison(NamedTuple):
    """What was found, ready for JSON, and what a picture is drawn from."""

    found: dict[str, Any]
    tape: dict[str, Series]
    simulated: tuple[dict[str, Series], ...]
    """One for each seed."""


def compare(
    tape: Path | None, product: Product | None, interval: str | None, symbols: tuple[str, ...], seed: int
) -> SeriesComparison:
    """Measure simulated markets, and a tape where one is given.

    Raises TapeError when the tape cannot be believed, SettingsError when none can be simulated like it.
    """
    if tape is None:
        recorded: dict[str, Series] = {}
        names, step, days, start = symbols or SYMBOLS, MINUTE, DAYS, START
    else:
        feed = TapeFeed.open(tape, product, interval, symbols or None)
        product, step = feed.product, feed.interval
        recorded = {name: _last(each) for name, each in series_of(feed).items()}
        if not recorded or min(len(each.close) for each in recorded.values()) * step < DAY:
            raise SettingsError(
                f"{tape.name} holds less than a day of candles; expected at least one; take a longer one"
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


def _last(series: Series) -> Series:
    kept = MOST_DAYS * DAY // series.step
    return series._replace(**{name: getattr(series, name)[-kept:] for name in series._fields if name != "step"})


def _beside(
    simulated: list[dict[str, float | None]], tape: dict[str, float | None] | None
) -> dict[str, dict[str, float | None]]:
    """Each fact as the median over the seeds, the tape's, and the one over the other."""
    beside = {}
    for name in simulated[0]:
        values = [value for each in simulated if (value := each[name]) is not None]
        middle = float(np.median(values)) if values else None
        real = tape[name] if tape is not None else None
        ratio = middle / real if middle is not None and real else None
        beside[name] = {
            "sim": _short(middle),
            "low": _short(min(values, default=None)),
            "high": _short(max(values, default=None)),
            "tape": _short(real),
            "ratio": _short(ratio),
        }
    return beside


def _short(value: float | None) -> float | None:
    """Four significant digits."""
    return None if value is None else float(f"{value:.4g}")


def table(found: dict[str, Any]) -> Table:
    """The comparison for people: one row a fact, one group of columns a symbol."""
    against = f"against {found['tape']}" if found["tape"] else "alone"
    seeds = f"median of seeds {found['seeds'][0]} to {found['seeds'][1]}, and their range"
    view = Table(title=f"Simulated market {against}, {found['days']} days: {seeds}", title_justify="left", box=None)
    view.add_column("fact")
    for heading in ("symbol", "sim", "from", "to", "tape", "sim/tape"):
        view.add_column(heading, justify="left" if heading == "symbol" else "right")
    for symbol, rows in found["symbols"].items():
        for fact, row in rows.items():
            view.add_row(fact, symbol, *(_cell(row[key]) for key in ("sim", "low", "high", "tape", "ratio")))
    for pair, row in found["correlation"].items():
        view.add_row("correlation", pair, *(_cell(row[key]) for key in ("sim", "low", "high", "tape", "ratio")))
    return view


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"

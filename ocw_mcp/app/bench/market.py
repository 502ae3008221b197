"""Compares a recorded market with simulated ones of equal length and first weekday, as a table and a picture."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.table import Table

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.feeds.simulated.feed import START, SYMBOLS
from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.app.bench.facts import Floats, Series, by_hour, correlation, facts, local_sizes, together
from ocw_mcp.app.markets import MarketFeed
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Candle, Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, utc_day

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEEDS = 5
"""Number of simulated markets whose median is shown, since months of a volatile market differ widely."""
DAYS = 30
"""Length of the simulated markets if there is no tape."""
MOST_DAYS = 400
"""Largest number of days compared; of a longer tape only the last days are used."""


SIMULATED, RECORDED = "tab:blue", "tab:orange"
LAGS = (1, 2, 3, 5, 10, 20, 30, 60, 120, 240, 480, 960, 1440, 2880, 5760)
"""Minutes."""
MOST_POINTS = 20_000
"""Largest number of points of a drawn line; the picture has fewer pixel columns."""
HEADINGS = {"sim": "sim", "low": "from", "high": "to", "tape": "tape", "ratio": "sim/tape"}
"""The values of a fact, and the headings of their columns."""


class SeriesComparison(NamedTuple):
    """The result of a comparison, ready for JSON, and the series of which a picture is drawn."""

    found: dict[str, Any]
    tape: dict[str, Series]
    simulated: tuple[dict[str, Series], ...]
    """The simulated markets, one for each seed."""


def compare(
    tape: Path | None, product: Product | None, interval: str | None, symbols: tuple[str, ...], seed: int
) -> SeriesComparison:
    """Return the comparison of simulated markets with a tape, if any. Raises TapeError, SettingsError."""
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
    candles: dict[str, list[Candle]] = {symbol: [] for symbol in feed.symbols}

    async def read() -> None:
        async with aclosing(feed.frames()) as frames:
            async for frame in frames:
                for candle in frame.closed:
                    candles[candle.symbol].append(candle)

    asyncio.run(read())
    return {symbol: Series.of_candles(feed.interval, given) for symbol, given in candles.items() if given}


def draw(comparison: SeriesComparison, path: Path) -> None:
    """Draw the first symbol of a comparison as a PNG file. Raises SettingsError if the file cannot be written."""
    from matplotlib.figure import Figure

    symbol = next(iter(comparison.found["symbols"]))
    tape, markets = comparison.tape.get(symbol), [market[symbol] for market in comparison.simulated]
    both = [(markets[0], "simulated", SIMULATED)] + ([(tape, "recorded", RECORDED)] if tape is not None else [])
    figure = Figure(figsize=(18, 13), dpi=90, layout="constrained")
    panels = figure.subplots(3, 3)
    beside = comparison.found["tape"] or "no tape"
    figure.suptitle(f"{symbol}: simulated (seed {comparison.found['seeds'][0]}) and recorded ({beside})")
    _prices(panels[0, 0], markets, tape)
    most = max(float(np.nanmax(np.abs(series.returns))) for series, _, _ in both)
    if tape is None:
        panels[0, 2].set_axis_off()
    for place, (series, name, colour) in enumerate(both, start=1):
        _returns(panels[0, place], series, name, colour, most)
        _distribution(panels[1, 0], series, name, colour)
        _memory(panels[1, 1], series, name, colour)
        _season(panels[1, 2], series, name, colour, "return", np.abs(series.returns))
        _volume(panels[2, 0], series, name, colour)
        _season(panels[2, 1], series, name, colour, "volume", series.volume)
        _echo(panels[2, 2], series, name, colour)
    for axes in panels.flat:
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise SettingsError(f"the picture cannot be written to {path}: {error.strerror or error}") from None


def _prices(axes: "Axes", markets: list[Series], tape: Series | None) -> None:
    paths = [(each, None if place else "simulated", SIMULATED) for place, each in enumerate(markets)]
    paths += [(tape, "recorded", RECORDED)] if tape is not None else []
    for series, name, colour in paths:
        every = max(1, len(series.close) // MOST_POINTS)
        days, logs = (series.time[::every] - series.time[0]) / DAY, np.log(series.close[::every] / series.open[0])
        axes.plot(days, 100 * logs, color=colour, alpha=1.0 if name else 0.25, lw=0.8, label=name)
    axes.set(title="Price against the first one; other seeds pale", xlabel="days", ylabel="%, of logarithms")


def _returns(axes: "Axes", series: Series, name: str, colour: str, most: float) -> None:
    days = (series.time - series.time[0]) / DAY
    axes.plot(days, series.returns * 100, color=colour, lw=0.4)
    axes.set(title=f"Returns, {name}", xlabel="days", ylabel="% a candle", ylim=(-110 * most, 110 * most))


def _distribution(axes: "Axes", series: Series, name: str, colour: str) -> None:
    returns = series.returns[~np.isnan(series.returns)]
    standard = (returns - returns.mean()) / returns.std()
    edges = np.linspace(-15, 15, 121)
    density, _ = np.histogram(standard, edges, density=True)
    middles = (edges[:-1] + edges[1:]) / 2
    axes.semilogy(middles[density > 0], density[density > 0], ".-", color=colour, lw=0.8, ms=3, label=name)
    if name == "simulated":
        axes.semilogy(middles, np.exp(-(middles**2) / 2) / np.sqrt(2 * np.pi), "k:", lw=0.8, label="normal")
    axes.set(title="Returns in standard deviations", ylabel="density", ylim=(1e-6, 2))


def _memory(axes: "Axes", series: Series, name: str, colour: str) -> None:
    size = np.abs(series.returns)
    points = [
        (minutes, value)
        for minutes in LAGS
        if (lag := minutes * MINUTE // series.step) and (value := correlation(size, size, lag)) is not None
    ]
    axes.semilogx(*zip(*points, strict=True), "o-", color=colour, ms=3, lw=0.8, label=name)
    axes.axhline(0, color="grey", lw=0.5)
    axes.set(title="Autocorrelation of |return|", xlabel="lag, minutes")


def _season(axes: "Axes", series: Series, name: str, colour: str, quantity: str, values: Floats) -> None:
    cut = np.minimum(values, 5 * float(np.nanmean(values)))
    axes.plot(range(24), by_hour(series, cut), "o-", color=colour, ms=3, lw=0.8, label=name)
    axes.axhline(0, color="grey", lw=0.5)
    axes.set(title=f"{quantity.capitalize()} by hour of the day over the mean", xlabel="hour, UTC")


def _volume(axes: "Axes", series: Series, name: str, colour: str) -> None:
    """Draw the median volume with its quartiles in each of thirty classes of |return|."""
    size, volume = np.abs(series.returns), series.volume
    known = (size > 0) & (volume > 0)  # both are false if there is no candle
    size, volume = size[known] / np.median(size[known]), volume[known] / np.median(volume[known])
    classes = np.array_split(np.argsort(size, kind="stable"), 30)
    middles = [np.median(size[rows]) for rows in classes]
    low, middle, high = np.array([np.quantile(volume[rows], (0.25, 0.5, 0.75)) for rows in classes]).T
    axes.loglog(middles, middle, "o-", color=colour, ms=3, lw=0.8, label=name)
    axes.fill_between(middles, low, high, color=colour, alpha=0.12, lw=0)
    axes.set(title="Volume by |return|, both over their medians", xlabel="|return|", ylabel="volume")


def _echo(axes: "Axes", series: Series, name: str, colour: str) -> None:
    """Draw the mean |return| around the largest moves, relative to the mean of the hours around each of them."""
    size, reach = np.nan_to_num(np.abs(series.returns)), max(2, 2 * HOUR // series.step)
    large = np.argsort(-np.abs(local_sizes(series)), kind="stable")[: max(20, len(size) // 1000)]
    rows = [size[place - reach // 2 : place + reach] for place in large if reach <= place < len(size) - reach]
    if not rows:
        return
    mean = np.mean([row / max(float(np.mean(row)), 1e-12) for row in rows], axis=0)
    minutes = (np.arange(len(mean)) - reach // 2) * series.step / 60_000
    axes.semilogy(minutes, mean, color=colour, lw=0.8, label=f"{name}, {len(rows)} moves")
    axes.set(title="|return| around the largest moves, over its mean there", xlabel="minutes")

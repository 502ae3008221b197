"""The picture of the regime over time: the price on the colours of the levels, their probabilities, the volatility."""

from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ocw_mcp.app.drawing import moments, save
from ocw_mcp.app.regime.history import RegimeHistory
from ocw_mcp.core.regime.reading import level_probabilities
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.regime import LEVELS, Level
from ocw_mcp.domain.time import DAY, utc_day
from ocw_mcp.domain.unknown import Unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS: Final = {Level.CALM: "#2f9e6b", Level.NORMAL: "#e6b13c", Level.TURBULENT: "#cf4444"}
PRICE: Final = "#20242b"
MARKED: Final = 6
"""The number of largest daily returns that are marked."""
APART: Final = 45 * DAY
"""The least time (ms) between two marks."""


def draw(path: Path, history: RegimeHistory, found: dict[str, Any]) -> None:
    """Draw a history with its report into a PNG or SVG. Raises SettingsError if the file cannot be written."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 9.2), layout="constrained")
    price, chances, volatility = figure.subplots(3, 1, sharex=True, height_ratios=[3.2, 1, 1.3])
    _draw_price(price, history, found)
    _draw_probabilities(chances, history)
    _draw_volatility(volatility, history)
    figure.suptitle(
        f"{history.symbol}: the volatility regime of each day as known at its close, "
        f"{utc_day(found['from'])} to {utc_day(found['to'] - 1)}",
        fontsize=13,
        x=0.01,
        ha="left",
    )
    save(figure, path)


def _draw_price(axis: "Axes", history: RegimeHistory, found: dict[str, Any]) -> None:
    candles = [day.candle for day in history.days]
    axis.plot(moments([each.close_time for each in candles]), [each.close for each in candles], color=PRICE, lw=0.9)
    axis.set_yscale("log")
    prices = [each.close for each in candles]
    axis.set_ylim(min(prices) / 1.6, max(prices) * 1.35)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:g}")
    axis.yaxis.set_minor_formatter("")
    axis.set_ylabel("price, logarithmic")
    axis.set_xlim(*moments([candles[0].open_time, candles[-1].close_time]))
    for level, spell in groupby(history.days, lambda day: getattr(day.reading, "level", None)):
        days = [day.candle for day in spell]
        if level is not None:
            ends = moments([days[0].open_time, days[-1].close_time])
            axis.axvspan(*ends, color=COLOURS[level], alpha=0.34, lw=0)
    for level in LEVELS:
        row = found["levels"][level.value]
        if row["days"]:
            next_day = f"{row['next_day_volatility']:.0%}" if row["next_day_volatility"] is not None else "-"
            text = (
                f"{level.value}: {row['share']:.0%} of days, {row['episodes']} times, median {row['median_days']:.0f} d"
            )
            axis.fill_between(
                [], [], color=COLOURS[level], alpha=0.5, label=f"{text}; next day's volatility {next_day}"
            )
    for candle, change in largest_moves([candle for candle, _ in history.known]):
        place = moments([candle.close_time])[0], candle.close
        axis.annotate(
            f"{change:+.0%}\n{utc_day(candle.open_time)}",
            place,
            (0, -38 if change < 0 else 26),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=PRICE,
            arrowprops={"arrowstyle": "-", "color": PRICE, "lw": 0.6},
        )
    title = "level (the white days are unknown)" if history.known else "the regime is unknown on all days"
    handles, labels = axis.get_legend_handles_labels()
    axis.legend(handles, labels, loc="lower right", fontsize=9, framealpha=0.9, title=title, title_fontsize=9)
    axis.grid(visible=True, which="major", lw=0.3, alpha=0.5)


def largest_moves(candles: list[Candle]) -> list[tuple[Candle, float]]:
    """Return the days with the largest returns in either direction, at least `APART` from each other."""
    changes = [(two, two.close / one.close - 1) for one, two in pairwise(candles)]
    chosen: list[tuple[Candle, float]] = []
    for candle, change in sorted(changes, key=lambda each: -abs(np.log1p(each[1]))):
        if all(abs(candle.open_time - other.open_time) >= APART for other, _ in chosen):
            chosen.append((candle, change))
        if len(chosen) == MARKED:
            break
    return chosen


def _draw_probabilities(axis: "Axes", history: RegimeHistory) -> None:
    at = moments([day.candle.close_time for day in history.days])
    rows = np.array(
        [
            [np.nan] * len(LEVELS)
            if isinstance(day.reading, Unknown)
            else [*level_probabilities(np.array(day.reading.probabilities)).values()]
            for day in history.days
        ]
    )
    axis.stackplot(at, rows.T, colors=[COLOURS[level] for level in LEVELS], alpha=0.8, lw=0)
    axis.set_ylim(0, 1)
    axis.set_ylabel("filtered\nprobability")


def _draw_volatility(axis: "Axes", history: RegimeHistory) -> None:
    at = moments([day.candle.close_time for day in history.days])
    values = np.array([np.nan if isinstance(day.reading, Unknown) else day.reading.volatility for day in history.days])
    axis.plot(at, 100 * values, color=PRICE, lw=0.6, alpha=0.5)
    for level in LEVELS:
        of_level = [getattr(day.reading, "level", None) is level for day in history.days]
        axis.plot(at, np.where(of_level, 100 * values, np.nan), color=COLOURS[level], lw=1.6)
    axis.set_yscale("log")
    axis.set_yticks([10, 20, 40, 80, 160, 320], ["10", "20", "40", "80", "160", "320"])
    axis.minorticks_off()
    axis.set_ylabel("volatility of 14 days,\n% a year")
    axis.grid(visible=True, which="major", lw=0.3, alpha=0.5)

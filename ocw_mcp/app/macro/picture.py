"""The picture of the quadrants: inflation and growth as known on each day, on the colours of the quadrants."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ocw_mcp.app.drawing import moments, save
from ocw_mcp.app.macro.history import MacroPast, recessions_of
from ocw_mcp.core.macro.history import BAND
from ocw_mcp.core.macro.series import CURVE, EXPECTED, PRICES, UNEMPLOYED, Observation, months_before, ms
from ocw_mcp.domain.macro import Quadrant
from ocw_mcp.domain.time import DAY, utc_day
from ocw_mcp.domain.unknown import Unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Final = {
    Quadrant.GOLDILOCKS: "#3a9d6e",
    Quadrant.REFLATION: "#e0a72e",
    Quadrant.DEFLATION: "#4a7fc1",
    Quadrant.STAGFLATION: "#c8473f",
}
MEANINGS: Final = {
    Quadrant.GOLDILOCKS: "growth ↑ inflation ↓",
    Quadrant.REFLATION: "growth ↑ inflation ↑",
    Quadrant.DEFLATION: "growth ↓ inflation ↓",
    Quadrant.STAGFLATION: "growth ↓ inflation ↑",
}
INK: Final = "#20242b"
SECOND: Final = "#7a4fa0"
GREY: Final = "#4b5058"


def draw(path: Path, past: MacroPast, found: dict[str, Any]) -> None:
    """Draw the quadrants with their report into a PNG or SVG. Raises SettingsError if the file cannot be written."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 9.4), layout="constrained")
    strip, inflation, growth, measures = figure.subplots(4, 1, sharex=True, height_ratios=[0.42, 2.2, 2.2, 1.5])
    _draw_strip(strip, past)
    _draw_inflation(inflation, past)
    _draw_growth(growth, past)
    _draw_measures(measures, past)
    for axis in (inflation, growth, measures):
        _shade(axis, past)
        axis.grid(visible=True, which="major", lw=0.3, alpha=0.5)
    strip.set_xlim(*moments([past.days[0].at, past.days[-1].at]))
    _legend(figure, found)
    figure.suptitle(
        f"Macro quadrant of each day as known then, {utc_day(found['from'])} to {utc_day(found['to'])}, beside the "
        "recessions of the NBER",
        fontsize=13,
        x=0.01,
        ha="left",
    )
    save(figure, path)


def _draw_strip(axis: "Axes", past: MacroPast) -> None:
    for quadrant, begin, end in _spans(past):
        axis.fill_between(moments([begin, end]), 0.5, 1, color=COLOURS[quadrant], lw=0)
    for begin, end in _recessions(past):
        axis.fill_between(moments([begin, end]), 0, 0.46, color=GREY, lw=0)
    axis.set_ylim(0, 1)
    axis.set_yticks([0.23, 0.75], ["recession", "quadrant"])
    axis.tick_params(axis="y", length=0)


def _draw_inflation(axis: "Axes", past: MacroPast) -> None:
    prices = past.table[PRICES.name]
    by_month = {each.day: each for each in prices}
    rises = [
        Observation(each.day, 100 * (each.value / before.value - 1), each.known_at)
        for each in prices
        if (before := by_month.get(months_before(each.day, 12))) is not None
    ]
    _line(axis, past, rises, INK, "consumer prices, % in a year")
    _line(axis, past, past.table[EXPECTED.name], SECOND, "expected inflation of 10 years, %", width=0.9)
    axis.axhline(0, color=GREY, lw=0.5)
    axis.set_ylabel("inflation, %")
    axis.legend(loc="upper left", fontsize=9, framealpha=0.9)


def _draw_growth(axis: "Axes", past: MacroPast) -> None:
    _line(axis, past, past.table[UNEMPLOYED.name], INK, "unemployment, % (left)")
    other = axis.twinx()
    _line(other, past, past.table[CURVE.name], SECOND, "10-year minus 2-year yield, % points (right)", width=0.9)
    other.axhline(0, color=SECOND, lw=0.6, ls="--")
    axis.set_ylabel("unemployment, %")
    other.set_ylabel("yield curve, % points", color=SECOND)
    other.tick_params(axis="y", colors=SECOND)
    lines = [*axis.get_lines(), *other.get_lines()[:1]]
    # The axis on the right is drawn over that on the left, and so is its legend.
    labels = [str(each.get_label()) for each in lines]
    # Here no line of the years since 2003 is below it.
    other.legend(lines, labels, loc="upper right", bbox_to_anchor=(0.737, 1), fontsize=9, framealpha=0.95)


def _draw_measures(axis: "Axes", past: MacroPast) -> None:
    at = moments([day.at for day in past.days])
    axis.axhspan(-BAND, BAND, color=GREY, alpha=0.15, lw=0)
    axis.plot(at, [day.growth for day in past.days], color=INK, lw=1.3, label="growth")
    axis.plot(at, [day.inflation for day in past.days], color=SECOND, lw=1.3, label="inflation")
    axis.axhline(0, color=GREY, lw=0.5)
    axis.set_ylim(-1.05, 1.05)
    axis.set_ylabel("measures\n(band: no change)")
    axis.legend(loc="lower left", fontsize=9, framealpha=0.9, ncols=2)


def _shade(axis: "Axes", past: MacroPast) -> None:
    for quadrant, begin, end in _spans(past):
        axis.axvspan(*moments([begin, end]), color=COLOURS[quadrant], alpha=0.22, lw=0, zorder=0)
    for begin, end in _recessions(past):
        axis.axvspan(*moments([begin, end]), fill=False, hatch="////", edgecolor=GREY, alpha=0.35, lw=0, zorder=0.5)


def _legend(figure: "Figure", found: dict[str, Any]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(color=colour, label=f"{quadrant.value}: {MEANINGS[quadrant]}, {_share(found, quadrant)} of days")
        for quadrant, colour in COLOURS.items()
    ]
    recession = Patch(facecolor="white", edgecolor=GREY, hatch="////", label="recession")
    figure.legend(handles=[*handles, recession], loc="outside lower center", ncols=5, fontsize=9, frameon=False)


def _share(found: dict[str, Any], quadrant: Quadrant) -> str:
    share = found["quadrants"][quadrant.value]["share"]
    return "-" if share is None else f"{share:.0%}"


def _line(
    axis: "Axes", past: MacroPast, found: Sequence[Observation], colour: str, label: str, width: float = 1.5
) -> None:
    """Draw a series by the times at which its values became known; a value holds until the next."""
    begin, end = past.days[0].at, past.days[-1].at
    shown = [each for each in found if begin <= each.known_at <= end]
    at = moments([each.known_at for each in shown])
    axis.plot(at, [each.value for each in shown], color=colour, lw=width, label=label, drawstyle="steps-post", zorder=3)


def _spans(past: MacroPast) -> list[tuple[Quadrant, int, int]]:
    found = []
    for quadrant, run in groupby(past.days, lambda day: day.quadrant):
        days = list(run)
        if not isinstance(quadrant, Unknown):
            found.append((quadrant, days[0].at, days[-1].at + DAY))
    return found


def _recessions(past: MacroPast) -> list[tuple[int, int]]:
    return [(ms(months[0]), ms(months_before(months[-1], -1))) for months in recessions_of(past)]

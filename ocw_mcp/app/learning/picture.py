"""The picture of posteriors over time: trades on the regimes, then the reliability of each signal, group by group."""

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ocw_mcp.app.drawing import moments, save
from ocw_mcp.app.learning.outcomes import TimedOutcome, last_regime, learn
from ocw_mcp.app.regime.picture import COLOURS as LEVEL_COLOURS
from ocw_mcp.core.signals import GROUPS
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.learning import REGIMES, UNKNOWN_REGIME, LearnedReliability, OutcomeSource, Trust
from ocw_mcp.domain.time import utc_day
from ocw_mcp.engine.learned import outcome_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS: Final = 120
"""The most points of a line."""
COLOURS: Final = {level.value: colour for level, colour in LEVEL_COLOURS.items()} | {UNKNOWN_REGIME: "#c3c8ce"}
LINES: Final = ("#1f5fa8", "#c2410c", "#15803d", "#7c3aed", "#0e7490", "#a16207", "#be185d", "#475569", "#65a30d")
INK: Final = "#20242b"
BANDS: Final = 2
"""The most intervals in a panel."""
LEAST_SPAN: Final = 0.08
"""The least distance of the axis of a reliability from 0.5."""
Trace = tuple[list[int], dict[str, list[LearnedReliability]]]
"""Times (ms), and the reliability of each signal at these times."""


def trace(outcomes: list[TimedOutcome], regime: str) -> Trace:
    """Return what was known of each signal in a regime over time, from all outcomes."""
    step, learner = -(-len(outcomes) // POINTS), learn([], counterfactuals=True)
    times, lines = list[int](), {name: list[LearnedReliability]() for name in GROUPS}
    for number, (at, outcome) in enumerate(outcomes, 1):
        learner.take(outcome_of(outcome, at))
        if number % step == 0 or number == len(outcomes):
            times.append(at)
            for each in learner.read(regime).signals:
                lines[each.name].append(each)
    return times, lines


def draw(path: Path, market: str, outcomes: list[TimedOutcome]) -> None:
    """Draw the posteriors in the last regime into a PNG or SVG. Raises SettingsError if there is nothing to draw."""
    from matplotlib.figure import Figure

    if not outcomes:
        raise SettingsError("no outcome was scored, so there is nothing to draw; choose a longer market")
    regime = last_regime(outcomes)
    times, lines = trace(outcomes, regime)
    figure = Figure(figsize=(16, 11), layout="constrained")
    parts = figure.subfigures(2, 1, height_ratios=[1, 3.3], squeeze=False)
    top, below = parts.flat
    results = top.subplots()
    _draw_results(results, outcomes)
    known = {name: each for name, each in lines.items() if each[-1].evidence}
    groups = list(dict.fromkeys(GROUPS[name] for name in known)) or [GROUPS[name] for name in list(lines)[:1]]
    columns = min(len(groups), 3 if len(groups) > 4 else 2)
    panels = below.subplots(-(-len(groups) // columns), columns, sharex=True, sharey=True, squeeze=False)
    for axis, group in zip(panels.flat, groups, strict=False):
        _draw_group(axis, times, {name: each for name, each in known.items() if GROUPS[name] == group})
        axis.set_title(group, fontsize=11, loc="left", color=INK)
        axis.set_xlim(*results.get_xlim())
    panels.flat[0].set_ylim(*_span(known))
    for axis in panels[:, 0]:
        axis.set_ylabel("reliability", fontsize=9)
    for axis in panels.flat[len(groups) :]:
        axis.set_visible(False)
    silent = [group for group in dict.fromkeys(GROUPS.values()) if group not in groups]
    below.supxlabel(
        "Reliability: the probability that the sign of a signal agrees with that of a result after costs. Thick lines: "
        "the 90 % interval excludes 0.5 at the end.\nBands: the intervals of the two clearest signals of a group. "
        f"Without evidence: {', '.join(silent) or 'no group'}.",
        fontsize=9,
        color=INK,
    )
    trades = sum(each.outcome.source is OutcomeSource.TRADE for each in outcomes)
    figure.suptitle(
        f"{market}, {utc_day(outcomes[0].at)} to {utc_day(outcomes[-1].at)}: what {trades} trades and "
        f"{len(outcomes) - trades} followed decisions say of each signal, in regime {regime}",
        fontsize=13,
        x=0.01,
        ha="left",
    )
    save(figure, path)


def _draw_results(axis: "Axes", outcomes: list[TimedOutcome]) -> None:
    """Draw the result of each trade at its close, on the regime at each decision."""
    begun = sorted((each.outcome.began_at, each.outcome.regime) for each in outcomes if each.outcome.regime)
    spells = [(name, [at for at, _ in spell]) for name, spell in groupby(begun, lambda each: each[1])]
    ends = [*(times[0] for _, times in spells[1:]), outcomes[-1].at]
    for (name, times), end in zip(spells, ends, strict=True):
        axis.axvspan(*moments([times[0], end]), color=COLOURS.get(name, COLOURS[UNKNOWN_REGIME]), alpha=0.3, lw=0)
    trades = [(at, each.net) for at, each in outcomes if each.source is OutcomeSource.TRADE and each.excluded is None]
    for won, colour, label in ((True, "#14602f", "trade with a gain"), (False, "#9b1c1c", "trade with a loss")):
        found = [(at, net) for at, net in trades if (net > 0) == won]
        if found:
            axis.vlines(
                moments([at for at, _ in found]),
                0,
                [net for _, net in found],
                color=colour,
                lw=1.1,
                label=f"{label} ({len(found)})",
            )
    axis.axhline(0, color=INK, lw=0.7)
    for name in REGIMES:
        if any(name == each for each, _ in spells):
            axis.fill_between([], [], color=COLOURS[name], alpha=0.4, label=f"regime {name}")
    if begun:
        axis.set_xlim(*moments([begun[0][0], outcomes[-1].at]))
    axis.set_yscale("symlog", linthresh=1)
    low, high = (1.25 * extreme(limit, *(net for _, net in trades)) for extreme, limit in ((min, -1.0), (max, 1.0)))
    ticks = [each for each in (-30, -10, -3, -1, 0, 1, 3, 10, 30) if low <= each <= high]
    axis.set_yticks(ticks, [f"{each:+d}" if each else "0" for each in ticks])
    axis.set_ylim(low, high)
    axis.set_ylabel("result of a trade\n(R, logarithmic above 1)", fontsize=9)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9, frameon=False)


def _draw_group(axis: "Axes", times: list[int], lines: dict[str, list[LearnedReliability]]) -> None:
    """Draw the signals of a group with evidence, and the clearest intervals."""
    at = moments(times)
    banded = sorted(lines, key=lambda name: -_clear(lines[name][-1]))[:BANDS]
    for (name, found), colour in zip(lines.items(), LINES * len(lines), strict=False):
        proven = found[-1].trust is not Trust.UNPROVEN
        label = f"{name} {found[-1].mean:.2f}{f', {found[-1].trust.value}' if proven else ''}"
        width = 2.2 if proven else 1.1
        axis.plot(at, [each.mean for each in found], color=colour, lw=width, label=label)
        if name in banded:
            lows, highs = [each.low for each in found], [each.high for each in found]
            axis.fill_between(at, lows, highs, color=colour, alpha=0.13, lw=0)
    axis.axhline(0.5, color=INK, lw=0.8, ls=":")
    axis.grid(visible=True, which="major", lw=0.3, alpha=0.5)
    axis.tick_params(axis="x", rotation=30, labelsize=8)
    if lines:
        axis.legend(loc="upper left", fontsize=8, ncols=3, framealpha=0.8, borderpad=0.3, labelspacing=0.3)


def _clear(found: LearnedReliability) -> float:
    """Return the distance of the mean from 0.5 as a part of the width of the interval."""
    return abs(found.mean - 0.5) / (found.high - found.low)


def _span(lines: dict[str, list[LearnedReliability]]) -> tuple[float, float]:
    """Return the bounds of the axis of the reliability: they contain all means, and the last intervals."""
    means = [each.mean for found in lines.values() for each in found if each.evidence]
    late = [bound for found in lines.values() for bound in (found[-1].low, found[-1].high)]
    away = max([LEAST_SPAN, *(abs(each - 0.5) for each in [*means, *late])])
    return 0.5 - 1.05 * away, 0.5 + 1.6 * away

"""The picture of posteriors over time: the reliability of each signal, one panel for each group."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ocw_mcp.app.drawing import save
from ocw_mcp.app.learning.outcomes import TimedOutcome, last_regime, learn
from ocw_mcp.core.signals import GROUPS
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.engine.learned import outcome_of

POINTS: Final = 60
"""The most points of a line."""


def trace(outcomes: list[TimedOutcome], regime: str) -> tuple[list[int], dict[str, list[tuple[float, float, float]]]]:
    """Return times (ms), and mean and bounds of each signal's reliability in a regime at these times."""
    step, learner = max(1, len(outcomes) // POINTS), learn([], counterfactuals=True)
    times, lines = list[int](), {name: list[tuple[float, float, float]]() for name in GROUPS}
    for number, (at, outcome) in enumerate(outcomes, 1):
        learner.take(outcome_of(outcome, at))
        if number % step == 0 or number == len(outcomes):
            times.append(at)
            for each in learner.read(regime).signals:
                lines[each.name].append((each.mean, each.low, each.high))
    return times, lines


def draw(path: Path, outcomes: list[TimedOutcome]) -> None:
    """Draw the posteriors in the last regime into a PNG or SVG. Raises SettingsError if there is nothing to draw."""
    from matplotlib.figure import Figure

    if not outcomes:
        raise SettingsError("no outcome was scored, so there is nothing to draw; choose a longer market")
    regime = last_regime(outcomes)
    times, lines = trace(outcomes, regime)
    moments = [datetime.fromtimestamp(at / 1000, UTC) for at in times]
    figure = Figure(figsize=(14, 8), layout="constrained")
    groups = list(dict.fromkeys(GROUPS.values()))
    for axis, group in zip(figure.subplots(2, 3, sharex=True, sharey=True).flat, groups, strict=True):
        for name in (each for each, of in GROUPS.items() if of == group):
            means, lows, highs = zip(*lines[name], strict=True)
            (line,) = axis.plot(moments, means, linewidth=1.2, label=name)
            axis.fill_between(moments, lows, highs, color=line.get_color(), alpha=0.06, linewidth=0)
        axis.axhline(0.5, color="#9aa0a6", linewidth=0.8)
        axis.set_title(group, fontsize=10, loc="left")
        axis.legend(fontsize=7, frameon=False)
        axis.tick_params(axis="x", rotation=30)
    figure.supylabel("probability that the sign is right after costs, with 90 % intervals", fontsize=9)
    figure.suptitle(f"what was learned from {len(outcomes)} outcomes, in regime {regime}", x=0.01, ha="left")
    save(figure, path)

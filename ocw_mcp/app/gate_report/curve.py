"""The trade-off of a gate, as a picture: how many moves are met at how many wakes a day, beside other gates."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ocw_mcp.app.drawing import save
from ocw_mcp.app.gate_report.meeting import within
from ocw_mcp.app.gate_report.report import Judged, gate_row, wake_times
from ocw_mcp.app.gate_report.rivals import PROTOTYPE_Z, RivalGate, chance, prototype, timer
from ocw_mcp.app.policy_loader import LoadedPolicies, LoadedPrompts, load_policies
from ocw_mcp.app.runner import Job, run
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.protocols import Feed
from ocw_mcp.domain.time import iso

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POLICIES: Final = ("conservative", "default", "lab")
RATES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""The wakes a day of the timers and random wakes that are drawn."""
PROTOTYPE_ZS: Final = (1.2, 1.5, 2.0, PROTOTYPE_Z, 3.0, 4.0, 5.0, 6.0)
MARKERS: Final = ("v", "o", "^", "s")
"""The markers of policies, from the fewest wakes to the most."""
GATE, REFERENCE, PROTOTYPE, TIMER, RANDOM, LEAST = "#c6373c", "#1a8f5a", "#8e4ec6", "#4f7fd6", "#9aa0a6", "#2b2f36"


def trace(
    found: dict[str, Any],
    judged: Judged,
    feed: Feed,
    policies: LoadedPolicies,
    prompts: LoadedPrompts,
    for_ms: int | None,
    show: Callable[[str], None],
) -> dict[str, Any]:
    """Run the gates of the shipped policies over the market; return their points of the trade-off, and of other gates.

    `found` is the report on `policies`, whose gate is not run again. A policy that cannot run on the candles of the
    market is listed in `left_out` with the reason.
    """
    points, left_out = [_point(found["gates"][0])], {}
    for name in POLICIES:
        other = load_policies(None, name)
        if other.hash == policies.hash:
            continue
        show(f"running the gate of the policy {name} over the market")
        try:
            # Embedded, so that a remark on a policy that the user did not name is not shown.
            report = run(Job(feed, "none", other, prompts, for_ms, None, embedded=True)).report
        except SettingsError as error:
            left_out[name] = str(error)
            continue
        wakes = within(judged.market, wake_times(report["wakes"], outliers=True))
        points.append(_point(gate_row(judged, RivalGate(other.policies.name, [wakes]))))
    show("judging other gates")
    market, rivals = judged.market, {row["gate"]: row for row in found["gates"][1:]}
    most = len(market.measured)
    counts = [rate * judged.days for rate in RATES if 1 <= rate * judged.days <= most]
    return {
        "policies": sorted(points, key=lambda point: point["outlier_wakes_a_day"] or 0),
        "reference": _point(rivals["reference"]),
        "hindsight": _point(rivals["hindsight"]),
        "prototype": [_point(gate_row(judged, prototype(market, z))) | {"z": z} for z in PROTOTYPE_ZS],
        "timer": [_point(gate_row(judged, timer(market, count))) for count in counts],
        "random": [_point(gate_row(judged, chance(market, count))) for count in counts],
        "left_out": left_out,
    }


def _point(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("gate", "outlier_wakes_a_day", "four_mean", "panel_mean", "panel_worst")}


def draw(path: Path, found: dict[str, Any]) -> None:
    """Draw the curve of a report into a PNG or SVG. Raises SettingsError when the file cannot be written."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    _draw(left, found["curve"], "four_mean", "mean of the four definitions")
    _draw(right, found["curve"], "panel_mean", "mean of the panel of forty other definitions")
    left.set_ylabel("moves met by the minute they cross, %")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    symbols, days = ", ".join(found["symbols"]), found["measured_days"]
    span = f"{iso(found['from'])[:10]} to {iso(found['to'])[:10]}, {days:g} days measured"
    figure.suptitle(f"{symbols}: {span}", fontsize=12, x=0.01, ha="left")
    save(figure, path)


def _draw(axis: "Axes", curve: dict[str, Any], mean: str, title: str) -> None:
    axis.set_title(title, fontsize=10)
    axis.set_xscale("log")
    axis.set_xlabel("outlier wakes a day, all symbols together")
    axis.grid(visible=True, which="major", linewidth=0.4, alpha=0.5)
    for name, colour in (("random", RANDOM), ("timer", TIMER), ("prototype", PROTOTYPE)):
        _line(axis, curve[name], mean, {"color": colour, "marker": ".", "linewidth": 1.2}, name)
    for point in curve["prototype"]:
        if point["z"] == PROTOTYPE_Z and point[mean] is not None and point["outlier_wakes_a_day"]:
            place = point["outlier_wakes_a_day"], 100 * point[mean]
            axis.annotate(f"z {PROTOTYPE_Z:g}", place, (8, -8), textcoords="offset points", color=PROTOTYPE, fontsize=9)
    hollow = {"color": REFERENCE, "marker": "D", "markersize": 12, "fillstyle": "none", "linestyle": ""}
    _line(axis, [curve["reference"]], mean, hollow, "reference gate")
    fewest = {"color": LEAST, "marker": "*", "markersize": 11, "linestyle": ""}
    _line(axis, [curve["hindsight"]], mean, fewest, "fewest wakes for the four, in hindsight")
    _line(axis, curve["policies"], mean, {"color": GATE, "linewidth": 1.6}, "")
    for point, marker in zip(curve["policies"], MARKERS, strict=False):
        style = {"color": GATE, "marker": marker, "markersize": 8, "markeredgecolor": "white", "linestyle": ""}
        _line(axis, [point], mean, style, f"policy {point['gate']}")
    ticks = [1, 2, 5, 10, 20, 50, 100, 200, 500]
    axis.set_xticks(ticks, [str(each) for each in ticks])
    axis.minorticks_off()
    axis.set_ylim(0, 103)


def _line(axis: "Axes", points: list[dict[str, Any]], mean: str, style: dict[str, Any], label: str) -> None:
    known = [point for point in points if point[mean] is not None and point["outlier_wakes_a_day"]]
    across = np.array([point["outlier_wakes_a_day"] for point in known])
    axis.plot(across, np.array([100 * point[mean] for point in known]), label=label, **style)

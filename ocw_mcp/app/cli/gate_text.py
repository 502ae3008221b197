"""The text of a gate report."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ocw_mcp.app.cli.tables import Column, grid
from ocw_mcp.domain.time import MINUTE, iso, span_name

if TYPE_CHECKING:
    from rich.console import RenderableType


def text(found: dict[str, Any]) -> "Iterator[RenderableType]":
    """Yield the parts of a report's text: at most 80 columns wide, if the names of symbols are short."""
    if not found["candles"]:
        yield "no candle closed, so there is nothing to report"
        return
    yield from _wakes(found)
    yield ""
    yield from _definitions(found)
    yield ""
    yield from _gates(found)
    if len(found["by_symbol"]) > 1:
        yield ""
        yield from _symbols(found)
    yield ""
    yield from _panel(found)
    yield ""
    yield from _largest(found)
    for name, reason in found.get("curve", {}).get("left_out", {}).items():
        yield f"the picture lacks the policy {name}: {reason}"


def _wakes(found: dict[str, Any]) -> "Iterator[RenderableType]":
    span = f"{iso(found['from'])[:16]} to {iso(found['to'])[:16]}"
    yield f"{', '.join(found['symbols'])}, {span} UTC: {found['covered_days']:g} days, {found['candles']:,} candles"
    skips = ", ".join(f"{name} {count:,}" for name, count in found["skips"].items())
    yield f"{found['skip_rate']:.2%} of {found['evaluations']:,} evaluations skipped{f' ({skips})' if skips else ''}"
    gap = found["median_gap_min"]
    between = f", {gap:.4g} min between two wakes (median)" if gap is not None else ""
    yield f"policy {found['policy']}: {_number(found['wakes_a_day'])} wakes a day{between}"
    reasons = ", ".join(f"{name} {_number(rate)}" for name, rate in found["reasons_a_day"].items())
    yield f"reasons a day: {reasons or 'none'}"
    yield f"cost: {found['usd_a_month']:.2f} USD in 30 days, at {found['usd_per_wake']:g} USD a wake"
    precision = found["precision"]
    if found["outlier_wakes"]:
        yield (
            f"outlier wakes: {_number(found['outlier_wakes_a_day'])} a day over {found['measured_days']:g} days; "
            f"{_percent(precision['four']['rate'])} met one of the four moves ({_range(precision['four']['interval'])}"
            f"), {_percent(precision['all']['rate'])} any of the {len(found['met'])} ("
            f"{_range(precision['all']['interval'])})"
        )
    else:
        yield f"outlier wakes: none in {found['measured_days']:g} days"


def _definitions(found: dict[str, Any]) -> "Iterator[RenderableType]":
    rows = [row for row in found["met"] if row["group"] == "four"]
    known = [row for row in rows if row["unknown"] is None]
    if known:
        yield grid(
            "moves met by the minute they cross; the missed ones, in 30 days",
            Column("move", [row["name"] for row in known]),
            Column("crossings", [f"{row['crossings']:,}" for row in known], number=True),
            Column("met", [_percent(row["rate"]) for row in known], number=True),
            Column("95 %", [_range(row["interval"]) for row in known], number=True),
            Column("any", [_share(row["met_by_any_wake"], row["crossings"]) for row in known], number=True),
            Column("lead", [_minutes(row["lead_min"]) for row in known], number=True),
            Column("lag", [_minutes(row["lag_min"]) for row in known], number=True),
            Column("missed", [f"{row['missed_move_a_month']:.2%}" for row in known], number=True),
            Column("quote", [f"{row['missed_quote_a_month']:,.2f}" for row in known], number=True),
        )
        yield (
            "any: met by a wake of any kind; lead: from the last outlier wake to a met crossing; lag: from a missed "
            "one to the next wake of any kind (medians); missed: the sum of the absolute returns in that lag, as a "
            f"share of a position, and in quote for one of {found['position_quote']:,.2f}. This is neither a loss nor "
            "a profit: its sign depends on the position."
        )
    yield from (f"{row['name']}: unknown, {row['unknown']}" for row in rows if row["unknown"] is not None)
    if found["left_out"]:
        yield f"left out, because no whole number of candles: moves over {', '.join(found['left_out'])}"
    if found["not_watched"]:
        spans = ", ".join(found["not_watched"])
        yield f"not watched by this gate, because no whole number of candles: moves over {spans}"
    measured, reference = found["delay"]["measured"], found["delay"]["reference"]
    if measured["unknown"] is None:
        differs = "" if measured["wakes_as_in_run"] else ", of the price outliers alone"
        yield f"outliers that had to wait for a cooldown, this gate: {_delays(measured)}{differs}"
        yield f"the same, reference gate: {_delays(reference)}"


def _delays(row: dict[str, Any]) -> str:
    if not row["kept_fires"]:
        return "none"
    return f"{row['kept_fires']:,}, median {row['median_min']:g} min, 99th percentile {row['p99_min']:g} min"


def _gates(found: dict[str, Any]) -> "Iterator[RenderableType]":
    rows = found["gates"]
    yield grid("other gates on the same closes: moves met", *_met_columns("gate", rows), *_precision_columns(rows))
    yield (
        "reference: the gate that docs/gate.md describes; prototype: z-scores of price return and volume; timer and "
        "random: as many wakes as this gate, mean of 20 draws; hindsight: the fewest wakes that meet all four"
    )


def _symbols(found: dict[str, Any]) -> "Iterator[RenderableType]":
    rows = found["by_symbol"]
    fewest = Column("fewest", [_number(row["hindsight_a_day"]) for row in rows], number=True)
    yield grid("by symbol: its own outlier wakes; moves met by wakes of all", *_met_columns("symbol", rows), fewest)


def _met_columns(head: str, rows: list[dict[str, Any]]) -> Iterator[Column]:
    yield Column(head, [row[head] for row in rows])
    yield Column("a day", [_number(row["outlier_wakes_a_day"]) for row in rows], number=True)
    for place, definition in enumerate(rows[0]["four"]):
        yield Column(definition["name"], [_percent(row["four"][place]["rate"]) for row in rows], number=True)
    yield Column("panel", [_percent(row["panel_mean"]) for row in rows], number=True)
    yield Column("worst", [_percent(row["panel_worst"]) for row in rows], number=True)


def _precision_columns(rows: list[dict[str, Any]]) -> Iterator[Column]:
    yield Column("precision", [_percent(row["precision_all"]) for row in rows], number=True)


def _panel(found: dict[str, Any]) -> "Iterator[RenderableType]":
    rows = [row for row in found["met"] if row["group"] == "panel"]
    spans = dict.fromkeys(row["minutes"] for row in rows)
    by_span = {span: [row for row in rows if row["minutes"] == span] for span in spans}
    sigmas = list(dict.fromkeys(row["size"] for row in rows if row["unit"] == "sigma"))
    cells = {(row["minutes"], row["size"] if row["unit"] == "sigma" else None): row for row in rows}
    summary = found["panel"]
    if summary["mean"] is None:
        yield "panel: no crossing of a known move"
        return
    yield grid(
        "the panel: moves met, of crossings",
        Column("move", [span_name(span * MINUTE) for span in by_span]),
        *(Column(f"{size:g}σ", [_of(cells[span, size]) for span in spans], number=True) for size in sigmas),
        Column("percent", [f"{cells[span, None]['size']:g}%" for span in spans], number=True),
        Column("met", [_of(cells[span, None]) for span in spans], number=True),
    )
    count = f"{summary['with_crossings']} definitions with crossings"
    yield f"mean of {count}: {_percent(summary['mean'])}; worst {_percent(summary['worst'])} ({summary['worst_name']})"


def _largest(found: dict[str, Any]) -> "Iterator[RenderableType]":
    rows = found["moves"]
    if not rows:
        return
    delays = [row["median_delay_min"] for row in rows]
    yield grid(
        f"the largest {found['largest']:.1%} of returns over a span, found with hindsight",
        Column("over", [row["over"] for row in rows]),
        Column("smallest", [_spread(row["least"].values()) for row in rows], number=True),
        Column("moves", [str(row["moves"]) for row in rows], number=True),
        Column("met", [_percent(row["rate"]) for row in rows], number=True),
        Column("95 %", [_range(row["interval"]) for row in rows], number=True),
        Column("no wake", [_percent(row["miss_rate"]) for row in rows], number=True),
        Column("by chance", [_percent(row["by_chance"]) for row in rows], number=True),
        Column("after", [_minutes(delay) for delay in delays], number=True),
    )
    yield (
        "met: an outlier wake came between the first and the last candle; no wake: none of any kind came; by chance: "
        "the same for wakes at random times; after: from the beginning of a move to the first wake (median)"
    )


def _of(row: dict[str, Any]) -> str:
    if row["unknown"] is not None:
        return "unknown"
    return f"{_percent(row['rate'])} of {row['crossings']}" if row["crossings"] else "-"


def _share(count: int, of: int) -> str:
    return _percent(count / of if of else None)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _minutes(value: float | None) -> str:
    return "-" if value is None else f"{value:g} min"


def _range(interval: list[float] | None) -> str:
    return "-" if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def _spread(shares: Iterable[float]) -> str:
    """Return the smallest and the largest of some fractions as percentages; once if they are equal."""
    found = sorted(shares)
    return " to ".join(f"{share:.2%}" for share in dict.fromkeys((*found[:1], *found[-1:])))

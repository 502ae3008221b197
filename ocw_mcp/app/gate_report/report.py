"""Makes the gate report: runs the real gate over a market without trades, and compares its outlier wakes with moves."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np

from ocw_mcp.app.gate_report import largest
from ocw_mcp.app.gate_report.definitions import FOUR, PANEL, Crossings, applicable, crossings
from ocw_mcp.app.gate_report.delays import delay_row, gate_delays
from ocw_mcp.app.gate_report.market import Ints, Market, read_market
from ocw_mcp.app.gate_report.meeting import (
    MONTH_DAYS,
    meet,
    met_row,
    missed_move,
    precise,
    rate,
    summary,
    timing,
    within,
)
from ocw_mcp.app.gate_report.reference import reference_gate
from ocw_mcp.app.gate_report.rivals import RivalGate, chance, hindsight, prototype, timer
from ocw_mcp.app.policy_loader import LoadedPolicies, LoadedPrompts
from ocw_mcp.app.runner import Job, run
from ocw_mcp.core.gate.outlier import channels_of
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.protocols import Feed
from ocw_mcp.domain.snapshot import WakeKind
from ocw_mcp.domain.time import DAY, MINUTE, span_name

USD_PER_WAKE: Final = 0.0113
"""The cost (USD) of a wake: 0.0033 for the prompt with a warm cache, as `ocw bench agent` measures it, and 0.0080 for
an answer of 800 tokens. `docs/benchmarks.md` has both."""


class Judged(NamedTuple):
    """A market with the crossings of each definition, and the time (days) over which they are judged."""

    market: Market
    four: list[Crossings]
    panel: list[Crossings]
    days: float

    def of(self, symbol: str) -> "Judged":
        """Return the same of one symbol alone."""
        market = self.market.of(symbol)
        four, panel = ([each.of(symbol) for each in group] for group in (self.four, self.panel))
        return Judged(market, four, panel, market.measured_days)


def measure(
    feed: Feed,
    policies: LoadedPolicies,
    prompts: LoadedPrompts,
    for_ms: int | None = None,
    usd_per_wake: float = USD_PER_WAKE,
) -> tuple[dict[str, Any], Judged | None]:
    """Run the gate over a market without trades; return the report, and the moves by which other gates can be judged.

    The report is ready for JSON. The moves are None if no candle closed. Raises SettingsError if no move can be
    measured in the feed's candles, and the errors of `run`.
    """
    require_moves(feed.identity.interval)
    figures = run(Job(feed, "none", policies, prompts, for_ms, None)).report
    if not figures["candles"]:
        return _head(figures, policies, usd_per_wake, 0.0) | {"moves": []}, None
    market = read_market(feed, figures["from"], figures["to"])
    judged = judge_market(market)
    every_wake, outlier_wakes = (
        wake_times(figures["wakes"]),
        within(market, wake_times(figures["wakes"], outliers=True)),
    )
    rows = np.any([np.isfinite(each.closes) for each in market.series.values()], axis=0)[market.first :]
    found = _head(figures, policies, usd_per_wake, float(rows.sum()) * market.step / DAY)
    position = float(policies.policies.position.max_share) * figures["equity_start"]
    definitions = [
        *(_definition(judged, each, "four", outlier_wakes, every_wake, position) for each in judged.four),
        *(_definition(judged, each, "panel", outlier_wakes, every_wake, position) for each in judged.panel),
    ]
    four, panel = ([row for row in definitions if row["group"] == group] for group in ("four", "panel"))
    measured = RivalGate(policies.policies.name, [outlier_wakes])
    reference = reference_gate(market)
    rivals = [
        RivalGate("reference", [within(market, reference.wakes)]),
        prototype(market),
        timer(market, len(outlier_wakes)),
        chance(market, len(outlier_wakes)),
        hindsight(market, judged.four),
    ]
    found |= {
        "measured_days": round(judged.days, 2),
        "outlier_wakes": len(outlier_wakes),
        "outlier_wakes_a_day": _a_day(len(outlier_wakes), judged.days),
        "met": definitions,
        "four": summary(four),
        "missed": _missed(judged.four, outlier_wakes),
        "panel": summary(panel),
        "left_out": applicable((*FOUR, *PANEL), market.step)[1],
        "not_watched": _not_watched(policies.policies.gate, feed.identity.interval),
        "precision": _precision(judged, outlier_wakes),
        "position_quote": round(position, 2),
        "gates": [gate_row(judged, each) for each in (measured, *rivals)],
        "delay": _delay(market, policies.policies.gate, feed.identity.interval, outlier_wakes, reference.delays),
        "by_symbol": [_symbol(judged.of(symbol), figures["wakes"], outlier_wakes) for symbol in market.series],
        "largest": largest.LARGEST,
        "moves": _largest(market, figures, every_wake, outlier_wakes),
    }
    return found, judged


def require_moves(interval: int) -> None:
    """Raise SettingsError if no definition of a move has a span that is a multiple of the candles of `interval` ms."""
    if not applicable((*FOUR, *PANEL), max(interval, MINUTE))[0]:
        raise SettingsError(
            f"the candles are {span_name(interval)} long, and the report measures moves over 3 minutes to 4 hours; "
            "expected candles whose length divides one of these times; choose a tape of shorter candles, such as 1m"
        )


def judge_market(market: Market) -> Judged:
    """Return the crossings of all definitions that the market's candles allow."""
    four, panel = ([crossings(market, each) for each in applicable(group, market.step)[0]] for group in (FOUR, PANEL))
    return Judged(market, four, panel, market.measured_days)


def wake_times(wakes: Sequence[dict[str, Any]], *, outliers: bool = False, symbol: str | None = None) -> Ints:
    """Return the times (ms, ascending) of a report's wakes; with `outliers` those by an outlier (of `symbol`)."""
    return np.array(
        sorted(
            {
                wake["t"]
                for wake in wakes
                if symbol in (None, wake["symbol"])
                and (not outliers or any(_kind(reason) == WakeKind.OUTLIER for reason in wake["reasons"]))
            }
        ),
        np.int64,
    )


def gate_row(judged: Judged, gate: RivalGate) -> dict[str, Any]:
    """Return the number of wakes of a gate a day, and which moves it meets: the mean over its draws."""
    draws = [(within(judged.market, wakes) if gate.name != "hindsight" else wakes) for wakes in gate.draws]
    four, panel = ([_mean_row(each, draws) for each in group] for group in (judged.four, judged.panel))
    count = sum(map(len, draws)) / len(draws)
    by_four = sum(precise(wakes, judged.four) for wakes in draws) / len(draws)
    by_any = sum(precise(wakes, (*judged.four, *judged.panel)) for wakes in draws) / len(draws)
    wide = summary(panel)
    return {
        "gate": gate.name,
        "outlier_wakes_a_day": _a_day(count, judged.days),
        "four": four,
        "four_mean": summary(four)["mean"],
        "panel_mean": wide["mean"],
        "panel_worst": wide["worst"],
        "precision_four": round(by_four / count, 4) if count else None,
        "precision_all": round(by_any / count, 4) if count else None,
    }


def _mean_row(found: Crossings, draws: Sequence[Ints]) -> dict[str, Any]:
    times = found.all_times
    known = found.unknown is None
    met = [int(meet(times, wakes, found.definition.window).met.sum()) for wakes in draws]
    return {"name": found.definition.name, **rate(sum(met) / len(met), len(times) if known else 0)}


def _head(
    figures: dict[str, Any], policies: LoadedPolicies, usd_per_wake: float, covered_days: float
) -> dict[str, Any]:
    """Return the parts of the report on how often the gate wakes, and what that costs."""
    times = wake_times(figures["wakes"]).tolist()
    gaps = [later - earlier for earlier, later in pairwise(times)]
    a_day = _a_day(len(times), covered_days)
    return {
        **{name: figures[name] for name in ("symbols", "candles", "from", "to")},
        "policy": policies.policies.name,
        "days": round((figures["to"] - figures["from"]) / DAY, 2) if figures["candles"] else 0.0,
        "covered_days": round(covered_days, 2),
        "evaluations": figures["evaluations"],
        "skip_rate": figures["skip_rate"],
        "skips": figures["skips"],
        "wakes": figures["wakes"],
        "wake_count": len(times),
        "wakes_a_day": a_day,
        "median_gap_min": median(gaps) / MINUTE if gaps else None,
        "reasons": figures["wake_reasons"],
        "reasons_a_day": {name: _a_day(count, covered_days) for name, count in figures["wake_reasons"].items()},
        "usd_per_wake": usd_per_wake,
        "usd_a_month": round(len(times) / covered_days * MONTH_DAYS * usd_per_wake, 2) if covered_days else None,
    }


def _definition(
    judged: Judged, found: Crossings, group: str, outlier_wakes: Ints, every_wake: Ints, position: float
) -> dict[str, Any]:
    definition = found.definition
    missed = None
    if found.unknown is None and judged.days:
        missed = missed_move(judged.market, found, outlier_wakes, every_wake) / judged.days * MONTH_DAYS
    return {
        "name": definition.name,
        "group": group,
        "minutes": definition.minutes,
        "unit": definition.unit.value,
        "size": definition.size,
        "window_min": round(definition.window / MINUTE, 2),
        **met_row(found, outlier_wakes),
        "met_by_any_wake": met_row(found, every_wake)["met"],
        **timing(found, outlier_wakes, every_wake),
        "missed_move_a_month": None if missed is None else round(missed, 5),
        "missed_quote_a_month": None if missed is None else round(missed * position, 2),
    }


def _missed(four: Sequence[Crossings], wakes: Ints) -> list[dict[str, Any]]:
    """Return the definition, time (ms) and symbol of each missed crossing of the four definitions, in order of time."""
    found = [
        {"t": at, "symbol": symbol, "name": each.definition.name}
        for each in four
        for symbol, times in each.times.items()
        for at in times[~meet(times, wakes, each.definition.window).met].tolist()
    ]
    return sorted(found, key=lambda missed: (missed["t"], missed["symbol"], missed["name"]))


def _precision(judged: Judged, wakes: Ints) -> dict[str, Any]:
    four, any_of_them = precise(wakes, judged.four), precise(wakes, (*judged.four, *judged.panel))
    return {
        "outlier_wakes": len(wakes),
        "four": {"met": four, **rate(four, len(wakes))},
        "all": {"met": any_of_them, **rate(any_of_them, len(wakes))},
    }


def _symbol(judged: Judged, wakes: Sequence[dict[str, Any]], outlier_wakes: Ints) -> dict[str, Any]:
    """Return the row of a symbol: its own outlier wakes a day, and which of its crossings all wakes met."""
    (symbol,) = judged.market.series
    own = within(judged.market, wake_times(wakes, outliers=True, symbol=symbol))
    row = gate_row(judged, RivalGate(symbol, [outlier_wakes]))
    fewest = hindsight(judged.market, judged.four).draws[0]
    return {
        "symbol": symbol,
        "measured_days": round(judged.days, 2),
        "outlier_wakes_a_day": _a_day(len(own), judged.days),
        "hindsight_a_day": _a_day(len(fewest), judged.days),
        **{name: row[name] for name in ("four", "four_mean", "panel_mean", "panel_worst")},
    }


def _delay(market: Market, gate: GatePolicy, interval: int, outlier_wakes: Ints, reference: Ints) -> dict[str, Any]:
    """Return the delays of outliers that had to wait for a cooldown, of the measured gate and of the reference gate.

    `wakes_as_in_run` says whether the gate, given only closes, woke at the same times as in the run.
    """
    measured: dict[str, Any] = {"unknown": f"the candles are {span_name(interval)} long, shorter than the closes read"}
    if interval >= MINUTE:
        found = gate_delays(market, gate)
        same = np.array_equal(within(market, found.wakes), outlier_wakes)
        measured = {**delay_row(found.delays), "wakes_as_in_run": same, "unknown": None}
    return {"measured": measured, "reference": delay_row(reference)}


def _largest(market: Market, figures: dict[str, Any], every_wake: Ints, outlier_wakes: Ints) -> list[dict[str, Any]]:
    closes, wakes, outliers = largest.closes_of(market), every_wake.tolist(), outlier_wakes.tolist()
    return [
        largest.judge(
            {symbol: largest.moves(each, span, market.step) for symbol, each in closes.items()},
            span,
            wakes,
            figures["to"] - figures["from"],
            outliers,
        )
        for span in largest.SPANS
        if closes and span % market.step == 0
    ]


def _not_watched(gate: GatePolicy, interval: int) -> list[str]:
    """Return the spans of the policy that the gate does not watch, because they are no multiple of the candles."""
    return [] if gate.every is not None else channels_of(gate, interval)[1]


def _kind(reason: str) -> str:
    """Return the kind of a wake reason from its text, such as `outlier:15m z=+3.10`."""
    return reason.partition(" ")[0].partition(":")[0]


def _a_day(count: float, days: float) -> float | None:
    return round(count / days, 2) if days else None

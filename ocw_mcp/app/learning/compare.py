"""The rules with and without learning on one market, day by day.

The learner only knows trades that were closed before, so that each day is out of its sample. The interval of the mean
daily difference is that of a moving block bootstrap (H. R. Künsch, The jackknife and the bootstrap for general
stationary observations, 1989), because days are not independent.
"""

import hashlib
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ocw_mcp.app.learning.outcomes import TimedOutcome, outcomes_among, read_events
from ocw_mcp.app.policy_loader import LoadedPolicies, LoadedPrompts
from ocw_mcp.app.runner import Job, run
from ocw_mcp.core.learning.draws import generator
from ocw_mcp.domain import events
from ocw_mcp.domain.learning import OutcomeSource
from ocw_mcp.domain.orders import RULES
from ocw_mcp.domain.protocols import Feed

VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "off": {"mode": "off"},
    "trades": {"mode": "act", "counterfactuals": False},
    "all": {"mode": "act", "counterfactuals": True},
}
"""Without learning; from trades only; and from decisions without a trade, too."""
BLOCK_DAYS: Final = 7
FEWEST_DAYS: Final = 4 * BLOCK_DAYS
"""The fewest days with an interval."""
RESAMPLES: Final = 2_000
SEED: Final = 1


def compare(
    feed: Callable[[], Feed], policies: LoadedPolicies, prompts: LoadedPrompts, for_ms: int | None
) -> tuple[dict[str, Any], list[TimedOutcome]]:
    """Run the rules on a market with each of `VARIANTS`. Return the report, and the outcomes of `all`."""
    rows, days, outcomes = {}, {}, list[TimedOutcome]()
    for name, changes in VARIANTS.items():
        figures, equity, closed, found = _run(feed(), _changed(policies, name, changes), prompts, for_ms)
        trades = [each.outcome for each in found if each.outcome.source is OutcomeSource.TRADE]
        rows[name] = {
            "return": figures["return"],
            "max_drawdown": figures.get("max_drawdown"),
            "trades": closed,
            "mean_r": sum(each.net for each in trades) / len(trades) if trades else None,
            "outcomes": len(found),
        }
        days[name], outcomes = equity, found
    differences = {name: paired(days["off"], days[name]) for name in VARIANTS if name != "off"}
    return {"policy": policies.policies.name, "variants": rows, "differences": differences}, outcomes


def paired(base: dict[str, float], other: dict[str, float]) -> dict[str, Any]:
    """Return the mean daily difference of log returns, other − base, with its 95 % interval; then its second half."""
    names = sorted(base.keys() & other.keys())
    logs = np.array([[math.log(each[name]) for name in names] for each in (base, other)])
    difference = np.diff(logs[1] - logs[0])
    return {
        "days": len(difference),
        **_interval(difference),
        "second_half": _interval(difference[len(difference) // 2 :]),
    }


def _interval(difference: Any) -> dict[str, float | str | None]:
    count = len(difference)
    if count < FEWEST_DAYS:
        return {"mean": None, "low": None, "high": None, "verdict": f"fewer than {FEWEST_DAYS} days"}
    starts = generator(SEED, count).integers(0, count - BLOCK_DAYS + 1, (RESAMPLES, -(-count // BLOCK_DAYS)))
    places = (starts[:, :, None] + np.arange(BLOCK_DAYS)).reshape(RESAMPLES, -1)[:, :count]
    means = difference[places].mean(1)
    low, high = (float(each) for each in np.quantile(means, (0.025, 0.975)))
    verdict = "better with learning" if low > 0 else "worse with learning" if high < 0 else "no difference is shown"
    return {"mean": float(difference.mean()), "low": low, "high": high, "verdict": verdict}


def _changed(loaded: LoadedPolicies, name: str, changes: dict[str, Any]) -> LoadedPolicies:
    used = loaded.policies
    learning = used.learning.model_copy(update=changes)
    digest = hashlib.sha256(f"{loaded.hash}\0learning={name}".encode()).hexdigest()
    return replace(loaded, policies=used.model_copy(update={"learning": learning}), hash=digest)


def _run(
    feed: Feed, policies: LoadedPolicies, prompts: LoadedPrompts, for_ms: int | None
) -> tuple[dict[str, Any], dict[str, float], int, list[TimedOutcome]]:
    """Return the report of a run, its equity at the beginning of each UTC day, its closed trades, and its outcomes."""
    with tempfile.TemporaryDirectory(prefix="ocw-") as directory:
        job = Job(feed, RULES, policies, prompts, for_ms, Path(directory), embedded=True)
        figures = run(job).report
        found = read_events(Path(directory))
    equity = {event.day: float(event.equity) for _, event in found if isinstance(event, events.DayOpened)}
    closed = sum(isinstance(event, events.PositionClosed) for _, event in found)
    return figures, equity, closed, outcomes_among(found)


def text(found: dict[str, Any]) -> list[str]:
    """Return the report as lines of text."""
    lines = [f"the rules with policy {found['policy']}, with learning off, from trades, and from all decisions"]
    for name, row in found["variants"].items():
        mean = "-" if row["mean_r"] is None else f"{row['mean_r']:+.3f} R"
        lines.append(
            f"  {name:<7} return {row['return']:+.2%}, trades {row['trades']}, mean {mean}, outcomes {row['outcomes']}"
        )
    for name, row in found["differences"].items():
        for part, each in ((f"{row['days']} days", row), ("second half", row["second_half"])):
            if each["mean"] is None:
                lines.append(f"  {name} - off, {part}: {each['verdict']}")
            else:
                lines.append(
                    f"  {name} - off, {part}: {each['mean'] * 1e4:+.2f} basis points a day "
                    f"(95 % interval {each['low'] * 1e4:+.2f} to {each['high'] * 1e4:+.2f}): {each['verdict']}"
                )
    return lines

"""The rules with and without learning on one market or several, day by day.

The learner only knows trades that were closed before, so that each day is out of its sample. The interval of the mean
daily difference is that of a moving block bootstrap (H. R. Künsch, The jackknife and the bootstrap for general
stationary observations, 1989), because days are not independent. Several markets are pooled by days: a day is drawn
with all its markets, because these are not independent, either.
"""

import hashlib
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from ocw_mcp.app.learning.outcomes import TimedOutcome, learn, outcomes_among, read_events
from ocw_mcp.app.policy_loader import LoadedPolicies, LoadedPrompts
from ocw_mcp.app.runner import Job, run
from ocw_mcp.core.learning.draws import generator
from ocw_mcp.domain import events
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.learning import REGIMES, OutcomeSource
from ocw_mcp.domain.orders import RULES
from ocw_mcp.domain.protocols import Feed
from ocw_mcp.domain.time import DAY

VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "off": {"mode": "off"},
    "trades": {"mode": "act", "counterfactuals": False},
    "all": {"mode": "act", "counterfactuals": True},
}
"""Without learning; from trades only; and from decisions without a trade, too."""
_LEARNING: Final = tuple(name for name in VARIANTS if name != "off")
BLOCK_DAYS: Final = 7
FEWEST_DAYS: Final = 4 * BLOCK_DAYS
"""The fewest days with an interval."""
RESAMPLES: Final = 2_000
SEED: Final = 1
_TOO_SHORT: Final = "--restart stops a book at a whole day; expected a market of two days or more"


class Market(NamedTuple):
    """A market of the comparison: its name, and a function that opens its feed."""

    name: str
    feed: Callable[[], Feed]


class Comparison(NamedTuple):
    """The report on some markets, and what the run `all` of the first one has learned from."""

    report: dict[str, Any]
    outcomes: list[TimedOutcome]


def compare(
    markets: Sequence[Market],
    policies: LoadedPolicies,
    prompts: LoadedPrompts,
    for_ms: int | None,
    *,
    restart: bool = False,
    show: Callable[[str], None] = lambda text: None,
) -> Comparison:
    """Run the rules on each market with each of `VARIANTS`, and pool the daily differences.

    A market without the symbol whose regime the policies read has the regime of its first symbol. With `restart` the
    run `all` is made once more, with a restart in the middle. `show` takes what is done at present. Raises
    SettingsError for a restart within less than two days.
    """
    if restart and for_ms is not None and for_ms < 2 * DAY:
        raise SettingsError(_TOO_SHORT)
    found, daily, first = [], {name: list[dict[str, float]]() for name in VARIANTS}, list[TimedOutcome]()
    for market in markets:
        runs, used = {}, _regime_of(policies, market.feed().identity.symbols)
        for name in VARIANTS:
            show(f"running {market.name}, learning {name}")
            runs[name] = _run([(market.feed(), for_ms)], _changed(used, name), prompts)
        differences = {name: differences_of(runs["off"].equity, runs[name].equity) for name in _LEARNING}
        for name, each in differences.items():
            daily[name].append(each)
        row: dict[str, Any] = {
            "market": market.name,
            "variants": {name: run.row() for name, run in runs.items()},
            "differences": {name: pooled([each]) for name, each in differences.items()},
        }
        if restart:
            show(f"running {market.name} with a restart")
            row["restart"] = _restarted(market, _changed(used, "all"), prompts, for_ms, runs["all"])
        found.append(row)
        first = first or runs["all"].outcomes
    report: dict[str, Any] = {"policy": policies.policies.name, "markets": found}
    if len(markets) > 1:
        report["pooled"] = {name: pooled(daily[name]) for name in _LEARNING}
    return Comparison(report, first)


def differences_of(base: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """Return the difference of the log returns, other − base, of each day, from the equities as the days begin."""
    names = sorted(base.keys() & other.keys())
    logs = np.array([[math.log(each[name]) for name in names] for each in (base, other)])
    return dict(zip(names, map(float, np.diff(logs[1] - logs[0])), strict=False))


def pooled(markets: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return the mean difference of the days of all markets with its 95 % interval; then that of the second half.

    `days` is the number of different days, `market_days` that of the differences.
    """
    days = sorted({day for each in markets for day in each})
    rows = np.array([[(each.get(day, 0.0), day in each) for each in markets] for day in days], dtype=float)
    sums, counts = rows.reshape(len(days), len(markets), 2).sum(1).T
    half = len(days) // 2
    return {
        "days": len(days),
        "market_days": int(counts.sum()),
        **_interval(sums, counts),
        "second_half": _interval(sums[half:], counts[half:]),
    }


def _interval(sums: Any, counts: Any) -> dict[str, float | str | None]:
    """Return the mean of differences, from their sum and number on each day."""
    count = len(sums)
    if count < FEWEST_DAYS:
        return {"mean": None, "low": None, "high": None, "verdict": f"fewer than {FEWEST_DAYS} days"}
    starts = generator(SEED, count).integers(0, count - BLOCK_DAYS + 1, (RESAMPLES, -(-count // BLOCK_DAYS)))
    places = (starts[:, :, None] + np.arange(BLOCK_DAYS)).reshape(RESAMPLES, -1)[:, :count]
    means = sums[places].sum(1) / counts[places].sum(1)
    low, high = (float(each) for each in np.quantile(means, (0.025, 0.975)))
    verdict = "better with learning" if low > 0 else "worse with learning" if high < 0 else "no difference is shown"
    return {"mean": float(sums.sum() / counts.sum()), "low": low, "high": high, "verdict": verdict}


def _regime_of(loaded: LoadedPolicies, symbols: Sequence[str]) -> LoadedPolicies:
    """Return policies that read the regime of a symbol which the market has."""
    used = loaded.policies
    if used.scale.regime_symbol in symbols:
        return loaded
    scale = used.scale.model_copy(update={"regime_symbol": symbols[0]})
    digest = hashlib.sha256(f"{loaded.hash}\0regime={symbols[0]}".encode()).hexdigest()
    return replace(loaded, policies=used.model_copy(update={"scale": scale}), hash=digest)


def _changed(loaded: LoadedPolicies, name: str) -> LoadedPolicies:
    """Return policies with a variant of learning."""
    used = loaded.policies
    learning = used.learning.model_copy(update=VARIANTS[name])
    digest = hashlib.sha256(f"{loaded.hash}\0learning={name}".encode()).hexdigest()
    return replace(loaded, policies=used.model_copy(update={"learning": learning}), hash=digest)


class _Run(NamedTuple):
    """A run of the rules."""

    figures: dict[str, Any]
    equity: dict[str, float]
    """The equity at the beginning of each UTC day."""
    closed: int
    """The number of closed trades."""
    outcomes: list[TimedOutcome]

    def row(self) -> dict[str, Any]:
        """Return what the report shows of the run."""
        trades = [each.outcome for each in self.outcomes if each.outcome.source is OutcomeSource.TRADE]
        return {
            "return": self.figures["return"],
            "max_drawdown": self.figures.get("max_drawdown"),
            "trades": self.closed,
            "mean_r": sum(each.net for each in trades) / len(trades) if trades else None,
            "outcomes": len(self.outcomes),
            "regimes": dict(Counter(each.outcome.regime for each in self.outcomes if each.outcome.regime)),
        }


def _run(starts: Sequence[tuple[Feed, int | None]], policies: LoadedPolicies, prompts: LoadedPrompts) -> _Run:
    """Run one book, anew with each feed, each for a time (ms), or to the end of the market."""
    with tempfile.TemporaryDirectory(prefix="ocw-") as directory:
        for feed, until in starts:
            job = Job(feed, RULES, policies, prompts, until, Path(directory), embedded=True)
            figures = run(job).report
        found = read_events(Path(directory))
    equity = {event.day: float(event.equity) for _, event in found if isinstance(event, events.DayOpened)}
    closed = sum(isinstance(event, events.PositionClosed) for _, event in found)
    return _Run(figures, equity, closed, outcomes_among(found))


def _restarted(
    market: Market, policies: LoadedPolicies, prompts: LoadedPrompts, for_ms: int | None, whole: _Run
) -> dict[str, Any]:
    """Return whether a restart in the middle changes the fingerprint of a run, or what is learned."""
    if len(whole.equity) < 2:
        raise SettingsError(_TOO_SHORT)
    days = len(whole.equity) // 2
    rest = None if for_ms is None else for_ms - days * DAY
    again = _run([(market.feed(), days * DAY), (market.feed(), rest)], policies, prompts)
    same = [each.figures["fingerprint"] for each in (whole, again)]
    learned = [learn(each.outcomes, counterfactuals=True).state() for each in (whole, again)]
    return {"after_days": days, "changes_nothing": same[0] == same[1] and learned[0] == learned[1]}


def text(found: dict[str, Any]) -> list[str]:
    """Return the report as lines of text."""
    lines = [f"the rules with policy {found['policy']}, with learning off, from trades, and from all decisions"]
    for market in found["markets"]:
        lines.append(market["market"])
        for name, row in market["variants"].items():
            mean = "-" if row["mean_r"] is None else f"{row['mean_r']:+.3f} R"
            numbers = f"trades {row['trades']}, mean {mean}, outcomes {row['outcomes']}"
            lines.append(f"  {name:<7} return {row['return']:+.2%}, {numbers}{_regimes(row['regimes'])}")
        lines += _difference_lines(market["differences"])
        if "restart" in market:
            what = "nothing" if market["restart"]["changes_nothing"] else "THE RUN, WHICH IS A FAULT OF OCW"
            lines.append(f"  a restart after {market['restart']['after_days']} days changes {what}")
    if "pooled" in found:
        lines += ["all markets together, by days", *_difference_lines(found["pooled"])]
    return lines


def _regimes(counts: dict[str, int]) -> str:
    names = ", ".join(f"{name} {counts[name]}" for name in REGIMES if name in counts)
    return f" ({names})" if names else ""


def _difference_lines(differences: dict[str, Any]) -> list[str]:
    lines = []
    for name, row in differences.items():
        for part, each in ((f"{row['market_days']} days", row), ("second half", row["second_half"])):
            if each["mean"] is None:
                lines.append(f"  {name} - off, {part}: {each['verdict']}")
            else:
                lines.append(
                    f"  {name} - off, {part}: {each['mean'] * 1e4:+.2f} basis points a day "
                    f"(95 % interval {each['low'] * 1e4:+.2f} to {each['high'] * 1e4:+.2f}): {each['verdict']}"
                )
    return lines

"""What was learned from closed trades as text, for models, terminals and clients."""

from collections.abc import Iterable
from typing import Final

from ocw_mcp.domain.learning import Learned, LearnedClaim, LearnedReliability, LearningView
from ocw_mcp.domain.snapshot import Snapshot

MOST_SHOWN: Final = 6
"""The most trusted, and the most distrusted signals that a context shows, those with the clearest intervals."""
COLUMNS: Final = ("name", "group", "p", "low", "high", "n", "weight", "share", "drawn", "trust")
"""The columns of `row`: the reliability p with its 90 % interval, the evidence n, the weight of the sign in a vote, and
its size as a share; then a draw from the posterior. A group has its own name."""
_NAMES: Final = {"patience": "patience (hours to hold on after an exit)"}
"""The names of meta-parameters that need their unit."""


def learned_lines(snapshot: Snapshot) -> list[str]:
    """Return what a decider needs of what was learned; nothing while nothing is learned."""
    view = snapshot.learning
    if view is None or not view.learned.knows:
        return []
    learned = view.learned
    groups = [(trust, _of(learned, trust)) for trust in ("trusted", "distrusted")]
    shown = [f"{trust} {', '.join(map(_signal, found[:MOST_SHOWN]))}" for trust, found in groups if found]
    unproven = len(_of(learned, "unproven"))
    return [
        f"learned from {evidence_text(learned)}, in regime {learned.regime}, as p(right) of the sign after costs "
        f"(90 % interval, effective n): {'; '.join([*shown, f'unproven {unproven} signals'])}",
        *use_lines(view),
    ]


def use_lines(view: LearningView) -> list[str]:
    """Return what follows for the symbols now: votes and sizes."""
    votes = ", ".join(f"{symbol} {vote:+.2f}" for symbol, vote in view.votes.items())
    risks = ", ".join(f"{symbol} {risk:.4f}" for symbol, risk in view.risks.items())
    lines = [f"vote of the signals by it: {votes}"] if votes else []
    return [*lines, f"advised risk of an entry: {risks}"] if risks else lines


def evidence_text(learned: Learned) -> str:
    """Return how much was learned from: `34 trades (2 left out: person 2), 120 decisions without a trade`."""
    left = sum(learned.excluded.values())
    causes = ", ".join(f"{cause} {count}" for cause, count in sorted(learned.excluded.items()))
    out = f" ({left} left out: {causes})" if left else ""
    return f"{learned.trades} trades{out}, {learned.counterfactuals} decisions without a trade"


def table_lines(learned: Learned) -> list[str]:
    """Return the posterior of every signal, and of the mean of every group, one a line."""
    lines = [" ".join(COLUMNS)]
    lines += [" ".join(map(str, row(each))) for each in (*learned.signals, *learned.groups)]
    return [*lines, *advice_lines(learned)]


def row(each: LearnedReliability) -> tuple[str | float, ...]:
    """Return the values of `COLUMNS`."""
    shown = (each.mean, each.low, each.high), (each.weight, each.share, each.drawn)
    first, second = ([round(value, 4) for value in part] for part in shown)
    return each.name, each.group, *first, round(each.evidence, 1), *second, each.trust.value


def advice_lines(learned: Learned) -> list[str]:
    """Return what follows from the results of trades beside the signals: size, meta-parameters, exits and claims."""
    size = learned.size
    lines = [
        f"size: risk {size.risk:.4f} of equity from win rate {size.win_rate:.2f} (25 %: {size.low_win_rate:.2f}), "
        f"win {size.win:.2f} R, loss {size.loss:.2f} R, n {size.evidence:.1f}"
    ]
    lines += [
        f"{_NAMES.get(each.parameter, each.parameter)}: try {each.value:g}, best {each.best:g}, n {each.evidence:.1f}"
        for each in learned.choices
    ]
    lines += [f"exits: held {each.horizon} longer {each.regret:+.2f} R, n {each.exits}" for each in learned.exits]
    return [*lines, *claim_lines(learned.claims)]


def claim_lines(claims: Iterable[LearnedClaim]) -> list[str]:
    """Return what deciders said that they used, one signal a line; it counts for no posterior."""
    return [
        f"claimed: {each.name} at weight {each.weight:+.2f} in {each.trades} trades, right {each.right} of "
        f"{each.trades - each.silent}, with the trade {each.along}"
        for each in claims
    ]


def _of(learned: Learned, trust: str) -> list[LearnedReliability]:
    found = [each for each in learned.signals if each.trust == trust]
    return sorted(found, key=lambda each: -abs(each.mean - 0.5))


def _signal(each: LearnedReliability) -> str:
    return f"{each.name} {each.mean:.2f} ({each.low:.2f}-{each.high:.2f}, {each.evidence:.0f})"

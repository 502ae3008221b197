"""Market situations and their similarity: by the signals of the rules, by regime, and a little by symbol."""

from functools import lru_cache
from typing import Final

import msgspec

from ocw_mcp.core.strategy.signals import read_signals
from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.snapshot import Snapshot, SymbolView
from ocw_mcp.domain.unknown import Unknown

SIGNALS_WEIGHT: Final = 0.65
REGIME_WEIGHT: Final = 0.30
SYMBOL_WEIGHT: Final = 0.05
"""Shares of the similarity."""


class Situation(msgspec.Struct, frozen=True):
    """The market of one symbol at one time."""

    symbol: str
    regime: str | None = None
    """None if it was unknown."""
    signals: tuple[tuple[str, float], ...] = ()
    """Names and values, −1..1; empty if they could not be computed."""


def situations(snapshot: Snapshot, rules: RulesPolicy) -> tuple[Situation, ...]:
    """Return the situation of each symbol of a snapshot."""
    return tuple(_of(view, snapshot, rules) for view in snapshot.symbols.values())


def situation(snapshot: Snapshot, symbol: str, rules: RulesPolicy) -> Situation:
    """Return the situation of one symbol; an empty one if the snapshot does not have it."""
    view = snapshot.symbols.get(symbol)
    return Situation(symbol) if view is None else _of(view, snapshot, rules)


@lru_cache(maxsize=8_192)
def similarity(one: Situation, other: Situation) -> float:
    """Return 0 for nothing in common up to 1 for the same.

    A signal or regime that only one of the two has counts as different. A regime that neither has is left out.
    """
    parts = [(SIGNALS_WEIGHT, _signal_similarity(one, other)), (SYMBOL_WEIGHT, float(one.symbol == other.symbol))]
    if one.regime is not None or other.regime is not None:
        parts.append((REGIME_WEIGHT, float(one.regime == other.regime)))
    total = sum(weight for weight, _ in parts)
    # Rounded, so that the order of summation cannot change the order of entries.
    return round(sum(weight * share for weight, share in parts) / total, 9)


def _of(view: SymbolView, snapshot: Snapshot, rules: RulesPolicy) -> Situation:
    regime = None if isinstance(snapshot.regime, Unknown) else snapshot.regime
    read = read_signals(view, rules)
    if read is None:
        return Situation(view.symbol, regime)
    signals = {"momentum": read.momentum, "reversion": read.reversion, "trend": 2 * read.trend - 1}
    composite = view.derivatives.composite
    if not isinstance(composite, Unknown):
        signals["derivatives"] = composite
    return Situation(view.symbol, regime, tuple((name, round(value, 4)) for name, value in signals.items()))


def _signal_similarity(one: Situation, other: Situation) -> float:
    """Return the mean over the signals that at least one of the two has; 0 if there are none."""
    mine, theirs = dict(one.signals), dict(other.signals)
    names = mine.keys() | theirs.keys()
    both = mine.keys() & theirs.keys()
    return sum(1 - abs(mine[name] - theirs[name]) / 2 for name in sorted(both)) / len(names) if names else 0.0

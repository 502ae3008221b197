"""What a market was like, and how alike two of these are: by regime, by what the signals said, a little by symbol."""

from functools import lru_cache
from typing import Final

import msgspec

from ocw_mcp.core.strategy.signals import read_signals
from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.snapshot import Snapshot, SymbolView
from ocw_mcp.domain.unknown import Unknown

OF_SIGNALS: Final = 0.65
OF_REGIME: Final = 0.30
OF_SYMBOL: Final = 0.05
"""What each adds to likeness."""


class Situation(msgspec.Struct, frozen=True):
    """One symbol at one moment."""

    symbol: str
    regime: str | None = None
    """None where nothing told it."""
    signals: tuple[tuple[str, float], ...] = ()
    """Names and values, −1..1; none where they could not be read."""


def situations(snapshot: Snapshot, rules: RulesPolicy) -> tuple[Situation, ...]:
    """Of every symbol of a snapshot."""
    return tuple(_of(view, snapshot, rules) for view in snapshot.symbols.values())


def situation(snapshot: Snapshot, symbol: str, rules: RulesPolicy) -> Situation:
    """Of one symbol of a snapshot; one of which nothing is known where it is not in it."""
    view = snapshot.symbols.get(symbol)
    return Situation(symbol) if view is None else _of(view, snapshot, rules)


@lru_cache(maxsize=8_192)
def likeness(one: Situation, other: Situation) -> float:
    """0 for nothing in common, 1 for the same. What one of the two does not tell is not alike.

    A regime that neither tells is left out: it says nothing either way.
    """
    parts = [(OF_SIGNALS, _signals(one, other)), (OF_SYMBOL, float(one.symbol == other.symbol))]
    if one.regime is not None or other.regime is not None:
        parts.append((OF_REGIME, float(one.regime == other.regime)))
    total = sum(weight for weight, _ in parts)
    # Rounded, so that sums in another order do not make another order of memories.
    return round(sum(weight * alike for weight, alike in parts) / total, 9)


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


def _signals(one: Situation, other: Situation) -> float:
    """The mean over all that either tells; 0 where nobody tells anything."""
    mine, theirs = dict(one.signals), dict(other.signals)
    names = mine.keys() | theirs.keys()
    both = mine.keys() & theirs.keys()
    return sum(1 - abs(mine[name] - theirs[name]) / 2 for name in sorted(both)) / len(names) if names else 0.0

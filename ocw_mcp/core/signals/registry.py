"""All signals by name, and their values on one symbol."""

import math
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from ocw_mcp.core.signals.market import REVERSION, TREND, VOLUME
from ocw_mcp.core.signals.outlook import ANOMALY, DERIVATIVES, MACRO
from ocw_mcp.core.signals.signal import Registry
from ocw_mcp.domain.snapshot import Snapshot, SymbolView
from ocw_mcp.domain.unknown import Unknown

SIGNALS: Final[Registry] = {
    each.name: each for group in (TREND, REVERSION, VOLUME, DERIVATIVES, MACRO, ANOMALY) for each in group
}
GROUPS: Final = {name: each.group.value for name, each in SIGNALS.items()}
"""The group of each signal, by its name."""
SAYS_NOTHING: Final = 0.1
"""The size below which a signal says nothing: its value is then 0, and is no evidence."""


def read_all(view: SymbolView, snapshot: Snapshot) -> dict[str, float]:
    """Return the value of every signal that is known, −1..1, above 0 for a rising price; see `SAYS_NOTHING`."""
    found = {}
    for name, signal in SIGNALS.items():
        value = signal.read(view, snapshot)
        if not isinstance(value, Unknown) and math.isfinite(value):
            found[name] = round(max(-1.0, min(1.0, value)), 4) if abs(value) >= SAYS_NOTHING else 0.0
    return found


def unknown_names(names: Iterable[str]) -> list[str]:
    """Return one clause for each name that is no signal, with the nearest names."""
    wrong = []
    for name in names:
        if name not in SIGNALS:
            near = get_close_matches(name, SIGNALS, 3, 0.4) or list(SIGNALS)[:3]
            wrong.append(f"{name[:40]!r} is no signal; nearest: {', '.join(near)} (weights_get lists all)")
    return wrong

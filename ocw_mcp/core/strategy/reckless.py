"""A deterministic decider that tests the policies: its orders are too large, too frequent, and lack stops."""

import hashlib
from decimal import Decimal
from typing import Any, Final

from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.snapshot import DecisionRequest, SymbolView
from ocw_mcp.domain.unknown import Unknown

ACTIONS: Final = (
    *(Action.BUY, Action.SHORT, Action.ADD, Action.BUY, Action.SHORT, Action.SELL, Action.COVER),
    *(Action.REDUCE, Action.PROTECT, Action.CANCEL),
)
SIZES: Final = tuple(map(Decimal, ("0.05", "0.2", "0.4", "1", "3")))
DISTANCES: Final = (0.002, 0.01, 0.03, 0.045, 0.2, -0.01, None)
"""Distances of the stop from the price, on the losing side, as shares; None means no stop."""


def decide(request: DecisionRequest) -> Decision:
    """Return one leg for every symbol that has a price, whether a position is open or not."""
    legs = [leg for view in request.snapshot.symbols.values() if (leg := _leg(request.wake_id, view)) is not None]
    return Decision(tuple(legs), cause=None if legs else Cause(CauseKind.NOTHING_TO_DO, "no symbol has a price yet"))


def _leg(wake_id: int, view: SymbolView) -> Leg | None:
    last = view.last
    if isinstance(last, Unknown):
        return None
    draw = hashlib.sha256(f"{wake_id} {view.symbol}".encode()).digest()
    action, size = ACTIONS[draw[0] % len(ACTIONS)], SIZES[draw[1] % len(SIZES)]
    distance = DISTANCES[draw[2] % len(DISTANCES)]
    short = action is Action.SHORT or (view.position is not None and view.position.quantity < 0)
    stop = None if distance is None else exact(float(f"{last * (1 + distance if short else 1 - distance):.8g}"))
    given = {"size": size, "stop": stop, "share": size, "trail": None if distance is None else exact(abs(distance))}
    terms: dict[str, Any] = {name: value for name, value in given.items() if name in action.fields}
    return Leg(view.symbol, action, reasoning="because it can", signals=("none",), **terms)

"""How large the rules enter: at most what passes, so that they are never refused for a size."""

from collections.abc import Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final

from ocw_mcp.domain.money import ONE, ZERO, floor_to
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.snapshot import Feasible, Snapshot, SymbolView

_STEP: Final = Decimal("0.000001")
"""Sizes are whole multiples of it, as shares of equity."""


class Sizing:
    """The sizes of one decision's entries. Each counts against the limits that it shares with the next one."""

    def __init__(self, snapshot: Snapshot, policies: Policies) -> None:
        self._snapshot = snapshot
        self._policies = policies
        self._entered: list[tuple[str, int, Decimal]] = [
            (each.symbol, 1 if each.quantity > 0 else -1, abs(each.quantity) * each.mark)
            for each in snapshot.positions.values()
        ]
        """Symbol, way (1 long, -1 short) and notional (quote)."""

    def enter(self, view: SymbolView, way: int, last: Decimal, stop: Decimal) -> Decimal | None:
        """Return the share of equity of an entry at `last` with its `stop` (quote); None where none passes."""
        policies, equity = self._policies, self._snapshot.equity
        if equity <= 0 or len(self._entered) >= policies.positions.max_open:
            return None
        scale, feasible = self._snapshot.scale, view.feasible
        dearest = last * (ONE + policies.order.price_allowance)
        shares = [
            policies.rules.entry_size,
            policies.order.max_notional / equity,
            policies.position.max_share * scale,
            policies.exposure.max_gross * scale - self._share(None, way),
        ]
        if _matches(view.symbol, policies.correlated.symbols):
            shares.append(policies.correlated.max_share * scale - self._share(policies.correlated.symbols, way))
        worst = last * (ONE + way * policies.order.price_allowance)
        lost = max(ZERO, (worst - stop) * way / worst) + policies.risk.gap_allowance
        if lost > 0:
            shares.append(policies.risk.max_share * scale / lost)
        smallest = ZERO
        if isinstance(feasible, Feasible):
            shares.append((feasible.long_max if way > 0 else feasible.short_max) * dearest / equity)
            smallest = feasible.min * dearest / equity
        size = floor_to(min(ONE, *shares), _STEP)
        if size <= 0 or size < smallest:
            return None
        self._entered.append((view.symbol, way, size * equity))
        return size

    def _share(self, patterns: Sequence[str] | None, way: int) -> Decimal:
        """What is entered so far, of equity: all of it, or one way in the symbols of some patterns."""
        notionals = (
            notional
            for symbol, its_way, notional in self._entered
            if patterns is None or (its_way == way and _matches(symbol, patterns))
        )
        return sum(notionals, ZERO) / self._snapshot.equity


def _matches(symbol: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(symbol, pattern) for pattern in patterns)

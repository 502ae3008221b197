"""The size of the rules' entries: at most the largest size that passes the risk check."""

from collections.abc import Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final

from ocw_mcp.domain.money import ONE, ZERO, floor_to
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.snapshot import Feasible, Snapshot, SymbolView

_STEP: Final = Decimal("0.000001")
"""Sizes, as shares of equity, are multiples of this step."""


class Sizing:
    """The sizes of the entries of one decision. Each entry counts against the limits of the following ones."""

    def __init__(self, snapshot: Snapshot, policies: Policies) -> None:
        self._snapshot = snapshot
        self._policies = policies
        self._entered: list[tuple[str, int, Decimal]] = [
            (each.symbol, 1 if each.quantity > 0 else -1, abs(each.quantity) * each.mark)
            for each in snapshot.positions.values()
        ]
        """Symbol, sign (1 long, -1 short) and notional (quote) of each open position and entry."""

    def enter(self, view: SymbolView, sign: int, last: Decimal, stop: Decimal) -> Decimal | None:
        """Return the size, as a share of equity, of an entry at `last` with its `stop` (quote); None if none passes."""
        policies, equity = self._policies, self._snapshot.equity
        if equity <= 0 or len(self._entered) >= policies.positions.max_open:
            return None
        scale, feasible = self._snapshot.scale, view.feasible
        highest_price = last * (ONE + policies.order.price_allowance)
        shares = [
            policies.rules.entry_size,
            policies.order.max_notional / equity,
            policies.position.max_share * scale,
            policies.exposure.max_gross * scale - self._share(None, sign),
        ]
        if _matches(view.symbol, policies.correlated.symbols):
            shares.append(policies.correlated.max_share * scale - self._share(policies.correlated.symbols, sign))
        worst_price = last * (ONE + sign * policies.order.price_allowance)
        loss = max(ZERO, (worst_price - stop) * sign / worst_price) + policies.risk.gap_allowance
        if loss > 0:
            shares.append(policies.risk.max_share * scale / loss)
        smallest = ZERO
        if isinstance(feasible, Feasible):
            shares.append((feasible.long_max if sign > 0 else feasible.short_max) * highest_price / equity)
            smallest = feasible.min * highest_price / equity
        size = floor_to(min(ONE, *shares), _STEP)
        if size <= 0 or size < smallest:
            return None
        self._entered.append((view.symbol, sign, size * equity))
        return size

    def _share(self, patterns: Sequence[str] | None, sign: int) -> Decimal:
        """Return the notional entered so far as a share of equity: in total, or by sign for symbols that match."""
        notionals = (
            notional
            for symbol, entered_sign, notional in self._entered
            if patterns is None or (entered_sign == sign and _matches(symbol, patterns))
        )
        return sum(notionals, ZERO) / self._snapshot.equity


def _matches(symbol: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(symbol, pattern) for pattern in patterns)

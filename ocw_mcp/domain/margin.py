"""Isolated margin of perpetual futures: what a position must keep, and the prices at which it is taken over.

A position is liquidated at the mark price p at which what is left of its margin no longer covers its maintenance:
margin + quantity × p − cost = |quantity| × p × rate − amount, with the bracket's rate and amount (Binance, How to
Calculate Liquidation Price of USDⓈ-M Futures Contracts, for one-way mode and isolated margin).
"""

from collections import deque
from decimal import Decimal
from functools import cached_property
from itertools import groupby
from typing import Final

import msgspec

from ocw_mcp.domain.money import ONE, ZERO


class Bracket(msgspec.Struct, frozen=True):
    """One bracket of notional: up to `cap` (quote), at most `max_leverage`, maintenance at `rate` of the notional."""

    cap: Decimal
    max_leverage: int
    rate: Decimal


class Brackets(msgspec.Struct, frozen=True, dict=True):
    """A symbol's brackets, the smallest first. Beyond the last one nothing may be held."""

    rows: tuple[Bracket, ...]

    @cached_property
    def amounts(self) -> tuple[Decimal, ...]:
        """What each bracket takes off its maintenance (quote), so that it joins the one before without a step."""
        amounts = [ZERO]
        for lower, upper in zip(self.rows, self.rows[1:], strict=False):
            amounts.append(amounts[-1] + lower.cap * (upper.rate - lower.rate))
        return tuple(amounts)

    def maintenance(self, notional: Decimal) -> Decimal:
        """Margin (quote) that a position of this notional (quote) has to keep."""
        last = len(self.rows) - 1
        at = next((place for place, row in enumerate(self.rows) if notional <= row.cap), last)
        return notional * self.rows[at].rate - self.amounts[at]

    def max_leverage(self, notional: Decimal) -> int:
        """The highest leverage of a position of this notional (quote); 0 where it is larger than any may be."""
        return next((row.max_leverage for row in self.rows if notional <= row.cap), 0)

    def cap(self, leverage: int) -> Decimal:
        """The largest notional (quote) that may be held at this leverage; 0 where none may."""
        return max((row.cap for row in self.rows if row.max_leverage >= leverage), default=ZERO)

    @cached_property
    def _steps(self) -> dict[int, tuple[tuple[int, Decimal], ...]]:
        return {}

    def steps(self, wanted: int) -> tuple[tuple[int, Decimal], ...]:
        """What becomes of a wanted leverage as the position grows: each leverage, and up to which notional (quote)."""
        if wanted not in self._steps:
            by_leverage = groupby(self.rows, key=lambda row: min(wanted, row.max_leverage))
            self._steps[wanted] = tuple((leverage, deque(rows, 1)[0].cap) for leverage, rows in by_leverage)
        return self._steps[wanted]

    def largest(self, share: Decimal) -> Decimal:
        """The largest notional (quote), in any bracket, whose maintenance is at most this share of it; 0 where none is.

        Within a bracket the maintenance is rate × notional − amount.
        """
        largest = floor = ZERO
        for row, amount in zip(self.rows, self.amounts, strict=True):
            if row.rate * row.cap - amount <= share * row.cap:
                largest = row.cap
            elif row.rate > share and (edge := amount / (row.rate - share)) > floor:
                largest = edge
            floor = row.cap
        return largest

    def liquidation_price(self, quantity: Decimal, cost: Decimal, margin: Decimal) -> Decimal | None:
        """The mark price (quote) at which a position is liquidated; None where no price above 0 does it.

        `quantity` and `cost` are signed, as the ledger keeps them; `margin` is what is isolated for it.
        """
        size, way = abs(quantity), 1 if quantity > 0 else -1
        floor = ZERO
        for row, amount in zip(self.rows, self.amounts, strict=True):
            # way × size × p − cost + margin = size × p × rate − amount, solved for p.
            price = (cost - margin - amount) / (size * (way - row.rate))
            if floor < size * price <= row.cap:
                return price
            floor = row.cap
        # A notional that falls towards 0 needs no maintenance: a long with more margin than cost outlives every price.
        return price if price > 0 and size * price > floor else None


CAUTIOUS: Final = Brackets((Bracket(Decimal(10) ** 9, 20, Decimal("0.05")),))
"""What a perpetual is held to whose brackets nobody tells: a guess on the strict side, at the sizes policies allow.

It refuses what lives by a thin margin, and does not keep a symbol from being traded because its figures are missing.
"""


def bankruptcy_price(quantity: Decimal, cost: Decimal, margin: Decimal) -> Decimal:
    """The price (quote) at which a position's margin is all gone: margin + quantity × p − cost = 0; never below 0."""
    return max(ZERO, (cost - margin) / quantity)


def allowed_maintenance(entry: Decimal, stop: Decimal, leverage: int, way: int) -> Decimal:
    """The share of its notional at `stop` that a position begun at `entry` still has as margin there (prices: quote).

    Where its brackets ask for more than that, it is liquidated before its stop. `way` is 1 for a long, -1 for a short.
    """
    return (entry / leverage + way * (stop - entry)) / stop if stop > 0 else -ONE

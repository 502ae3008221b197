"""Isolated margin of perpetual futures: maintenance margins, liquidation prices and bankruptcy prices.

A position is liquidated at the mark price p at which its remaining margin no longer covers its maintenance margin:
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
    """One bracket of notional: its upper end `cap` (quote), its highest leverage, and its maintenance `rate`."""

    cap: Decimal
    max_leverage: int
    rate: Decimal


class Brackets(msgspec.Struct, frozen=True, dict=True):
    """A symbol's brackets, the smallest first. No position may exceed the last bracket."""

    rows: tuple[Bracket, ...]

    @cached_property
    def amounts(self) -> tuple[Decimal, ...]:
        """Each bracket's deduction (quote) from the maintenance margin, which makes it continuous between brackets."""
        amounts = [ZERO]
        for lower, upper in zip(self.rows, self.rows[1:], strict=False):
            amounts.append(amounts[-1] + lower.cap * (upper.rate - lower.rate))
        return tuple(amounts)

    def maintenance(self, notional: Decimal) -> Decimal:
        """Return the maintenance margin (quote) of a position of this notional (quote)."""
        last = len(self.rows) - 1
        index = next((index for index, row in enumerate(self.rows) if notional <= row.cap), last)
        return notional * self.rows[index].rate - self.amounts[index]

    def max_leverage(self, notional: Decimal) -> int:
        """Return the highest leverage of a position of this notional (quote); 0 beyond the last bracket."""
        return next((row.max_leverage for row in self.rows if notional <= row.cap), 0)

    @cached_property
    def _caps(self) -> dict[int, Decimal]:
        return {}

    def cap(self, leverage: int) -> Decimal:
        """Return the largest notional (quote) that is allowed at this leverage; 0 if none is allowed."""
        found = self._caps.get(leverage)
        if found is None:
            found = max((row.cap for row in self.rows if row.max_leverage >= leverage), default=ZERO)
            # Callers ask for leverages of the policy and of positions, which are few.
            self._caps[leverage] = found
        return found

    @cached_property
    def _steps(self) -> dict[int, tuple[tuple[int, Decimal], ...]]:
        return {}

    def steps(self, wanted: int) -> tuple[tuple[int, Decimal], ...]:
        """Return the brackets' leverages, at most `wanted`, each with the largest notional (quote) that it allows."""
        if wanted not in self._steps:
            by_leverage = groupby(self.rows, key=lambda row: min(wanted, row.max_leverage))
            self._steps[wanted] = tuple((leverage, deque(rows, 1)[0].cap) for leverage, rows in by_leverage)
        return self._steps[wanted]

    @cached_property
    def _falling(self) -> tuple[tuple[Decimal, Decimal, Decimal, Decimal, Decimal], ...]:
        """Of each bracket, the largest first: cap, rate, deduction, maintenance margin at its cap, and lower end."""
        lower_ends = (ZERO, *(row.cap for row in self.rows[:-1]))
        rising = zip(self.rows, self.amounts, lower_ends, strict=True)
        return tuple((row.cap, row.rate, amount, row.rate * row.cap - amount, low) for row, amount, low in rising)[::-1]

    def largest(self, share: Decimal) -> Decimal:
        """Return the largest notional (quote) whose maintenance margin is at most `share` of it; 0 if there is none."""
        for cap, rate, amount, maintenance, lower_end in self._falling:
            if maintenance <= share * cap:
                return cap
            if rate > share and (edge := amount / (rate - share)) > lower_end:
                return edge
        return ZERO

    def liquidation_price(self, quantity: Decimal, cost: Decimal, margin: Decimal) -> Decimal | None:
        """Return the mark price (quote) at which a position is liquidated; None if no price above 0 liquidates it.

        `quantity` and `cost` are signed, as in the ledger; `margin` is the isolated margin of the position.
        """
        size, sign = abs(quantity), 1 if quantity > 0 else -1
        lower_end = ZERO
        for row, amount in zip(self.rows, self.amounts, strict=True):
            # sign × size × p − cost + margin = size × p × rate − amount, solved for p.
            price = (cost - margin - amount) / (size * (sign - row.rate))
            if lower_end < size * price <= row.cap:
                return price
            lower_end = row.cap
        # As the notional falls to 0, so does the maintenance: a long with more margin than cost is never liquidated.
        return price if price > 0 and size * price > lower_end else None


CAUTIOUS: Final = Brackets((Bracket(Decimal(10) ** 9, 20, Decimal("0.05")),))
"""The brackets assumed for a perpetual whose venue reports none; they are strict at the sizes that policies allow."""


def bankruptcy_price(quantity: Decimal, cost: Decimal, margin: Decimal) -> Decimal:
    """Return the price p (quote, at least 0) at which a position's margin is lost: margin + quantity × p − cost = 0."""
    return max(ZERO, (cost - margin) / quantity)


def allowed_maintenance(entry: Decimal, stop: Decimal, leverage: int, sign: int) -> Decimal:
    """Return the margin that a position opened at `entry` has left at `stop` (prices: quote), as a share of notional.

    `sign` is 1 for a long, -1 for a short. A position whose brackets require more margin is liquidated before its stop.
    """
    return (entry / leverage + sign * (stop - entry)) / stop if stop > 0 else -ONE

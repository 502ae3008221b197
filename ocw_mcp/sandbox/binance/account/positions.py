"""Positions of one-way mode, the wallet, and the income that changes it."""

from collections import deque
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

import msgspec

from ocw_mcp.domain.money import ZERO
from ocw_mcp.sandbox.binance.account.prices import brackets

UNIT: Final = Decimal("0.00000001")
"""Amounts of the wallet are multiples of this."""
DEFAULT_LEVERAGE: Final = 20
FIRST_TRANSACTION: Final = 7_000_000_001
MOST_INCOME: Final = 100_000
"""The number of income records that are kept."""


def amount(value: Decimal) -> Decimal:
    """Return a value rounded to the unit of the wallet."""
    return value.quantize(UNIT, ROUND_HALF_UP)


class Position(msgspec.Struct):
    """A position and the settings of its symbol. Quantities in the base asset, prices and amounts in quote currency."""

    symbol: str
    quantity: Decimal = ZERO
    """Above 0 for a long position, below 0 for a short one."""
    entry: Decimal = ZERO
    """The mean price of what is open; 0 without a position."""
    isolated: bool = False
    wallet: Decimal = ZERO
    """The isolated margin without unrealized profit; 0 with cross margin."""
    leverage: int = DEFAULT_LEVERAGE
    realized: Decimal = ZERO
    """All realized profit of the symbol, before fees."""
    fees: Decimal = ZERO
    """The fees since the position was opened, for its break-even price."""
    updated: int = 0
    warned: bool = False
    """Whether a margin call was sent for the present state."""

    @property
    def sign(self) -> int:
        """1 for a long position, -1 for a short one, 0 without one."""
        return (self.quantity > 0) - (self.quantity < 0)

    @property
    def margin_type(self) -> str:
        """The margin type as `ACCOUNT_UPDATE` writes it."""
        return "isolated" if self.isolated else "cross"

    def notional(self, mark: Decimal) -> Decimal:
        """Return the signed value (quote) at a mark price."""
        return self.quantity * mark

    def profit(self, mark: Decimal) -> Decimal:
        """Return the unrealized profit (quote) at a mark price."""
        return self.quantity * (mark - self.entry)

    def maintenance(self, mark: Decimal) -> Decimal:
        """Return the maintenance margin (quote) at a mark price."""
        return brackets(self.symbol).maintenance(abs(self.notional(mark))) if self.quantity else ZERO

    def initial(self, mark: Decimal) -> Decimal:
        """Return the initial margin (quote) at a mark price."""
        return abs(self.notional(mark)) / self.leverage

    def break_even(self) -> Decimal:
        """Return the price (quote) at which the position has earned its fees; 0 without a position."""
        return self.entry + self.fees / self.quantity if self.quantity else ZERO

    def fill(self, quantity: Decimal, price: Decimal, fee: Decimal, at: int) -> Decimal:
        """Apply a fill of a signed quantity, and return the realized profit (quote)."""
        size, profit = abs(self.quantity), ZERO
        closed = min(abs(quantity), size) if self.quantity * quantity < 0 else ZERO
        if closed:
            profit = amount(closed * (price - self.entry) * self.sign)
            self.wallet -= amount(self.wallet * closed / size)
            self.fees -= self.fees * closed / size
        opened = abs(quantity) - closed
        before = size - closed
        self.quantity += quantity
        if opened:
            self.entry = (before * self.entry + opened * price) / (before + opened)
            self.fees += fee
            if self.isolated:
                self.wallet += amount(opened * price / self.leverage)
        if not self.quantity:
            self.entry = self.wallet = self.fees = ZERO
        self.realized += profit
        self.updated, self.warned = at, False
        return profit


class Income(msgspec.Struct, frozen=True):
    """A change of a balance."""

    kind: str
    """One of the exchange's names, such as `COMMISSION`."""
    asset: str
    amount: Decimal
    at: int
    transaction: int
    symbol: str = ""
    info: str = ""
    trade: int | None = None


class Wallet:
    """The balances of the account. Each change is an income record: balances are the sums of all records."""

    def __init__(self) -> None:
        self.balances: dict[str, Decimal] = {}
        self.income: deque[Income] = deque(maxlen=MOST_INCOME)
        self.updated: dict[str, int] = {}
        self._next = FIRST_TRANSACTION

    def book(
        self,
        kind: str,
        asset: str,
        change: Decimal,
        at: int,
        *,
        symbol: str = "",
        info: str = "",
        trade: int | None = None,
    ) -> None:
        """Add a change (of at most eight decimals) to the balance of an asset; a change of zero is not recorded."""
        if not change:
            return
        self.balances[asset] = self.balances.get(asset, ZERO) + change
        self.updated[asset] = at
        self.income.append(Income(kind, asset, change, at, self._next, symbol, info, trade))
        self._next += 1

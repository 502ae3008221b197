"""The wallet and the positions of an account, from its fills and funding alone. All amounts are in quote currency.

A position stores its cost, the signed sum of quantity × price, and no average price, so that realised and unrealised
profit add up to the cash that moved. A partial close rounds a share of the cost to twelve digits
and subtracts exactly this rounded amount, so no money is lost to the rounding.

A position has an isolated margin: its cost over its leverage, which is 1 on spot. A spot position that has become
too small to be sold is dust: the position counts as flat, and the dust becomes part of the next purchase.
"""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Side
from ocw_mcp.domain.snapshot import PositionView

_COST_DIGITS = 12


class Position(msgspec.Struct):
    """An open position. `quantity` is signed: above 0 long, below 0 short."""

    symbol: str
    quantity: Decimal
    cost: Decimal
    opened_at: int
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    """The funding received since the position was opened; below 0 if paid."""
    highest: float = 0.0
    lowest: float = 0.0
    """The highest and the lowest price so far, for analytics. An addition to the position scales both prices with the
    average, so that the largest gain and the largest loss, as shares of the average price, stay the same."""
    crest: float = 0.0
    """The price at which the present position would show the largest unrealised gain (quote) that it ever had."""
    added_at: int = 0
    leverage: int = 1
    margin: Decimal = ZERO
    """The isolated margin, which funding increases or reduces."""

    @property
    def average_price(self) -> Decimal:
        """Cost per unit."""
        return self.cost / self.quantity

    @property
    def pnl(self) -> Decimal:
        """Realised profit or loss, net of fees and funding."""
        return self.realised - self.fees + self.funding

    def unrealised(self, mark: Decimal) -> Decimal:
        """Return the unrealised profit or loss at a mark price."""
        return self.quantity * mark - self.cost

    def excursions(self) -> tuple[float, float]:
        """Return the largest gain and loss (below 0) as shares (J. Sweeney, Maximum Adverse Excursion, 1997)."""
        return self.extremes(float(self.average_price))[:2]

    def extremes(self, average: float) -> tuple[float, float, float]:
        """Return both `excursions` at an average price, and the largest gain so far as a share of the present cost."""
        up, down, ahead = self.highest / average - 1, self.lowest / average - 1, self.crest / average - 1
        return (up, down, ahead) if self.quantity > 0 else (-down, -up, -ahead)

    def view(self, mark: Decimal, stop: Decimal | None, liquidation_price: Decimal | None) -> PositionView:
        """Return the position as deciders and clients see it, valued at a mark price."""
        average = self.average_price
        mfe, mae, best_now = self.extremes(float(average))
        return PositionView(
            symbol=self.symbol,
            quantity=self.quantity,
            average_price=average,
            mark=mark,
            unrealised=self.unrealised(mark),
            opened_at=self.opened_at,
            stop=stop,
            mfe=mfe,
            mae=mae,
            leverage=self.leverage,
            liquidation_price=liquidation_price,
            best_now=best_now,
        )

    def see(self, low: float, high: float) -> None:
        """Extend the highest and the lowest price by a price range (quote) that occurred at the present size."""
        if high > self.highest:
            self.highest = high
        if low < self.lowest:
            self.lowest = low
        self.crest = max(self.crest, high) if self.quantity > 0 else min(self.crest, low)

    def add(self, quantity: Decimal, cost: Decimal, at: int) -> None:
        """Enlarge the position by a signed quantity and cost; the largest gain and loss, as shares, stay the same."""
        before, peak = self.average_price, float(self.quantity) * self.crest - float(self.cost)
        self.quantity += quantity
        self.cost += cost
        self.margin += round(abs(cost) / self.leverage, _COST_DIGITS)
        self.added_at = at
        moved = float(self.average_price / before)
        self.highest *= moved
        self.lowest *= moved
        self.crest = (peak + float(self.cost)) / float(self.quantity)


class Booked(msgspec.Struct, frozen=True):
    """The effect of a fill: the profit realised before fees, the position after it, and the position that it closed."""

    realised: Decimal
    position: Decimal
    closed: Position | None
    opened: bool


class Dust(msgspec.Struct, frozen=True):
    """A spot quantity (base asset) that is too small to be sold, and its value (quote) when it became dust."""

    quantity: Decimal
    cost: Decimal


class Charged(msgspec.Struct, frozen=True):
    """The fees that the venue charged in one asset that is neither quote nor base of the trade, less rebates."""

    amount: Decimal = ZERO
    """In units of the asset."""
    value: Decimal = ZERO
    """In quote currency, at the time of each fee."""


class Ledger(msgspec.Struct):
    """Wallet, positions, mark prices and dust of one account. A checkpoint saves the ledger itself."""

    wallet: Decimal
    fees: Decimal = ZERO
    positions: dict[str, Position] = {}
    marks: dict[str, Decimal] = {}
    funding: Decimal = ZERO
    dust: dict[str, Dust] = {}
    charged: dict[str, Charged] = {}
    """The fees in third assets, such as BNB, by asset: they reduce the wallet by their value, as every fee does, but
    the balance of their own asset at the exchange."""

    def quantity(self, symbol: str) -> Decimal:
        """Return the signed quantity of a position; 0 if flat."""
        position = self.positions.get(symbol)
        return position.quantity if position else ZERO

    def mark(self, symbol: str, price: Decimal) -> None:
        """Set the price at which a symbol is valued."""
        self.marks[symbol] = price

    def equity(self) -> Decimal:
        """Return the wallet plus unrealised profit and loss."""
        equity = self.wallet
        for symbol, position in self.positions.items():
            equity += position.quantity * self.marks[symbol] - position.cost
        return equity

    def free(self) -> Decimal:
        """Return the amount that new positions can use: the wallet less all margin and the cost of the dust."""
        held = sum((position.margin for position in self.positions.values()), ZERO)
        return self.wallet - held - sum((dust.cost for dust in self.dust.values()), ZERO)

    def quote_balance(self, *, spot: bool) -> Decimal:
        """Return the balance of the quote asset that the exchange should show.

        On futures that is the wallet, and on spot the wallet less the cost of all that was bought; fees in third assets
        did not reduce either.
        """
        balance = self.wallet + sum((each.value for each in self.charged.values()), ZERO)
        if spot:
            balance -= sum((each.cost for each in self.positions.values()), ZERO)
            balance -= sum((each.cost for each in self.dust.values()), ZERO)
        return balance

    def base_balance(self, symbol: str) -> Decimal:
        """Return the balance of a symbol's base asset that the exchange should show on spot: position and dust."""
        dust = self.dust.get(symbol)
        return self.quantity(symbol) + (dust.quantity if dust is not None else ZERO)

    def gross(self) -> Decimal:
        """Return the sum of the absolute position values at their mark prices."""
        return sum((abs(p.quantity) * self.marks[symbol] for symbol, p in self.positions.items()), ZERO)

    def book(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        fee: Decimal,
        at: int,
        *,
        leverage: int = 1,
        base_fee: Decimal = ZERO,
        fee_asset: str = "",
        fee_amount: Decimal = ZERO,
    ) -> Booked:
        """Book a fill. A fill larger than an opposite position closes that position and opens one with the remainder.

        `leverage` applies to a position that the fill opens. `base_fee` is the part of `quantity` that the
        venue deducted as a fee; `fee` includes its value. `fee` is also the value of `fee_amount` in `fee_asset`.
        """
        quantity -= base_fee
        if fee_asset and not base_fee and not symbol.endswith(fee_asset):
            before = self.charged.get(fee_asset, Charged())
            self.charged[fee_asset] = Charged(before.amount + fee_amount, before.value + fee)
        self.fees += fee
        self.wallet -= fee
        signed = side.sign * quantity
        position = self.positions.get(symbol)
        if position is None:
            # The last mark price may be old: until the next one, the position is valued at its cost.
            self.marks[symbol] = price
            position = self.positions[symbol] = _opened(symbol, signed, price, at, fee, leverage)
            if symbol in self.dust:
                dust = self.dust.pop(symbol)
                position.quantity += dust.quantity
                position.cost += dust.cost
                position.margin += dust.cost
            return Booked(ZERO, position.quantity, None, opened=True)
        position.fees += fee
        if (position.quantity > 0) == (signed > 0):
            position.add(signed, signed * price, at)
            return Booked(ZERO, position.quantity, None, opened=False)
        return self._reduce(position, signed, price, at, leverage)

    def sweep(self, symbol: str, price: Decimal) -> Position:
        """Turn a position that is too small to be sold into dust, and realise its gain at `price` (quote)."""
        position = self.positions.pop(symbol)
        realised = position.quantity * price - position.cost
        position.realised += realised
        self.wallet += realised
        self.dust[symbol] = Dust(position.quantity, position.quantity * price)
        return position

    def transfer(self, amount: Decimal) -> None:
        """Book a deposit (`amount` above 0) or a withdrawal, which is neither profit nor loss."""
        self.wallet += amount

    def fund(self, symbol: str, amount: Decimal) -> None:
        """Book funding, received (`amount` above 0) or paid; it changes the margin of an open position."""
        self.funding += amount
        self.wallet += amount
        position = self.positions.get(symbol)
        if position is not None:
            position.funding += amount
            position.margin += amount

    def _reduce(self, position: Position, signed: Decimal, price: Decimal, at: int, leverage: int) -> Booked:
        symbol = position.symbol
        if abs(signed) < abs(position.quantity):
            cost_out = round(position.cost * (-signed) / position.quantity, _COST_DIGITS)
            realised = -signed * price - cost_out
            position.margin -= round(position.margin * (-signed) / position.quantity, _COST_DIGITS)
            position.quantity += signed
            position.cost -= cost_out
            position.realised += realised
            self.wallet += realised
            return Booked(realised, position.quantity, None, opened=False)
        realised = position.quantity * price - position.cost
        rest = signed + position.quantity
        position.realised += realised
        self.wallet += realised
        del self.positions[symbol]
        if rest:
            self.positions[symbol] = _opened(symbol, rest, price, at, ZERO, leverage)
        return Booked(realised, rest, position, opened=bool(rest))


def _opened(symbol: str, quantity: Decimal, price: Decimal, at: int, fee: Decimal, leverage: int) -> Position:
    seen, cost = float(price), quantity * price
    margin = round(abs(cost) / leverage, _COST_DIGITS)
    return Position(
        symbol, quantity, cost, at, fees=fee, highest=seen, lowest=seen, crest=seen, leverage=leverage, margin=margin
    )

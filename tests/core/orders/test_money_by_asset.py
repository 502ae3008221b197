"""The ledger's money against plain sums: fees in the quote asset, in the base asset and in a third one."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.core.orders.ledger import Ledger
from ocw_mcp.domain.orders import Side
from tests.support.examples import examples

D = Decimal
SYMBOL = "ETHUSDT"
START = D(100_000)
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(Side),
        st.integers(1, 4_000).map(lambda size: D(size) / 1_000),
        st.integers(10_000, 400_000).map(lambda price: D(price) / 100),
        st.sampled_from(("", "USDT", "ETH", "BNB", "rebate")),
        st.integers(-300, 300).map(lambda amount: D(amount) / 100),
    ),
    max_size=25,
)
"""Fills, each with the asset of its fee, and an amount of funding that follows it."""


class Account:
    """The balances at the exchange, as plain sums over all that happened, and the results of each asset's fees."""

    def __init__(self) -> None:
        self.quote, self.base, self.bnb, self.bnb_value, self.fees = START, D(0), D(0), D(0), D(0)

    def take(self, side: Side, size: Decimal, price: Decimal, asset: str, *, spot: bool) -> dict[str, Decimal | str]:
        """Trade; return the fee as a venue would report it."""
        self.quote -= side.sign * size * price
        self.base += side.sign * size
        value = size * price / 1_000
        if asset == "ETH" and spot and side is Side.BUY:
            self.base -= size / 1_000
            self.fees += value
            return {"fee": value, "base_fee": size / 1_000, "fee_asset": asset, "fee_amount": size / 1_000}
        if asset == "BNB":
            self.bnb, self.bnb_value, self.fees = self.bnb + value / 600, self.bnb_value + value, self.fees + value
            return {"fee": value, "fee_asset": asset, "fee_amount": value / 600}
        value = -value / 5 if asset == "rebate" else value
        self.quote, self.fees = self.quote - value, self.fees + value
        return {"fee": value, "fee_asset": asset if asset == "USDT" else "", "fee_amount": value}


@pytest.mark.parametrize("spot", [True, False])
@examples(20, slow=60)
@given(steps=_STEPS, mark=st.integers(10_000, 400_000).map(lambda price: D(price) / 100))
def test_balances_and_profit_follow_from_plain_sums(
    spot: bool, steps: list[tuple[Side, D, D, str, D]], mark: Decimal
) -> None:
    ledger, account, trades = Ledger(START), Account(), D(0)
    for at, (wanted, quantity, price, asset, funding) in enumerate(steps):
        # Spot sells only what it has.
        side, size = (wanted, quantity) if not spot or account.base > 0 else (Side.BUY, quantity)
        size = min(size, account.base) if spot and side is Side.SELL else size
        told = account.take(side, size, price, asset, spot=spot)
        closed = ledger.book(SYMBOL, side, size, price, at=at, **told).closed  # type: ignore[arg-type]
        trades += closed.pnl if closed is not None else D(0)
        if not spot:
            account.quote += funding
            ledger.fund(SYMBOL, funding)
    ledger.mark(SYMBOL, mark)
    assert ledger.quantity(SYMBOL) == account.base
    assert ledger.equity() == account.quote + account.base * mark - account.bnb_value
    assert ledger.fees == account.fees
    assert sum(each.amount for each in ledger.charged.values()) == account.bnb
    assert set(ledger.charged) <= {"BNB"}
    position = ledger.positions.get(SYMBOL)
    if spot:
        assert (ledger.quote_balance(spot=True), ledger.base_balance(SYMBOL)) == (account.quote, account.base)
        assert ledger.wallet == START + trades + (position.pnl if position is not None else 0)
    else:
        cost = D(0) if position is None else position.cost
        assert ledger.quote_balance(spot=False) == account.quote + cost


def test_fee_in_a_third_asset_costs_profit_but_no_quote_balance() -> None:
    ledger = Ledger(START)
    ledger.book(SYMBOL, Side.BUY, D(1), D(2_000), D(1), 0, fee_asset="BNB", fee_amount=D("0.002"))
    closed = ledger.book(SYMBOL, Side.SELL, D(1), D(2_100), D(1), 1, fee_asset="BNB", fee_amount=D("0.002")).closed
    assert closed is not None
    assert closed.pnl == 98
    assert (ledger.wallet, ledger.quote_balance(spot=False)) == (START + 98, START + 100)
    assert ledger.charged["BNB"].amount == D("0.004")


def test_fee_of_a_bnb_perpetual_paid_in_bnb_is_no_quote_fee() -> None:
    ledger = Ledger(START)
    ledger.book("BNBUSDT", Side.SELL, D(1), D(600), D(1), 0, fee_asset="BNB", fee_amount=D("0.001"))
    assert ledger.quote_balance(spot=False) == START
    assert ledger.wallet == START - 1


def test_dust_stays_in_the_balance_of_its_base_asset() -> None:
    ledger = Ledger(START)
    ledger.book(SYMBOL, Side.BUY, D("0.001"), D(2_000), D(0), 0)
    ledger.sweep(SYMBOL, D(2_100))
    assert (ledger.base_balance(SYMBOL), ledger.quote_balance(spot=True)) == (D("0.001"), START - 2)

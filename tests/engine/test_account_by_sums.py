"""An engine that learns of trades, funding and transfers, some of them twice, against plain sums."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.domain import events
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import FundingPaid, OutsideCause, OutsideFill, Side, Transferred
from tests.support.wire import Wire

D = Decimal
BTC = "BTCUSDT"
FOUND = OutsideCause.FOUND
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(("fill", "fill", "fill", "funding", "transfer")),
        st.sampled_from(Side),
        st.integers(1, 40),
        st.integers(90, 110),
        st.sampled_from(("", "USDT", "BTC", "BNB")),
        st.booleans(),
    ),
    max_size=20,
)


@pytest.mark.parametrize("product", Product)
@settings(max_examples=25, deadline=None)
@given(steps=_STEPS)
def test_wallet_positions_and_balances_are_plain_sums(
    product: Product, steps: list[tuple[str, Side, int, int, str, bool]]
) -> None:
    wire, spot = Wire(product), product is Product.SPOT
    quote, base, bnb, bnb_value, moved = D(10_000), D(0), D(0), D(0), D(0)
    for n, (kind, side, size, price, asset, repeated) in enumerate(steps):
        if kind == "transfer" or (spot and kind == "funding"):
            report: OutsideFill | FundingPaid | Transferred = Transferred(f"t{n}", D(size), wire.now)
            quote, moved = quote + size, moved + size
        elif kind == "funding":
            # The times do not rise: only the ids tell the payments apart.
            report = FundingPaid(BTC, D(size - 20), None, None, None, wire.now - n, transaction_id=f"p{n}")
            quote += size - 20
        else:
            side = Side.BUY if spot and base <= 0 else side
            quantity = min(D(size) / 10, base) if spot and side is Side.SELL else D(size) / 10
            fee, in_base = quantity * price / 1_000, spot and asset == "BTC" and side is Side.BUY
            taken = quantity / 1_000 if in_base else D(0)
            amount = fee / 600 if asset == "BNB" else taken or fee
            name = "USDT" if asset == "BTC" and not in_base else asset
            more = {"base_fee": taken, "fee_amount": amount}
            report = OutsideFill(f"f{n}", BTC, side, quantity, D(price), fee, wire.now, FOUND, fee_asset=name, **more)
            quote -= side.sign * quantity * price + (0 if in_base or asset == "BNB" else fee)
            base += side.sign * quantity - taken
            bnb, bnb_value = (bnb + amount, bnb_value + fee) if asset == "BNB" else (bnb, bnb_value)
        for _ in range(1 + repeated):
            wire.give(report)
    ledger = wire.engine.account.ledger
    ledger.mark(BTC, D(100))
    assert wire.held() == base
    assert ledger.equity() == quote + base * 100 - bnb_value
    assert sum(each.amount for each in ledger.charged.values()) == bnb
    held = ledger.positions.get(BTC)
    cost, result = (D(0), D(0)) if held is None else (held.cost, held.pnl)
    assert ledger.quote_balance(spot=spot) == (quote if spot else quote + cost)
    closed = sum((each.pnl for each in wire.journal if isinstance(each, events.PositionClosed)), D(0))
    flat_funding = ledger.funding - sum(
        (each.funding for each in wire.journal if isinstance(each, events.PositionClosed)), D(0)
    )
    open_funding = D(0) if held is None else held.funding
    assert ledger.wallet == 10_000 + moved + closed + result + flat_funding - open_funding


def test_funding_without_an_id_is_booked_once_per_time() -> None:
    wire = Wire()
    wire.give(OutsideFill("f", BTC, Side.BUY, D(1), D(100), D(0), wire.now, FOUND))
    paid = FundingPaid(BTC, D(-1), D("0.0001"), D(1), D(100), wire.now)
    assert [type(each) for each in wire.give(paid)] == [events.FundingBooked]
    assert wire.give(paid) == []

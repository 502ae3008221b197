"""Commissions on spot: in the base asset, in the quote currency, or in BNB, and what they do to positions."""

from decimal import Decimal

import pytest

from ocw_mcp.adapters.venues.binance.fees import SpotFees
from ocw_mcp.adapters.venues.binance.identities import Identity
from ocw_mcp.adapters.venues.binance.live_orders import LiveOrders
from ocw_mcp.adapters.venues.binance.reports import Reports
from ocw_mcp.adapters.venues.binance.rest_wire import TradeRow
from ocw_mcp.adapters.venues.binance.spot.names import SpotIdentities
from ocw_mcp.adapters.venues.binance.translation import trade_report
from ocw_mcp.domain.orders import Filled, OrderRef, Purpose

D = Decimal
OURS = Identity("ocw-abc234-1-e-0", OrderRef(1, Purpose.ENTRY))
SYMBOLS = ("BTCUSDT", "BNBUSDT")


def trade(symbol: str, side: str, fee: str, asset: str, number: int = 1) -> TradeRow:
    """Return a trade of two units at 1,000."""
    return TradeRow(number, 7, symbol, side, D(1_000), D(2), 5_000, D(fee), asset)


@pytest.mark.parametrize(
    ("row", "fee", "base_fee", "charged"),
    [
        (trade("BTCUSDT", "BUY", "0.002", "BTC"), "2", "0.002", ("BTC", "0.002")),
        (trade("BTCUSDT", "SELL", "2", "USDT"), "2", "0", ("", "0")),
        (trade("BTCUSDT", "BUY", "0.0025", "BNB"), "1.5", "0", ("BNB", "0.0025")),
        (trade("BNBUSDT", "BUY", "0.002", "BNB"), "2", "0.002", ("BNB", "0.002")),
        (trade("BNBUSDT", "SELL", "0.0025", "BNB"), "1.5", "0", ("BNB", "0.0025")),
        (trade("BTCUSDT", "BUY", "0", "BNB"), "0", "0", ("BNB", "0")),
        (trade("BTCUSDT", "BUY", "1", "XYZ"), "2", "0", ("XYZ", "1")),
    ],
    ids=["base", "quote", "BNB", "BNB bought", "BNB sold", "none", "unknown price"],
)
def test_commission_has_its_value_its_asset_and_its_part_of_the_purchase(
    row: TradeRow, fee: str, base_fee: str, charged: tuple[str, str]
) -> None:
    fees = SpotFees(SYMBOLS)
    fees.set_price("BNB", D(600))
    report = trade_report(OURS, row, fees)
    assert isinstance(report, Filled)
    assert (report.fee, report.base_fee) == (D(fee), D(base_fee))
    assert (report.fee_asset, report.fee_amount) == (charged[0], D(charged[1]))


def test_commission_in_a_traded_asset_changes_its_position() -> None:
    reports = Reports(LiveOrders(), SpotFees(SYMBOLS), lambda: 0)
    reports.add_trade(OURS, trade("BTCUSDT", "BUY", "0.002", "BTC", 1))
    reports.add_trade(OURS, trade("BNBUSDT", "BUY", "0.002", "BNB", 2))
    reports.add_trade(OURS, trade("BTCUSDT", "SELL", "0.0025", "BNB", 3))
    reports.add_trade(OURS, trade("BTCUSDT", "SELL", "0.0025", "BNB", 3))
    assert reports.net("BTCUSDT") == D("-0.002")
    assert reports.net("BNBUSDT") == D("1.9955")


def test_orders_of_two_symbols_may_have_the_same_number() -> None:
    identities = SpotIdentities("abc234")
    identities.add("BTCUSDT", 7, "ocw-abc234-1-e-0")
    assert identities.add("BNBUSDT", 7, "web_1").ref is None
    reports = Reports(LiveOrders(), SpotFees(SYMBOLS), lambda: 0)
    reports.add_trade(OURS, trade("BTCUSDT", "BUY", "0.002", "BTC", 1))
    assert (reports.filled("BTCUSDT", 7), reports.filled("BNBUSDT", 7)) == (D(2), D(0))

"""Positions, settings, margin, liquidation, funding and income of the account on the sandbox exchange."""

from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.market import SandboxMarket
from tests.support.sandbox_market import DAY_1, StoredFeed, candle
from tests.support.traders import NOW, Trader, floored

ONE = {"symbol": "BTCUSDT"}
LEVERAGE, MARGIN, MODE, ASSETS = (
    "/fapi/v1/leverage",
    "/fapi/v1/marginType",
    "/fapi/v1/positionSide/dual",
    "/fapi/v1/multiAssetsMargin",
)


def position(trader: Trader) -> Any:
    (row,) = trader.get("/fapi/v3/positionRisk", **ONE)
    return row


def incomes(trader: Trader, kind: str) -> list[Any]:
    rows: list[Any] = trader.get("/fapi/v1/income", incomeType=kind)
    return rows


def falling(to: float) -> SandboxMarket:
    """Return a market that is calm at 100 for half an hour, goes to another price for as long, and is calm again."""
    rows, price = [], 100.0
    for minute in range(80):
        following = round(price + (to - 100.0) / 30, 4) if 30 <= minute < 60 else price
        rows.append(candle(minute, (price, max(price, following), min(price, following), following, 1000.0)))
        price = following
    return SandboxMarket(StoredFeed(rows), DAY_1)


def test_position_is_reported_with_its_mean_entry_and_profit() -> None:
    trader = Trader()
    trader.order("BUY", "0.02")
    first = trader.price("BUY")
    trader.later(5 * MINUTE)
    second = trader.price("BUY")
    trader.order("BUY", "0.01")
    row = position(trader)
    entry = (2 * first + second) / 3
    assert abs(Decimal(row["entryPrice"]) - entry) < Decimal("0.00000001")
    assert Decimal(row["positionAmt"]) == Decimal("0.03")
    assert abs(Decimal(row["unRealizedProfit"]) - (trader.mark() - entry) * Decimal("0.03")) < Decimal("0.0000001")
    assert Decimal(row["breakEvenPrice"]) > entry
    assert Decimal(row["notional"]) == round(trader.mark() * Decimal("0.03"), 8)
    trader.order("SELL", "0.05")
    assert Decimal(position(trader)["positionAmt"]) == Decimal("-0.02")
    assert Decimal(position(trader)["entryPrice"]) == trader.price("SELL")


def test_flat_account_reports_no_positions() -> None:
    trader = Trader()
    trader.order("BUY", "0.02")
    trader.order("SELL", "0.02")
    assert trader.get("/fapi/v3/positionRisk") == []
    assert trader.get("/fapi/v3/account")["positions"] == []


def test_isolated_margin_leaves_the_cross_wallet() -> None:
    trader = Trader()
    assert trader.ask("POST", MARGIN, **ONE, marginType="ISOLATED") == {"code": 200, "msg": "success"}
    trader.ask("POST", LEVERAGE, **ONE, leverage=10)
    trader.order("BUY", "0.1")
    value = trader.price("BUY") * Decimal("0.1")
    (row,) = trader.get("/fapi/v3/balance")
    assert Decimal(row["balance"]) - Decimal(row["crossWalletBalance"]) == value / 10
    assert Decimal(position(trader)["isolatedWallet"]) == value / 10
    liquidation = Decimal(position(trader)["liquidationPrice"])
    entry = trader.price("BUY")
    assert abs(liquidation - entry * (1 - Decimal("0.1")) / (1 - Decimal("0.004"))) < Decimal("0.01")
    trader.ask("POST", "/fapi/v1/positionMargin", **ONE, amount="100", type=1)
    assert Decimal(position(trader)["isolatedWallet"]) == value / 10 + 100
    assert Decimal(position(trader)["liquidationPrice"]) < liquidation
    assert trader.refusal("POST", "/fapi/v1/positionMargin", **ONE, amount="300", type=2)[1] == -4051
    trader.order("SELL", "0.1")
    (row,) = trader.get("/fapi/v3/balance")
    assert row["balance"] == row["crossWalletBalance"]


def test_partial_close_releases_its_share_of_the_isolated_margin() -> None:
    trader = Trader()
    trader.ask("POST", MARGIN, **ONE, marginType="ISOLATED")
    trader.order("BUY", "0.1")
    whole = Decimal(position(trader)["isolatedWallet"])
    trader.order("SELL", "0.04")
    assert Decimal(position(trader)["isolatedWallet"]) == whole * Decimal("0.6")
    (row,) = trader.get("/fapi/v3/balance")
    assert Decimal(row["balance"]) - Decimal(row["crossWalletBalance"]) == whole * Decimal("0.6")
    trader.order("SELL", "0.08")
    entry = Decimal(position(trader)["entryPrice"])
    assert Decimal(position(trader)["isolatedWallet"]) == entry * Decimal("0.02") / 20


def test_settings_that_are_set_already_are_refused() -> None:
    trader = Trader()
    assert trader.refusal("POST", MARGIN, **ONE, marginType="CROSSED")[1:] == (-4046, "No need to change margin type.")
    assert trader.refusal("POST", MODE, dualSidePosition="false")[1:] == (-4059, "No need to change position side.")
    assert trader.refusal("POST", ASSETS, multiAssetsMargin="false")[1] == -4171
    assert trader.ask("POST", LEVERAGE, **ONE, leverage=20)["leverage"] == 20


@pytest.mark.parametrize("leverage", [0, 126])
def test_invalid_leverage_is_refused(leverage: int) -> None:
    said = Trader().refusal("POST", LEVERAGE, **ONE, leverage=leverage)
    assert said == (400, -4028, f"Leverage {leverage} is not valid")


def test_leverage_of_an_isolated_position_cannot_be_reduced() -> None:
    trader = Trader()
    trader.ask("POST", MARGIN, **ONE, marginType="ISOLATED")
    trader.order("BUY", "0.01")
    text = "Leverage reduction is not supported in Isolated Margin Mode with open positions."
    assert trader.refusal("POST", LEVERAGE, **ONE, leverage=5)[1:] == (-4161, text)
    assert trader.ask("POST", LEVERAGE, **ONE, leverage=50)["maxNotionalValue"] == "12000000"
    assert trader.get("/fapi/v1/symbolConfig", **ONE)[0]["leverage"] == 50


def test_margin_type_and_modes_change_only_while_flat() -> None:
    trader = Trader()
    placed = trader.order("BUY", "0.01", floored(trader.mark() * Decimal("0.98")))
    assert trader.refusal("POST", MARGIN, **ONE, marginType="ISOLATED")[1] == -4047
    assert trader.refusal("POST", MODE, dualSidePosition="true")[1] == -4067
    assert trader.refusal("POST", ASSETS, multiAssetsMargin="true")[1] == -4170
    trader.ask("DELETE", "/fapi/v1/order", **ONE, orderId=placed["orderId"])
    trader.order("BUY", "0.01")
    assert trader.refusal("POST", MARGIN, **ONE, marginType="ISOLATED")[1] == -4048
    assert trader.refusal("POST", MODE, dualSidePosition="true")[1] == -4068


def test_isolated_margin_and_multi_asset_mode_exclude_each_other() -> None:
    trader = Trader()
    trader.ask("POST", ASSETS, multiAssetsMargin="true")
    assert trader.get(ASSETS) == {"multiAssetsMargin": True}
    assert trader.refusal("POST", MARGIN, **ONE, marginType="ISOLATED")[1] == -4168
    trader.ask("POST", ASSETS, multiAssetsMargin="false")
    trader.ask("POST", MARGIN, **ONE, marginType="ISOLATED")
    assert trader.refusal("POST", ASSETS, multiAssetsMargin="true")[1] == -4167


def test_hedge_mode_takes_no_orders_of_one_way_mode() -> None:
    trader = Trader()
    trader.ask("POST", MODE, dualSidePosition="true")
    assert trader.get(MODE) == {"dualSidePosition": True}
    assert trader.get("/fapi/v1/accountConfig")["dualSidePosition"]
    assert trader.refused("BUY", "0.01")[0] == -4061
    assert trader.refused_algo("BUY", "90000", quantity="0.01")[0] == -4061


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_liquidation_of_an_isolated_position_costs_its_margin(side: str) -> None:
    trader = Trader(market=falling(80.0 if side == "BUY" else 120.0), now=DAY_1 + 29 * MINUTE)
    trader.ask("POST", MARGIN, **ONE, marginType="ISOLATED")
    trader.ask("POST", LEVERAGE, **ONE, leverage=10)
    trader.order(side, "10")
    target = trader.order("SELL" if side == "BUY" else "BUY", "10", 104 if side == "BUY" else 96, reduceOnly="true")
    balance, margin = trader.balance(), Decimal(position(trader)["isolatedWallet"])
    limit = Decimal(position(trader)["liquidationPrice"])
    trader.listen()
    events = trader.heard(30 * MINUTE)
    assert trader.held() == 0
    assert trader.balance() == balance - margin
    orders = [each["o"] for each in events if each["e"] == "ORDER_TRADE_UPDATE"]
    assert [(each["x"], each["X"]) for each in orders] == [
        ("EXPIRED", "EXPIRED"),
        ("NEW", "NEW"),
        ("CALCULATED", "FILLED"),
    ]
    assert orders[0]["i"] == target["orderId"]
    assert orders[2]["c"].startswith("autoclose-")
    cleared = sum(Decimal(row["income"]) for row in incomes(trader, "INSURANCE_CLEAR"))
    assert -margin / 100 < cleared <= 0  # what the rounding of the price to a tick leaves
    at = orders[2]["T"]
    marks = [trader.account.prices.mark("BTCUSDT", at + each * SECOND) for each in (-1, 0)]
    sign = 1 if side == "BUY" else -1
    assert marks[1] * sign <= limit * sign < marks[0] * sign


def test_position_close_to_its_liquidation_gets_one_margin_call() -> None:
    trader = Trader(market=falling(90.42), now=DAY_1 + 29 * MINUTE)
    trader.ask("POST", MARGIN, **ONE, marginType="ISOLATED")
    trader.ask("POST", LEVERAGE, **ONE, leverage=10)
    trader.order("BUY", "10")
    trader.listen("MARGIN_CALL")
    (call,) = trader.heard(45 * MINUTE)
    (row,) = call["p"]
    assert (row["s"], row["pa"], row["mt"], row["ps"]) == ("BTCUSDT", "10", "ISOLATED", "BOTH")
    left = Decimal(row["iw"]) + Decimal(row["up"])
    assert left * Decimal("0.8") <= Decimal(row["mm"]) < left
    assert trader.held() == 10


def test_cross_position_is_liquidated_with_the_account() -> None:
    trader = Trader(market=falling(60.0), now=DAY_1 + 29 * MINUTE)
    trader.ask("POST", LEVERAGE, **ONE, leverage=25)
    for _ in range(5):
        trader.order("BUY", "100")
    limit = Decimal(position(trader)["liquidationPrice"])
    assert Decimal("79") < limit < Decimal("83")
    trader.later(30 * MINUTE)
    assert trader.held() == 0
    assert 0 <= trader.balance() < 1500
    (fill,) = [row for row in trader.get("/fapi/v1/userTrades", **ONE) if row["side"] == "SELL"]
    assert abs(Decimal(fill["price"]) - limit) < Decimal("0.2")


@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize("isolated", [True, False])
def test_funding_is_settled_every_eight_hours_at_the_mark_price(side: str, isolated: bool) -> None:
    trader = Trader()
    if isolated:
        trader.ask("POST", MARGIN, **ONE, marginType="ISOLATED")
    trader.order(side, "0.02")
    wallet = Decimal(position(trader)["isolatedWallet"])
    trader.listen("ACCOUNT_UPDATE")
    due = NOW - NOW % (8 * HOUR) + 8 * HOUR
    assert NOW < due < NOW + 2 * HOUR
    events = []
    for minutes in (50, 50, 20):
        events += trader.heard(minutes * MINUTE)
        trader.ask("PUT", "/fapi/v1/listenKey")
    (paid,) = incomes(trader, "FUNDING_FEE")
    (rate,) = trader.account.prices.market.funding("BTCUSDT", NOW, trader.now)
    sign = -1 if side == "BUY" else 1
    expected = sign * trader.account.prices.mark("BTCUSDT", due) * Decimal("0.02") * Decimal(str(rate.rate))
    assert (paid["time"], paid["asset"], paid["symbol"], paid["tradeId"]) == (due, "USDT", "BTCUSDT", "")
    assert abs(Decimal(paid["income"]) - expected) < Decimal("0.00000001")
    (event,) = events
    assert (event["a"]["m"], event["a"]["S"]) == ("FUNDING_FEE", "BTCUSDT")
    assert Decimal(event["a"]["B"][0]["bc"]) == Decimal(paid["income"])
    assert [each["s"] for each in event["a"]["P"]] == (["BTCUSDT"] if isolated else [])
    if isolated:
        assert Decimal(position(trader)["isolatedWallet"]) == wallet + Decimal(paid["income"])


def test_income_has_one_transaction_for_each_change_of_the_balance() -> None:
    trader = Trader()
    trader.order("BUY", "0.02")
    trader.later(HOUR)
    trader.order("SELL", "0.02")
    trader.account.transfer(Decimal("-100.5"), trader.now)
    rows = trader.get("/fapi/v1/income", startTime=DAY_1 - HOUR)
    assert [row["incomeType"] for row in rows] == [
        "TRANSFER",
        "COMMISSION",
        "REALIZED_PNL",
        "COMMISSION",
        "TRANSFER",
    ]
    assert len({row["tranId"] for row in rows}) == len(rows)
    assert sum(Decimal(row["income"]) for row in rows) == trader.balance()
    assert trader.get("/fapi/v1/income", incomeType="COMMISSION", limit=1)[0]["time"] == trader.now
    pages = [trader.get("/fapi/v1/income", startTime=DAY_1 - HOUR, limit=2, page=page) for page in (1, 2, 3)]
    assert [row["tranId"] for page in pages for row in page] == [row["tranId"] for row in rows]


def test_transfer_out_needs_free_balance() -> None:
    trader = Trader()
    trader.order("BUY", "1")
    assert not trader.account.transfer(Decimal(-9_000), trader.now)
    assert trader.account.transfer(Decimal(-1_000), trader.now)
    assert trader.balance() < 9_000


def test_auto_deleveraging_closes_a_part_at_the_mark_price() -> None:
    trader = Trader()
    trader.order("BUY", "0.02")
    trader.listen("ORDER_TRADE_UPDATE")
    assert trader.account.deleverage("BTCUSDT", Decimal("0.4"), trader.now)
    assert trader.held() == Decimal("0.012")
    said = [each["o"] for each in trader.heard(SECOND)]
    assert [(each["c"], each["x"]) for each in said] == [("adl_autoclose", "NEW"), ("adl_autoclose", "CALCULATED")]
    assert not trader.account.deleverage("ETHUSDT", Decimal(1), trader.now)


def test_margin_brackets_are_listed_by_symbol() -> None:
    trader = Trader()
    (row,) = trader.get("/fapi/v1/leverageBracket", **ONE)
    first, second = row["brackets"][:2]
    assert (first["notionalFloor"], first["notionalCap"], second["notionalFloor"]) == (0, 300_000, 300_000)
    assert second["cum"] == pytest.approx(300_000 * (second["maintMarginRatio"] - first["maintMarginRatio"]))
    assert len(trader.get("/fapi/v1/leverageBracket")) == 2
    assert trader.get("/fapi/v1/commissionRate", **ONE)["takerCommissionRate"] == "0.0005"

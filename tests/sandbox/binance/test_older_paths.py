"""Paths of the account that older clients use: cancels by a list of ids, and the second version of two answers."""

from decimal import Decimal
from typing import Any

import pytest

from tests.support.traders import Trader, floored

BATCH = "/fapi/v1/batchOrders"
ONE = {"symbol": "BTCUSDT"}


def resting(trader: Trader, *names: str) -> list[Any]:
    """Return limit orders with some client ids that do not fill."""
    price = floored(trader.mark() * Decimal("0.98"))
    return [trader.order("BUY", "0.02", price, newClientOrderId=name) for name in names]


def test_cancel_by_client_ids_answers_for_each_id() -> None:
    trader = Trader()
    resting(trader, "a", "b", "c")
    found = trader.ask("DELETE", BATCH, **ONE, origClientOrderIdList='["a","c","unknown"]')
    assert [each.get("status", each.get("code")) for each in found] == ["CANCELED", "CANCELED", -2011]
    assert [each["clientOrderId"] for each in trader.get("/fapi/v1/openOrders", **ONE)] == ["b"]


def test_cancel_by_ids_leaves_the_orders_of_other_symbols() -> None:
    trader = Trader()
    (order,) = resting(trader, "a")
    found = trader.ask("DELETE", BATCH, symbol="ETHUSDT", orderIdList=f"[{order['orderId']}]")
    assert found == [{"code": -2011, "msg": "Unknown order sent."}]
    assert len(trader.get("/fapi/v1/openOrders")) == 1


@pytest.mark.parametrize("ids", ["[]", "[1,2,3,4,5,6,7,8,9,10,11]", '["a"]', "1", "{"])
def test_cancel_by_a_list_that_is_none_is_refused(ids: str) -> None:
    assert Trader().refusal("DELETE", BATCH, **ONE, orderIdList=ids)[1] == -1130


def test_cancel_by_ids_needs_a_list() -> None:
    assert Trader().refusal("DELETE", BATCH, **ONE)[1] == -1102


def test_second_version_of_the_account_has_settings_and_all_symbols() -> None:
    trader = Trader()
    trader.ask("POST", "/fapi/v1/leverage", **ONE, leverage=7)
    trader.order("BUY", "0.02")
    found, newer = trader.get("/fapi/v2/account"), trader.get("/fapi/v3/account")
    assert (found["feeTier"], found["canTrade"], found["canWithdraw"], found["multiAssetsMargin"]) == (
        0,
        True,
        True,
        False,
    )
    assert {name: value for name, value in found.items() if name.startswith("total")} == {
        name: value for name, value in newer.items() if name.startswith("total")
    }
    rows = {each["symbol"]: each for each in found["positions"]}
    assert rows.keys() == set(trader.account.symbols)
    held = rows.pop("BTCUSDT")
    assert (held["positionAmt"], held["leverage"], held["isolated"]) == ("0.020", "7", False)
    assert held["initialMargin"] == newer["positions"][0]["initialMargin"]
    assert {float(each["positionAmt"]) for each in rows.values()} == {0.0}


def test_second_version_of_positions_has_the_settings_of_each_symbol() -> None:
    trader = Trader()
    trader.ask("POST", "/fapi/v1/marginType", symbol="ETHUSDT", marginType="ISOLATED")
    trader.order("SELL", "0.02")
    rows = {each["symbol"]: each for each in trader.get("/fapi/v2/positionRisk")}
    assert (rows["BTCUSDT"]["positionAmt"], rows["BTCUSDT"]["marginType"]) == ("-0.020", "cross")
    assert (rows["ETHUSDT"]["positionAmt"], rows["ETHUSDT"]["marginType"]) == ("0.000", "isolated")
    (newer,) = trader.get("/fapi/v3/positionRisk")
    assert rows["BTCUSDT"]["liquidationPrice"] == newer["liquidationPrice"]

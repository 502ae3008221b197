"""The answers and events of the account have the fields and the types of documented payloads."""

import json
import re
from collections.abc import Callable, Set
from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.sandbox.binance.account.events import margin_call
from ocw_mcp.sandbox.binance.account.positions import Position
from tests.support.exchange import recorded
from tests.support.sandbox_market import documented
from tests.support.traders import ALGO, ORDER, Trader, floored

UM, HTTP = "binance_net/Endpoints/UsdFutures/", "user_stream/futures/http_json/"
SOCKET, USER = "binance_net/Subscriptions/UsdFutures/", "user_stream/futures/user_data_json/"
ONE = {"symbol": "BTCUSDT"}
SINCE_JULY = {"avgPrice", "cumQuote", "cumBase"}
"""Fields that answers to POST, PUT and DELETE of an order lack since July 2026."""
TRAILING = {"activatePrice", "priceRate"}
"""Fields of trailing orders on the old endpoint."""
OF_SYMBOL_CONFIG = {"leverage", "marginType", "maxNotionalValue", "isAutoAddMargin"}
"""Fields that the third version of positionRisk moved to symbolConfig."""


def kind(value: Any) -> str:
    """Return the type of a value; a text with a number is one of its own."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9.]+", value):
        return "number in a text"
    return type(value).__name__


def assert_alike(found: Any, page: Any, lacks: Set[str] = frozenset(), other: Set[str] = frozenset()) -> None:
    """Check that a payload has the fields of a documented one, but for some, with their types, but for others."""
    assert page.keys() - lacks <= found.keys()
    assert not found.keys() & lacks
    different = {
        name: (kind(found[name]), kind(page[name]))
        for name in page.keys() - lacks - other
        if kind(found[name]) != kind(page[name]) and page[name] != "" and found[name] != ""
    }
    assert different == {}


def resting(trader: Trader) -> Any:
    return trader.order("BUY", "0.02", floored(trader.mark() * Decimal("0.98")))


def stop(trader: Trader) -> Any:
    return trader.algo("SELL", floored(trader.mark() * Decimal("0.98")), quantity="0.01")


def cancelled(trader: Trader) -> Any:
    return trader.ask("DELETE", ORDER, **ONE, orderId=resting(trader)["orderId"])


def cancelled_by_ids(trader: Trader) -> Any:
    ids = f"[{resting(trader)['orderId']},7]"
    return trader.ask("DELETE", "/fapi/v1/batchOrders", **ONE, orderIdList=ids)


def amended(trader: Trader) -> Any:
    placed = resting(trader)
    price = Decimal(placed["price"]) - 1
    return trader.ask("PUT", ORDER, **ONE, orderId=placed["orderId"], side="BUY", quantity="0.02", price=price)


def queried(trader: Trader) -> Any:
    return trader.get(ORDER, **ONE, orderId=resting(trader)["orderId"])


def held(path: str, **query: object) -> Callable[[Trader], Any]:
    """Return a function that opens a position, and then reads a path."""

    def read(trader: Trader) -> Any:
        trader.order("BUY", "0.02")
        found = trader.get(path, **query)
        return found[-1] if isinstance(found, list) else found

    return read


def finished(trader: Trader) -> Any:
    placed = trader.algo("BUY", floored(trader.mark() + 30), quantity="0.01", reduceOnly="false")
    trader.later(30 * MINUTE)
    return trader.get(ALGO, algoId=placed["algoId"])


@pytest.mark.parametrize(
    ("ask", "page", "lacks", "other"),
    [
        (resting, UM + "Trading/PlaceOrder.txt", SINCE_JULY | TRAILING, set()),
        (cancelled, UM + "Trading/CancelOrder.txt", SINCE_JULY | TRAILING, set()),
        (amended, UM + "Trading/EditOrder.txt", SINCE_JULY, set()),
        (queried, UM + "Trading/GetOrder.txt", TRAILING, set()),
        (queried, HTTP + "order_response.json", set(), set()),
        (stop, UM + "Trading/PlaceConditionalOrder.txt", set(), set()),
        (finished, UM + "Trading/GetConditionalOrder.txt", set(), set()),
        (held("/fapi/v1/userTrades", **ONE), UM + "Trading/GetUserTrades.txt", set(), set()),
        (held("/fapi/v3/positionRisk"), UM + "Trading/GetPositions.txt", OF_SYMBOL_CONFIG, set()),
        (held("/fapi/v3/account"), UM + "Account/GetAccountInfoV3.txt", set(), set()),
        (held("/fapi/v2/account"), UM + "Account/GetAccountInfo.txt", set(), set()),
        (held("/fapi/v2/positionRisk", **ONE), UM + "Account/GetPositionInformation.txt", set(), set()),
        (held("/fapi/v3/balance"), UM + "Account/GetBalances.txt", set(), set()),
        (held("/fapi/v3/balance"), HTTP + "balance.json", set(), set()),
        (held("/fapi/v1/income"), UM + "Account/GetIncomeHistory.txt", set(), {"info", "tranId", "tradeId"}),
        (held("/fapi/v1/symbolConfig"), UM + "Account/GetSymbolConfiguration.txt", set(), {"isAutoAddMargin"}),
        (held("/fapi/v1/accountConfig"), UM + "Account/GetAccountConfiguration.txt", set(), set()),
        (held("/fapi/v1/leverageBracket"), UM + "Account/GetBrackets.txt", set(), set()),
        (held("/fapi/v1/commissionRate", **ONE), UM + "Account/GetUserCommissionRate.txt", set(), set()),
        (held("/fapi/v1/rateLimit/order"), UM + "Account/GetOrderRateLimit.txt", set(), set()),
    ],
)
def test_answer_has_the_documented_fields(
    ask: Callable[[Trader], Any], page: str, lacks: set[str], other: set[str]
) -> None:
    wanted = documented(page)
    assert_alike(ask(Trader()), wanted[-1] if isinstance(wanted, list) else wanted, lacks, other)


def test_cancels_by_ids_have_the_documented_fields() -> None:
    wanted, found = documented(UM + "Trading/CancelMultipleOrders.txt"), cancelled_by_ids(Trader())
    assert_alike(found[0], wanted[0], SINCE_JULY | TRAILING)
    assert_alike(found[1], wanted[1])


def test_parts_of_the_account_have_the_documented_fields() -> None:
    wanted = documented(UM + "Account/GetAccountInfoV3.txt")
    found = held("/fapi/v3/account")(Trader())
    assert_alike(found["assets"][0], wanted["assets"][0])
    assert_alike(found["positions"][0], wanted["positions"][0])
    older = documented(UM + "Account/GetAccountInfo.txt")
    found = held("/fapi/v2/account")(Trader())
    assert_alike(found["assets"][0], older["assets"][0])
    assert_alike(found["positions"][0], older["positions"][0])
    bracket = documented(UM + "Account/GetBrackets.txt")[0]["brackets"][0]
    assert_alike(held("/fapi/v1/leverageBracket")(Trader())["brackets"][0], bracket, set(), {"cum"})


def said(name: str) -> Any:
    """Return the latest event of a name after a trade, a stop and its cancel, and new settings."""
    trader = Trader()
    trader.listen()
    trader.ask("POST", "/fapi/v1/leverage", **ONE, leverage=10)
    trader.order("BUY", "0.02")
    trader.ask("DELETE", ALGO, algoId=stop(trader)["algoId"])
    return [each for each in trader.heard(SECOND) if each["e"] == name][-1]


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("ORDER_TRADE_UPDATE", USER + "order_update_trade.json"),
        ("ORDER_TRADE_UPDATE", USER + "order_update_new.json"),
        ("ORDER_TRADE_UPDATE", SOCKET + "OrderUpdate.txt"),
        ("TRADE_LITE", USER + "trade_lite.json"),
        ("TRADE_LITE", SOCKET + "TradeUpdate.txt"),
        ("ACCOUNT_UPDATE", USER + "account_update.json"),
        ("ACCOUNT_UPDATE", SOCKET + "AccountUpdate.txt"),
        ("ALGO_UPDATE", USER + "algo_update_canceled.json"),
        ("ALGO_UPDATE", SOCKET + "AlgoOrderUpdate.txt"),
        ("ACCOUNT_CONFIG_UPDATE", SOCKET + "Leverage.txt"),
    ],
)
def test_event_has_the_documented_fields(name: str, page: str) -> None:
    wanted, found = recorded(page), said(name)
    assert_alike(found, wanted)
    trailing = {"AP", "cr"} if name == "ORDER_TRADE_UPDATE" else set()
    # An algo order that has not triggered has no price, quantity and type of an order, and no reason.
    waiting = {"ap", "aq", "act", "rm"} if name == "ALGO_UPDATE" else set()
    for part in ("o", "ac"):
        if part in wanted:
            assert_alike(found[part], wanted[part], trailing | waiting)
    if name == "ACCOUNT_UPDATE":
        for part in ("B", "P"):
            assert_alike(found["a"][part][0], wanted["a"][part][0])


def test_margin_call_has_the_documented_fields() -> None:
    position = Position("ETHUSDT", Decimal("1.327"), Decimal(190))
    found, wanted = (
        json.loads(margin_call(1, Decimal(3), position, Decimal(187)).text),
        recorded(SOCKET + "MarginUpdate.txt"),
    )
    assert_alike(found, wanted)
    assert_alike(found["p"][0], wanted["p"][0])


def test_forced_order_has_the_documented_fields() -> None:
    trader = Trader()
    trader.order("BUY", "0.02")
    trader.listen("ORDER_TRADE_UPDATE")
    trader.account.deleverage("BTCUSDT", Decimal(1), trader.now)
    found = trader.heard(SECOND)[-1]["o"]
    for name in ("order_update_adl.json", "order_update_calculated.json"):
        assert_alike(found, recorded(USER + name)["o"], {"AP", "cr"} & recorded(USER + name)["o"].keys())

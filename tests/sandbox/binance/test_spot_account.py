"""The account on spot in the sandbox: balances, orders, stops, order lists, user data and the WebSocket API."""

from decimal import Decimal
from fractions import Fraction
from random import Random  # noqa: TID251 - a seeded generator of the test's orders
from typing import Any

import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.account.keys import Permission
from ocw_mcp.sandbox.binance.market import SandboxMarket
from tests.support.exchange import recorded
from tests.support.sandbox_market import DAY_1, StoredFeed, candle, documented
from tests.support.traders import NOW, SPOT_ORDER, SpotTrader, floored, stated

ONE = {"symbol": "BTCUSDT"}
OCO, LIST = "/api/v3/orderList/oco", "/api/v3/orderList"
POOR = (-2010, "Account has insufficient balance for requested action.")


def near(trader: SpotTrader, share: str) -> Decimal:
    """Return a price at a share of the last price."""
    return floored(trader.last() * Decimal(share))


def order(trader: SpotTrader, number: int) -> Any:
    return trader.get(SPOT_ORDER, **ONE, orderId=number)


def moving(*ends: float) -> SpotTrader:
    """Return a trader in a market that is at 100 for half an hour, and then reaches each price in ten minutes."""
    rows = [candle(minute, (100.0, 100.0, 100.0, 100.0, 1000.0)) for minute in range(30)]
    price = 100.0
    for number, end in enumerate(ends):
        step = (end - price) / 10
        for minute in range(10):
            following = round(price + step, 2)
            row = (price, max(price, following), min(price, following), following, 1000.0)
            rows.append(candle(30 + 10 * number + minute, row))
            price = following
    market = SandboxMarket(StoredFeed(rows, product=Product.SPOT), DAY_1)
    return SpotTrader(market=market, now=DAY_1 + 29 * MINUTE)


def test_buy_pays_its_fee_in_the_asset_that_it_brings() -> None:
    trader = SpotTrader()
    placed = trader.order("BUY", "0.02")
    (fill,) = placed["fills"]
    assert (placed["status"], fill["commissionAsset"], fill["commission"]) == ("FILLED", "BTC", "0.00002000")
    cost = Decimal(placed["cummulativeQuoteQty"])
    assert trader.balances() == {"BTC": (Decimal("0.01998"), Decimal(0)), "USDT": (10_000 - cost, Decimal(0))}
    assert trader.refused("SELL", "0.02") == POOR
    sold = trader.order("SELL", "0.019")
    fee = Decimal(sold["fills"][0]["commission"])
    assert abs(fee - Decimal(sold["cummulativeQuoteQty"]) / 1000) < Decimal("0.00000001")
    assert sold["fills"][0]["commissionAsset"] == "USDT"


def test_market_order_of_an_amount_spends_at_most_the_amount() -> None:
    trader = SpotTrader()
    placed = trader.ask("POST", SPOT_ORDER, **ONE, side="BUY", type="MARKET", quoteOrderQty="1000")
    spent = Decimal(placed["cummulativeQuoteQty"])
    assert placed["status"] == "FILLED"
    assert 900 < spent <= 1000
    assert placed["origQty"] == placed["executedQty"]


def test_open_orders_lock_their_balance() -> None:
    trader = SpotTrader()
    price = near(trader, "0.98")
    placed = trader.order("BUY", "0.1", price)
    assert trader.balances()["USDT"] == (10_000 - price / 10, price / 10)
    assert trader.refused("BUY", "0.1", price) == POOR
    done = trader.ask("DELETE", SPOT_ORDER, **ONE, orderId=placed["orderId"], newClientOrderId="gone")
    assert (done["status"], done["origClientOrderId"], done["clientOrderId"]) == (
        "CANCELED",
        placed["clientOrderId"],
        "gone",
    )
    assert trader.balances()["USDT"] == (Decimal(10_000), Decimal(0))
    assert trader.refusal("DELETE", SPOT_ORDER, **ONE, orderId=placed["orderId"])[1:] == (-2011, "Unknown order sent.")


def test_resting_stop_locks_what_it_would_sell() -> None:
    trader = SpotTrader()
    trader.order("BUY", "0.02")
    stop = trader.order("SELL", "0.019", type="STOP_LOSS", stopPrice=near(trader, "0.97"))
    assert stop.keys() == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    assert trader.refused("SELL", "0.019") == POOR
    trader.ask("DELETE", "/api/v3/openOrders", **ONE)
    trader.order("SELL", "0.019")
    assert trader.refusal("DELETE", "/api/v3/openOrders", **ONE)[1] == -2011


def test_limit_order_fills_as_a_maker_and_others_expire() -> None:
    trader = SpotTrader()
    resting = trader.order("BUY", "0.02", floored(trader.last() - 5))
    for force in ("IOC", "FOK"):
        assert trader.order("BUY", "0.02", near(trader, "0.98"), timeInForce=force)["status"] == "EXPIRED"
    trader.later(10 * MINUTE)
    assert order(trader, resting["orderId"])["status"] == "FILLED"
    assert [row["isMaker"] for row in trader.get("/api/v3/myTrades", **ONE)] == [True]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"quantity": "0.02000001"}, (-1013, "Filter failure: LOT_SIZE")),
        ({"quantity": "0"}, (-1013, "Filter failure: LOT_SIZE")),
        ({"quantity": "0.001", "price": "1000"}, (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")),
        ({"price": "80000.001"}, (-1013, "Filter failure: PRICE_FILTER")),
        ({"quantity": "1"}, POOR),
        ({"side": "SELL"}, POOR),
        ({"type": "TRAILING"}, (-1116, "Invalid orderType.")),
        ({"price": "80000", "timeInForce": "GTX"}, (-1115, "Invalid timeInForce.")),
        ({"stopPrice": "80000"}, (-1106, "Parameter 'stopPrice' sent when not required.")),
        ({"type": "STOP_LOSS", "stopPrice": "50000"}, (-2010, "Order would trigger immediately.")),
        ({"reduceOnly": "true"}, (-1104, "Not all sent parameters were read; read '4' parameter(s) but was sent '5'.")),
        ({"newClientOrderId": "used"}, (-2010, "Duplicate order sent.")),
    ],
)
def test_order_beyond_a_rule_of_spot_is_refused(query: dict[str, object], said: tuple[int, str]) -> None:
    trader = SpotTrader()
    trader.order("BUY", "0.01", near(trader, "0.98"), newClientOrderId="used")
    whole = stated("BUY", "0.02", *(["1"] if "price" in query else [])) | query
    assert trader.refusal("POST", SPOT_ORDER, **whole)[1:] == said
    assert len(trader.get("/api/v3/allOrders", **ONE)) == 1


def test_order_of_a_small_value_is_refused() -> None:
    trader = SpotTrader()
    trader.faulty.exchange.change_filters("BTCUSDT", NOW, min_notional="200")
    assert trader.refused("BUY", "0.002") == (-1013, "Filter failure: NOTIONAL")
    assert trader.order("BUY", "0.003")["status"] == "FILLED"


def test_maker_order_that_would_take_is_refused() -> None:
    trader = SpotTrader()
    query = {**ONE, "side": "BUY", "type": "LIMIT_MAKER", "quantity": "0.02"}
    text = "Order would immediately match and take."
    assert trader.refusal("POST", SPOT_ORDER, **query, price=near(trader, "1.01"))[1:] == (-2010, text)
    placed = trader.ask("POST", SPOT_ORDER, **query, price=near(trader, "0.99"))
    assert order(trader, placed["orderId"])["isWorking"]


@pytest.mark.parametrize(("kind", "end"), [("STOP_LOSS", 97.0), ("TAKE_PROFIT", 103.0)])
@pytest.mark.parametrize("limit", [None, "95"])
def test_stop_triggers_on_the_last_price(kind: str, end: float, limit: str | None) -> None:
    trader = moving(end)
    trader.order("BUY", "10")
    more = {} if limit is None else {"price": limit, "timeInForce": "GTC"}
    name = kind if limit is None else f"{kind}_LIMIT"
    stop = 98 if kind == "STOP_LOSS" else 102
    placed = trader.order("SELL", "9", type=name, stopPrice=stop, **more)
    assert not order(trader, placed["orderId"])["isWorking"]
    trader.later(15 * MINUTE)
    found = order(trader, placed["orderId"])
    assert (found["status"], found["isWorking"]) == ("FILLED", True)
    market = trader.account.prices.market
    trades = market.trades("BTCUSDT", DAY_1 + 29 * MINUTE, trader.now)
    first = next(each for each in trades if (each.price <= stop if kind == "STOP_LOSS" else each.price >= stop))
    assert found["workingTime"] == first.at


@pytest.mark.parametrize(("end", "filled"), [(105.0, 0), (95.0, 1)])
def test_one_order_of_a_list_cancels_the_other(end: float, filled: int) -> None:
    trader = moving(end)
    trader.order("BUY", "10")
    trader.listen()
    query = {**ONE, "side": "SELL", "quantity": "9", "aboveType": "LIMIT_MAKER", "abovePrice": "103"}
    stop = {"belowType": "STOP_LOSS_LIMIT", "belowStopPrice": "97", "belowPrice": "96", "belowTimeInForce": "GTC"}
    placed = trader.ask("POST", OCO, **query, **stop, listClientOrderId="pair")
    assert placed.keys() == documented("binance_net/Endpoints/Spot/Trading/PlaceOcoOrderList.txt").keys()
    assert trader.balances()["BTC"] == (Decimal("0.99"), Decimal(9))
    events = [each["event"] for each in trader.heard(15 * MINUTE)]
    numbers = [each["orderId"] for each in placed["orders"]]
    states = [order(trader, number)["status"] for number in numbers]
    assert (states[filled], states[1 - filled]) == ("FILLED", "EXPIRED")
    lists = [each["L"] for each in events if each["e"] == "listStatus"]
    assert lists == ["EXECUTING", "ALL_DONE"]
    assert trader.balances()["BTC"] == (Decimal("0.99"), Decimal(0))
    assert trader.get("/api/v3/openOrderList") == []
    assert trader.get(LIST, listClientOrderId="pair")["listOrderStatus"] == "ALL_DONE"


def test_list_is_cancelled_as_a_whole_and_needs_prices_around_the_last() -> None:
    trader = SpotTrader()
    trader.order("BUY", "0.02")
    query = {**ONE, "side": "SELL", "quantity": "0.019", "aboveType": "LIMIT_MAKER", "belowType": "STOP_LOSS"}
    wrong = {"abovePrice": near(trader, "0.99"), "belowStopPrice": near(trader, "0.98")}
    text = "The relationship of the prices for the orders is not correct."
    assert trader.refusal("POST", OCO, **query, **wrong)[1:] == (-2010, text)
    right = {"abovePrice": near(trader, "1.02"), "belowStopPrice": near(trader, "0.98")}
    placed = trader.ask("POST", OCO, **query, **right)
    done = trader.ask("DELETE", SPOT_ORDER, **ONE, orderId=placed["orders"][1]["orderId"])
    assert done["listOrderStatus"] == "ALL_DONE"
    assert [each["status"] for each in done["orderReports"]] == ["CANCELED", "CANCELED"]
    again = trader.ask("POST", OCO, **query, **right)
    assert trader.ask("DELETE", LIST, **ONE, orderListId=again["orderListId"])["listStatusType"] == "ALL_DONE"
    assert trader.refusal("DELETE", LIST, **ONE, orderListId=again["orderListId"])[1] == -2011
    assert len(trader.get("/api/v3/allOrderList")) == 2


def test_events_of_a_trade_are_wrapped_with_their_subscription() -> None:
    trader = SpotTrader()
    trader.listen()
    placed = trader.order("BUY", "0.02")
    trader.account.transfer(Decimal(-10), trader.now)
    events = trader.heard(SECOND)
    assert {each["subscriptionId"] for each in events} == {0}
    said = [each["event"] for each in events]
    assert [each["e"] for each in said] == [
        "executionReport",
        "outboundAccountPosition",
        "executionReport",
        "outboundAccountPosition",
        "balanceUpdate",
        "outboundAccountPosition",
    ]
    assert [(each["x"], each["X"], each["i"]) for each in (said[0], said[2])] == [
        ("NEW", "NEW", placed["orderId"]),
        ("TRADE", "FILLED", placed["orderId"]),
    ]
    base = "user_stream/spot/user_data_json/"
    pages = ("execution_report_new", "account_position", "execution_report_trade", "", "balance_update")
    for found, page in zip(said, pages, strict=False):
        if page:
            assert recorded(f"{base}{page}.json").keys() <= found.keys()
    trader.call("userDataStream.unsubscribe")
    trader.order("SELL", "0.01")
    assert trader.heard(SECOND) == []


def test_subscription_needs_a_valid_signature() -> None:
    trader = SpotTrader()
    key = trader.key
    trader.key = type(key)(key.key, "wrong", key.permissions)
    answer = trader.call("userDataStream.subscribe.signature")
    assert (answer["status"], answer["error"]["code"]) == (400, -1022)
    trader.key = key
    trader.listen()


def test_requests_of_rest_are_answered_over_the_websocket() -> None:
    trader = SpotTrader()
    placed = trader.call("order.place", **ONE, side="BUY", type="MARKET", quantity="0.02")
    assert (placed["id"], placed["status"], placed["result"]["status"]) == ("1", 200, "FILLED")
    queried = trader.call("order.status", **ONE, orderId=placed["result"]["orderId"])
    assert queried["result"] == order(trader, placed["result"]["orderId"])
    refused = trader.call("order.place", **ONE, side="SELL", type="MARKET", quantity="5")
    assert (refused["status"], refused["error"]) == (400, {"code": POOR[0], "msg": POOR[1]})
    assert trader.call("ping")["result"] == {}
    assert trader.call("nothing")["error"]["code"] == -1000


def test_answers_of_spot_have_the_documented_fields() -> None:
    trader = SpotTrader()
    base = "user_stream/spot/http_json/"
    full = trader.order("BUY", "0.02")
    wanted = documented(base + "new_order_full_response.json")
    assert wanted.keys() <= full.keys()
    assert wanted["fills"][0].keys() == full["fills"][0].keys()
    assert documented(base + "account_response.json").keys() <= trader.get("/api/v3/account").keys()
    assert (
        documented(base + "account_trades_response.json")[0].keys() <= trader.get("/api/v3/myTrades", **ONE)[0].keys()
    )
    resting = trader.order("BUY", "0.02", near(trader, "0.98"))
    opened = trader.get("/api/v3/openOrders", **ONE)
    assert documented(base + "open_orders_response.json")[0].keys() <= opened[0].keys()
    done = trader.ask("DELETE", SPOT_ORDER, **ONE, orderId=resting["orderId"])
    assert documented(base + "cancel_order_response.json").keys() <= done.keys()


def test_spot_counts_orders_of_ten_seconds_and_of_a_day() -> None:
    trader = SpotTrader()
    for _ in range(100):
        trader.send("POST", SPOT_ORDER, **stated("SELL", "0.01"))
    response = trader.send("POST", SPOT_ORDER, **stated("SELL", "0.01"))
    assert response is not None
    assert response.status == 429
    assert response.headers["X-MBX-ORDER-COUNT-1D"] == "101"


@pytest.mark.parametrize("path", ["/api/v3/myTrades", "/api/v3/allOrders"])
def test_lists_of_spot_take_a_span_of_a_day_at_most(path: str) -> None:
    trader = SpotTrader()
    trader.order("BUY", "0.02")
    start = trader.now - 12 * HOUR
    assert len(trader.get(path, **ONE, startTime=start, endTime=start + 24 * HOUR)) == 1
    refused = trader.refusal("GET", path, **ONE, startTime=start, endTime=start + 24 * HOUR + 1)
    assert refused[1:] == (-1127, "More than 24 hours between startTime and endTime.")


def test_key_without_spot_trading_only_reads() -> None:
    trader = SpotTrader()
    keyring = trader.faulty.exchange.account.keyring
    trader.key = keyring.add(frozenset({Permission.READING, Permission.FUTURES}), (), NOW)
    assert trader.refused("BUY", "0.01")[0] == -2015
    assert trader.get("/api/v3/account")["canTrade"]


def test_faults_of_orders_and_of_the_owner_concern_spot() -> None:
    trader = SpotTrader(
        {"kind": "order_drop", "at": "0s", "for": "10s", "executed": True},
        {"kind": "owner_close", "at": "20s", "symbol": "BTCUSDT"},
        {"kind": "transfer", "at": "25s", "amount": "-100"},
    )
    assert trader.send("POST", SPOT_ORDER, **stated("BUY", "0.02", newClientOrderId="a")) is None
    assert trader.get(SPOT_ORDER, **ONE, origClientOrderId="a")["status"] == "FILLED"
    trader.later(30 * SECOND)
    assert trader.balances()["BTC"][0] == Decimal("0.00098")  # less than a step cannot be sold
    assert trader.faulty.plan.applied == {"order_drop": 1, "owner_close": 1, "transfer": 1}


@pytest.mark.parametrize("seed", range(3))
def test_balances_of_spot_equal_a_recount_of_the_trades(seed: int) -> None:
    draw, trader = Random(seed), SpotTrader()
    for _ in range(80):
        side, quantity = draw.choice(("BUY", "SELL")), Decimal(draw.randrange(1, 60)) / 1000
        price = floored(trader.last() + draw.randrange(-60, 60))
        kind = draw.randrange(5)
        if kind == 0:
            trader.send("POST", SPOT_ORDER, **stated(side, quantity, type="STOP_LOSS", stopPrice=price))
        elif kind == 1:
            trader.send("DELETE", "/api/v3/openOrders", **ONE)
        else:
            trader.send("POST", SPOT_ORDER, **stated(side, quantity, price if kind > 2 else None))
        trader.later(draw.choice((SECOND, MINUTE, HOUR // 6)))
    base, quote = Fraction(0), Fraction(10_000)
    trades = trader.get("/api/v3/myTrades", **ONE, limit=1000)
    for row in trades:
        sign = 1 if row["isBuyer"] else -1
        base += sign * Fraction(row["qty"])
        quote -= sign * Fraction(row["quoteQty"])
        if row["commissionAsset"] == "BTC":
            base -= Fraction(row["commission"])
        else:
            quote -= Fraction(row["commission"])
    found = {asset: Fraction(free + locked) for asset, (free, locked) in trader.balances().items()}
    assert found == {"BTC": base, "USDT": quote}
    assert {(row["isBuyer"], row["isMaker"]) for row in trades} == {
        (a, b) for a in (True, False) for b in (True, False)
    }

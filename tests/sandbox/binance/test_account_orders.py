"""Orders on the sandbox exchange: types, filters, matching, partial fills, queries, changes and cancels."""

import json
from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.account.trading import MAKER, TAKER
from ocw_mcp.sandbox.binance.market import SandboxMarket
from tests.support.sandbox_market import DAY_1, StoredFeed, candle
from tests.support.traders import NOW, ORDER, Trader, floored, stated

ONE = {"symbol": "BTCUSDT"}


def far(trader: Trader, side: str, share: str = "0.02") -> Decimal:
    """Return a limit that does not trade now: below the market for a buy, above it for a sell."""
    return floored(trader.mark() * (1 - Decimal(share) if side == "BUY" else 1 + Decimal(share)))


def wealthy() -> Trader:
    """Return a trader with a million, who can empty the best levels of the order book."""
    trader = Trader()
    trader.account.transfer(Decimal(1_000_000), NOW)
    return trader


def order(trader: Trader, number: int) -> Any:
    return trader.get(ORDER, **ONE, orderId=number)


def trades(trader: Trader, **query: object) -> list[Any]:
    rows: list[Any] = trader.get("/fapi/v1/userTrades", **ONE, **query)
    return rows


def test_market_order_takes_the_best_price_and_pays_the_taker_fee() -> None:
    trader = Trader()
    price = trader.price("BUY")
    placed = trader.order("BUY", "0.02", newOrderRespType="RESULT", newClientOrderId="mine")
    assert (placed["status"], placed["executedQty"], placed["clientOrderId"]) == ("FILLED", "0.020", "mine")
    found = order(trader, placed["orderId"])
    assert Decimal(found["avgPrice"]) == price
    assert Decimal(found["cumQuote"]) == price * Decimal("0.02")
    (trade,) = trades(trader)
    assert (Decimal(trade["price"]), trade["maker"], trade["buyer"]) == (price, False, True)
    assert Decimal(trade["commission"]) == price * Decimal("0.02") * TAKER
    assert trader.held() == Decimal("0.02")


def test_answer_to_an_order_has_no_average_price() -> None:
    placed = Trader().order("BUY", "0.02")
    assert (placed["status"], placed["executedQty"]) == ("NEW", "0.000")
    assert not {"avgPrice", "cumQuote"} & placed.keys()


def test_large_market_order_takes_several_levels() -> None:
    trader = wealthy()
    levels = [level for level, _ in zip(trader.account.prices.levels("BTCUSDT", True, NOW), range(3), strict=False)]
    quantity = levels[0].quantity + levels[1].quantity + Decimal("0.001")
    placed = trader.order("BUY", quantity, newOrderRespType="RESULT")
    assert placed["status"] == "FILLED"
    got = [(Decimal(row["price"]), Decimal(row["qty"])) for row in trades(trader)]
    assert got == [
        (levels[0].price, levels[0].quantity),
        (levels[1].price, levels[1].quantity),
        (levels[2].price, Decimal("0.001")),
    ]


def test_quantity_of_one_state_of_the_order_book_trades_once() -> None:
    trader = wealthy()
    first = next(trader.account.prices.levels("BTCUSDT", True, NOW))
    trader.order("BUY", first.quantity)
    trader.order("BUY", "0.001")
    assert Decimal(trades(trader)[-1]["price"]) > first.price


def test_limit_order_rests_and_fills_as_a_maker() -> None:
    trader = Trader()
    limit = floored(trader.price("BUY") - 5)
    placed = trader.order("BUY", "0.02", limit)
    assert trader.get("/fapi/v1/openOrders", **ONE)[0]["orderId"] == placed["orderId"]
    trader.later(10 * MINUTE)
    (trade,) = trades(trader)
    assert (Decimal(trade["price"]), trade["maker"]) == (limit, True)
    assert Decimal(trade["commission"]) == limit * Decimal("0.02") * MAKER
    assert trader.get("/fapi/v1/openOrders", **ONE) == []
    assert order(trader, placed["orderId"])["status"] == "FILLED"


def test_resting_order_fills_in_parts_as_quotes_have_quantity() -> None:
    rows = [candle(minute, (100.0, 100.1, 99.9, 100.0, 1.0)) for minute in range(40)]
    trader = Trader(market=SandboxMarket(StoredFeed(rows), DAY_1), now=DAY_1 + 10 * MINUTE)
    trader.listen()
    placed = trader.order("BUY", "20", "99.9")
    said = [each["o"] for each in trader.heard(5 * MINUTE) if each["e"] == "ORDER_TRADE_UPDATE"]
    filled = [each for each in said if each["x"] == "TRADE"]
    assert len(filled) > 3
    assert {each["X"] for each in filled} == {"PARTIALLY_FILLED"}
    assert sum(Decimal(each["l"]) for each in filled) == Decimal(filled[-1]["z"]) < 20
    assert {float(each["L"]) for each in filled} == {99.9}
    state = order(trader, placed["orderId"])
    assert (state["status"], Decimal(state["executedQty"])) == ("PARTIALLY_FILLED", Decimal(filled[-1]["z"]))
    cancelled = trader.ask("DELETE", ORDER, **ONE, orderId=placed["orderId"])
    assert (cancelled["status"], cancelled["executedQty"]) == ("CANCELED", state["executedQty"])
    assert trader.held() == Decimal(state["executedQty"])


def test_immediate_or_cancel_takes_what_its_limit_allows() -> None:
    trader = wealthy()
    best = next(trader.account.prices.levels("BTCUSDT", True, NOW))
    quantity = best.quantity + 1
    placed = trader.order("BUY", quantity, best.price, timeInForce="IOC", newOrderRespType="RESULT")
    assert (placed["status"], Decimal(placed["executedQty"])) == ("EXPIRED", best.quantity)
    nothing = trader.order("BUY", "0.01", best.price - 10, timeInForce="IOC", newOrderRespType="RESULT")
    assert (nothing["status"], nothing["executedQty"]) == ("EXPIRED", "0.000")


def test_fill_or_kill_and_post_only_leave_no_order_if_refused() -> None:
    trader = wealthy()
    best = next(trader.account.prices.levels("BTCUSDT", True, NOW))
    code, text = trader.refused("BUY", best.quantity + 1, best.price, timeInForce="FOK")
    assert (code, "FOK order has been rejected" in text) == (-5021, True)
    code, text = trader.refused("BUY", "0.01", best.price, timeInForce="GTX")
    assert (code, "Post Only order will be rejected" in text) == (-5022, True)
    assert trader.get("/fapi/v1/allOrders", **ONE) == []
    assert trader.order("BUY", "0.01", best.price, timeInForce="FOK", newOrderRespType="RESULT")["status"] == "FILLED"
    assert trader.order("BUY", "0.01", best.price - 10, timeInForce="GTX")["status"] == "NEW"


def test_order_good_till_a_date_expires_then() -> None:
    trader = Trader()
    price, until = far(trader, "BUY"), NOW + 20 * MINUTE
    placed = trader.order("BUY", "0.01", price, timeInForce="GTD", goodTillDate=until)
    cancelled = trader.order("BUY", "0.01", price, timeInForce="GTD", goodTillDate=until)
    trader.ask("DELETE", ORDER, **ONE, orderId=cancelled["orderId"])
    trader.later(20 * MINUTE - 1)
    assert order(trader, placed["orderId"])["status"] == "NEW"
    trader.later(1)
    assert [order(trader, each["orderId"])["status"] for each in (placed, cancelled)] == ["EXPIRED", "CANCELED"]
    assert trader.refused("BUY", "0.01", price, timeInForce="GTD", goodTillDate=trader.now + MINUTE)[0] == -1130


def test_client_id_is_unique_among_open_orders_only() -> None:
    trader = Trader()
    trader.order("BUY", "0.01", far(trader, "BUY"), newClientOrderId="a")
    assert trader.refused("BUY", "0.01", newClientOrderId="a") == (-4116, "ClientOrderId is duplicated.")
    trader.ask("DELETE", ORDER, **ONE, origClientOrderId="a")
    again = trader.order("BUY", "0.01", newClientOrderId="a")
    assert trader.get(ORDER, **ONE, origClientOrderId="a")["orderId"] == again["orderId"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"quantity": "0.0105"}, -1111),
        ({"quantity": "0"}, -4003),
        ({"quantity": "-1"}, -1100),
        ({"quantity": "121"}, -4005),
        ({"quantity": "0.0005"}, -1111),
        ({"price": "80000.05"}, -4014),
        ({"price": "40000"}, None),
        ({"price": "90000"}, -4016),
        ({"price": "70000", "side": "SELL"}, -4024),
        ({"price": "5000000"}, -4002),
        ({"price": "0"}, -4001),
        ({"price": "80000", "timeInForce": "ABC"}, -1115),
        ({"price": "80000", "quantity": "1001"}, -4005),
        ({"quantity": "0.001", "price": "40000"}, -4164),
        ({"side": "UP"}, -1117),
        ({"type": "ICEBERG"}, -1116),
        ({"type": "STOP_MARKET"}, -4120),
        ({"symbol": "ABCUSDT"}, -1121),
        ({"positionSide": "LONG"}, -4061),
        ({"newClientOrderId": "x" * 37}, -4015),
        ({"newClientOrderId": "with space"}, -1100),
        ({"newClientOrderId": "x" * 36}, None),
        ({"newOrderRespType": "FULL"}, -1130),
        ({"timeInForce": "GTC"}, -1106),
        ({"reduceOnly": "true"}, -2022),
        ({"quantity": "5"}, -2019),
    ],
)
def test_order_beyond_a_rule_is_refused(query: dict[str, object], code: int | None) -> None:
    trader = Trader()
    whole = stated("BUY", "0.01") | query
    if "price" in query:
        whole = stated("BUY", "0.01", "1") | query
    if code is None:
        assert trader.ask("POST", ORDER, **whole)["status"] == "NEW"
    else:
        assert trader.refusal("POST", ORDER, **whole)[1] == code
        assert trader.get("/fapi/v1/allOrders", **ONE) == []


def test_smallest_notional_does_not_hold_for_reductions() -> None:
    trader = Trader()
    trader.faulty.exchange.change_filters("BTCUSDT", NOW + 1, min_notional="200")
    trader.order("BUY", "0.002")
    trader.later(1)
    text = "Order's notional must be no smaller than 200 (unless you choose reduce only)."
    assert trader.refused("SELL", "0.002") == (-4164, text)
    trader.order("SELL", "0.002", reduceOnly="true")
    assert trader.held() == 0


def test_reduce_only_order_never_opens_a_position() -> None:
    trader = Trader()
    trader.order("BUY", "0.02")
    assert trader.refused("BUY", "0.01", reduceOnly="true")[0] == -2022
    placed = trader.order("SELL", "0.05", reduceOnly="true", newOrderRespType="RESULT")
    assert (placed["status"], placed["executedQty"]) == ("EXPIRED", "0.020")
    assert trader.held() == 0


def test_resting_reduction_blocks_a_second_one() -> None:
    trader = Trader()
    trader.order("BUY", "0.02")
    target = trader.order("SELL", "0.02", far(trader, "SELL"), reduceOnly="true")
    assert trader.refused("SELL", "0.02", reduceOnly="true")[0] == -4118
    trader.ask("DELETE", ORDER, **ONE, orderId=target["orderId"])
    trader.order("SELL", "0.02", reduceOnly="true")
    assert trader.held() == 0


def test_resting_reduction_expires_with_its_position() -> None:
    trader = Trader()
    trader.order("BUY", "0.02")
    target = trader.order("SELL", "0.02", far(trader, "SELL"), reduceOnly="true")
    trader.order("SELL", "0.02")
    assert order(trader, target["orderId"])["status"] == "EXPIRED"


def test_own_resting_order_expires_before_an_order_meets_it() -> None:
    trader = wealthy()
    limit = floored(trader.price("SELL") - 1)
    resting = trader.order("BUY", "0.02", limit)
    above = [each for each in trader.account.prices.levels("BTCUSDT", False, NOW) if each.price > limit]
    quantity = sum((each.quantity for each in above), Decimal(0))
    trader.order("SELL", quantity, limit)
    assert order(trader, resting["orderId"])["status"] == "NEW"
    trader.order("SELL", "0.5", limit - 1)
    assert order(trader, resting["orderId"])["status"] == "EXPIRED_IN_MATCH"
    assert trader.held() < -quantity


def test_order_beyond_the_margin_or_the_bracket_is_refused() -> None:
    trader = Trader()
    assert trader.refused("BUY", "3") == (-2019, "Margin is insufficient.")
    trader.ask("POST", "/fapi/v1/leverage", **ONE, leverage=125)
    text = "Exceeded the maximum allowable position at current leverage."
    assert trader.refused("BUY", "4") == (-2027, text)
    trader.order("BUY", "3")
    trader.order("SELL", "6")  # it closes 3 and opens 3: no more margin than before
    assert trader.held() == -3


def test_open_orders_use_margin_until_they_end() -> None:
    trader = Trader()
    price = far(trader, "BUY")
    placed = trader.order("BUY", "1", price)
    free = Decimal(trader.get("/fapi/v3/account")["availableBalance"])
    assert free == Decimal(10_000) - price / 20
    assert trader.refused("BUY", "2", price)[0] == -2019
    trader.ask("DELETE", ORDER, **ONE, orderId=placed["orderId"])
    assert Decimal(trader.get("/fapi/v3/account")["availableBalance"]) == 10_000


def test_at_most_200_orders_of_a_symbol_are_open() -> None:
    trader = Trader()
    price = far(trader, "BUY")
    for number in range(200):
        trader.order("BUY", "0.001", price)
        trader.later(40 if number % 10 else 200)
    assert trader.refused("BUY", "0.001", price) == (-2025, "Reach max open order limit.")


def test_order_is_changed_and_cancelled_by_a_change() -> None:
    trader = Trader()
    price = far(trader, "BUY")
    placed = trader.order("BUY", "0.02", price)
    same = {**ONE, "orderId": placed["orderId"], "side": "BUY"}
    changed = trader.ask("PUT", ORDER, **same, quantity="0.03", price=price - 1)
    assert (changed["orderId"], changed["origQty"]) == (placed["orderId"], "0.030")
    assert Decimal(changed["price"]) == price - 1
    said = trader.refusal("PUT", ORDER, **same, quantity="0.03", price=price - 1)
    assert said[1:] == (-5027, "No need to modify the order.")
    assert trader.refusal("PUT", ORDER, **same, quantity="0.03", price="1.05")[1] == -4014
    crossing = trader.ask("PUT", ORDER, **same, quantity="0.03", price=trader.price("BUY"))
    assert crossing["status"] == "FILLED"
    assert trader.refusal("PUT", ORDER, **same, quantity="0.03", price=price)[1] == -2013


def test_cancel_of_an_unknown_or_finished_order_is_refused() -> None:
    trader = Trader()
    filled = trader.order("BUY", "0.01")
    for number in (1, filled["orderId"]):
        assert trader.refusal("DELETE", ORDER, **ONE, orderId=number)[1:] == (-2011, "Unknown order sent.")
    assert trader.refusal("GET", ORDER, **ONE, orderId=1)[1:] == (-2013, "Order does not exist.")
    assert trader.refusal("GET", ORDER, **ONE)[1] == -1102
    assert trader.refusal("GET", "/fapi/v1/openOrder", **ONE, orderId=filled["orderId"])[1] == -2013


def test_all_open_orders_of_a_symbol_are_cancelled() -> None:
    trader = Trader()
    first, other = trader.order("BUY", "0.01", far(trader, "BUY")), {"symbol": "ETHUSDT", "side": "BUY"}
    price = floored(trader.account.prices.mark("ETHUSDT", NOW) * Decimal("0.98"), "0.01")
    trader.ask("POST", ORDER, **other, type="LIMIT", timeInForce="GTC", quantity="1", price=price)
    assert trader.ask("DELETE", "/fapi/v1/allOpenOrders", **ONE)["code"] == 200
    assert [row["symbol"] for row in trader.get("/fapi/v1/openOrders")] == ["ETHUSDT"]
    assert order(trader, first["orderId"])["status"] == "CANCELED"


def test_batch_answers_each_order_by_itself() -> None:
    trader = Trader()
    rows = [stated("BUY", "0.01", str(far(trader, "BUY"))), stated("BUY", "0.0001"), stated("SELL", "0.01")]
    response = trader.send("POST", "/fapi/v1/batchOrders", batchOrders=json.dumps(rows))
    assert response is not None
    answers = json.loads(response.body)
    assert [each.get("code", each.get("status")) for each in answers] == ["NEW", -1111, "NEW"]
    assert response.headers["X-MBX-ORDER-COUNT-10S"] == "5"
    too_many = json.dumps(rows * 2)
    assert trader.refusal("POST", "/fapi/v1/batchOrders", batchOrders=too_many)[1] == -4082
    assert trader.refusal("POST", "/fapi/v1/batchOrders", batchOrders="[")[1] == -1130


def test_history_of_orders_and_trades_is_read_in_pages() -> None:
    trader = Trader()
    numbers = []
    for _ in range(5):
        numbers.append(trader.order("BUY", "0.01")["orderId"])
        trader.later(SECOND)
    assert [row["orderId"] for row in trader.get("/fapi/v1/allOrders", **ONE, limit=2)] == numbers[-2:]
    assert [row["orderId"] for row in trader.get("/fapi/v1/allOrders", **ONE, orderId=numbers[1], limit=2)] == (
        numbers[1:3]
    )
    ids = [row["id"] for row in trades(trader)]
    assert len(ids) == 5
    assert [row["id"] for row in trades(trader, fromId=ids[2], limit=2)] == ids[2:4]
    assert [row["orderId"] for row in trades(trader, orderId=numbers[3])] == [numbers[3]]
    assert [row["id"] for row in trades(trader, startTime=NOW + SECOND, endTime=NOW + 2 * SECOND)] == ids[1:3]
    assert trader.refusal("GET", "/fapi/v1/userTrades", **ONE, startTime=NOW, endTime=NOW + 8 * DAY)[1] == -4165


def test_history_forgets_old_trades_and_orders_without_a_fill() -> None:
    trader = Trader()
    filled = trader.order("BUY", "0.01")["orderId"]
    trader.order("SELL", "0.01")
    gone = trader.order("BUY", "0.01", far(trader, "BUY"))["orderId"]
    trader.ask("DELETE", ORDER, **ONE, orderId=gone)
    trader.later(3 * DAY)
    assert order(trader, gone)["status"] == "CANCELED"
    trader.later(HOUR)
    assert trader.refusal("GET", ORDER, **ONE, orderId=gone)[1] == -2013
    trader.later(5 * DAY)
    assert trades(trader) == []
    assert order(trader, filled)["status"] == "FILLED"

"""Algo orders on the sandbox exchange: triggers, orders that close a position, trailing stops, and their ends."""

from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.market import SandboxMarket
from tests.support.sandbox_market import DAY_1, StoredFeed, candle
from tests.support.traders import ALGO, NOW, ORDER, Trader, floored, stated_algo

ONE = {"symbol": "BTCUSDT"}
CALM = DAY_1 + 29 * MINUTE


def moving(*ends: float) -> SandboxMarket:
    """Return a market that is calm at 100 for half an hour, and then reaches each price after ten minutes more."""
    rows = [candle(minute, (100.0, 100.0, 100.0, 100.0, 1000.0)) for minute in range(30)]
    price = 100.0
    for number, end in enumerate(ends):
        step = (end - price) / 10
        for minute in range(10):
            following = round(price + step, 2)
            row = (price, max(price, following), min(price, following), following, 1000.0)
            rows.append(candle(30 + 10 * number + minute, row))
            price = following
    return SandboxMarket(StoredFeed(rows), DAY_1)


def trader(*ends: float) -> Trader:
    """Return a trader in a market that moves through some prices."""
    return Trader(market=moving(*ends), now=CALM)


def algo(found: Trader, number: int) -> Any:
    return found.get(ALGO, algoId=number)


def share(found: Trader, part: str) -> Decimal:
    """Return a price at a share of the mark price."""
    return floored(found.mark() * Decimal(part))


def states(events: list[Any]) -> list[str]:
    """Return what happened to the orders, in the order of the events."""
    said = []
    for each in events:
        if each["e"] == "ALGO_UPDATE":
            said.append(f"algo {each['o']['X']}")
        elif each["e"] == "ORDER_TRADE_UPDATE":
            said.append(f"order {each['o']['x']} {each['o']['X']}")
    return said


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_stop_that_closes_the_position_triggers_on_the_mark_price(side: str) -> None:
    sign = 1 if side == "BUY" else -1
    found = trader(100 - 5 * sign)
    found.order(side, "3")
    placed = found.algo("SELL" if side == "BUY" else "BUY", 100 - 2 * sign)
    assert (placed["algoStatus"], placed["timeInForce"], placed["closePosition"]) == ("NEW", "GTE_GTC", True)
    found.listen()
    events = found.heard(15 * MINUTE)
    assert found.held() == 0
    assert states(events) == [
        "algo TRIGGERING",
        "order NEW NEW",
        "order TRADE FILLED",
        "algo TRIGGERED",
        "algo FINISHED",
    ]
    last = events[-1]["o"]
    order = found.get(ORDER, **ONE, orderId=int(last["ai"]))
    assert (order["status"], order["origType"], order["type"]) == ("FILLED", "STOP_MARKET", "MARKET")
    assert (order["clientOrderId"], order["closePosition"]) == (placed["clientAlgoId"], True)
    row = algo(found, placed["algoId"])
    assert (row["algoStatus"], row["actualOrderId"], row["actualQty"]) == ("FINISHED", last["ai"], order["executedQty"])
    assert row["triggerTime"] == last["tt"] > CALM
    at = last["tt"]
    marks = [found.account.prices.mark("BTCUSDT", at - SECOND), found.account.prices.mark("BTCUSDT", at)]
    assert marks[0] * sign > (100 - 2 * sign) * sign >= marks[1] * sign


def test_stop_on_the_last_price_triggers_at_the_trade_that_reaches_it() -> None:
    found = trader(95)
    found.order("BUY", "3")
    placed = found.algo("SELL", "98", workingType="CONTRACT_PRICE")
    found.later(15 * MINUTE)
    at = algo(found, placed["algoId"])["triggerTime"]
    market = found.account.prices.market
    first = next(each for each in market.trades("BTCUSDT", CALM, found.now) if each.price <= 98)
    assert at == first.at


@pytest.mark.parametrize(("end", "done"), [(105, True), (99, False)])
def test_target_triggers_in_the_direction_of_profit(end: float, done: bool) -> None:
    found = trader(end)
    found.order("BUY", "3")
    placed = found.algo("SELL", "102", "TAKE_PROFIT_MARKET")
    found.later(15 * MINUTE)
    assert (algo(found, placed["algoId"])["algoStatus"] == "FINISHED") is done
    assert (found.held() == 0) is done


def test_trigger_that_is_reached_already_is_refused() -> None:
    found = Trader()
    found.order("BUY", "0.02")
    text = "Order would immediately trigger."
    assert found.refused_algo("SELL", share(found, "1.01")) == (-2021, text)
    assert found.refused_algo("SELL", share(found, "0.99"), "TAKE_PROFIT_MARKET") == (-2021, text)
    assert found.refused_algo("BUY", share(found, "0.99"), quantity="0.01") == (-2021, text)
    assert found.get("/fapi/v1/allAlgoOrders", **ONE) == []


def test_closing_stop_needs_a_position_of_the_other_side() -> None:
    found = Trader()
    code, text = found.refused_algo("SELL", share(found, "0.98"))
    assert (code, text.startswith("Time in Force (TIF) GTE can only be used with open positions")) == (-4509, True)
    found.order("SELL", "0.02")
    assert found.refused_algo("SELL", share(found, "0.98"))[0] == -4509
    assert found.algo("BUY", share(found, "1.02"))["algoStatus"] == "NEW"


def test_stop_with_a_quantity_is_accepted_while_flat() -> None:
    found = Trader()
    placed = found.algo("SELL", share(found, "0.98"), quantity="0.01", reduceOnly="true")
    assert (placed["algoStatus"], placed["reduceOnly"]) == ("NEW", True)


def test_one_closing_order_of_each_type_and_direction_may_wait() -> None:
    found = Trader()
    found.order("BUY", "0.02")
    stop = found.algo("SELL", share(found, "0.98"))
    found.algo("SELL", share(found, "1.02"), "TAKE_PROFIT_MARKET")
    assert found.refused_algo("SELL", share(found, "0.97"))[0] == -4130
    assert found.refused_algo("SELL", share(found, "1.03"), "TAKE_PROFIT_MARKET")[0] == -4130
    found.ask("DELETE", ALGO, algoId=stop["algoId"])
    assert found.algo("SELL", share(found, "0.97"))["algoStatus"] == "NEW"


def test_closing_orders_expire_with_the_position_and_reductions_stay() -> None:
    found = Trader()
    found.order("BUY", "0.02")
    closing = found.algo("SELL", share(found, "0.98"))
    reducing = found.algo("SELL", share(found, "0.97"), quantity="0.02", reduceOnly="true")
    found.listen()
    found.order("SELL", "0.02")
    assert states(found.heard(SECOND))[-1] == "algo EXPIRED"
    assert algo(found, closing["algoId"])["algoStatus"] == "EXPIRED"
    assert [row["algoId"] for row in found.get("/fapi/v1/openAlgoOrders")] == [reducing["algoId"]]


def test_reduction_that_triggers_without_a_position_is_rejected() -> None:
    found = trader(95)
    placed = found.algo("SELL", "98", quantity="1", reduceOnly="true")
    found.listen()
    events = found.heard(15 * MINUTE)
    assert states(events) == ["algo TRIGGERING", "algo REJECTED"]
    assert events[-1]["o"]["rm"] == "ReduceOnly Order is rejected."
    assert algo(found, placed["algoId"])["actualOrderId"] == ""


def test_algo_order_uses_no_margin_before_its_trigger() -> None:
    found = trader(105)
    assert found.account.transfer(Decimal(-9_900), found.now)
    found.algo("BUY", "102", quantity="100")
    assert Decimal(found.get("/fapi/v3/account")["availableBalance"]) == 100
    found.listen()
    events = found.heard(15 * MINUTE)
    assert (states(events)[-1], events[-1]["o"]["rm"]) == ("algo REJECTED", "Margin is insufficient.")


@pytest.mark.parametrize(("ends", "closes"), [((104.0, 101.0), True), ((104.0, 103.5), False)])
def test_trailing_stop_follows_the_best_price(ends: tuple[float, ...], closes: bool) -> None:
    found = trader(*ends)
    found.order("BUY", "3")
    placed = found.algo("SELL", None, "TRAILING_STOP_MARKET", quantity="3", reduceOnly="true", callbackRate="2")
    assert (placed["callbackRate"], placed["reduceOnly"]) == ("2", True)
    found.listen()
    events = found.heard(25 * MINUTE)
    assert (found.held() == 0) is closes
    if closes:
        at = events[-1]["o"]["tt"]
        best = max(found.account.prices.mark("BTCUSDT", each) for each in range(CALM, at, SECOND))
        assert found.account.prices.mark("BTCUSDT", at) <= best * Decimal("0.98")


def test_trailing_stop_is_reported_twice_and_waits_for_its_activation() -> None:
    found = trader(103, 99)
    found.order("BUY", "3")
    found.listen("ALGO_UPDATE")
    query = {"quantity": "3", "reduceOnly": "true", "callbackRate": "1"}
    found.algo("SELL", None, "TRAILING_STOP_MARKET", **query)
    later = found.algo("SELL", None, "TRAILING_STOP_MARKET", **query, activatePrice="102")
    said = [(each["o"]["X"], each["o"]["ia"]) for each in found.heard(SECOND)]
    assert said == [("NEW", False), ("NEW", True), ("NEW", False)]
    events = [each["o"] for each in found.heard(25 * MINUTE)]
    own = [each for each in events if each["aid"] == later["algoId"]]
    assert [(each["X"], each["ia"]) for each in own][:2] == [("NEW", True), ("TRIGGERING", True)]
    assert found.held() == 0


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"quantity": "0.01", "closePosition": "true"}, -4137),
        ({"reduceOnly": "true"}, -4138),
        ({"type": "LIMIT"}, -1116),
        ({"triggerPrice": "0"}, -4006),
        ({"workingType": "INDEX"}, -1130),
        ({"algoType": "VP"}, -1130),
        ({"clientAlgoId": "x" * 37}, -4015),
        ({"positionSide": "LONG"}, -4061),
        ({"type": "TRAILING_STOP_MARKET", "quantity": "0.01", "closePosition": "false"}, -1102),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "21", "quantity": "1", "closePosition": "false"}, -2007),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "1"}, -4136),
        ({"closePosition": "false"}, -1102),
        ({"closePosition": "false", "quantity": "0.0001"}, -1111),
        ({"closePosition": "false", "quantity": "0.01", "clientAlgoId": "used"}, -4116),
    ],
)
def test_algo_order_beyond_a_rule_is_refused(query: dict[str, object], code: int) -> None:
    found = Trader()
    found.order("BUY", "0.02")
    found.algo("SELL", share(found, "0.9"), quantity="0.01", clientAlgoId="used")
    whole = stated_algo("SELL", share(found, "0.95"), "STOP_MARKET") | query
    assert found.refusal("POST", ALGO, **whole)[1] == code


def test_at_most_200_algo_orders_wait_over_all_symbols() -> None:
    found = Trader()
    price = share(found, "0.98")
    for number in range(200):
        found.algo("SELL", price, quantity="0.01")
        found.later(200 if number % 10 == 9 else 40)
    assert found.refused_algo("SELL", price, quantity="0.01") == (-4045, "Reach max stop order limit.")


def test_algo_orders_are_not_among_the_plain_orders() -> None:
    found = Trader()
    placed = found.algo("SELL", share(found, "0.98"), quantity="0.01")
    assert found.get("/fapi/v1/openOrders") == []
    assert found.refusal("GET", ORDER, **ONE, orderId=placed["algoId"])[1] == -2013
    name = placed["clientAlgoId"]
    assert found.refusal("DELETE", ORDER, **ONE, origClientOrderId=name)[1] == -2011
    found.ask("DELETE", "/fapi/v1/allOpenOrders", **ONE)
    assert found.get(ALGO, clientAlgoId=name)["algoStatus"] == "NEW"


def test_cancel_of_an_algo_order_answers_a_code_as_text() -> None:
    found = Trader()
    placed = found.algo("SELL", share(found, "0.98"), quantity="0.01", clientAlgoId="stop")
    done = found.ask("DELETE", ALGO, clientAlgoId="stop")
    assert done == {"algoId": placed["algoId"], "clientAlgoId": "stop", "code": "200", "msg": "success"}
    assert found.refusal("DELETE", ALGO, clientAlgoId="stop")[1:] == (-2011, "Unknown order sent.")
    assert algo(found, placed["algoId"])["algoStatus"] == "CANCELED"
    assert found.refusal("GET", ALGO, algoId=1)[1] == -2013
    assert found.refusal("GET", ALGO)[1] == -1102


def test_all_algo_orders_of_a_symbol_are_cancelled_and_soon_forgotten() -> None:
    found = Trader()
    for _ in range(3):
        found.algo("SELL", share(found, "0.98"), quantity="0.01")
    found.ask("DELETE", "/fapi/v1/algoOpenOrders", **ONE)
    assert found.get("/fapi/v1/openAlgoOrders", **ONE) == []
    assert {row["algoStatus"] for row in found.get("/fapi/v1/allAlgoOrders", **ONE)} == {"CANCELED"}
    found.later(3 * DAY + HOUR)
    assert found.get("/fapi/v1/allAlgoOrders", **ONE, startTime=NOW - 1) == []


def test_stop_with_a_limit_rests_at_its_limit_after_the_trigger() -> None:
    found = trader(95, 98.5)
    found.order("BUY", "3")
    found.listen()
    placed = found.algo("SELL", 97, "STOP", quantity="3", price="97.5", reduceOnly="true", timeInForce="GTX")
    assert (placed["orderType"], placed["price"], placed["timeInForce"]) == ("STOP", "97.50", "GTX")
    said = states(found.heard(8 * MINUTE))
    assert said == ["algo NEW", "algo TRIGGERING", "order NEW NEW", "algo TRIGGERED"]
    assert found.get("/fapi/v1/openAlgoOrders") == []
    (order,) = found.get("/fapi/v1/openOrders")
    assert (order["type"], order["price"], order["origType"], order["stopPrice"]) == ("LIMIT", "97.50", "STOP", "97.00")
    # The price rises to the limit of the order, which then is the maker.
    assert states(found.heard(14 * MINUTE))[-2:] == ["order TRADE FILLED", "algo FINISHED"]
    ended = algo(found, placed["algoId"])
    assert (ended["algoStatus"], ended["actualType"], ended["actualPrice"]) == ("FINISHED", "LIMIT", "97.5")
    assert found.held() == 0


def test_stop_with_a_limit_finishes_when_its_order_is_cancelled() -> None:
    found = trader(95)
    placed = found.algo("BUY", 98, "TAKE_PROFIT", quantity="3", price="96")
    found.later(8 * MINUTE)
    (order,) = found.get("/fapi/v1/openOrders")
    assert algo(found, placed["algoId"])["algoStatus"] == "TRIGGERED"
    found.ask("DELETE", ORDER, **ONE, orderId=order["orderId"])
    ended = algo(found, placed["algoId"])
    assert (ended["algoStatus"], ended["actualOrderId"]) == ("FINISHED", str(order["orderId"]))


def test_post_only_order_of_a_stop_is_rejected_if_it_would_take() -> None:
    found = trader(95)
    placed = found.algo("BUY", 98, "TAKE_PROFIT", quantity="3", price="99", timeInForce="GTX")
    found.later(8 * MINUTE)
    assert algo(found, placed["algoId"])["algoStatus"] == "REJECTED"
    assert found.get("/fapi/v1/openOrders") == []


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"quantity": "3"}, -1102),
        ({"quantity": "3", "price": "97.005"}, -4014),
        ({"quantity": "3", "price": "97", "timeInForce": "GTD"}, -1115),
        ({"price": "97", "closePosition": "true"}, -4136),
    ],
)
def test_stop_with_a_limit_refuses_a_form_that_is_wrong(more: dict[str, str], code: int) -> None:
    assert trader(95).refused_algo("SELL", 97, "STOP", **more)[0] == code


def test_queries_of_a_trailing_stop_have_its_distance_and_activation() -> None:
    found = trader(95)
    placed = found.ask(
        "POST", ALGO, algoType="CONDITIONAL", **ONE, side="SELL", type="TRAILING_STOP_MARKET",
        quantity="3", callbackRate="1.5", activatePrice="101",
    )  # fmt: skip
    rows = [*found.get("/fapi/v1/openAlgoOrders"), *found.get("/fapi/v1/allAlgoOrders", **ONE)]
    assert {(each["algoId"], each["callbackRate"], each["activatePrice"]) for each in rows} == {
        (placed["algoId"], "1.5", "101.00")
    }

"""Faults of the account: lost and wrong answers, late orders, the owner's own actions, and faults of user data."""

from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.fault_kinds import ANSWERS
from tests.support.exchange import exchange
from tests.support.traders import ALGO, ORDER, Trader, floored, stated, stated_algo

ONE = {"symbol": "BTCUSDT"}
NOW_FOR = {"at": "0s", "for": "1m"}


def found(trader: Trader, name: str) -> str:
    """Return the status of the order with a client's id, "none" if there is none."""
    response = trader.send("GET", ORDER, **ONE, origClientOrderId=name)
    assert response is not None
    return trader.get(ORDER, **ONE, origClientOrderId=name)["status"] if response.status == 200 else "none"


def names(events: list[Any]) -> list[str]:
    return [each["e"] for each in events]


@pytest.mark.parametrize(("executed", "state"), [(False, "none"), (True, "FILLED")])
def test_order_without_an_answer_may_be_executed_or_not(executed: bool, state: str) -> None:
    trader = Trader({"kind": "order_drop", **NOW_FOR, "executed": executed})
    assert trader.send("POST", ORDER, **stated("BUY", "0.02", newClientOrderId="a")) is None
    assert found(trader, "a") == state
    assert trader.faulty.plan.applied["order_drop"] == 1
    trader.later(2 * MINUTE)
    assert trader.order("BUY", "0.02")["status"] == "NEW"


@pytest.mark.parametrize("answer", ANSWERS)
def test_each_answer_of_an_error_has_its_status_and_text(answer: str) -> None:
    trader = Trader({"kind": "order_error", **NOW_FOR, "answer": answer})
    wanted = ANSWERS[answer]
    said = trader.refusal("POST", ORDER, **stated("BUY", "0.02", newClientOrderId="a"))
    assert said == (wanted.status, wanted.code, wanted.msg)
    assert found(trader, "a") == "none"


@pytest.mark.parametrize("answer", [name for name, each in ANSWERS.items() if each.unknown])
def test_order_of_an_unknown_outcome_may_have_been_executed(answer: str) -> None:
    trader = Trader({"kind": "order_error", **NOW_FOR, "answer": answer, "executed": True})
    assert trader.refused("BUY", "0.02", newClientOrderId="a")[0] == ANSWERS[answer].code
    assert found(trader, "a") == "FILLED"


@pytest.mark.parametrize("late", ["5s", "90s", "1h"])
def test_order_of_an_unknown_outcome_may_be_executed_later(late: str) -> None:
    trader = Trader({"kind": "order_error", **NOW_FOR, "answer": "timeout", "executed": True, "by": late})
    ms = {"5s": 5 * SECOND, "90s": 90 * SECOND, "1h": HOUR}[late]
    trader.listen("TRADE_LITE")
    placed = trader.now
    assert trader.refused("BUY", "0.02", newClientOrderId="a")[0] == -1007
    trader.later(ms - 1)
    assert found(trader, "a") == "none"
    trader.later(1)
    assert found(trader, "a") == "FILLED"
    trader.ask("PUT", "/fapi/v1/listenKey") if ms < HOUR else None
    assert [each["T"] for each in trader.heard(SECOND)] == ([placed + ms] if ms < HOUR else [])


def test_late_order_that_is_refused_leaves_nothing() -> None:
    trader = Trader({"kind": "order_drop", **NOW_FOR, "executed": True, "by": "5s"})
    trader.send("POST", ORDER, **stated("SELL", "0.02", reduceOnly="true", newClientOrderId="a"))
    trader.later(6 * SECOND)
    assert found(trader, "a") == "none"
    assert trader.faulty.plan.applied["late orders refused"] == 1


def test_late_order_needs_a_valid_signature() -> None:
    trader = Trader({"kind": "order_drop", **NOW_FOR, "executed": True, "by": "5s"})
    assert trader.refusal("POST", ORDER, secret="wrong", **stated("BUY", "0.02"))[1] == -1022


def test_cancel_without_an_answer_may_work() -> None:
    trader = Trader({"kind": "order_drop", **NOW_FOR, "executed": True, "method": "DELETE", "path": "*/order"})
    placed = trader.order("BUY", "0.02", floored(trader.mark() * Decimal("0.98")), newClientOrderId="a")
    assert trader.send("DELETE", ORDER, **ONE, orderId=placed["orderId"]) is None
    assert found(trader, "a") == "CANCELED"


def test_fault_concerns_every_nth_request_of_its_path() -> None:
    trader = Trader({"kind": "order_error", **NOW_FOR, "answer": "unknown", "path": "*/algoOrder", "nth": 2})
    price = floored(trader.mark() * Decimal("0.98"))
    query = stated_algo("SELL", price, "STOP_MARKET", quantity="0.01")
    statuses = []
    for _ in range(4):
        response = trader.send("POST", ALGO, **query)
        assert response is not None
        statuses.append(response.status)
    assert statuses == [200, 503, 200, 503]
    assert trader.order("BUY", "0.02")["status"] == "NEW"
    assert len(trader.get("/fapi/v1/openAlgoOrders")) == 2


@pytest.mark.parametrize("answer", [name for name, each in ANSWERS.items() if each.spares_reductions])
def test_reductions_are_spared_by_some_errors(answer: str) -> None:
    trader = Trader({"kind": "order_error", "at": "10s", "for": "1m", "answer": answer})
    trader.order("BUY", "0.02")
    resting = trader.order("BUY", "0.02", floored(trader.mark() * Decimal("0.98")))
    trader.later(20 * SECOND)
    assert trader.refused("BUY", "0.02")[0] == ANSWERS[answer].code
    assert trader.algo("SELL", floored(trader.mark() * Decimal("0.98")))["algoStatus"] == "NEW"
    assert trader.ask("DELETE", ORDER, **ONE, orderId=resting["orderId"])["status"] == "CANCELED"
    trader.order("SELL", "0.02", reduceOnly="true")
    assert trader.held() == 0


def test_accepted_order_may_be_hidden_from_queries_for_a_while() -> None:
    trader = Trader({"kind": "order_hidden", **NOW_FOR, "by": "20s", "path": "*/order"})
    trader.order("BUY", "0.02", floored(trader.mark() * Decimal("0.98")), newClientOrderId="a")
    assert found(trader, "a") == "none"
    assert len(trader.get("/fapi/v1/openOrders", **ONE)) == 1
    trader.later(20 * SECOND)
    assert found(trader, "a") == "none"
    trader.later(1)
    assert found(trader, "a") == "NEW"


def test_all_queries_may_hide_what_was_just_accepted() -> None:
    trader = Trader({"kind": "order_hidden", **NOW_FOR, "by": "20s"})
    price = floored(trader.mark() * Decimal("0.98"))
    placed, stop = trader.order("BUY", "0.02", price), trader.algo("SELL", price, quantity="0.01")
    for path in ("openOrders", "allOrders", "openAlgoOrders", "allAlgoOrders"):
        assert trader.get(f"/fapi/v1/{path}", **ONE) == []
    assert trader.refusal("GET", "/fapi/v1/openOrder", **ONE, orderId=placed["orderId"])[1] == -2013
    assert trader.refusal("GET", ALGO, algoId=stop["algoId"])[1] == -2013
    assert trader.ask("DELETE", ORDER, **ONE, orderId=placed["orderId"])["status"] == "CANCELED"
    trader.later(MINUTE)
    assert len(trader.get("/fapi/v1/allOrders", **ONE)) == len(trader.get("/fapi/v1/openAlgoOrders", **ONE)) == 1


def test_owner_trades_cancels_and_closes_beside_the_client() -> None:
    trader = Trader(
        {"kind": "owner_order", "at": "10s", "symbol": "BTCUSDT", "side": "SELL", "quantity": "0.05"},
        {"kind": "owner_cancel", "at": "20s", "symbol": "BTCUSDT"},
        {"kind": "owner_order", "at": "30s", "symbol": "BTCUSDT", "side": "BUY", "quantity": "0.01", "price": "80000"},
        {"kind": "owner_close", "at": "40s", "symbol": "BTCUSDT"},
    )
    trader.order("BUY", "0.02")
    trader.algo("BUY", floored(trader.mark() * Decimal("1.02")), quantity="0.01", reduceOnly="true")
    trader.listen()
    trader.heard(11 * SECOND)
    assert trader.held() == Decimal("-0.03")
    events = trader.heard(10 * SECOND)
    assert [(each["e"], each["o"]["X"]) for each in events] == [("ALGO_UPDATE", "CANCELED")]
    (new,) = trader.heard(10 * SECOND)
    assert (new["o"]["c"].startswith("web_"), new["o"]["p"]) == (True, "80000.00")
    trader.heard(10 * SECOND)
    assert trader.held() == 0
    assert trader.faulty.plan.applied == {"owner_order": 2, "owner_cancel": 1, "owner_close": 1}


def test_action_of_the_owner_repeats_and_may_have_no_effect() -> None:
    entry = {"kind": "owner_order", "at": "1m", "every": "1m", "symbol": "BTCUSDT", "side": "BUY", "quantity": "0.01"}
    trader = Trader(entry, {"kind": "owner_close", "at": "30s", "symbol": "BTCUSDT"})
    trader.later(3 * MINUTE + 30 * SECOND)
    assert trader.held() == Decimal("0.03")
    assert [row["time"] % MINUTE for row in trader.get("/fapi/v1/userTrades", **ONE)] == [25_123] * 3
    assert trader.faulty.plan.applied["owner_close without effect"] == 1


def test_money_is_moved_and_positions_are_deleveraged() -> None:
    trader = Trader(
        {"kind": "transfer", "at": "10s", "amount": "-2500.5"},
        {"kind": "deleverage", "at": "20s", "symbol": "BTCUSDT", "share": "0.5"},
    )
    trader.order("BUY", "0.02")
    trader.listen()
    (moved,) = trader.heard(11 * SECOND)
    assert (moved["a"]["m"], moved["a"]["B"][0]["bc"]) == ("WITHDRAW", "-2500.5")
    assert trader.balance() < Decimal("7499.5")
    events = trader.heard(10 * SECOND)
    assert names(events) == ["ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE"]
    assert trader.held() == Decimal("0.01")


def test_listen_key_expires_by_a_fault() -> None:
    trader = Trader({"kind": "key_expired", "at": "10s"})
    trader.listen()
    assert names(trader.heard(11 * SECOND)) == ["listenKeyExpired"]
    trader.order("BUY", "0.02")
    assert trader.heard(SECOND) == []
    assert trader.refusal("PUT", "/fapi/v1/listenKey")[1] == -1125


def heard(*faults: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the names and executions of what a client hears of a trade."""
    trader = Trader(*faults)
    trader.listen()
    trader.later(SECOND).order("BUY", "0.02")
    return [(each["e"], each.get("o", {}).get("x", "")) for each in trader.heard(MINUTE)]


def test_user_data_is_muted_duplicated_delayed_and_reordered() -> None:
    user = {**NOW_FOR, "stream": "user@*"}
    usual = heard()
    assert len(usual) == 4
    assert heard({"kind": "mute", **user}) == []
    assert heard({"kind": "mute", **user, "stream": "user@TRADE_LITE"}) == [usual[0], *usual[2:]]
    assert heard({"kind": "duplicate", **user}) == [each for each in usual for _ in range(2)]
    assert heard({"kind": "reorder", **user}) == [usual[1], usual[0], usual[3], usual[2]]
    late = {"kind": "delay", "by": "5s", **user, "stream": "user@ORDER_TRADE_UPDATE"}
    assert heard(late) == [usual[1], usual[2], usual[0], usual[3]]
    assert heard({"kind": "mute", **user, "stream": "*@kline_*"}) == usual


def test_user_data_connection_is_dropped_by_its_name() -> None:
    trader = Trader({"kind": "drop", "at": "10s", "stream": "user@*"})
    trader.listen()
    market = trader.faulty.connect("/market/ws/btcusdt@markPrice", trader.now)
    assert market is not None
    start = trader.now
    trader.heard(11 * SECOND)
    market.messages(start, trader.now)
    assert [each.closed for each in trader.faulty.connections] == [True, False]


def test_spot_refuses_faults_of_futures() -> None:
    with pytest.raises(SettingsError, match="concerns futures only"):
        exchange({"kind": "key_expired", "at": "1s"}, product=Product.SPOT)


def test_owner_of_an_unknown_symbol_is_refused() -> None:
    with pytest.raises(SettingsError, match="unknown symbol"):
        exchange({"kind": "owner_close", "at": "1s", "symbol": "ABCUSDT"})

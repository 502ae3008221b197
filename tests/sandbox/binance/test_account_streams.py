"""The user data stream of the sandbox exchange: listen keys, the order of events, filters, and muted connections."""

import json
from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.account.events import LAG
from tests.support.traders import NOW, Trader, floored

KEY = "/fapi/v1/listenKey"
ONE = {"symbol": "BTCUSDT"}


def names(events: list[Any]) -> list[str]:
    return [each["e"] for each in events]


def test_fill_is_reported_by_trade_account_and_order() -> None:
    trader = Trader()
    trader.listen()
    placed = trader.order("BUY", "0.02", newClientOrderId="mine")
    events = trader.heard(SECOND)
    assert names(events) == ["ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE"]
    new, lite, account, trade = events
    assert (new["o"]["x"], trade["o"]["x"], trade["o"]["X"]) == ("NEW", "TRADE", "FILLED")
    assert {each["T"] for each in events} == {NOW}
    assert {each["E"] for each in events} == {NOW + LAG}
    assert {new["o"]["i"], lite["i"], trade["o"]["i"]} == {placed["orderId"]}
    assert {new["o"]["c"], lite["c"], trade["o"]["c"]} == {"mine"}
    assert lite["t"] == trade["o"]["t"] == trader.get("/fapi/v1/userTrades", **ONE)[0]["id"]
    assert (account["a"]["m"], account["a"]["P"][0]["pa"]) == ("ORDER", "0.02")
    assert Decimal(account["a"]["B"][0]["wb"]) == trader.balance()
    assert Decimal(trade["o"]["n"]) == 10_000 - trader.balance()


def test_events_before_the_connection_are_not_sent() -> None:
    trader = Trader()
    trader.order("BUY", "0.02")
    trader.later(SECOND)
    trader.listen()
    assert trader.heard(SECOND) == []


def test_cancel_and_settings_are_reported() -> None:
    trader = Trader()
    trader.listen()
    placed = trader.order("BUY", "0.02", floored(trader.mark() * Decimal("0.98")))
    trader.ask("DELETE", "/fapi/v1/order", **ONE, orderId=placed["orderId"])
    trader.ask("POST", "/fapi/v1/leverage", **ONE, leverage=7)
    trader.ask("POST", "/fapi/v1/marginType", **ONE, marginType="ISOLATED")
    trader.ask("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")
    events = trader.heard(SECOND)
    assert names(events) == [*["ORDER_TRADE_UPDATE"] * 2, "ACCOUNT_CONFIG_UPDATE", "ACCOUNT_UPDATE"]
    assert events[1]["o"]["X"] == "CANCELED"
    assert events[2]["ac"] == {"s": "BTCUSDT", "l": 7}
    assert events[3]["a"]["m"] == "MARGIN_TYPE_CHANGE"


def test_connection_gets_only_the_events_that_it_names() -> None:
    trader = Trader()
    trader.listen("TRADE_LITE/ACCOUNT_UPDATE")
    trader.order("BUY", "0.02")
    assert names(trader.heard(SECOND)) == ["TRADE_LITE", "ACCOUNT_UPDATE"]
    assert trader.heard(2 * HOUR) == []  # not even the end of the key


def test_listen_key_is_one_and_is_extended() -> None:
    trader = Trader()
    key = trader.ask("POST", KEY)["listenKey"]
    assert len(key) == 64
    trader.later(59 * MINUTE)
    assert trader.ask("POST", KEY) == trader.ask("PUT", KEY) == {"listenKey": key}
    trader.later(59 * MINUTE)
    assert trader.ask("PUT", KEY) == {"listenKey": key}
    trader.later(HOUR)
    assert trader.refusal("PUT", KEY) == (400, -1125, "This listenKey does not exist.")
    assert trader.ask("POST", KEY)["listenKey"] != key


def test_expired_listen_key_is_reported_and_its_connection_stays_mute() -> None:
    trader = Trader()
    key = trader.listen()
    (event,) = trader.heard(HOUR + SECOND)
    assert (event["e"], event["listenKey"], event["E"]) == ("listenKeyExpired", key, str(NOW + HOUR + LAG))
    trader.order("BUY", "0.02")
    assert trader.heard(SECOND) == []
    trader.listen()
    trader.order("BUY", "0.02")
    assert trader.heard(SECOND)


def test_deleted_listen_key_gets_no_more_events() -> None:
    trader = Trader()
    trader.listen()
    assert trader.ask("DELETE", KEY) == {}
    trader.order("BUY", "0.02")
    assert trader.heard(SECOND) == []


def test_unknown_listen_key_is_accepted_and_stays_mute() -> None:
    trader = Trader()
    trader.ask("POST", KEY)
    connection = trader.faulty.connect("/private/ws?listenKey=wrong", NOW)
    assert connection is not None
    trader.order("BUY", "0.02")
    assert connection.messages(NOW, NOW + HOUR) == []


@pytest.mark.parametrize("path", ["/private/ws/{}", "/private/ws?listenKey={}", "/private/stream?streams={}"])
def test_listen_key_is_accepted_at_each_path(path: str) -> None:
    trader = Trader()
    key = trader.ask("POST", KEY)["listenKey"]
    connection = trader.faulty.connect(path.format(key), NOW)
    assert connection is not None
    trader.order("BUY", "0.02")
    said = [json.loads(each.text) for each in connection.messages(NOW, NOW + SECOND)]
    if "stream?" in path:
        assert {each["stream"] for each in said} == {key}
        said = [each["data"] for each in said]
    assert len(said) == 4
    assert names(said)[1] == "TRADE_LITE"


def test_each_connection_gets_all_events() -> None:
    trader = Trader()
    key = trader.listen()
    second = trader.faulty.connect(f"/private/ws?listenKey={key}", NOW)
    assert second is not None
    trader.order("BUY", "0.02")
    assert len(trader.heard(SECOND)) == len(second.messages(NOW, NOW + SECOND)) == 4


def test_events_do_not_depend_on_how_the_time_is_divided() -> None:
    def said(*steps: int) -> list[Any]:
        trader = Trader()
        trader.listen()
        trader.order("BUY", "0.02", floored(trader.mark() - 40))
        trader.order("SELL", "0.05", floored(trader.mark() + 40))
        trader.algo("SELL", floored(trader.mark() - 300), quantity="0.01")
        trader.algo("SELL", None, "TRAILING_STOP_MARKET", quantity="0.01", callbackRate="0.1")
        return [each for step in steps for each in trader.heard(step)]

    whole = said(50 * MINUTE)
    assert len(whole) > 12
    assert said(*[137 * SECOND] * 21, 50 * MINUTE - 21 * 137 * SECOND) == whole
    assert said(333, 77, *[MINUTE] * 49, MINUTE - 410) == whole

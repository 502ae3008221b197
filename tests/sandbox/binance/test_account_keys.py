"""Who may send a signed request to the sandbox exchange: keys, permissions, signatures, time stamps, order counts."""

import json

import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.sandbox.binance.account.keys import Permission, sign, signature_of
from ocw_mcp.sandbox.binance.exchange import Exchange, Request
from tests.support.sandbox_market import documented, simulated
from tests.support.traders import NOW, ORDER, Trader, stated

BALANCE = "/fapi/v3/balance"


def test_signed_request_of_the_first_key_is_answered() -> None:
    rows = Trader().get(BALANCE)
    assert [(row["asset"], row["balance"]) for row in rows] == [("USDT", "10000.00000000")]


@pytest.mark.parametrize("given", ["", "short", "!" * 64])
def test_key_of_another_form_is_refused(given: str) -> None:
    said = Trader().refusal("GET", BALANCE, headers={"x-mbx-apikey": given})
    assert said == (401, -2014, "API-key format invalid.")


def test_request_without_a_key_is_refused() -> None:
    assert Trader().refusal("GET", BALANCE, headers={})[:2] == (401, -2014)


def test_unknown_and_deleted_keys_are_refused() -> None:
    trader = Trader()
    text = "Invalid API-key, IP, or permissions for action"
    assert trader.refusal("GET", BALANCE, headers={"x-mbx-apikey": "a" * 64}) == (401, -2015, text)
    trader.api.keyring.remove(trader.key.key)
    assert trader.refusal("GET", BALANCE) == (401, -2015, text)


def test_key_for_reading_queries_and_cannot_trade() -> None:
    trader = Trader()
    trader.key = trader.api.keyring.add(frozenset({Permission.READING}), (), NOW)
    assert trader.get(BALANCE)
    assert trader.refused("BUY", "0.01")[0] == -2015
    assert trader.refusal("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=5)[1] == -2015


def test_key_for_one_address_works_from_there_only() -> None:
    trader = Trader()
    trader.key = trader.api.keyring.add(frozenset({Permission.READING}), ("10.0.0.1",), NOW)
    assert trader.refusal("GET", BALANCE)[1] == -2015


def test_permissions_of_a_key_are_reported() -> None:
    trader = Trader()
    path = "/sapi/v1/account/apiRestrictions"
    usual = trader.get(path)
    assert (usual["enableReading"], usual["enableFutures"], usual["enableSpotAndMarginTrading"]) == (True, True, True)
    assert (usual["enableWithdrawals"], usual["permitsUniversalTransfer"]) == (False, False)
    trader.key = trader.api.keyring.add(
        frozenset({Permission.READING, Permission.WITHDRAWALS, Permission.TRANSFERS}), (), NOW
    )
    wide = trader.get(path)
    assert (wide["enableWithdrawals"], wide["enableInternalTransfer"], wide["permitsUniversalTransfer"]) == (
        True,
        True,
        True,
    )
    assert documented("binance_net/Endpoints/Spot/Account/GetAPIKeyPermissions.txt").keys() <= wide.keys()


def test_signature_with_another_secret_is_refused() -> None:
    said = Trader().refusal("GET", BALANCE, secret="wrong")
    assert said == (400, -1022, "Signature for this request is not valid.")


def test_signature_covers_the_query_as_it_was_sent() -> None:
    trader = Trader()
    text = f"timestamp={NOW}&symbol=BTC%55SDT"  # %55 is U: the decoded query is the same, the text is not
    query = {"timestamp": str(NOW), "symbol": "BTCUSDT"}
    headers = {"x-mbx-apikey": trader.key.key}
    for signed, status in ((text, 200), (f"timestamp={NOW}&symbol=BTCUSDT", 400)):
        signature = sign(trader.key.secret, signed)
        sent = f"{text}&signature={signature}"
        request = Request("GET", "/fapi/v1/openOrders", query | {"signature": signature}, headers, text=sent)
        response = trader.faulty.handle(request, NOW)
        assert response is not None
        assert response.status == status


@pytest.mark.parametrize(
    ("text", "body", "signed"),
    [
        ("a=1&b=2&signature=x", "", "a=1&b=2"),
        ("", "a=1&b=2&signature=x", "a=1&b=2"),
        ("a=1", "b=2&signature=x", "a=1b=2"),
        ("signature=x", "a=1", "a=1"),
        ("signature=x&a=1", "", "&a=1"),
    ],
)
def test_signed_text_is_the_query_and_then_the_body(text: str, body: str, signed: str) -> None:
    assert signature_of(text, body) == (signed, "x")


def test_request_without_signature_or_time_stamp_is_refused() -> None:
    trader = Trader()
    headers = {"x-mbx-apikey": trader.key.key}
    for query, name in (({"timestamp": str(NOW)}, "signature"), ({"recvWindow": "5000"}, "timestamp")):
        response = trader.faulty.handle(Request("GET", BALANCE, query, headers), NOW)
        assert response is not None
        text = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
        assert (response.status, json.loads(response.body)) == (400, {"code": -1102, "msg": text})


@pytest.mark.parametrize(
    ("late", "window", "code"),
    [
        (0, None, None),
        (5 * SECOND, None, None),
        (5 * SECOND + 1, None, -1021),
        (SECOND, 999, -1021),
        (MINUTE, MINUTE, None),
        (0, MINUTE + 1, -1131),
        (-999, None, None),
        (-SECOND, None, -1021),
    ],
)
def test_time_stamp_has_to_be_within_the_window(late: int, window: int | None, code: int | None) -> None:
    trader = Trader()
    query = {"timestamp": NOW - late} | ({} if window is None else {"recvWindow": window})
    if code is None:
        assert trader.get(BALANCE, **query)
    else:
        assert trader.refusal("GET", BALANCE, **query)[1] == code


def test_wrong_clock_of_the_exchange_refuses_true_time_stamps() -> None:
    trader = Trader({"kind": "skew", "at": "0s", "for": "1m", "by": "30s"})
    text = "Timestamp for this request is outside of the recvWindow."
    assert trader.refusal("GET", BALANCE) == (400, -1021, text)
    assert trader.get(BALANCE, timestamp=NOW + 30 * SECOND)


def test_new_orders_are_counted_and_limited() -> None:
    trader = Trader()
    query = stated("BUY", "0.0001")  # a refused order counts, too
    for number in range(1, 301):
        response = trader.send("POST", ORDER, **query)
        assert response is not None
        assert response.status == 400
        assert response.headers["X-MBX-ORDER-COUNT-10S"] == response.headers["X-MBX-ORDER-COUNT-1M"] == str(number)
        assert response.headers["X-MBX-USED-WEIGHT-1M"] == "0"
    text = "Too many new orders; current limit is 300 orders per 10 SECOND."
    assert trader.refusal("POST", ORDER, **query) == (429, -1015, text)
    trader.later(10 * SECOND)
    assert trader.refusal("POST", ORDER, **query)[1] == -1111


def test_orders_of_a_minute_are_limited() -> None:
    trader = Trader()
    trader.now += MINUTE - trader.now % MINUTE
    for _ in range(4):
        for _ in range(300):
            trader.send("POST", ORDER, **stated("BUY", "0.0001"))
        trader.later(10 * SECOND)
    text = "Too many new orders; current limit is 1200 orders per 1 MINUTE."
    assert trader.refusal("POST", ORDER, **stated("BUY", "0.0001")) == (429, -1015, text)
    assert trader.get("/fapi/v1/rateLimit/order")[1]["limit"] == 1200


@pytest.mark.parametrize(
    ("method", "path", "query", "weight"),
    [
        ("GET", "/fapi/v1/openOrders", {"symbol": "BTCUSDT"}, 1),
        ("GET", "/fapi/v1/openOrders", {}, 40),
        ("GET", "/fapi/v1/openAlgoOrders", {}, 40),
        ("GET", "/fapi/v3/account", {}, 5),
        ("GET", "/fapi/v1/income", {}, 30),
        ("GET", "/fapi/v1/positionSide/dual", {}, 30),
        ("POST", "/fapi/v1/listenKey", {}, 1),
        ("POST", "/fapi/v1/order", stated("BUY", "0.01"), 0),
        ("GET", "/fapi/v1/userTrades", {"symbol": "BTCUSDT"}, 5),
    ],
)
def test_signed_requests_have_the_documented_weight(
    method: str, path: str, query: dict[str, object], weight: int
) -> None:
    response = Trader().send(method, path, **query)
    assert response is not None
    assert response.status == 200
    assert response.headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


def test_spot_has_no_paths_of_futures() -> None:
    assert Exchange(simulated(Product.SPOT)).handle(Request("GET", BALANCE, {}), NOW).status == 404

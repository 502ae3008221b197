"""Faults on the REST requests of the sandbox exchange, and faults that are added while it runs."""

import json
from typing import Any

import pytest

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.sandbox.binance.exchange import Request, Response
from ocw_mcp.sandbox.binance.faults import MOST_FAULTS, Fault
from ocw_mcp.sandbox.binance.faulty import FaultyExchange
from tests.support.exchange import NOW, exchange, opened

TIME, INFO = "/fapi/v1/time", "/fapi/v1/exchangeInfo"
BEGIN, END = NOW + MINUTE, NOW + 2 * MINUTE
"""The fault of each test is active from `BEGIN` to `END`."""


def fault(kind: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "at": "1m", "for": "1m"} | more


def get(faulty: FaultyExchange, at: int, path: str = TIME) -> Response:
    response = faulty.handle(Request("GET", path), at)
    assert response is not None
    return response


def said(faulty: FaultyExchange, at: int, path: str = TIME) -> Any:
    return json.loads(get(faulty, at, path).body)


def test_error_has_the_status_and_code_of_the_script() -> None:
    faulty = exchange(fault("error", status=502, code=-1001, msg="Internal error", path="/fapi/v1/exchange*"))
    assert [get(faulty, at, INFO).status for at in (BEGIN - 1, BEGIN, END - 1, END)] == [200, 502, 502, 200]
    assert said(faulty, BEGIN, INFO) == {"code": -1001, "msg": "Internal error"}
    assert get(faulty, BEGIN, TIME).status == 200


def test_ban_answers_418_with_its_end_on_every_path() -> None:
    faulty = exchange(fault("ban"))
    assert [get(faulty, at).status for at in (BEGIN - 1, BEGIN, END - 1, END)] == [200, 418, 418, 200]
    error = said(faulty, BEGIN + SECOND, INFO)
    assert error["code"] == -1003
    assert f"banned until {END}" in error["msg"]


@pytest.mark.parametrize(("product", "named"), [(Product.UM, False), (Product.SPOT, True)])
@pytest.mark.parametrize(("kind", "status"), [("limit", 429), ("ban", 418)])
def test_only_spot_names_the_seconds_to_wait(kind: str, status: int, product: Product, named: bool) -> None:
    response = get(exchange(fault(kind), product=product), BEGIN, "/api/v3/time")
    assert response.status == status
    assert response.headers.get("Retry-After") == ("60" if named else None)


def test_skew_changes_the_time_that_the_exchange_reports() -> None:
    faulty = exchange(fault("skew", by="-2s"))
    assert [said(faulty, at)["serverTime"] - at for at in (BEGIN - 1, BEGIN, END)] == [0, -2_000, 0]


def test_refused_requests_have_no_answer_if_the_fault_includes_rest() -> None:
    assert exchange(fault("refuse", rest=True)).handle(Request("GET", TIME), BEGIN) is None
    assert exchange(fault("refuse")).handle(Request("GET", TIME), BEGIN) is not None


def filters(faulty: FaultyExchange, at: int) -> dict[str, str]:
    (symbol,) = (each for each in said(faulty, at, INFO)["symbols"] if each["symbol"] == "ETHUSDT")
    found = {each["filterType"]: each for each in symbol["filters"]}
    return {"tick": found["PRICE_FILTER"]["tickSize"], "step": found["LOT_SIZE"]["stepSize"]}


def test_filters_change_at_their_time() -> None:
    faulty = exchange({"kind": "filters", "at": "1m", "symbol": "ETHUSDT", "tick": "0.05", "step": "0.1"})
    before, after = filters(faulty, BEGIN - 1), filters(faulty, BEGIN)
    assert before != after
    assert (float(after["tick"]), float(after["step"])) == (0.05, 0.1)


def test_fault_of_an_unknown_symbol_is_refused() -> None:
    with pytest.raises(SettingsError, match="unknown symbol; expected one of BTCUSDT, ETHUSDT"):
        exchange({"kind": "filters", "at": "1m", "symbol": "NOSUCHUSDT", "tick": "1"})


def test_fault_added_while_running_begins_at_once() -> None:
    faulty = exchange()
    faulty.add_fault({"kind": "ban", "for": "10s"}, BEGIN)
    assert [get(faulty, at).status for at in (BEGIN, BEGIN + 1, BEGIN + 10 * SECOND, BEGIN + 10 * SECOND + 1)] == [
        200,
        418,
        418,
        200,
    ]


def test_drop_added_while_running_ends_an_open_connection() -> None:
    faulty = exchange()
    connection = opened(faulty, "/market/ws/btcusdt@markPrice@1s")
    assert len(connection.messages(NOW, BEGIN)) == 60
    faulty.add_fault({"kind": "drop"}, BEGIN)
    (end,) = connection.messages(BEGIN, BEGIN + 100)
    assert end.code == 1006


def test_requests_to_unknown_paths_are_counted_together() -> None:
    faulty = exchange()
    for number in range(100):
        get(faulty, NOW, f"/nothing/{number}")
    assert faulty.counters(NOW)["requests"] == {"other paths 404": 100}


def test_more_faults_than_fit_are_refused() -> None:
    faulty = exchange(*[Fault("drop", 1)] * MOST_FAULTS)
    with pytest.raises(SettingsError, match="the most that fit"):
        faulty.add_fault({"kind": "drop"}, NOW)


def test_requests_are_counted_by_path_and_status() -> None:
    faulty = exchange(fault("ban"))
    for at in (NOW, NOW + 1, BEGIN):
        get(faulty, at)
    assert faulty.counters(BEGIN)["requests"] == {f"{TIME} 200": 2, f"{TIME} 418": 1}

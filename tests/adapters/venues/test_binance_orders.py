"""Orders of futures as requests, and their answers."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.adapters.venues.binance.orders import Placed, cancel_request, cancelled, place_request, placed
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Order, Purpose, Side, TriggerBy
from tests.support.binance_account import BOOK, order

ENTRY, STOP, TARGET, EXIT = Purpose.ENTRY, Purpose.STOP, Purpose.TARGET, Purpose.EXIT
SELL = Side.SELL
USUAL = {"symbol": "BTCUSDT", "newOrderRespType": "RESULT"}
ALGO = {"symbol": "BTCUSDT", "side": "SELL", "algoType": "CONDITIONAL"}


@pytest.mark.parametrize(
    ("sent", "params"),
    [
        (order(quantity="0.0100"), {"side": "BUY", "type": "MARKET", "quantity": "0.01"}),
        (order(EXIT, SELL), {"side": "SELL", "type": "MARKET", "quantity": "0.01", "reduceOnly": "true"}),
        (
            order(limit_price="1E+5"),
            {"side": "BUY", "type": "LIMIT", "quantity": "0.01", "price": "100000", "timeInForce": "GTC"},
        ),
    ],
)
def test_order_states_its_numbers_without_an_exponent(sent: Order, params: dict[str, str]) -> None:
    request = place_request(sent, BOOK)
    name = {"newClientOrderId": f"ocw-abc234-1-{sent.ref.leg}-0"}
    assert (request.method, request.path, request.params) == ("POST", "/fapi/v1/order", USUAL | params | name)
    assert (request.weight, request.orders) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "params"),
    [
        ({}, {"workingType": "MARK_PRICE", "quantity": "0.01", "reduceOnly": "true"}),
        ({"trigger_by": TriggerBy.MARK}, {"workingType": "MARK_PRICE", "quantity": "0.01", "reduceOnly": "true"}),
        ({"trigger_by": TriggerBy.LAST}, {"workingType": "CONTRACT_PRICE", "quantity": "0.01", "reduceOnly": "true"}),
        ({"close_position": True}, {"workingType": "MARK_PRICE", "closePosition": "true"}),
    ],
)
@pytest.mark.parametrize(("purpose", "kind"), [(STOP, "STOP_MARKET"), (TARGET, "TAKE_PROFIT_MARKET")])
def test_conditional_order_is_an_algo_order(
    changes: dict[str, Any], params: dict[str, str], purpose: Purpose, kind: str
) -> None:
    request = place_request(order(purpose, SELL, trigger_price="90000.50", **changes), BOOK)
    own = {"type": kind, "triggerPrice": "90000.5", "clientAlgoId": f"ocw-abc234-1-{purpose}-0"}
    assert (request.path, request.params) == ("/fapi/v1/algoOrder", ALGO | own | params)


def test_cancel_names_the_client_id() -> None:
    plain, algo = cancel_request(order(n=7), BOOK), cancel_request(order(STOP, SELL, n=7, trigger_price="1"), BOOK)
    assert (plain.path, plain.params) == (
        "/fapi/v1/order",
        {"symbol": "BTCUSDT", "origClientOrderId": "ocw-abc234-7-e-0"},
    )
    assert (algo.path, algo.params) == ("/fapi/v1/algoOrder", {"clientAlgoId": "ocw-abc234-7-s-0"})
    assert (plain.method, algo.method) == ("DELETE", "DELETE")


@pytest.mark.parametrize(
    ("said", "is_done"),
    [
        ({"code": "200", "msg": "success"}, True),
        ({"code": 200, "msg": "success"}, True),
        ({"algoStatus": "CANCELED"}, True),
        ({"code": "-2011"}, False),
        ({"algoStatus": "NEW"}, False),
        ({}, False),
    ],
)
def test_cancel_of_an_algo_order_is_answered_by_code_or_state(said: dict[str, Any], is_done: bool) -> None:
    body = json.dumps({"algoId": 3358, "clientAlgoId": "ocw-abc234-1-s-0", **said}).encode()
    done = Placed("3358", "ocw-abc234-1-s-0", "CANCELED", ZERO) if is_done else None
    assert cancelled(order(STOP, SELL, trigger_price="1"), BOOK, body) == done


def test_answer_about_another_order_proves_nothing() -> None:
    body = b'{"orderId":1,"clientOrderId":"ocw-abc234-2-e-0","status":"NEW","executedQty":"0"}'
    assert placed(order(), BOOK, body) is None
    assert cancelled(order(), BOOK, body) is None
    assert placed(order(n=2), BOOK, body) is not None


DOCUMENTED = Path(__file__).resolve().parents[3].parent / "shared/fixtures/binance_net/Endpoints/UsdFutures/Trading"


@pytest.mark.parametrize(
    ("name", "number"),
    [("PlaceOrder", "22542179"), ("PlaceConditionalOrder", "2146760"), ("CancelConditionalOrder", "3000000000003505")],
)
def test_documented_answer_is_read(name: str, number: str) -> None:
    path = DOCUMENTED / f"{name}.txt"
    if not path.is_file():
        pytest.skip("the fixtures are not beside this checkout (expected ../shared/fixtures)")
    text = path.read_text(encoding="utf-8")
    ours = re.sub(r'("client(?:Order|Algo)Id": ")[^"]*', rf"\g<1>ocw-abc234-1-{'s' if 'Cond' in name else 'e'}-0", text)
    body = ours[ours.index("{") : ours.rindex("}") + 1].encode()
    sent = order(STOP, SELL, trigger_price="1") if "Cond" in name else order()
    found = (cancelled if name.startswith("Cancel") else placed)(sent, BOOK, body)
    assert found is not None
    assert found.venue_order_id == number

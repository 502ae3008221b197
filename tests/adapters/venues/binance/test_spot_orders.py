"""Orders of spot: what is sent, what the exchange makes of it, and what is reported, with fees in the bought asset."""

import json
from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.adapters.venues.binance.spot import orders as spot
from ocw_mcp.adapters.venues.binance.spot.names import SpotIdentities
from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.orders import (
    AccountSeen,
    Filled,
    Order,
    OrderRef,
    OutsideFill,
    Purpose,
    Rejected,
    Side,
    ref_of,
)
from tests.support.binance_venue import BOOK, BTC
from tests.support.spot_venue import CALM, SpotRig, moving, on_spot, order

D = Decimal
SELL, STOP, TARGET, EXIT = Side.SELL, Purpose.STOP, Purpose.TARGET, Purpose.EXIT
NAME = f"ocw-{BOOK}-1-e-0"


def params(which: Order) -> dict[str, Any]:
    """Return what is sent for an order, without what all orders have."""
    request = spot.place_request(which, BOOK)
    assert (request.method, request.weight) == ("POST", 1)
    return {
        name: value for name, value in request.params.items() if name not in ("symbol", "newOrderRespType", "quantity")
    }


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (order(), {"side": "BUY", "type": "MARKET"}),
        (order(limit_price="900"), {"side": "BUY", "type": "LIMIT", "price": "900", "timeInForce": "GTC"}),
        (
            order(limit_price="900", immediate=True),
            {"side": "BUY", "type": "LIMIT", "price": "900", "timeInForce": "IOC"},
        ),
        (order(limit_price="900", post_only=True), {"side": "BUY", "type": "LIMIT_MAKER", "price": "900"}),
        (order(SELL, purpose=EXIT), {"side": "SELL", "type": "MARKET"}),
        (order(SELL, purpose=STOP, trigger_price="900"), {"side": "SELL", "type": "STOP_LOSS", "stopPrice": "900"}),
        (
            order(SELL, purpose=TARGET, trigger_price="1100"),
            {"side": "SELL", "type": "TAKE_PROFIT", "stopPrice": "1100"},
        ),
    ],
    ids=["market", "limit", "immediate", "post-only", "exit", "stop", "target"],
)
def test_each_type_of_order_is_stated_as_spot_documents_it(which: Order, expected: dict[str, Any]) -> None:
    assert params(which) == expected | {"newClientOrderId": which.ref.client_id(BOOK)}


def test_stop_with_a_target_is_stated_as_a_list_of_two_orders() -> None:
    which = order(SELL, purpose=STOP, trigger_price="900", take_at="1100")
    name = f"ocw-{BOOK}-1-s-0"
    request = spot.place_request(which, BOOK)
    assert (request.path, request.orders) == ("/api/v3/orderList/oco", 2)
    assert params(which) == {
        "side": "SELL",
        "listClientOrderId": name,
        "belowType": "STOP_LOSS",
        "belowStopPrice": "900",
        "belowClientOrderId": f"{name}-s",
        "aboveType": "LIMIT_MAKER",
        "abovePrice": "1100",
        "aboveClientOrderId": f"{name}-t",
    }
    cancel = spot.cancel_request(which, BOOK)
    assert (cancel.path, dict(cancel.params)) == (
        "/api/v3/orderList",
        {"symbol": BTC, "listClientOrderId": name},
    )


def test_order_that_closes_a_position_is_never_sent_to_spot() -> None:
    with pytest.raises(InvariantError, match="orders of spot cannot"):
        spot.place_request(order(SELL, purpose=STOP, trigger_price="900", close_position=True), BOOK)


def test_client_id_of_a_list_that_would_be_too_long_is_never_sent() -> None:
    which = order(SELL, purpose=STOP, trigger_price="900", take_at="1100", n=10**17, revision=10**8)
    with pytest.raises(InvariantError, match="the exchange takes 36"):
        spot.place_request(which, BOOK)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"orderId": 7, "clientOrderId": NAME, "status": "PENDING_NEW"}, ("7", "NEW", 0)),
        ({"orderId": 7, "clientOrderId": NAME, "status": "FILLED", "executedQty": "1"}, ("7", "FILLED", 1)),
        ({"orderId": 7, "clientOrderId": "web_1", "status": "NEW"}, None),
        ({"orderId": 7}, None),
        ([], None),
    ],
)
def test_answer_to_an_order_is_believed_only_if_it_is_of_that_order(body: Any, expected: Any) -> None:
    found = spot.placed(order(), BOOK, json.dumps(body).encode())
    assert (None if found is None else (found.venue_order_id, found.status, found.executed)) == expected


def test_answer_to_a_cancel_names_the_order_by_its_original_id() -> None:
    body = {"orderId": 7, "clientOrderId": "cancel7", "origClientOrderId": NAME, "status": "CANCELED"}
    found = spot.cancelled(order(), BOOK, json.dumps(body).encode())
    assert found is not None
    assert (found.client_id, found.status) == (NAME, "CANCELED")
    assert spot.cancelled(order(n=2), BOOK, json.dumps(body).encode()) is None


def test_purchase_reports_the_fee_that_it_was_charged_in_the_base_asset() -> None:
    async def use(rig: SpotRig) -> None:
        ref = await rig.send(order())
        await rig.until(lambda: rig.filled(ref))
        (fill,) = rig.of(Filled)
        assert rig.about(ref) == ["Accepted", "Filled"]
        assert (fill.quantity, fill.base_fee, fill.fee_asset, fill.fee_amount) == (
            D("0.02"),
            D("0.00002"),
            "BTC",
            D("0.00002"),
        )
        assert fill.fee == fill.base_fee * fill.price
        assert rig.held() == fill.quantity - fill.base_fee
        sale = await rig.send(order(SELL, "0.019", EXIT, n=2))
        await rig.until(lambda: rig.filled(sale))
        fill = rig.of(Filled)[-1]
        assert (fill.base_fee, fill.fee_asset) == (D(0), "")
        assert fill.fee == fill.quantity * fill.price * D("0.001")
        await rig.later(32)
        assert {each.asset: each.total for each in rig.seen.balances} == rig.account.totals
        assert rig.seen.positions == ()

    on_spot(use)


def test_resting_order_fills_as_a_maker_and_another_expires() -> None:
    async def use(rig: SpotRig) -> None:
        ref = await rig.send(order(limit_price="999.0", quantity="1", post_only=True))
        ioc = await rig.send(order(limit_price="950", quantity="1", immediate=True, n=2))
        await rig.later(1)
        assert rig.about(ioc) == ["Accepted", "Canceled"]
        await rig.until(lambda: rig.filled(ref) == 1)
        assert {each.maker for each in rig.of(Filled)} == {True}

    on_spot(use, on=moving(990.0, 990.0), now=CALM)


@pytest.mark.parametrize(("purpose", "trigger", "end"), [(STOP, "980", 970.0), (TARGET, "1020", 1_030.0)])
def test_stop_and_target_trigger_and_fill(purpose: Purpose, trigger: str, end: float) -> None:
    async def use(rig: SpotRig) -> None:
        await rig.send(order(quantity="2"))
        await rig.later(1)
        ref = await rig.send(order(SELL, "1.9", purpose, trigger_price=trigger))
        await rig.until(lambda: rig.filled(ref) == D("1.9"))
        await rig.later(1)
        assert rig.about(ref)[0] == "Accepted"
        assert set(rig.about(ref)) == {"Accepted", "Filled"}

    on_spot(use, on=moving(end), now=CALM)


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        (order(quantity="1000"), "INSUFFICIENT_BALANCE"),
        (order(SELL, purpose=EXIT), "INSUFFICIENT_BALANCE"),
        (order(quantity="0.00000001"), "FILTER"),
        (order(limit_price="1001", quantity="1", post_only=True), "WOULD_TAKE"),
        (order(limit_price="10", quantity="1"), "FILTER"),
        (order(quantity="0.001"), "MIN_NOTIONAL"),
        (order(SELL, "1", STOP, trigger_price="1100"), "WOULD_TRIGGER_IMMEDIATELY"),
        (order(SELL, "1", STOP, trigger_price="900", take_at="990"), "WOULD_TRIGGER_IMMEDIATELY"),
    ],
)
def test_refusal_of_the_exchange_is_reported_with_our_reason(which: Order, reason: str) -> None:
    async def use(rig: SpotRig) -> None:
        ref = await rig.send(which)
        assert rig.about(ref) == [f"Rejected {reason}"]
        assert not rig.account.orders

    on_spot(use, on=moving(1000.0), now=CALM)


def test_sale_of_what_the_account_does_not_have_lets_the_account_be_read() -> None:
    async def use(rig: SpotRig) -> None:
        await rig.later(20)
        before = len(rig.of(AccountSeen))
        await rig.send(order(SELL, purpose=EXIT))
        await rig.until(lambda: len(rig.of(AccountSeen)) > before, 2)

    on_spot(use)


def test_cancelled_order_is_reported_once_with_its_fills_first() -> None:
    async def use(rig: SpotRig) -> None:
        ref = await rig.send(order(limit_price=rig.price("0.95")))
        await rig.later(1)
        await rig.venue.cancel(ref, rig.now)
        await rig.later(5)
        assert rig.about(ref) == ["Accepted", "Canceled"]
        await rig.venue.cancel(ref, rig.now)
        await rig.later(5)
        assert rig.about(ref).count("Canceled") == 1

    on_spot(use)


def test_cancel_of_a_filled_order_reports_the_fill() -> None:
    async def use(rig: SpotRig) -> None:
        rig.fault("mute", **{"for": "1h", "stream": "user@*"})
        ref = await rig.send(order())
        await rig.venue.cancel(ref, rig.now)
        await rig.until(lambda: rig.filled(ref) == D("0.02"), 5)
        assert "CancelRefused" in rig.about(ref)
        assert "Canceled" not in rig.about(ref)

    on_spot(use)


def test_trade_of_the_owner_is_reported_and_explains_the_balance() -> None:
    async def use(rig: SpotRig) -> None:
        rig.fault("owner_order", symbol=BTC, side="BUY", quantity="0.01")
        await rig.until(lambda: rig.of(OutsideFill), 3)
        (fill,) = rig.of(OutsideFill)
        assert (fill.side, fill.quantity, fill.base_fee) == (Side.BUY, D("0.01"), D("0.00001"))
        await rig.later(35)
        assert rig.notices() == []
        assert {each.asset: each.total for each in rig.seen.balances}["BTC"] == D("0.00999")

    on_spot(use)


def test_order_of_the_owner_is_seen_and_can_be_cancelled() -> None:
    async def use(rig: SpotRig) -> None:
        rig.account.owner_order(BTC, "BUY", D("0.01"), rig.price("0.95"), rig.now)
        await rig.later(35)
        (found,) = rig.seen.orders
        assert (found.ref, found.type, found.reduces) == (None, "LIMIT", False)
        await rig.venue.cancel_foreign(found, rig.now)
        await rig.until(lambda: rig.seen.orders == (), 5)
        assert not rig.account.open

    on_spot(use)


@pytest.mark.parametrize("text", ["ocw-abc234-1-s-0-s", "ocw-abc234-1-s-0-t", "ocw-abc234-1-s-0"])
def test_each_id_of_a_list_names_its_order_and_only_there(text: str) -> None:
    assert SpotIdentities("abc234").ref(text) == OrderRef(1, STOP)
    assert SpotIdentities("zzzzzz").ref(text) is None
    assert (ref_of(text, "abc234") is None) == (not text.endswith("0"))


def test_rejection_carries_the_text_of_the_exchange() -> None:
    async def use(rig: SpotRig) -> None:
        await rig.send(order(quantity="1000"))
        (rejected,) = rig.of(Rejected)
        assert rejected.text == "Account has insufficient balance for requested action. (-2010)"

    on_spot(use)

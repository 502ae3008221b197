"""Payloads of the account as reports, without an exchange; also those that are documented by others."""

import json
from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.adapters.venues.binance.fees import FeeValues
from ocw_mcp.adapters.venues.binance.identities import Identities, Identity, outside_cause
from ocw_mcp.adapters.venues.binance.rest_wire import (
    AlgoRow,
    IncomeRow,
    OrderRow,
    PositionRow,
    SymbolConfig,
    TradeRow,
    UnreadableAnswer,
    decode,
)
from ocw_mcp.adapters.venues.binance.translation import (
    ImpossibleTrade,
    algo_reports,
    income_reports,
    order_reports,
    row_reports,
    trade_report,
    traded,
)
from ocw_mcp.adapters.venues.binance.user_wire import (
    AccountUpdate,
    AlgoUpdate,
    ConfigUpdate,
    KeyExpired,
    MarginCall,
    OrderEvent,
    OrderUpdate,
    UnreadableEvent,
    decode_event,
)
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    Filled,
    FundingPaid,
    OrderRef,
    OutsideCause,
    OutsideFill,
    Purpose,
    Rejected,
    RejectReason,
    Side,
    Transferred,
    Triggered,
    VenueNotice,
    ref_of,
)
from tests.support.exchange import recorded

D = Decimal
REF = OrderRef(3, Purpose.ENTRY)
OURS, THEIRS = Identity("ocw-abc234-3-e-0", REF), Identity("web_1", None)
ORDER = {
    "s": "BTCUSDT", "c": "ocw-abc234-3-e-0", "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "0.02", "p": "80000",
    "x": "NEW", "X": "NEW", "i": 77, "l": "0", "z": "0", "L": "0", "T": 5_000, "t": 0, "m": False, "ot": "LIMIT",
}  # fmt: skip
TRADE = {
    "x": "TRADE",
    "X": "PARTIALLY_FILLED",
    "t": 9,
    "l": "0.01",
    "L": "80000.1",
    "z": "0.01",
    "n": "0.4",
    "N": "USDT",
}
ALGO = {
    "caid": "ocw-abc234-3-s-1", "aid": 2148719, "o": "STOP_MARKET", "s": "BTCUSDT", "S": "SELL", "q": "0.02",
    "X": "NEW", "ai": "", "cp": False,
}  # fmt: skip


def event(name: str, **body: Any) -> Any:
    return decode_event(json.dumps({"e": name, "E": "6000", "T": 5_000} | body))


def order(**changes: Any) -> OrderEvent:
    found = event("ORDER_TRADE_UPDATE", o=ORDER | changes)
    assert isinstance(found, OrderUpdate)
    return found.order


def algo(**changes: Any) -> Any:
    found = event("ALGO_UPDATE", o=ALGO | changes)
    assert isinstance(found, AlgoUpdate)
    return found.order


def test_client_id_and_reference_are_two_forms_of_one_name() -> None:
    for ref in (OrderRef(1, Purpose.ENTRY), OrderRef(123456, Purpose.STOP, 12), OrderRef(7, Purpose.EXIT, 1)):
        assert ref_of(ref.client_id("abc234"), "abc234") == ref
        assert ref_of(ref.client_id("abc234"), "zzz999") is None


@pytest.mark.parametrize(
    "text", ["", "web_1", "ocw-abc234-", "ocw-abc234-1-e", "ocw-abc234-01-e-0", "ocw-abc234-1-q-0", "ocw-abc234-1-e-0x"]
)
def test_other_client_ids_name_no_order(text: str) -> None:
    assert ref_of(text, "abc234") is None


def test_trade_of_an_order_of_the_book_is_a_fill() -> None:
    trade = traded(order(**TRADE, m=True))
    assert trade is not None
    fill = Filled(REF, "9", D("0.01"), D("80000.1"), D("0.4"), 5_000, True)
    assert trade_report(OURS, trade, FeeValues()) == fill


def test_state_of_an_order_alone_is_no_fill() -> None:
    assert traded(order(x="NEW", X="FILLED", z="0.02")) is None
    assert order_reports(order(x="AMENDMENT", X="PARTIALLY_FILLED", z="0.02"), REF) == []
    row = decode(json.dumps(row_of(status="FILLED", executedQty="0.02")).encode(), OrderRow, "order")
    assert row_reports(row, REF) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Accepted(REF, "77")),
        ({"ot": "STOP_MARKET", "o": "MARKET"}, Triggered(REF, "77")),
        ({"x": "CANCELED", "X": "CANCELED"}, Canceled(REF, "it was cancelled", D(0))),
        ({"x": "EXPIRED", "X": "EXPIRED"}, Canceled(REF, "what was left of it expired", D(0))),
        (
            {"x": "EXPIRED", "X": "EXPIRED_IN_MATCH"},
            Canceled(REF, "it would have traded with an order of the same account", D(0)),
        ),
        (
            {"x": "REJECTED", "X": "REJECTED", "rm": "Margin is insufficient."},
            Rejected(REF, RejectReason.INSUFFICIENT_MARGIN, "Margin is insufficient."),
        ),
    ],
)
def test_order_event_is_reported_as_the_state_of_the_order(changes: dict[str, Any], expected: Any) -> None:
    assert order_reports(order(**changes), REF) == [expected]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [Accepted(REF, "2148719")]),
        ({"X": "TRIGGERING"}, []),
        ({"X": "TRIGGERED", "ai": "88"}, [Triggered(REF, "88")]),
        ({"X": "FINISHED", "ai": "88", "aq": "0.02"}, [Triggered(REF, "88")]),
        (
            {"X": "FINISHED", "ai": "88", "aq": "0.01"},
            [Triggered(REF, "88"), Canceled(REF, "it triggered, and what was left of it is over")],
        ),
        (
            {"X": "FINISHED", "ai": "88", "aq": "0.03", "q": "0", "cp": True},
            [Triggered(REF, "88"), Canceled(REF, "it triggered, and what was left of it is over")],
        ),
        ({"X": "CANCELED"}, [Canceled(REF, "it was cancelled")]),
        ({"X": "EXPIRED", "cp": True}, [Canceled(REF, "the position that it would have closed has ended")]),
        (
            {"X": "REJECTED", "rm": "ReduceOnly Order is rejected."},
            [Rejected(REF, RejectReason.REDUCE_ONLY, "ReduceOnly Order is rejected.")],
        ),
    ],
)
def test_algo_event_is_reported_as_the_state_of_the_order(changes: dict[str, Any], expected: Any) -> None:
    found = algo(**changes)
    assert algo_reports(found, REF, found.reason) == expected


@pytest.mark.parametrize(
    ("client_id", "cause"),
    [
        ("autoclose-1596107620040000020", OutsideCause.LIQUIDATION),
        ("adl_autoclose", OutsideCause.DELEVERAGING),
        ("adl_autoclose_12345", OutsideCause.DELEVERAGING),
        ("settlement_autoclose-9999", OutsideCause.ENDED),
        ("delivery_autoclose-12345", OutsideCause.ENDED),
        ("web_1", OutsideCause.OTHER_TRADER),
        ("ocw-zzz999-1-e-0", OutsideCause.OTHER_TRADER),
        ("", OutsideCause.OTHER_TRADER),
    ],
)
def test_client_id_of_a_foreign_order_gives_the_cause(client_id: str, cause: OutsideCause) -> None:
    assert outside_cause(client_id) is cause


def test_trade_of_another_order_is_an_outside_fill() -> None:
    trade = traded(order(**TRADE, S="SELL"))
    assert trade is not None
    found = trade_report(THEIRS, trade, FeeValues())
    side, cause = Side.SELL, OutsideCause.OTHER_TRADER
    assert found == OutsideFill("9", "BTCUSDT", side, D("0.01"), D("80000.1"), D("0.4"), 5_000, cause)


@pytest.mark.parametrize("values", [{"l": "0"}, {"L": "0"}, {"L": "NaN"}, {"l": "-1"}, {"n": "Infinity"}])
def test_impossible_trade_is_no_report(values: dict[str, str]) -> None:
    trade = traded(order(**TRADE | values))
    assert trade is not None
    with pytest.raises(ImpossibleTrade, match="trade 9 of BTCUSDT is"):
        trade_report(OURS, trade, FeeValues())


def test_fee_in_another_asset_has_the_value_of_its_last_price() -> None:
    fees = FeeValues()
    assert fees.value("USDT", D("0.4"), D(800)) == D("0.4")
    # Without a price, the fee is that of a taker.
    assert fees.value("BNB", D("0.001"), D(800)) == D("0.4000")
    assert fees.wanted == {"BNB"}
    fees.set_price("BNB", D(650))
    assert fees.value("BNB", D("0.001"), D(800)) == D("0.650")
    fees.set_price("BNB", D(0))
    assert fees.value("BNB", D("0.001"), D(800)) == D("0.650")


@pytest.mark.parametrize("identity", [OURS, THEIRS])
def test_fee_in_another_asset_is_reported_with_its_amount(identity: Identity) -> None:
    trade = traded(order(**TRADE | {"n": "0.0006", "N": "BNB"}))
    assert trade is not None
    fees = FeeValues()
    fees.set_price("BNB", D(650))
    found = trade_report(identity, trade, fees)
    assert (found.fee, found.fee_asset, found.fee_amount) == (D("0.3900"), "BNB", D("0.0006"))


def income(kind: str, amount: str, asset: str = "USDT", transaction: Any = "9689322392") -> list[Any]:
    row = {"symbol": "BTCUSDT", "incomeType": kind, "income": amount, "asset": asset, "time": 7, "tranId": transaction}
    return income_reports(decode(json.dumps(row).encode(), IncomeRow, "income"))


def test_income_is_funding_or_a_transfer_and_never_a_fill() -> None:
    (paid,) = income("FUNDING_FEE", "-0.25")
    assert isinstance(paid, FundingPaid)
    assert (paid.symbol, paid.amount, paid.at, paid.rate) == ("BTCUSDT", D("-0.25"), 7, None)
    assert paid.transaction_id == "9689322392"
    assert income("TRANSFER", "-0.375", transaction=12) == [Transferred("12", D("-0.375"), 7)]
    assert income("REALIZED_PNL", "4") == income("COMMISSION", "-1") == []
    assert income("TRANSFER", "3", asset="BNB") == income("TRANSFER", "NaN") == []
    notice, cleared = income("INSURANCE_CLEAR", "-4")
    assert isinstance(notice, VenueNotice)
    assert isinstance(cleared, FundingPaid)
    notice, gift = income("WELCOME_BONUS", "5", transaction=1)
    assert isinstance(notice, VenueNotice)
    assert gift == Transferred("WELCOME_BONUS-1", D(5), 7)


def row_of(**changes: Any) -> dict[str, Any]:
    row = {"orderId": 77, "clientOrderId": "x", "symbol": "BTCUSDT", "status": "NEW", "side": "BUY", "type": "LIMIT"}
    return row | {"origQty": "0.02", "executedQty": "0"} | changes


def test_binding_of_a_triggered_order_outlives_its_own_client_id() -> None:
    known = Identities("abc234")
    assert known.add("BTCUSDT", 1, "web_1").ref is None
    assert known.bind("BTCUSDT", 1, REF)
    assert not known.bind("BTCUSDT", 1, REF)
    assert known.add("BTCUSDT", 1, "web_1").ref == REF
    assert known.add("BTCUSDT", 2, "ocw-abc234-3-e-0").ref == REF
    assert known.get("BTCUSDT", 3) is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"e": "ACCOUNT_CONFIG_UPDATE", "E": 1, "ac": {"s": "BTCUSDT", "l": 25}}, ConfigUpdate),
        ({"e": "ACCOUNT_CONFIG_UPDATE", "E": 1, "ai": {"j": True}}, ConfigUpdate),
        ({"e": "MARGIN_CALL", "E": "1", "cw": "3", "p": [{"s": "ETHUSDT", "pa": "1.3", "new": 1}]}, MarginCall),
        ({"e": "listenKeyExpired", "E": "1736996475556", "listenKey": "k"}, KeyExpired),
        ({"e": "ACCOUNT_UPDATE", "E": "1", "T": "1", "a": {"m": "FUNDING_FEE", "B": [{"a": "USDT"}]}}, AccountUpdate),
        ({"e": "ORDER_TRADE_UPDATE", "T": 1, "o": ORDER}, OrderUpdate),
    ],
)
def test_events_are_read_with_unknown_and_without_optional_fields(body: dict[str, Any], kind: type) -> None:
    assert isinstance(decode_event(json.dumps(body | {"later": {"unknown": [1]}})), kind)
    assert isinstance(decode_event(json.dumps({"stream": "k", "data": body})), kind)


@pytest.mark.parametrize(
    "body",
    [
        {"e": "TRADE_LITE", "E": 1, "s": "BTCUSDT"},
        {"e": "STRATEGY_UPDATE", "E": 1},
        {"result": None, "id": 1},
        {"e": "ORDER_TRADE_UPDATE", "T": 1, "o": ORDER | {"st": 2}},
        {"e": "ACCOUNT_UPDATE", "T": 1, "st": 2, "a": {"m": "ORDER"}},
    ],
)
def test_events_of_no_use_are_ignored(body: dict[str, Any]) -> None:
    assert decode_event(json.dumps(body)) is None


@pytest.mark.parametrize("text", ["{", b"\xff\xfe", '{"e": "ALGO_UPDATE", "o": {}}', '{"e": "ORDER_TRADE_UPDATE"}'])
def test_unreadable_event_is_refused(text: str | bytes) -> None:
    with pytest.raises(UnreadableEvent):
        decode_event(text)


def test_answer_in_another_form_proves_nothing() -> None:
    for body in (b"", b"<html>", b'{"code": 1}', b"[{}]"):
        with pytest.raises(UnreadableAnswer, match="positions answered in another form than documented"):
            decode(body, list[PositionRow], "positions")


@pytest.mark.parametrize(
    ("name", "report"),
    [
        ("order_update_adl", OutsideCause.DELEVERAGING),
        ("order_update_calculated", OutsideCause.LIQUIDATION),
        ("order_update_insurance", OutsideCause.LIQUIDATION),
        ("order_update_delivery", OutsideCause.ENDED),
        ("order_update_settlement", OutsideCause.ENDED),
        ("order_update_trade", OutsideCause.OTHER_TRADER),
        ("order_update_calculated_pending", None),
        ("order_update_new", None),
    ],
)
def test_documented_order_events_are_read(name: str, report: OutsideCause | None) -> None:
    found = decode_event(json.dumps(recorded(f"user_stream/futures/user_data_json/{name}.json")))
    assert isinstance(found, OrderUpdate)
    trade = traded(found.order)
    said = None if trade is None else trade_report(Identity(found.order.client_id, None), trade, FeeValues())
    assert (said and said.cause) == report  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("account_update", AccountUpdate),
        ("account_update_bnfcr", AccountUpdate),
        ("algo_update_canceled", AlgoUpdate),
        ("algo_update_new", AlgoUpdate),
    ],
)
def test_documented_account_events_are_read(name: str, kind: type) -> None:
    found = decode_event(json.dumps(recorded(f"user_stream/futures/user_data_json/{name}.json")))
    assert isinstance(found, kind)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("Account/GetIncomeHistory", list[IncomeRow]),
        ("Account/GetSymbolConfiguration", list[SymbolConfig]),
        ("Trading/GetUserTrades", list[TradeRow]),
        ("Trading/GetPositions", list[PositionRow]),
        ("Trading/GetConditionalOrder", AlgoRow),
        ("Trading/GetOpenConditionalOrders", list[AlgoRow]),
        ("Trading/GetOrder", OrderRow),
        ("Trading/GetForcedOrders", list[OrderRow]),
    ],
)
def test_documented_answers_are_read(name: str, form: Any) -> None:
    text = _after_header(name)
    assert decode(text, form, name)


def _after_header(name: str) -> bytes:
    """Return the answer in a file of requests and answers."""
    from tests.support.exchange import FIXTURES

    path = FIXTURES / f"binance_net/Endpoints/UsdFutures/{name}.txt"
    if not path.is_file():
        pytest.skip("the fixtures are not beside this checkout (expected ../shared/fixtures)")
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return "\n".join(lines[3:]).encode()

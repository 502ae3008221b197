"""The start on a spot account, restarts, unknown outcomes, and what readings of the account cost."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.adapters.venues.binance.errors import Refused
from ocw_mcp.adapters.venues.binance.spot.product import SpotProduct
from ocw_mcp.adapters.venues.binance.spot.queries import SpotQueries
from ocw_mcp.adapters.venues.binance.spot.settings import account_problems, shared_assets, symbol_problems
from ocw_mcp.adapters.venues.binance.spot.wire import ListedSymbol, SpotAccountRow
from ocw_mcp.adapters.venues.binance.unknowns import ABSENT_AFTER_S
from ocw_mcp.domain.errors import MarketUnreachable, VenueRefused
from ocw_mcp.domain.orders import AccountSeen, Filled, OrderRef, OutsideFill, Purpose, Side
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import DAY
from ocw_mcp.sandbox.binance.account.keys import Permission
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.binance_venue import BTC
from tests.support.spot_venue import SpotRig, on_spot, order

D = Decimal
MUTE = {"kind": "mute", "at": "0s", "for": "1h", "stream": "user@*"}
TYPES = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]


def refusal(change: Any) -> str:
    """Return the text with which a live account is refused after a change."""

    async def use(rig: SpotRig) -> str:
        change(rig)
        with pytest.raises(VenueRefused) as refused:
            await rig.open()
        return str(refused.value)

    return on_spot(use, opened=False, mode=Mode.LIVE)


@pytest.mark.parametrize(
    ("rights", "text"),
    [
        ({Permission.TRADING, Permission.WITHDRAWALS}, "permits withdrawals"),
        ({Permission.TRADING, Permission.TRANSFERS}, "permits internal transfers and universal transfers"),
        ({Permission.FUTURES}, "may not trade spot"),
    ],
)
def test_key_with_the_wrong_rights_is_refused_on_spot(rights: set[Permission], text: str) -> None:
    assert text in refusal(lambda rig: rig.use_key(frozenset({Permission.READING, *rights})))


def test_unknown_key_is_refused_on_spot() -> None:
    text = refusal(lambda rig: rig.api.keyring.remove(rig.api.keyring.first.key))
    assert "the exchange refuses the key" in text


def test_live_spot_account_with_the_right_key_opens() -> None:
    async def use(rig: SpotRig) -> list[str]:
        return rig.kinds()

    assert on_spot(use, mode=Mode.LIVE) == []


@pytest.mark.parametrize(
    ("account", "text"),
    [
        (SpotAccountRow([]), "does not let the account trade"),
        (SpotAccountRow([], True, kind="MARGIN"), "of the type MARGIN, expected SPOT"),
        (SpotAccountRow([], True, permissions=["LEVERAGED"]), "the permissions LEVERAGED, expected SPOT"),
    ],
)
def test_account_that_cannot_trade_spot_is_a_problem(account: SpotAccountRow, text: str) -> None:
    (problem,) = account_problems(account)
    assert text in problem


@pytest.mark.parametrize("permissions", [[], ["SPOT"], ["LEVERAGED", "TRD_GRP_002"]])
def test_account_with_a_permission_of_spot_is_no_problem(permissions: list[str]) -> None:
    assert account_problems(SpotAccountRow([], True, permissions=permissions)) == []


@pytest.mark.parametrize(
    ("listed", "text"),
    [
        ([], "does not trade BTCUSDT on spot"),
        ([ListedSymbol(BTC, TYPES, spot=False)], "does not trade BTCUSDT on spot"),
        ([ListedSymbol(BTC, [*TYPES[:3], "STOP_LOSS_LIMIT"])], "no orders of the type STOP_LOSS, TAKE_PROFIT for"),
        ([ListedSymbol(BTC, TYPES, lists=False)], "no order lists for BTCUSDT"),
    ],
)
def test_symbol_without_an_order_type_that_ocw_sends_is_a_problem(listed: list[ListedSymbol], text: str) -> None:
    (problem,) = symbol_problems(listed, [BTC])
    assert text in problem
    assert symbol_problems([ListedSymbol(BTC, TYPES)], [BTC]) == []


@pytest.mark.parametrize(
    ("symbols", "text"),
    [
        ((BTC, "BTCUSDC"), "BTCUSDC and BTCUSDT have the same balance of BTC"),
        ((BTC, "ETHUSDC"), "paid for in USDC and USDT"),
        ((BTC, "ETHBTC"), "paid for in BTC and USDT"),
    ],
)
def test_symbols_that_share_a_balance_are_refused_at_the_start(symbols: tuple[str, ...], text: str) -> None:
    assert text in "; ".join(shared_assets(symbols))
    assert shared_assets([BTC, "ETHUSDT", "BNBUSDT"]) == []

    async def use(rig: SpotRig) -> str:
        with pytest.raises(VenueRefused) as refused:
            await SpotProduct(rig.client, symbols).check()
        return str(refused.value)

    assert text in on_spot(use, opened=False)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "refuse", "at": "0s", "for": "1m"},
        {"kind": "error", "at": "0s", "for": "1m", "path": "/api/v3/account", "status": 503},
        {"kind": "error", "at": "0s", "for": "1m", "path": "/api/v3/openOrders", "status": 503},
        {"kind": "error", "at": "0s", "for": "1m", "path": "/api/v3/exchangeInfo", "status": 503},
        {"kind": "ban", "at": "0s", "for": "1m"},
    ],
    ids=["streams", "account", "orders", "symbols", "ban"],
)
def test_spot_without_an_answer_is_tried_again_later(fault: dict[str, Any]) -> None:
    async def use(rig: SpotRig) -> None:
        with pytest.raises(MarketUnreachable):
            await rig.open()
        await rig.later(180)
        await rig.open()
        assert len(rig.of(AccountSeen)) == 1

    on_spot(use, fault, opened=False)


def test_spot_account_as_found_has_balances_and_orders() -> None:
    async def use(rig: SpotRig) -> None:
        rig.account.owner_order(BTC, "BUY", D("0.05"), None, rig.now)
        rig.account.owner_order(BTC, "SELL", D("0.02"), rig.price("1.05"), rig.now)
        await rig.later(1)
        await rig.open()
        (seen,) = rig.reports
        assert isinstance(seen, AccountSeen)
        held = {each.asset: (each.total, each.free) for each in seen.balances}
        assert held["BTC"] == (D("0.04995"), D("0.02995"))
        assert seen.positions == ()
        assert [(each.ref, each.type, each.reduces) for each in seen.orders] == [(None, "LIMIT", True)]

    on_spot(use, opened=False)


def test_restart_reports_what_happened_meanwhile() -> None:
    async def use(rig: SpotRig) -> None:
        filled = order(limit_price=rig.price("1.001"))
        resting = order(limit_price=rig.price("0.9"), n=2)
        lost = order(limit_price=rig.price("0.9"), n=3)
        since = rig.now
        for each in (filled, resting):
            await rig.send(each)
        rig.fault("owner_order", symbol=BTC, side="BUY", quantity="0.01")
        await rig.later(3)
        await rig.restart([filled, resting, lost], after=60, since=since)
        assert rig.filled(filled.ref) == D("0.02")
        assert rig.about(resting.ref) == ["Accepted"]
        assert rig.about(lost.ref) == ["OutcomeUnknown"]
        assert [each.quantity for each in rig.of(OutsideFill)] == [D("0.01")]
        await rig.until(lambda: len(rig.about(lost.ref)) == 2)
        assert rig.about(lost.ref)[1] == "Rejected NEVER_ARRIVED"

    on_spot(use)


def test_order_of_spot_with_a_lost_answer_is_found_by_its_client_id() -> None:
    async def use(rig: SpotRig) -> None:
        ref = await rig.send(order(limit_price=rig.price("0.9")))
        assert rig.about(ref) == ["OutcomeUnknown"]
        assert await rig.until(lambda: "Accepted" in rig.about(ref)) < 2
        assert len(rig.account.orders) == 1

    on_spot(use, {"kind": "order_drop", "at": "0s", "for": "20s", "executed": True}, MUTE)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_each_status_from_500_on_leaves_a_spot_order_unknown(status: int) -> None:
    async def use(rig: SpotRig) -> None:
        rig.fault("error", **{"for": "2s", "path": "/api/v3/order", "status": status, "msg": "Service Unavailable."})
        ref = await rig.send(order())
        assert rig.about(ref) == ["OutcomeUnknown"]
        took = await rig.until(lambda: len(rig.about(ref)) > 1)
        assert rig.about(ref) == ["OutcomeUnknown", "Rejected NEVER_ARRIVED"]
        assert took >= ABSENT_AFTER_S
        assert not rig.account.orders

    on_spot(use)


def test_order_that_only_the_list_of_all_orders_shows_is_not_believed_absent() -> None:
    async def use(rig: SpotRig) -> None:
        # It has ended without a trade, and neither its endpoint nor the open orders show it.
        price = rig.price("0.9")
        ref = await rig.send(order(limit_price=price, immediate=True))
        assert rig.about(ref) == ["OutcomeUnknown"]
        await rig.later(200)
        assert rig.about(ref) == ["OutcomeUnknown"]
        await rig.until(lambda: len(rig.about(ref)) == 2)
        assert rig.about(ref) == ["OutcomeUnknown", "Canceled"]

    hidden = {"kind": "order_hidden", "at": "0s", "for": "1h", "by": "4m", "path": "/api/v3/order"}
    on_spot(use, {"kind": "order_drop", "at": "0s", "for": "20s", "executed": True}, hidden, MUTE)


def test_fifty_orders_of_spot_are_read_quickly_and_within_the_budget() -> None:
    async def use(rig: SpotRig) -> None:
        since, known = rig.now, []
        for n in range(50):
            known.append(order(limit_price=rig.price("0.9"), quantity="0.001", n=n))
            await rig.send(known[-1])
            await rig.later(0.2)
        await rig.close()
        await rig.later(61)
        rig.venue, rig.reports = rig.made_again(), []
        began = rig.now
        await rig.open(known, since)
        assert rig.now - began <= 3_000
        assert rig.client.weights.used_weight <= 600
        assert {each.ref for each in rig.seen.orders} == {OrderRef(n, Purpose.ENTRY) for n in range(50)}
        await rig.later(120)
        before = rig.client.weights.used_weight
        assert before <= 600

    on_spot(use)


class Trades:
    """The trades of a symbol as the exchange returns them: at most a thousand, and spans of at most a day."""

    def __init__(self, times: list[int]) -> None:
        self.rows = [
            {"id": n, "orderId": 1, "symbol": BTC, "price": "1", "qty": "1", "time": at, "isBuyer": True}
            for n, at in enumerate(times)
        ]
        self.weight = 0

    def now_ms(self) -> int:
        return 100 * DAY

    async def call(
        self, method: str, path: str, params: Mapping[str, Any] | None = None, *, weight: int, **_: Any
    ) -> bytes:
        assert params is not None
        self.weight += weight
        start, end = params.get("startTime", 0), params.get("endTime", 200 * DAY)
        assert "startTime" not in params or end - start <= DAY
        found = [row for row in self.rows if start <= row["time"] <= end and row["id"] >= params.get("fromId", 0)]
        found = found[: params["limit"]] if "fromId" in params else found[-params["limit"] :]
        return json.dumps(found).encode()


@pytest.mark.parametrize(
    ("times", "since", "most"),
    [
        (range(0, 100 * DAY, DAY), 90 * DAY, 20),
        (range(98 * DAY, 100 * DAY, 60_000), 98 * DAY + 5, 400),
        ([], 0, 20),
    ],
    ids=["few", "thousands", "none"],
)
def test_all_trades_since_a_time_are_read_for_little_weight(times: Any, since: int, most: int) -> None:
    exchange = Trades(list(times))
    found = run_in_virtual_time(SpotQueries(exchange, [BTC]).trades_since(BTC, since))
    assert [row.at for row in found] == [at for at in times if at >= since]
    assert exchange.weight <= most


class Archived(Trades):
    """An exchange that has put every order away."""

    async def call(self, method: str, path: str, params: Mapping[str, Any] | None = None, **_: Any) -> bytes:
        raise Refused(-2026, "Order was archived.", 400)


def test_order_that_was_archived_without_a_fill_is_unknown() -> None:
    assert run_in_virtual_time(SpotQueries(Archived([]), [BTC]).order(BTC, client_id="x")) is None


def test_trades_after_an_id_are_read_to_the_end() -> None:
    exchange = Trades([60_000 * n for n in range(2_500)])
    found = run_in_virtual_time(SpotQueries(exchange, [BTC]).trades_from(BTC, 10))
    assert [row.id for row in found] == list(range(10, 2_500))


def test_owner_who_trades_another_symbol_changes_no_position() -> None:
    async def use(rig: SpotRig) -> None:
        rig.fault("owner_order", symbol="ETHUSDT", side="BUY", quantity="0.1")
        await rig.later(40)
        assert not [*rig.of(OutsideFill), *rig.of(Filled)]
        assert rig.notices() == []
        assert D(0) < {each.asset: each.total for each in rig.seen.balances}["ETH"] < D("0.1")

    on_spot(use)


def test_sale_and_purchase_leave_the_books_explained() -> None:
    async def use(rig: SpotRig) -> None:
        for n in range(3):
            await rig.send(order(quantity="0.01", n=2 * n))
            await rig.later(10)
            await rig.send(order(Side.SELL, "0.009", Purpose.EXIT, n=2 * n + 1))
            await rig.later(10)
        await rig.later(60)
        assert rig.notices() == []
        booked = sum(
            (each.quantity * (-1 if each.ref.leg is Purpose.EXIT else 1) - each.base_fee for each in rig.of(Filled)),
            D(0),
        )
        assert booked == rig.held()

    on_spot(use)

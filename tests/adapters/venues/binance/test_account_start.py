"""The start on an account: what is refused, what is reported, and how a restart sees all that happened meanwhile."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ocw_mcp.adapters.venues.binance.account import key_problem
from ocw_mcp.adapters.venues.binance.rest_wire import KeyRights, decode
from ocw_mcp.domain.errors import MarketUnreachable, VenueRefused
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.orders import (
    AccountSeen,
    Filled,
    FundingPaid,
    Order,
    OutsideCause,
    OutsideFill,
    Transferred,
)
from ocw_mcp.domain.protocols import ExchangeVenue
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.account.keys import Permission, made_key
from tests.support.binance_venue import BTC, CALM, VenueRig, entry, falling, on_venue, stop
from tests.support.sandbox_market import DAY_1

D = Decimal


def refusal(change: Any, mode: Mode = Mode.DEMO) -> str:
    """Return the text with which an account is refused after a change, and check that nothing was changed by it."""

    async def use(rig: VenueRig) -> str:
        change(rig)
        before = rig.api.overview(rig.now)
        with pytest.raises(VenueRefused) as refused:
            await rig.open()
        assert rig.api.overview(rig.now) == before
        return str(refused.value)

    return on_venue(use, opened=False, mode=mode)


@pytest.mark.requirement("M01")
def test_account_in_hedge_mode_is_refused() -> None:
    text = refusal(lambda rig: setattr(rig.api.settings, "hedged", True))
    assert "hedge mode, expected one-way mode" in text
    assert "ocw connect --set-up" in text


@pytest.mark.requirement("M02")
def test_account_in_multi_assets_mode_is_refused() -> None:
    text = refusal(lambda rig: setattr(rig.account.state, "multi_assets", True))
    assert "multi-assets mode, expected single-asset mode" in text
    assert "ocw connect --set-up" in text


def test_symbol_with_cross_margin_is_refused() -> None:
    text = refusal(lambda rig: setattr(rig.account.state.position(BTC), "isolated", False))
    assert "the margin type of BTCUSDT is crossed, expected isolated" in text


@pytest.mark.parametrize("right", [Permission.WITHDRAWALS, Permission.TRANSFERS])
def test_key_that_can_move_money_is_refused(right: Permission) -> None:
    def change(rig: VenueRig) -> None:
        rig.use_key(frozenset({Permission.READING, Permission.FUTURES, right}))

    assert "expected a key that can only read and trade" in refusal(change, Mode.LIVE)


def test_key_that_cannot_trade_futures_is_refused() -> None:
    text = refusal(lambda rig: rig.use_key(frozenset({Permission.READING})), Mode.LIVE)
    assert "may not trade futures" in text


RIGHTS = "/sapi/v1/account/apiRestrictions"


@pytest.mark.parametrize("unnamed", ["enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer"])
def test_right_to_move_money_that_the_exchange_does_not_name_counts_as_given(unnamed: str) -> None:
    answer = {**made_key("1").restrictions(), "enableFutures": True}
    assert key_problem(decode(msgspec.json.encode(answer), KeyRights, RIGHTS)) == ""
    del answer[unnamed]
    problem = key_problem(decode(msgspec.json.encode(answer), KeyRights, RIGHTS))
    assert "which OCW never needs" in problem


def test_live_start_is_refused_if_the_exchange_does_not_report_the_rights_of_the_key() -> None:
    def change(rig: VenueRig) -> None:
        rig.fault("error", path=RIGHTS, status=400, code=-1102, msg="no such parameter", **{"for": "1h"})

    assert "does not report the rights of the API key: 400 -1102" in refusal(change, Mode.LIVE)


@pytest.mark.parametrize(("status", "code"), [(400, -1021), (503, -1008), (503, -1000), (429, -1003)])
def test_live_start_is_tried_again_if_the_rights_cannot_be_read_for_now(status: int, code: int) -> None:
    fault = {"kind": "error", "at": "0s", "for": "1m", "path": RIGHTS, "status": status, "code": code}

    async def use(rig: VenueRig) -> None:
        with pytest.raises(MarketUnreachable):
            await rig.open()
        await rig.later(180)
        await rig.open()

    on_venue(use, fault, opened=False, mode=Mode.LIVE)


def test_unknown_key_is_refused() -> None:
    text = refusal(lambda rig: rig.api.keyring.remove(rig.api.keyring.first.key))
    assert "the exchange refuses the key" in text


def test_live_account_with_the_right_key_and_settings_opens() -> None:
    async def use(rig: VenueRig) -> list[str]:
        return rig.kinds()

    assert on_venue(use, mode=Mode.LIVE) == []


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "refuse", "at": "0s", "for": "1m"},
        {"kind": "refuse", "at": "0s", "for": "1m", "rest": True},
        {"kind": "error", "at": "0s", "for": "1m", "path": "/fapi/v3/positionRisk", "status": 503},
        {"kind": "ban", "at": "0s", "for": "1m"},
    ],
)
def test_exchange_without_an_answer_is_tried_again_later(fault: dict[str, Any]) -> None:
    async def use(rig: VenueRig) -> None:
        with pytest.raises(MarketUnreachable):
            await rig.open()
        await rig.later(180)
        await rig.open()
        assert len(rig.of(AccountSeen)) == 1

    on_venue(use, fault, opened=False)


def test_account_as_found_is_reported_whole() -> None:
    async def use(rig: VenueRig) -> None:
        rig.account.owner_order(BTC, "BUY", D("0.05"), None, rig.now)
        rig.account.owner_order(BTC, "SELL", D("0.05"), D("95000"), rig.now)
        await rig.later(1)
        await rig.open()
        (seen,) = rig.reports
        assert isinstance(seen, AccountSeen)
        (position,), (order,) = seen.positions, seen.orders
        assert (position.quantity, position.leverage, position.isolated) == (D("0.05"), 20, True)
        assert position.entry_price == rig.account.state.position(BTC).entry
        assert (order.ref, order.type, order.limit_price, order.reduces) == (None, "LIMIT", D("95000"), False)

    on_venue(use, opened=False)


def test_position_older_than_the_history_is_seen_whole() -> None:
    async def use(rig: VenueRig) -> None:
        rig.account.owner_order(BTC, "BUY", D("0.05"), None, rig.now)
        # The exchange has forgotten the trades.
        rig.account.state.fills.clear()
        await rig.open(since=rig.now - 200 * DAY)
        assert [each.quantity for each in rig.seen.positions] == [D("0.05")]
        assert rig.of(OutsideFill) == []

    on_venue(use, opened=False)


CAUSES = {
    "close": [OutsideCause.OTHER_TRADER],
    "order": [OutsideCause.OTHER_TRADER],
    "deleverage": [OutsideCause.DELEVERAGING],
}
ENTRY, STOP = entry(1), stop(1, trigger="70000")


@pytest.mark.parametrize("kind", ["close", "cancel", "transfer", "deleverage", "order", "nothing"])
def test_restart_reports_what_the_owner_did_meanwhile(kind: str) -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(ENTRY)
        await rig.send(STOP)
        await rig.later(2)
        since = rig.now
        await rig.venue.close()
        actions: dict[str, Any] = {
            "close": lambda: rig.fault("owner_close", symbol=BTC),
            "cancel": lambda: rig.fault("owner_cancel", symbol=BTC),
            "transfer": lambda: rig.fault("transfer", amount="250"),
            "deleverage": lambda: rig.fault("deleverage", symbol=BTC),
            "order": lambda: rig.fault("owner_order", symbol="ETHUSDT", side="SELL", quantity="1"),
            "nothing": lambda: None,
        }
        actions[kind]()
        await rig.later(30)
        await rig.restart([STOP], since=since)
        assert rig.about(STOP.ref) == (["Canceled"] if kind == "cancel" else ["Accepted"])
        assert [each.cause for each in rig.of(OutsideFill)] == CAUSES.get(kind, [])
        assert [each.amount for each in rig.of(Transferred)] == [D(250)] * (kind == "transfer")
        assert isinstance(rig.reports[-1], AccountSeen)
        assert rig.seen.balances[0].total == rig.account.state.wallet.balances["USDT"]
        assert [each.quantity for each in rig.seen.positions if each.symbol == BTC] == [rig.held()] * bool(rig.held())

    on_venue(use)


@pytest.mark.parametrize("path", ["sent", "dropped"])
def test_restart_between_send_and_answer_finds_the_order_or_looks_it_up(path: str) -> None:
    order = entry(7, limit="70000")

    async def use(rig: VenueRig) -> None:
        await rig.send(order)
        await rig.restart([order], after=1)
        if path == "sent":
            assert rig.about(order.ref) == ["Accepted"]
        else:
            assert rig.about(order.ref) == ["OutcomeUnknown"]
            await rig.until(lambda: len(rig.about(order.ref)) > 1)
            assert rig.about(order.ref)[1:] == ["Rejected NEVER_ARRIVED"]

    on_venue(use, {"kind": "order_drop", "at": "0s", "for": "5s", "executed": path == "sent"})


def test_restart_reports_fills_and_funding_of_the_time_it_was_down() -> None:
    order = entry(7, "0.1")

    async def use(rig: VenueRig) -> None:
        rig.fault("order_drop", **{"for": "5s", "executed": True})
        await rig.send(order)
        await rig.restart([order], after=90)
        assert rig.filled(order.ref) == D("0.1")
        (paid,) = rig.of(FundingPaid)
        assert paid.at == DAY_1 + 8 * HOUR

    on_venue(use, now=DAY_1 + 8 * HOUR - MINUTE)


def test_fifty_open_orders_are_read_in_3_s_and_a_tenth_of_the_weight() -> None:
    orders: list[Order] = [entry(n, "0.01", limit=70_000 + n) for n in range(1, 51)]

    async def use(rig: VenueRig) -> tuple[float, int]:
        for each in orders:
            await rig.send(each)
        await rig.later(61)
        began = rig.now
        await rig.restart(orders, since=began)
        # A new client has counted nothing but this start.
        took, weight = rig.now - began, rig.client.weights.used_weight
        assert [len(each.orders) for each in rig.of(AccountSeen)] == [50]
        assert [each.ref for each in orders if rig.about(each.ref) != ["Accepted"]] == []
        return took / 1_000, weight

    took, weight = on_venue(use)
    assert took < 3
    assert weight <= 240


def test_filters_of_the_exchange_are_those_of_the_instrument() -> None:
    async def use(rig: VenueRig) -> None:
        told = Instrument(BTC, Product.UM, D("0.5"), D("0.01"), D("0.01"), D(25))
        rig.venue.set_instruments([told])
        found = rig.venue.instrument(BTC, 80_000.0)
        assert (found.tick, found.step, found.min_notional) == (D("0.5"), D("0.01"), D(25))
        assert found.brackets is not None

    on_venue(use)


def test_reports_of_a_fill_come_once_after_a_restart_within_the_margin() -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(ENTRY)
        await rig.later(2)
        await rig.restart()
        assert [each.ref for each in rig.of(Filled)] == [ENTRY.ref]
        await rig.later(70)
        assert len(rig.of(Filled)) == 1

    on_venue(use)


def test_restart_reports_a_stop_that_triggered_meanwhile() -> None:
    guard = stop(1, "3", "980")

    async def use(rig: VenueRig) -> None:
        await rig.send(entry(1, "3"))
        await rig.send(guard)
        await rig.restart([guard], after=200)
        assert rig.about(guard.ref) == ["Triggered", *["Filled"] * len(rig.of(Filled)[1:])]
        assert rig.filled(guard.ref) == 3
        assert rig.seen.positions == ()

    on_venue(use, on=falling(950.0), now=CALM)


def test_restart_reports_a_liquidation_and_a_fill_of_the_time_it_was_down() -> None:
    order = entry(2, "1", limit="985", leverage=50)

    async def use(rig: VenueRig) -> None:
        await rig.send(entry(1, "3", leverage=50))
        await rig.send(order)
        await rig.restart([order], after=200)
        assert rig.filled(order.ref) == 1
        assert {each.cause for each in rig.of(OutsideFill)} == {OutsideCause.LIQUIDATION}
        assert sum(each.quantity for each in rig.of(OutsideFill)) == 4
        assert rig.seen.positions == ()

    on_venue(use, on=falling(950.0), now=CALM)


def test_venue_has_all_that_a_live_book_needs_of_an_exchange() -> None:
    async def use(rig: VenueRig) -> None:
        venue: ExchangeVenue = rig.venue
        assert venue.name == "binance"

    on_venue(use, opened=False)


def test_readings_cost_at_most_a_tenth_of_the_weight_of_each_minute() -> None:
    async def use(rig: VenueRig) -> list[int]:
        await rig.send(entry(1))
        await rig.send(stop(1, trigger=rig.price("0.9")))
        used = []
        for _ in range(12):
            await rig.later(59.9 - rig.client.now_ms() % MINUTE / 1_000)
            used.append(rig.client.weights.used_weight)
            await rig.later(0.2)
        return used[1:]

    assert max(on_venue(use)) <= 240


def test_an_opening_during_a_ban_says_when_it_ends_and_asks_nothing_more_before() -> None:
    async def use(rig: VenueRig) -> None:
        rig.fault("ban", **{"for": "100s"})
        ends = rig.now + 100 * SECOND
        named = []
        for _ in range(3):
            with pytest.raises(MarketUnreachable) as failed:
                await rig.open()
            named.append(failed.value.until_ms)
            await rig.later(5)
        assert named == [pytest.approx(ends, abs=2 * SECOND)] * 3
        assert sum(rig.exchange.requests.values()) == 1
        await rig.later(90)
        await rig.open()

    on_venue(use, opened=False)


def test_restarted_book_protects_its_position_while_the_stream_cannot_be_opened() -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(entry())
        await rig.later(1)
        rig.fault("refuse", **{"for": "60s"})
        began = rig.now
        await rig.restart()
        assert rig.now - began < 10 * SECOND
        assert [each.quantity for each in rig.seen.positions] == [D("0.02")]
        assert rig.notices() == ["degraded"]
        await rig.send(stop(trigger=rig.price("0.9")))
        assert rig.about(stop().ref) == ["Accepted"]
        await rig.until(lambda: rig.notices() == ["degraded", "restored"], 100)
        assert rig.now - began > 60 * SECOND

    on_venue(use)

"""What happens on the account arrives as reports, each once, whatever the user data stream loses or repeats."""

from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.domain.orders import (
    AccountSeen,
    Filled,
    FundingPaid,
    OutsideCause,
    OutsideFill,
    Side,
    Transferred,
    Triggered,
)
from ocw_mcp.domain.time import HOUR
from tests.support.binance_venue import BTC, CALM, VenueRig, entry, falling, on_venue, stop
from tests.support.sandbox_market import DAY_1

D = Decimal
FAULTS: dict[str, tuple[dict[str, Any], ...]] = {
    "whole": (),
    "duplicated": ({"kind": "duplicate", "at": "0s", "for": "1h", "stream": "user@*", "times": 3},),
    "reordered": ({"kind": "reorder", "at": "0s", "for": "1h", "stream": "user@*"},),
    "delayed": ({"kind": "delay", "at": "0s", "for": "1h", "stream": "user@*", "by": "8s", "nth": 2},),
    "no trades": ({"kind": "mute", "at": "0s", "for": "1h", "stream": "user@ORDER_TRADE_UPDATE"},),
    "mute": ({"kind": "mute", "at": "0s", "for": "1h", "stream": "user@*"},),
    "unreadable": (
        {"kind": "garbage", "at": "0s", "for": "1h", "stream": "user@*", "form": "schema", "replaces": True},
    ),
    "no numbers": ({"kind": "garbage", "at": "0s", "for": "1h", "stream": "user@*", "form": "nan", "replaces": True},),
    "dropped": ({"kind": "drop", "at": "3s", "every": "10s"},),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fills_are_reported_once_whatever_the_stream_does(name: str) -> None:
    async def use(rig: VenueRig) -> None:
        first = await rig.send(entry(1, "0.5"))
        await rig.later(2)
        second = await rig.send(entry(2, "0.2", Side.SELL, leverage=20))
        await rig.until(lambda: (rig.filled(first), rig.filled(second)) == (D("0.5"), D("0.2")), 70)
        await rig.later(35)
        assert sorted((each.fill_id, each.quantity) for each in rig.of(Filled)) == sorted(rig.fills_at_exchange())
        assert rig.of(OutsideFill) == []
        assert [each.quantity for each in rig.seen.positions] == [rig.held()] == [D("0.3")]
        assert rig.about(first).count("Accepted") == 1

    on_venue(use, *FAULTS[name])


@pytest.mark.parametrize("name", ["whole", "reordered", "mute"])
def test_triggered_stop_reports_its_second_id_and_its_fills(name: str) -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(entry(1, "3"))
        ref = await rig.send(stop(1, "3", "980"))
        await rig.until(lambda: rig.filled(ref) == 3, 900)
        await rig.later(60)
        about = rig.about(ref)
        assert about[0] == "Accepted"
        assert set(about) == {"Accepted", "Triggered", "Filled"}
        order = next(each for each in rig.account.state.orders.values() if each.algo)
        assert [each.venue_order_id for each in rig.of(Triggered)] == [str(order.id)]
        assert rig.seen.positions == ()
        assert rig.of(OutsideFill) == []

    on_venue(use, *FAULTS[name], on=falling(950.0), now=CALM)


def test_triggered_order_under_another_client_id_is_an_order_of_the_book() -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(entry(1, "3"))
        ref = await rig.send(stop(1, "3", "980"))
        (algo,) = rig.account.state.algos.values()
        # The exchange gives the order that it becomes an id of its own.
        placed = rig.account.trading.place_triggered

        def place(order: object, at: int) -> None:
            order.client_id = "x-made-by-the-exchange"  # type: ignore[attr-defined]
            placed(order, at)  # type: ignore[arg-type]

        rig.account.trading.place_triggered = place  # type: ignore[method-assign]
        await rig.until(lambda: rig.filled(ref) == 3, 900)
        await rig.later(40)
        assert rig.of(OutsideFill) == []
        assert algo.status == "FINISHED"
        assert rig.about(ref).count("Triggered") == 1

    on_venue(use, on=falling(950.0), now=CALM)


def test_stop_that_closes_a_position_ends_with_it() -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(entry())
        ref = await rig.send(stop(trigger=rig.price("0.9")))
        (algo,) = rig.account.state.algos.values()
        algo.close_position, algo.quantity = True, D(0)
        rig.fault("owner_close", symbol=BTC)
        await rig.until(lambda: "Canceled" in rig.about(ref), 5)
        assert rig.about(ref) == ["Accepted", "Canceled"]

    on_venue(use)


@pytest.mark.parametrize("name", ["whole", "mute", "no trades"])
def test_close_by_the_owner_is_an_outside_fill(name: str) -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(entry())
        await rig.until(lambda: rig.filled(entry().ref) == D("0.02"), 60)
        rig.fault("owner_close", symbol=BTC)
        await rig.until(lambda: rig.of(OutsideFill), 5 if name == "whole" else 60)
        (fill,) = rig.of(OutsideFill)
        assert (fill.cause, fill.side, fill.quantity) == (OutsideCause.OTHER_TRADER, Side.SELL, D("0.02"))
        await rig.until(lambda: rig.seen.positions == ())
        await rig.later(60)
        assert len(rig.of(OutsideFill)) == 1

    on_venue(use, *FAULTS[name])


@pytest.mark.requirement("X04")
def test_foreign_order_is_seen_and_its_fills_are_outside_fills() -> None:
    async def use(rig: VenueRig) -> None:
        rig.fault("owner_order", symbol=BTC, side="BUY", quantity="0.05", price=str(rig.price("0.9")))
        rig.fault("owner_order", symbol="ETHUSDT", side="BUY", quantity="0.5")
        await rig.until(lambda: rig.seen.orders and rig.seen.positions, 60)
        (order,) = rig.seen.orders
        assert (order.ref, order.symbol, order.quantity) == (None, BTC, D("0.05"))
        assert [each.symbol for each in rig.seen.positions] == ["ETHUSDT"]
        assert {each.symbol for each in rig.of(OutsideFill)} == {"ETHUSDT"}
        assert len(rig.account.state.open) == 1
        await rig.venue.cancel_foreign(order, rig.now)
        await rig.until(lambda: rig.seen.orders == (), 10)
        assert rig.account.state.open == {}

    on_venue(use)


def test_order_of_others_that_cannot_be_cancelled_demands_no_reading() -> None:
    async def use(rig: VenueRig) -> None:
        rig.fault("owner_order", symbol=BTC, side="BUY", quantity="0.05", price=str(rig.price("0.9")))
        await rig.until(lambda: rig.seen.orders, 60)
        (order,) = rig.seen.orders
        rig.fault("order_error", answer="internal", **{"for": "1m"})
        readings = len(rig.of(AccountSeen))
        await rig.venue.cancel_foreign(order, rig.now)
        await rig.later(5)
        assert rig.notices() == ["incident"]
        assert len(rig.of(AccountSeen)) == readings

    on_venue(use)


def test_cancel_by_the_owner_is_reported() -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(entry(1))
        resting = await rig.send(entry(2, limit=rig.price("0.9")))
        guard = await rig.send(stop(trigger=rig.price("0.9")))
        rig.fault("owner_cancel", symbol=BTC)
        await rig.until(lambda: "Canceled" in rig.about(guard) and "Canceled" in rig.about(resting), 5)

    on_venue(use)


@pytest.mark.parametrize("algo", [True, False])
def test_cancel_by_the_owner_on_a_mute_stream_is_found_by_a_reading(algo: bool) -> None:
    async def use(rig: VenueRig) -> None:
        if algo:
            await rig.send(entry(1))
        ref = await rig.send(stop(trigger=rig.price("0.9")) if algo else entry(2, limit=rig.price("0.9")))
        await rig.later(3)
        rig.fault("owner_cancel", symbol=BTC)
        await rig.until(lambda: "Canceled" in rig.about(ref), 60)

    on_venue(use, *FAULTS["mute"])


@pytest.mark.parametrize("name", ["whole", "mute"])
def test_liquidation_is_an_outside_fill_with_its_cause(name: str) -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(entry(1, "3", leverage=50))
        await rig.until(lambda: rig.held() == 0, 900)
        await rig.until(lambda: rig.of(OutsideFill), 60)
        (fill,) = rig.of(OutsideFill)
        assert (fill.cause, fill.side, fill.quantity) == (OutsideCause.LIQUIDATION, Side.SELL, D(3))
        await rig.later(60)
        # What all reports say that the wallet has is what the exchange says.
        cash = sum((each.amount for each in rig.of(FundingPaid)), D(10_000))
        cash -= sum((each.quantity * each.price + each.fee for each in rig.of(Filled)), D(0))
        cash += sum((each.quantity * each.price - each.fee for each in rig.of(OutsideFill)), D(0))
        assert cash == rig.account.state.wallet.balances["USDT"] == rig.seen.balances[0].total

    on_venue(use, *FAULTS[name], on=falling(950.0), now=CALM)


def test_deleveraging_is_an_outside_fill_with_its_cause() -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(entry())
        rig.fault("deleverage", symbol=BTC, share="0.5")
        await rig.until(lambda: rig.of(OutsideFill), 5)
        (fill,) = rig.of(OutsideFill)
        assert (fill.cause, fill.quantity, fill.fee) == (OutsideCause.DELEVERAGING, D("0.01"), D(0))

    on_venue(use)


@pytest.mark.parametrize("name", ["whole", "mute"])
def test_transfer_is_reported_before_the_balance_that_shows_it(name: str) -> None:
    async def use(rig: VenueRig) -> None:
        rig.fault("transfer", amount="-100")
        await rig.until(lambda: rig.seen.balances[0].total == 9_900, 60)
        first = next(i for i, each in enumerate(rig.reports) if isinstance(each, Transferred))
        lowered = [
            i for i, each in enumerate(rig.reports) if isinstance(each, AccountSeen) and each.balances[0].total == 9_900
        ]
        assert first < lowered[0]
        await rig.later(70)
        assert [each.amount for each in rig.of(Transferred)] == [D(-100)]

    on_venue(use, *FAULTS[name])


@pytest.mark.parametrize("name", ["whole", "mute"])
def test_funding_is_reported_once_with_its_amount(name: str) -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(entry(1, "0.1"))
        await rig.until(lambda: rig.of(FundingPaid), 150)
        await rig.later(60)
        (paid,) = rig.of(FundingPaid)
        (booked,) = [each for each in rig.account.state.wallet.income if each.kind == "FUNDING_FEE"]
        assert (paid.symbol, paid.amount, paid.at) == (BTC, booked.amount, booked.at)

    on_venue(use, *FAULTS[name], now=DAY_1 + 8 * HOUR - 30_000)

"""A stop with a target on spot: two orders at the exchange, one order of the book."""

from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.domain.orders import Accepted, Filled, Order, OrderRef, OutsideFill, Purpose, Side
from ocw_mcp.domain.time import MINUTE
from tests.support.spot_venue import CALM, SpotRig, moving, on_spot, order

D = Decimal
SELL, STOP = Side.SELL, Purpose.STOP
MUTE = {"kind": "mute", "at": "0s", "for": "1h", "stream": "user@*"}


def pair(quantity: str = "1.9", stop: str = "980", target: str = "1020", **more: Any) -> Order:
    """Return a stop with a target."""
    return order(SELL, quantity, STOP, trigger_price=stop, take_at=target, **more)


async def guarded(rig: SpotRig, quantity: str = "2", **more: Any) -> OrderRef:
    """Buy, and protect what was bought; return the reference of the list."""
    await rig.send(order(quantity=quantity))
    await rig.later(1)
    ref = await rig.send(pair(**more))
    await rig.later(1)
    return ref


def test_list_is_accepted_under_three_ids_of_the_exchange() -> None:
    async def use(rig: SpotRig) -> None:
        ref = await guarded(rig)
        ids = [each.venue_order_id for each in rig.of(Accepted) if each.ref == ref]
        (found,) = rig.account.lists.values()
        assert sorted(ids) == sorted(str(each) for each in (found.id, *(order.id for order in found.orders)))
        await rig.later(35)
        assert [(each.ref, each.type) for each in rig.seen.orders] == [(ref, "LIMIT_MAKER"), (ref, "STOP_LOSS")]
        assert [each.reduces for each in rig.seen.orders] == [True, True]

    on_spot(use, on=moving(1000.0, 1000.0), now=CALM)


@pytest.mark.parametrize("faults", [(), (MUTE,)], ids=["events", "rest"])
@pytest.mark.parametrize(("end", "maker"), [(970.0, False), (1_030.0, True)])
def test_side_that_is_reached_fills_the_whole_list(end: float, maker: bool, faults: tuple[Any, ...]) -> None:
    async def use(rig: SpotRig) -> None:
        ref = await guarded(rig)
        await rig.until(lambda: rig.filled(ref) == D("1.9"), 150)
        await rig.later(5)
        assert set(rig.about(ref)) - {"OutcomeUnknown"} == {"Accepted", "Filled"}
        fills = [each for each in rig.of(Filled) if each.ref == ref]
        assert {each.maker for each in fills} == {maker}
        assert len({each.fill_id for each in fills}) == len(fills)
        await rig.later(35)
        assert rig.seen.orders == ()
        assert "Canceled" not in rig.about(ref)

    on_spot(use, *faults, on=moving(end, end, end, end), now=CALM)


def test_cancel_ends_both_orders_and_is_reported_once() -> None:
    async def use(rig: SpotRig) -> None:
        ref = await guarded(rig)
        await rig.venue.cancel(ref, rig.now)
        await rig.later(40)
        assert rig.about(ref) == ["Accepted"] * 3 + ["Canceled"]
        assert not rig.account.open

    on_spot(use, on=moving(1000.0, 1000.0), now=CALM)


@pytest.mark.parametrize("faults", [(), (MUTE,)], ids=["events", "rest"])
def test_owner_cancels_the_list_in_the_app(faults: tuple[Any, ...]) -> None:
    async def use(rig: SpotRig) -> None:
        ref = await guarded(rig)
        rig.account.owner_cancel("BTCUSDT", rig.now)
        await rig.until(lambda: "Canceled" in rig.about(ref), 75)
        await rig.later(5)
        assert rig.about(ref).count("Canceled") == 1

    on_spot(use, *faults, on=moving(1000.0, 1000.0), now=CALM)


@pytest.mark.parametrize("faults", [(), (MUTE,)], ids=["events", "rest"])
def test_target_that_lost_its_stop_is_cancelled(faults: tuple[Any, ...]) -> None:
    async def use(rig: SpotRig) -> None:
        ref = await guarded(rig)
        (found,) = rig.account.lists.values()
        target, stop = found.orders
        # A target that fills in part ends the stop at the exchange, and its rest stays in the order book.
        rig.account.plan(rig.now, lambda at: rig.account._fill(target, D("0.5"), D(1_020), at, maker=True))
        await rig.later(0.5)
        rig.account.advance(rig.now)
        assert (target.status, stop.status) == ("PARTIALLY_FILLED", "EXPIRED")
        await rig.until(lambda: "Canceled" in rig.about(ref), 60)
        assert rig.filled(ref) == D("0.5")
        about = rig.about(ref)
        assert about.index("Filled") < about.index("Canceled") == len(about) - 1
        assert not rig.account.open
        assert rig.of(OutsideFill) == []

    on_spot(use, *faults, on=moving(1000.0, 1000.0), now=CALM)


def test_lost_answer_to_a_list_is_found_by_its_id() -> None:
    async def use(rig: SpotRig) -> None:
        await rig.send(order(quantity="2"))
        await rig.later(1)
        rig.fault("order_drop", **{"for": "5s", "executed": True})
        rig.fault("mute", **{"for": "1h", "stream": "user@*"})
        ref = await rig.send(pair())
        assert rig.about(ref) == ["OutcomeUnknown"]
        await rig.until(lambda: rig.about(ref).count("Accepted") == 2, 5)
        assert len(rig.account.lists) == 1

    on_spot(use, on=moving(1000.0, 1000.0), now=CALM)


def test_list_that_never_arrived_is_rejected_after_the_grace_period() -> None:
    async def use(rig: SpotRig) -> None:
        await rig.send(order(quantity="2"))
        await rig.later(1)
        rig.fault("order_drop", **{"for": "5s"})
        ref = await rig.send(pair())
        took = await rig.until(lambda: len(rig.about(ref)) > 1)
        assert rig.about(ref) == ["OutcomeUnknown", "Rejected NEVER_ARRIVED"]
        assert took > 110
        assert not rig.account.lists

    on_spot(use, on=moving(*[1000.0] * 6), now=CALM)


@pytest.mark.parametrize("end", [None, 970.0, 1_030.0])
def test_restart_finds_out_what_became_of_a_list(end: float | None) -> None:
    async def use(rig: SpotRig) -> None:
        ref = await guarded(rig)
        known, since = pair(), rig.now
        await rig.restart([known], after=3 * MINUTE / 1_000, since=since)
        if end is None:
            assert rig.about(ref).count("Accepted") == 2
            await rig.venue.cancel(ref, rig.now)
            await rig.until(lambda: rig.about(ref)[-1] == "Canceled", 5)
        else:
            assert set(rig.about(ref)) == {"Filled"}
            assert rig.filled(ref) == D("1.9")
        assert not rig.account.open

    on_spot(use, on=moving(*[end or 1000.0] * 6), now=CALM)

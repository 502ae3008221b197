"""An order of the book that a restarted book does not know any more, but that is live at the exchange."""

from typing import Any

import msgspec
import pytest

from ocw_mcp.domain.orders import Order, OrderRef, OrderType, Purpose, Side, VenueNotice
from tests.support.binance_venue import CALM, VenueRig, entry, on_venue, stop
from tests.support.spot_venue import SpotRig, moving, on_spot, order


async def forget_and_cancel(rig: VenueRig | SpotRig, forgotten: Order) -> None:
    """Restart without an order that rests at the exchange, and check that its cancel takes it away."""
    await rig.later(1)
    await rig.restart()
    assert {each.ref for each in rig.seen.orders} == {forgotten.ref}
    await rig.venue.cancel(forgotten.ref, rig.now)
    await rig.until(lambda: "Canceled" in rig.about(forgotten.ref), 10)
    await rig.later(35)
    assert rig.seen.orders == ()
    assert [each.detail for each in rig.of(VenueNotice) if "not known here" in each.detail] == []


@pytest.mark.parametrize("what", ["limit", "stop", "target"])
def test_forgotten_order_of_futures_can_be_cancelled(what: str) -> None:
    async def use(rig: VenueRig) -> None:
        forgotten = entry(n=2, limit=rig.price("0.9"))
        if what != "limit":
            await rig.send(entry())
            forgotten = stop(trigger=rig.price("0.9") if what == "stop" else rig.price("1.1"))
        if what == "target":
            names = {"ref": OrderRef(1, Purpose.TARGET), "type": OrderType.TAKE_PROFIT_MARKET}
            forgotten = msgspec.structs.replace(forgotten, **names)
        await rig.send(forgotten)
        await forget_and_cancel(rig, forgotten)

    on_venue(use)


@pytest.mark.parametrize("what", ["limit", "stop", "list"])
def test_forgotten_order_of_spot_can_be_cancelled(what: str) -> None:
    async def use(rig: SpotRig) -> None:
        forgotten = order(quantity="0.02", n=2, limit_price="900")
        if what != "limit":
            await rig.send(order(quantity="2"))
            await rig.later(1)
            target: dict[str, Any] = {"take_at": "1100"} if what == "list" else {}
            forgotten = order(Side.SELL, "1.9", Purpose.STOP, trigger_price="900", **target)
        await rig.send(forgotten)
        await forget_and_cancel(rig, forgotten)

    on_spot(use, on=moving(1000.0, 1000.0, 1000.0), now=CALM)

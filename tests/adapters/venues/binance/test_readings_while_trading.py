"""Readings of the account that meet orders on their way, and requests that are broken off."""

import asyncio

import pytest

from ocw_mcp.domain.orders import AccountSeen
from tests.support.binance_venue import VenueRig, entry, on_venue, stop


@pytest.mark.parametrize("after_s", [0.12, 0.18])
def test_reading_that_follows_an_accepted_stop_shows_it(after_s: float) -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(entry())
        await rig.later(35)
        rig.venue.reconcile("a test")
        await rig.later(after_s)
        ref = await rig.send(stop(trigger=rig.price("0.9")))
        readings = len(rig.of(AccountSeen))
        await rig.until(lambda: len(rig.of(AccountSeen)) > readings)
        assert "Accepted" in rig.about(ref)
        assert [each.ref for each in rig.seen.orders] == [ref]

    on_venue(use, {"kind": "mute", "at": "30s", "for": "1h", "stream": "user@*"})


def test_reduction_whose_request_is_broken_off_is_looked_up() -> None:
    async def use(rig: VenueRig) -> None:
        rig.fault("ban", **{"for": "100s"})
        order = stop(trigger=rig.price("0.9"))
        task = asyncio.ensure_future(rig.send(order))
        await rig.later(1.0)
        assert not task.done(), "it waits for the end of the ban"
        task.cancel()
        await rig.until(lambda: rig.about(order.ref))
        assert rig.about(order.ref) == ["Rejected NEVER_ARRIVED"]

    on_venue(use)

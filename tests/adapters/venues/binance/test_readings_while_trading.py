"""Readings of the account that meet orders on their way, and requests that are broken off."""

import asyncio

from ocw_mcp.domain.orders import Accepted, AccountSeen
from tests.support.binance_venue import VenueRig, entry, on_venue, stop


def test_reading_that_follows_an_accepted_stop_shows_it() -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(entry())
        await rig.later(5)
        for revision in range(1, 6):
            rig.venue.reconcile("a test")
            await rig.later(0.04 * revision)
            ref = await rig.send(stop(revision=revision, trigger=rig.price("0.9")))
            readings = len(rig.of(AccountSeen))
            await rig.until(lambda known=readings: len(rig.of(AccountSeen)) > known)
            at = next(n for n, each in enumerate(rig.reports) if isinstance(each, Accepted) and each.ref == ref)
            seen = [each for each in rig.reports[at:] if isinstance(each, AccountSeen)]
            assert seen
            assert all(ref in {order.ref for order in each.orders} for each in seen), revision

    on_venue(use, {"kind": "mute", "at": "2s", "for": "1h", "stream": "user@*"})


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

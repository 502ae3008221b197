"""Readings of the account that meet orders on their way, and requests that are broken off."""

import asyncio
from decimal import Decimal
from itertools import pairwise

import pytest

from ocw_mcp.domain.orders import AccountSeen, Transferred
from tests.support.binance_venue import VenueRig, entry, on_venue, stop


def test_expensive_readings_do_not_delay_the_next_one() -> None:
    async def use(rig: VenueRig) -> None:
        for n in range(3):
            # REST shows a trade that the stream has not reported: the stream is replaced, and everything is read.
            await rig.send(entry(n + 1))
            rig.venue.reconcile("a test")
            await rig.later(11)
        await rig.later(150)
        times = [each.at for each in rig.of(AccountSeen)]
        assert "degraded" in rig.notices()
        assert max(later - earlier for earlier, later in pairwise([*times, rig.now])) <= 31_000

    on_venue(use, {"kind": "mute", "at": "0s", "for": "1h", "stream": "user@*"})


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


def test_leverage_that_the_venue_has_set_is_shown_without_an_event() -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(entry(leverage=7))
        await rig.until(lambda: rig.of(AccountSeen) and rig.seen.positions)
        assert [each.leverage for each in rig.seen.positions] == [7]

    on_venue(use, {"kind": "mute", "at": "0s", "for": "1h", "stream": "user@*"})


def test_asset_that_is_not_in_the_books_wallet_is_no_transfer() -> None:
    async def use(rig: VenueRig) -> None:
        assert rig.account.transfer(Decimal(1_000), rig.now, "USDC")
        rig.venue.reconcile("a test")
        await rig.until(lambda: "USDC" in {each.asset for each in rig.seen.balances})
        await rig.later(70)
        assert rig.of(Transferred) == []
        assert rig.account.transfer(Decimal(500), rig.now)
        await rig.until(lambda: rig.of(Transferred), 60)
        assert [each.amount for each in rig.of(Transferred)] == [500]

    on_venue(use)

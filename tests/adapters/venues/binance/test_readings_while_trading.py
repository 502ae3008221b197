"""Readings of the account that meet orders on their way, and requests that are broken off."""

import asyncio
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from ocw_mcp.adapters.venues.binance.queries import Queries
from ocw_mcp.adapters.venues.binance.spot.queries import SpotQueries
from ocw_mcp.domain.orders import AccountSeen, Transferred
from ocw_mcp.domain.time import MINUTE
from tests.support.binance_venue import Rig, VenueRig, entry, on_venue, stop
from tests.support.spot_venue import on_spot


def test_expensive_readings_do_not_delay_the_next_one() -> None:
    async def use(rig: VenueRig) -> None:
        for n in range(3):
            # REST shows a trade that the stream has not reported: the stream is replaced, and everything is read.
            await rig.send(entry(n + 1))
            rig.venue.reconcile("a test")
            await rig.later(11)
        await rig.later(60)
        times = [each.at for each in rig.of(AccountSeen)]
        assert "degraded" in rig.notices()
        assert max(later - earlier for earlier, later in pairwise([*times, rig.now])) <= 31_000

    on_venue(use, {"kind": "mute", "at": "0s", "for": "1h", "stream": "user@*"})


def test_order_in_another_symbol_is_seen_without_a_stream() -> None:
    async def use(rig: VenueRig) -> None:
        rig.fault("drop", stream="user@*")
        await rig.until(lambda: rig.notices() == ["degraded"])
        rig.fault("owner_order", symbol="ETHUSDT", side="BUY", quantity="0.5", price="2000")
        used = []
        for _ in range(4):
            await rig.later(59.9 - rig.client.now_ms() % MINUTE / 1_000)
            used.append(rig.client.weights.used_weight)
            await rig.later(0.2)
        assert max(used[1:]) <= 240
        assert [each.symbol for each in rig.seen.orders] == ["ETHUSDT"]

    on_venue(use, {"kind": "error", "at": "10s", "for": "1h", "path": "/fapi/v1/listenKey", "status": 503})


@pytest.mark.parametrize(("queries", "on", "few"), [(Queries, on_venue, 14), (SpotQueries, on_spot, 10)])
def test_period_of_readings_follows_from_what_one_costs(
    queries: type[Queries | SpotQueries], on: Any, few: int
) -> None:
    async def use(rig: Rig) -> int:
        # The lists of the whole account were read at the start, and no balance has changed.
        await rig.later(75)
        before = rig.client.weights.used_weight
        rig.venue.reconcile("a test")
        await rig.later(1)
        return rig.client.weights.used_weight - before

    budget = queries.budget
    assert on(use) == budget.holdings + budget.trades + budget.lists
    assert [budget.period_s(symbols) for symbols in (1, few)] == [30, 30]
    assert budget.period_s(few + 1) > 30
    assert budget.period_s(50) == (budget.holdings + 50 * budget.trades + budget.all_lists) / budget.a_second


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

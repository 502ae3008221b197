"""Orders with an unknown outcome: found, or proved absent, and never sent again."""

import pytest

from ocw_mcp.adapters.venues.binance.unknowns import ABSENT_AFTER_S
from ocw_mcp.domain.orders import AccountSeen, Rejected
from ocw_mcp.domain.protocols import KnownOrder
from tests.support.binance_venue import VenueRig, entry, on_venue, stop

DROP = {"kind": "order_drop", "at": "0s", "for": "20s"}


def placed(rig: VenueRig) -> int:
    """Return how many orders the exchange has got."""
    return len(rig.account.state.orders) + len(rig.account.state.algos)


@pytest.mark.requirement("E01")
def test_order_with_a_lost_answer_is_found_by_its_client_id() -> None:
    async def use(rig: VenueRig) -> None:
        ref = await rig.send(entry(limit=rig.price("0.9"), quantity="0.02"))
        assert rig.about(ref) == ["OutcomeUnknown"]
        took = await rig.until(lambda: "Accepted" in rig.about(ref))
        assert took < 2
        await rig.later(200)
        assert rig.about(ref) == ["OutcomeUnknown", "Accepted"]
        assert placed(rig) == 1

    on_venue(use, DROP | {"executed": True}, {"kind": "mute", "at": "0s", "for": "1h", "stream": "user@*"})


@pytest.mark.requirement("E04")
def test_fill_on_the_stream_settles_an_unknown_outcome() -> None:
    async def use(rig: VenueRig) -> None:
        ref = await rig.send(entry())
        await rig.later(10)
        assert rig.about(ref) == ["OutcomeUnknown", "Accepted", "Filled"]
        assert placed(rig) == 1

    fault = {"kind": "order_error", "at": "0s", "for": "20s", "answer": "unknown", "executed": True}
    on_venue(use, fault)


@pytest.mark.requirement("E02")
def test_order_that_never_arrived_is_rejected_after_the_grace_period() -> None:
    async def use(rig: VenueRig) -> None:
        ref = await rig.send(entry())
        assert rig.about(ref) == ["OutcomeUnknown"]
        took = await rig.until(lambda: len(rig.about(ref)) > 1)
        assert rig.about(ref) == ["OutcomeUnknown", "Rejected NEVER_ARRIVED"]
        assert ABSENT_AFTER_S <= took < ABSENT_AFTER_S + 10
        await rig.later(300)
        assert len(rig.about(ref)) == 2
        assert placed(rig) == 0

    on_venue(use, DROP)


def test_restarts_do_not_begin_the_grace_period_again() -> None:
    async def use(rig: VenueRig) -> None:
        order = entry()
        await rig.send(order)
        known = KnownOrder(order, unknown_since=rig.now)
        for _ in range(3):
            await rig.restart([known], after=30)
            assert rig.about(order.ref) == ["OutcomeUnknown"]
        took = await rig.until(lambda: len(rig.about(order.ref)) > 1)
        assert rig.about(order.ref) == ["OutcomeUnknown", "Rejected NEVER_ARRIVED"]
        assert ABSENT_AFTER_S - 90 <= took < ABSENT_AFTER_S - 60

    on_venue(use, DROP)


def test_two_looks_at_one_reading_of_the_account_prove_no_absence() -> None:
    async def use(rig: VenueRig) -> None:
        order = entry()
        await rig.send(order)
        rig.exchange.requests.clear()
        await rig.restart([KnownOrder(order, unknown_since=rig.now)], after=200)
        await rig.until(lambda: len(rig.about(order.ref)) > 1)
        # One reading opens the venue, and there is one for each of two witnesses.
        assert rig.exchange.requests["/fapi/v1/openAlgoOrders 200"] >= 3

    on_venue(use, DROP)


@pytest.mark.parametrize(("late", "expected"), [("90s", []), ("6m", ["Rejected NEVER_ARRIVED"])])
def test_order_that_shows_up_late_is_reported_as_what_it_is(late: str, expected: list[str]) -> None:
    async def use(rig: VenueRig) -> None:
        ref = await rig.send(entry())
        await rig.later(60 if late == "90s" else 340)
        await rig.until(lambda: rig.filled(ref))
        assert rig.about(ref) == ["OutcomeUnknown", *expected, "Accepted", "Filled"]
        assert placed(rig) == 1

    fault = {"kind": "order_error", "at": "0s", "for": "20s", "answer": "timeout", "executed": True, "by": late}
    on_venue(use, fault)


@pytest.mark.requirement("E08")
def test_order_that_the_exchange_has_already_counts_as_sent() -> None:
    async def use(rig: VenueRig) -> None:
        order = entry(limit=rig.price("0.9"))
        ref = await rig.send(order)
        await rig.send(order)
        await rig.until(lambda: rig.about(ref) == ["Accepted"])
        await rig.later(5)
        assert rig.about(ref) == ["Accepted"]
        assert placed(rig) == 1

    on_venue(use)


def test_stop_with_a_lost_answer_is_found_among_the_algo_orders() -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(entry())
        rig.fault("order_drop", **{"for": "5s", "executed": True})
        rig.fault("mute", **{"for": "1h", "stream": "user@*"})
        ref = await rig.send(stop(trigger=rig.price("0.9")))
        assert rig.about(ref) == ["OutcomeUnknown"]
        assert await rig.until(lambda: "Accepted" in rig.about(ref)) < 2
        assert len(rig.account.state.algos) == 1

    on_venue(use)


def test_hidden_order_is_not_believed_absent() -> None:
    async def use(rig: VenueRig) -> None:
        # Its endpoint does not show it for minutes, but the list of open orders does.
        ref = await rig.send(entry(limit=rig.price("0.9")))
        assert rig.about(ref) == ["OutcomeUnknown"]
        await rig.later(6 * 60)
        assert rig.about(ref) == ["OutcomeUnknown", "Accepted"]

    on_venue(
        use,
        DROP | {"executed": True},
        {"kind": "order_hidden", "at": "0s", "for": "1h", "by": "5m", "path": "/fapi/v1/order"},
        {"kind": "mute", "at": "0s", "for": "2h", "stream": "user@*"},
    )


@pytest.mark.requirement("R03")
@pytest.mark.parametrize("path", ["/fapi/v3/positionRisk", "/fapi/v1/openOrders", "/fapi/v1/userTrades", "/fapi/*"])
def test_failed_query_proves_neither_absence_nor_flatness(path: str) -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(entry())
        await rig.later(2)
        rig.fault("error", **{"for": "150s", "path": path, "status": 503, "code": -1000, "msg": "Unknown error"})
        rig.fault("order_drop", **{"for": "5s"})
        ref = await rig.send(entry(2))
        before = len(rig.of(AccountSeen))
        await rig.later(140)
        assert rig.about(ref) == ["OutcomeUnknown"]
        assert len(rig.of(AccountSeen)) == before
        assert "degraded" in rig.notices()
        await rig.until(lambda: rig.of(Rejected) and rig.notices()[-1] == "restored")
        assert rig.about(ref) == ["OutcomeUnknown", "Rejected NEVER_ARRIVED"]
        assert [each.quantity for each in rig.seen.positions] == [rig.held()]

    on_venue(use)


def test_cancel_of_an_order_that_just_filled_reports_the_fill() -> None:
    async def use(rig: VenueRig) -> None:
        rig.fault("mute", **{"for": "1h", "stream": "user@*"})
        order = entry(limit=rig.price("1.01"))
        ref = await rig.send(order)
        await rig.venue.cancel(ref, rig.now)
        await rig.until(lambda: rig.filled(ref) == order.quantity)
        assert rig.about(ref) == ["Accepted", "CancelRefused", "Filled"]

    on_venue(use)


def test_lost_answer_to_a_cancel_ends_in_cancelled() -> None:
    async def use(rig: VenueRig) -> None:
        ref = await rig.send(entry(limit=rig.price("0.9")))
        rig.fault("order_drop", **{"for": "20s", "executed": True, "method": "DELETE"})
        rig.fault("mute", **{"for": "1h", "stream": "user@*"})
        await rig.venue.cancel(ref, rig.now)
        await rig.until(lambda: "Canceled" in rig.about(ref))
        assert rig.about(ref) in (["Accepted", "CancelRefused", "Canceled"], ["Accepted", "Canceled"])

    on_venue(use)


def test_order_that_appears_after_its_rejection_can_be_cancelled() -> None:
    async def use(rig: VenueRig) -> None:
        ref = await rig.send(entry(limit=rig.price("0.9")))
        await rig.until(lambda: "Accepted" in rig.about(ref), 320)
        assert rig.about(ref) == ["OutcomeUnknown", "Rejected NEVER_ARRIVED", "Accepted"]
        assert [each.ref for each in rig.seen.orders] == [ref]
        await rig.venue.cancel(ref, rig.now)
        await rig.until(lambda: "Canceled" in rig.about(ref), 5)
        assert rig.account.state.open == {}

    mute = {"kind": "mute", "at": "0s", "for": "1h", "stream": "user@*"}
    on_venue(use, DROP | {"executed": True, "by": "4m"}, mute)


def test_stop_that_vanished_at_the_exchange_counts_as_cancelled() -> None:
    async def use(rig: VenueRig) -> None:
        await rig.send(entry())
        ref = await rig.send(stop(trigger=rig.price("0.9")))
        await rig.later(5)
        rig.account.state.waiting.clear()
        rig.account.state.algos.clear()
        took = await rig.until(lambda: "Canceled" in rig.about(ref))
        assert took < ABSENT_AFTER_S + 45

    on_venue(use)

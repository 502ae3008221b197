"""The outbox: what is sent first, what never waits, and what is not sent any more."""

from collections.abc import Awaitable, Callable

import pytest

from ocw_mcp.adapters.venues.binance.sender import LONGEST_WAIT_S
from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.orders import (
    OrderRef,
    OutcomeUnknown,
    Purpose,
    Rejected,
    RejectReason,
    VenueNotice,
    VenueNoticeKind,
)
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.runtime.outbox import MOST_ENTRIES, MOST_REQUESTS, Handed
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.exchange_requests import Desk

HOUR_S = 3_600.0
FOREVER = 1e9


def at_a_desk(play: Callable[[Desk], Awaitable[None]], *, stops_lock: bool = False, opened: bool = True) -> Desk:
    """Return the desk after a play in virtual time."""

    async def main() -> Desk:
        desk = Desk(stops_lock=stops_lock, opened=opened)
        await play(desk)
        await desk.outbox.close()
        return desk

    return run_in_virtual_time(main())


def not_sent(desk: Desk) -> list[str]:
    """The references of the orders that the outbox rejected."""
    rejected = [each for each in desk.reports if isinstance(each, Rejected)]
    assert all(each == Rejected(each.ref, RejectReason.NOT_SENT, each.text) for each in rejected)
    return [str(each.ref) for each in rejected]


def test_hanging_entries_delay_no_stop() -> None:
    async def play(desk: Desk) -> None:
        for n in range(1, 8):
            desk.venue.hanging[f"{n}-e-0"] = FOREVER
            desk.enter(n)
        await desk.rest(0.5)
        desk.stop(1)
        await desk.rest(0.01)

    desk = at_a_desk(play)
    assert desk.venue.arrived == [*(f"{n}-e-0" for n in range(1, MOST_ENTRIES + 1)), "1-s-0"]
    assert desk.venue.at("1-s-0") == pytest.approx(0.5)


def test_reductions_go_before_cancels_and_cancels_before_entries() -> None:
    async def play(desk: Desk) -> None:
        desk.enter(1)
        desk.outbox.cancel(OrderRef(7, Purpose.ENTRY), "ETHUSDT")
        desk.stop(2)
        desk.outbox.open()
        await desk.rest(1)

    assert at_a_desk(play, opened=False).venue.arrived == ["2-s-0", "X7-e-0", "1-e-0"]


def test_a_reduction_that_waited_an_hour_is_sent() -> None:
    async def play(desk: Desk) -> None:
        desk.stop(1)
        await desk.rest(HOUR_S)
        assert desk.venue.arrived == []
        desk.outbox.open()
        await desk.rest(1)

    desk = at_a_desk(play, opened=False)
    assert desk.venue.arrived == ["1-s-0"]
    assert desk.reports == []
    assert desk.outbox.stats.longest_wait_ms == pytest.approx(HOUR_S * 1_000)


@pytest.mark.parametrize("refuses", [False, True])
def test_an_entry_that_waited_is_checked_again(refuses: bool) -> None:
    async def play(desk: Desk) -> None:
        desk.refuses = Refusal(RefusalCode.PRICE_MOVED, limit="1002", actual="1050") if refuses else None
        desk.enter(1)
        # Longer than the first clearance is valid.
        await desk.rest(20)
        desk.outbox.open()
        await desk.rest(1)

    desk = at_a_desk(play, opened=False)
    assert desk.checked_again == [OrderRef(1, Purpose.ENTRY)]
    assert desk.venue.arrived == ([] if refuses else ["1-e-0"])
    assert not_sent(desk) == (["1-e-0"] if refuses else [])


def test_an_entry_that_is_sent_at_once_is_not_checked_again() -> None:
    async def play(desk: Desk) -> None:
        desk.enter(1)
        await desk.rest(1)

    desk = at_a_desk(play)
    assert desk.checked_again == []
    assert desk.venue.arrived == ["1-e-0"]


def test_an_entry_that_waited_for_a_minute_is_not_sent() -> None:
    async def play(desk: Desk) -> None:
        desk.enter(1)
        await desk.rest(59)
        assert desk.reports == []
        await desk.rest(2)
        desk.outbox.open()
        await desk.rest(1)

    desk = at_a_desk(play, opened=False)
    assert not_sent(desk) == ["1-e-0"]
    assert desk.venue.arrived == []


def test_reductions_of_a_symbol_keep_their_order() -> None:
    async def play(desk: Desk) -> None:
        desk.venue.hanging["1-s-0"] = 1.0
        desk.stop(1)
        desk.exit(1)
        desk.exit(2, symbol="BTCUSDT")
        await desk.rest(3)

    venue = at_a_desk(play).venue
    assert venue.arrived == ["1-s-0", "2-x-0", "1-x-0"]
    assert venue.at("1-x-0") == pytest.approx(1.0)


def test_a_hanging_stop_delays_the_exit_for_two_seconds_at_most() -> None:
    async def play(desk: Desk) -> None:
        desk.venue.hanging["1-s-0"] = FOREVER
        desk.stop(1)
        desk.exit(1)
        await desk.rest(10)

    assert at_a_desk(play).venue.at("1-x-0") == pytest.approx(2.0)


def test_an_order_that_is_cancelled_while_it_waits_never_leaves() -> None:
    async def play(desk: Desk) -> None:
        ref = desk.enter(1)
        desk.outbox.cancel(ref, "ETHUSDT")
        desk.outbox.open()
        await desk.rest(1)

    desk = at_a_desk(play, opened=False)
    assert not_sent(desk) == ["1-e-0"]
    assert desk.venue.arrived == []


def test_a_cancel_does_not_overtake_its_order() -> None:
    async def play(desk: Desk) -> None:
        desk.venue.hanging["1-e-0"] = 8.0
        ref = desk.enter(1)
        await desk.rest(1)
        desk.outbox.cancel(ref, "ETHUSDT")
        desk.outbox.cancel(ref, "ETHUSDT")
        await desk.rest(10)

    venue = at_a_desk(play).venue
    assert venue.arrived == ["1-e-0", "X1-e-0"]
    assert venue.at("X1-e-0") == pytest.approx(8.0)


@pytest.mark.parametrize("stops_lock", [False, True])
def test_a_cancel_withdraws_a_reduction_that_waits_in_the_venue(stops_lock: bool) -> None:
    async def play(desk: Desk) -> None:
        desk.venue.hanging["1-s-0"] = 8.0
        stop = desk.stop(1)
        other = desk.stop(2, symbol="BTCUSDT")
        await desk.rest(1)
        desk.outbox.cancel(other, "BTCUSDT")
        desk.outbox.cancel(stop, "ETHUSDT")
        assert desk.venue.withdrawn == ["1-s-0"]
        await desk.rest(10)

    assert {"X1-s-0", "X2-s-0"} <= set(at_a_desk(play, stops_lock=stops_lock).venue.arrived)


@pytest.mark.parametrize(("quantity", "sent"), [("1", ["1-s-1"]), ("2", ["1-s-1"]), ("0.5", ["1-s-0", "1-s-1"])])
def test_a_newer_stop_takes_the_place_of_one_that_waits(quantity: str, sent: list[str]) -> None:
    async def play(desk: Desk) -> None:
        desk.stop(1)
        desk.stop(1, 1, quantity=quantity)
        desk.outbox.open()
        await desk.rest(1)

    desk = at_a_desk(play, opened=False)
    assert desk.venue.arrived == sent
    assert len(not_sent(desk)) == 2 - len(sent)


def test_a_stop_of_another_symbol_replaces_none() -> None:
    async def play(desk: Desk) -> None:
        desk.stop(1)
        desk.stop(2, symbol="BTCUSDT")
        desk.outbox.open()
        await desk.rest(1)

    assert at_a_desk(play, opened=False).venue.arrived == ["1-s-0", "2-s-0"]


def test_a_stop_that_has_left_is_not_replaced() -> None:
    async def play(desk: Desk) -> None:
        desk.venue.hanging["1-s-0"] = 1.0
        desk.stop(1)
        await desk.rest(0.1)
        desk.stop(1, 1)
        await desk.rest(3)

    desk = at_a_desk(play)
    assert desk.venue.arrived == ["1-s-0", "1-s-1"]
    assert desk.reports == []


@pytest.mark.parametrize("error", [ValueError("a bug"), InvariantError("a rule")])
def test_an_exception_of_the_venue_leaves_the_outcome_unknown(error: Exception) -> None:
    async def play(desk: Desk) -> None:
        desk.venue.hanging["1-s-0"] = error
        desk.stop(1)
        await desk.rest(1)

    unknown, notice = at_a_desk(play).reports
    assert isinstance(unknown, OutcomeUnknown)
    assert unknown.ref == OrderRef(1, Purpose.STOP)
    assert isinstance(notice, VenueNotice)
    assert notice.kind is VenueNoticeKind.INCIDENT
    assert str(error) in notice.detail


def test_a_request_without_an_end_counts_as_unknown_after_a_minute() -> None:
    async def play(desk: Desk) -> None:
        desk.venue.hanging["1-e-0"] = FOREVER
        desk.enter(1)
        await desk.rest(61)
        assert not desk.outbox.busy

    unknown, _ = at_a_desk(play).reports
    assert unknown == OutcomeUnknown(OrderRef(1, Purpose.ENTRY), "TimeoutError")


def test_a_reduction_that_waits_for_the_end_of_a_ban_is_not_broken_off() -> None:
    async def play(desk: Desk) -> None:
        desk.venue.hanging["1-s-0"] = LONGEST_WAIT_S + 60
        desk.stop(1)
        await desk.rest(LONGEST_WAIT_S + 61)
        assert not desk.outbox.busy

    assert at_a_desk(play).reports == []


def test_a_cancel_that_raises_is_an_incident_and_may_be_repeated() -> None:
    async def play(desk: Desk) -> None:
        ref = OrderRef(1, Purpose.ENTRY)
        desk.venue.hanging["X1-e-0"] = ValueError("a bug")
        desk.outbox.cancel(ref, "ETHUSDT")
        await desk.rest(1)
        desk.outbox.cancel(ref, "ETHUSDT")
        await desk.rest(1)

    desk = at_a_desk(play)
    assert desk.venue.arrived == ["X1-e-0", "X1-e-0"]
    assert [type(each) for each in desk.reports] == [VenueNotice, VenueNotice]


def test_on_spot_a_stop_is_cancelled_before_the_exit_that_needs_its_balance() -> None:
    async def play(desk: Desk) -> None:
        desk.venue.hanging["X1-s-0"] = 0.3
        desk.outbox.cancel(OrderRef(1, Purpose.STOP), "ETHUSDT")
        desk.exit(1)
        await desk.rest(1)

    venue = at_a_desk(play, stops_lock=True).venue
    assert venue.arrived == ["X1-s-0", "1-x-0"]
    assert venue.at("1-x-0") == pytest.approx(0.3)


def test_a_hundred_reductions_are_sent_a_few_at_a_time() -> None:
    async def play(desk: Desk) -> None:
        for n in range(100):
            desk.exit(n, symbol=f"S{n}USDT")
        await desk.rest(5)

    venue = at_a_desk(play).venue
    assert venue.most_under_way == MOST_REQUESTS
    assert venue.arrived == [f"{n}-x-0" for n in range(100)]


def test_a_measurement_sees_when_an_order_was_cleared_and_handed_over() -> None:
    handed: list[Handed] = []

    async def play(desk: Desk) -> None:
        desk.outbox.on_handed = handed.append
        desk.stop(1)
        await desk.rest(2)
        assert (desk.outbox.stats.waiting, desk.outbox.stats.under_way) == (1, 0)
        desk.outbox.open()
        await desk.rest(1)

    desk = at_a_desk(play, opened=False)
    (seen,) = handed
    assert (seen.cleared_ms, seen.durable_ms) == (seen.handed_ms - 2_000, seen.handed_ms - 2_000)
    assert (desk.outbox.stats.sent, desk.outbox.stats.last_wait_ms) == (1, 2_000)


def test_entries_that_wait_at_the_end_are_not_sent() -> None:
    async def play(desk: Desk) -> None:
        desk.enter(1)
        desk.outbox.end_entries()
        desk.enter(2)
        desk.stop(3)
        desk.outbox.open()
        await desk.rest(1)

    desk = at_a_desk(play, opened=False)
    assert not_sent(desk) == ["1-e-0", "2-e-0"]
    assert desk.venue.arrived == ["3-s-0"]

"""The counters of the limits on pace: the events that change each of them, and their expiry."""

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.core.risk.counters import Activity, ActivityState, asked_for
from ocw_mcp.domain.orders import OrderIntent, OrderType, Purpose, Side
from ocw_mcp.domain.policies import LossesPolicy, PacePolicy
from ocw_mcp.domain.time import MINUTE, SECOND

D = Decimal
PACE = PacePolicy(
    entries_per_minute=3,
    entries_per_day=10,
    max_turnover=D(5),
    max_fees=D("0.01"),
    reductions_per_minute=20,
    reentry_s=900,
)
LOSSES = LossesPolicy(in_a_row=3, pause_s=600)
NOW = 1_767_225_600_000


def fresh() -> Activity:
    return Activity(PACE, LOSSES)


def test_an_entry_counts_for_a_minute_and_for_the_day() -> None:
    activity = fresh()
    activity.sent(NOW)
    activity.sent(NOW + 30 * SECOND)
    assert activity.seen("X", NOW + MINUTE - 1).entries_last_minute == 2
    assert activity.seen("X", NOW + MINUTE).entries_last_minute == 1
    later = activity.seen("X", NOW + 10 * MINUTE)
    assert (later.entries_last_minute, later.entries_today) == (0, 2)


def test_closings_by_guard_or_flatten_do_not_count_as_requested() -> None:
    activity = fresh()
    activity.reduced(NOW)
    assert activity.seen("X", NOW + MINUTE - 1).reductions_last_minute == 1
    assert activity.seen("X", NOW + MINUTE).reductions_last_minute == 0
    asked = OrderIntent("k", "agent", "X", Side.SELL, OrderType.MARKET, Purpose.EXIT, D(1))
    assert asked_for(asked)
    assert not asked_for(msgspec.structs.replace(asked, principal="guard"))
    assert not asked_for(msgspec.structs.replace(asked, principal="ann", idempotency_key=""))


def test_fills_of_any_purpose_count_for_turnover_and_fees() -> None:
    activity = fresh()
    activity.filled(D(1_000), D("0.5"))
    activity.filled(D(900), D("0.45"))
    seen = activity.seen("X", NOW)
    assert (seen.turnover_today, seen.fees_today) == (D(1_900), D("0.95"))
    activity.sent(NOW)
    activity.open_day()
    seen = activity.seen("X", NOW)
    assert (seen.turnover_today, seen.fees_today, seen.entries_today) == (D(0), D(0), 0)
    assert seen.entries_last_minute == 1


def test_the_open_quantity_of_live_entries_counts_as_traded() -> None:
    activity = fresh()
    activity.filled(D(1_000), D("0.5"))
    assert activity.seen("X", NOW, pending=D(300)).turnover_today == 1_300
    assert activity.seen("X", NOW).turnover_today == 1_000


def test_closing_one_symbol_sets_no_close_time_for_another() -> None:
    activity = fresh()
    activity.closed("X", D(5), NOW)
    assert activity.seen("X", NOW + 7).since_close_ms == 7
    assert activity.seen("Y", NOW + 7).since_close_ms is None


def test_a_close_time_is_kept_until_reentry_is_allowed() -> None:
    activity, wait = fresh(), PACE.reentry_s * SECOND
    activity.closed("X", D(5), NOW)
    activity.closed("Y", D(5), NOW + wait - 1)
    assert activity.seen("X", NOW + wait - 1).since_close_ms == wait - 1
    activity.closed("Y", D(5), NOW + wait)
    assert activity.seen("X", NOW + wait).since_close_ms is None


def test_close_time_is_kept_for_the_longer_of_two_reentry_limits() -> None:
    longer = PACE.model_copy(update={"reentry_s": 3_600})
    activity = Activity(PACE, LOSSES, longer)
    activity.closed("X", D(5), NOW)
    activity.closed("Y", D(5), NOW + 1_800 * SECOND)
    assert activity.seen("X", NOW + 1_800 * SECOND).since_close_ms == 1_800 * SECOND
    activity.closed("Y", D(5), NOW + 3_600 * SECOND)
    assert activity.seen("X", NOW + 3_600 * SECOND).since_close_ms is None


def test_close_times_of_long_ago_are_deleted() -> None:
    activity = fresh()
    for place in range(1_000):
        activity.closed(f"S{place}", D(5), NOW + place * MINUTE)
    assert len(activity.state().closed_at) <= 16


def test_losses_in_a_row_pause_entries_and_reset_their_count() -> None:
    activity = fresh()
    assert [activity.closed("X", D(-1), NOW + place) for place in range(3)] == [False, False, True]
    assert activity.seen("Y", NOW + 2).paused_ms == 600 * SECOND
    assert activity.seen("Y", NOW + 2 + 600 * SECOND).paused_ms == 0
    assert activity.seen("Y", NOW).losses_in_a_row == 0


def test_a_trade_without_a_loss_resets_the_count_of_losses() -> None:
    activity = fresh()
    for pnl in ("-1", "-1", "0", "-1", "-1"):
        assert not activity.closed("X", D(pnl), NOW)
    assert activity.seen("X", NOW).losses_in_a_row == 2


def test_losses_above_a_lowered_limit_pause_at_the_next_loss() -> None:
    """Without a pause that ends, a count above the new limit would refuse every entry for ever."""
    before = Activity(PACE, LossesPolicy(in_a_row=6, pause_s=600))
    for _ in range(5):
        before.closed("X", D(-1), NOW)
    activity = fresh()
    activity.restore(before.state())
    seen = activity.seen("X", NOW)
    assert (seen.losses_in_a_row, seen.paused_ms) == (2, 0)
    assert activity.closed("X", D(-1), NOW)


@given(
    st.lists(st.tuples(st.sampled_from(["sent", "reduced", "filled", "won", "lost", "day"]), st.integers(0, 100_000)))
)
def test_activity_state_is_bounded_and_survives_a_restart(happened: list[tuple[str, int]]) -> None:
    activity, now = fresh(), NOW
    for what, later in happened:
        now += later
        match what:
            case "sent":
                activity.sent(now)
            case "reduced":
                activity.reduced(now)
            case "filled":
                activity.filled(D(10), D("0.01"))
            case "won" | "lost":
                activity.closed(f"S{later % 9}", D(1 if what == "won" else -1), now)
            case "day":
                activity.open_day()
    again = fresh()
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(activity.state()), type=ActivityState))
    assert all(again.seen(f"S{place}", now) == activity.seen(f"S{place}", now) for place in range(9))
    assert len(activity.state().reduced) <= PACE.reductions_per_minute
    assert len(activity.state().sent) <= PACE.entries_per_minute

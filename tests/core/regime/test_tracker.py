"""The tracker: when it asks for fits, what it reads, no look-ahead, and restarts. The model is written by hand."""

from collections.abc import Sequence
from functools import cache
from itertools import chain

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.core.regime.tracker import RegimeSettings, RegimeTracker, TrackerState
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.regime import FitRequest, Level, RegimeFit, RegimeReading
from ocw_mcp.domain.time import DAY
from ocw_mcp.domain.unknown import Unknown
from tests.support.regimes import FIT, candles, walk

SETTINGS = RegimeSettings(fit_days=120, first_fit=60, refit=28 * DAY, longest_use=56 * DAY)
FIRST = SETTINGS.first_fit + 27
"""The place of the first day with a reading."""
BLOCK = 50
DAYS = 170
RETURNS = walk(4, DAYS, block=BLOCK)
Read = list[RegimeReading | Unknown]


def follow(days: Sequence[Candle], tracker: RegimeTracker, found: RegimeFit | Unknown = FIT, delay: int = 0) -> Read:
    """Return the readings of days; each fit arrives `delay` closes after its request."""
    readings: Read = []
    waiting: list[tuple[int, FitRequest]] = []
    for place, candle in enumerate(days):
        request = tracker.close(candle)
        readings.append(tracker.reading)
        waiting += [(place + delay, request)] if request is not None else []
        while waiting and waiting[0][0] <= place:
            tracker.take(waiting.pop(0)[1].at, found)
    return readings


@cache
def whole() -> Read:
    return follow(candles(RETURNS), RegimeTracker(settings=SETTINGS))


def known(readings: Read) -> list[RegimeReading]:
    return [each for each in readings if not isinstance(each, Unknown)]


def test_regime_is_unknown_until_the_first_fit() -> None:
    first = next(place for place, each in enumerate(whole()) if not isinstance(each, Unknown))
    reasons = [each.reason for each in whole()[:first] if isinstance(each, Unknown)]
    assert len(reasons) == first == FIRST
    assert reasons[0] == "needs 28 daily candles without a gap, has 1"
    assert reasons[-2] == "a fit needs 60 days with features, has 59"
    assert reasons[-1] == "the first fit is not done"


def test_level_follows_the_volatility_within_three_weeks() -> None:
    found = [(place % (2 * BLOCK), each) for place, each in enumerate(whole()) if not isinstance(each, Unknown)]
    assert {each.level for place, each in found if 21 <= place < BLOCK} == {Level.CALM}
    assert {each.level for place, each in found if place >= BLOCK + 21} == {Level.TURBULENT}
    assert all(sum(each.probabilities) == pytest.approx(1) and each.states == 2 for _, each in found)


def test_fits_are_requested_at_fixed_times() -> None:
    tracker, requests = RegimeTracker(7, SETTINGS), []
    for candle in candles(RETURNS):
        request = tracker.close(candle)
        if request is not None:
            requests.append(request)
            tracker.take(request.at, FIT)
    assert [each.at // SETTINGS.refit for each in requests] == list(
        range(requests[0].at // SETTINGS.refit, requests[-1].at // SETTINGS.refit + 1)
    )
    assert all(each.at % SETTINGS.refit == 0 for each in requests[1:])
    assert {(each.seed, len(each.rows) >= SETTINGS.first_fit) for each in requests} == {(7, True)}


def test_late_fit_is_used_from_the_close_after_it() -> None:
    late = follow(candles(RETURNS), RegimeTracker(settings=SETTINGS), delay=3)
    assert [isinstance(each, Unknown) for each in late].index(False) == FIRST + 3
    assert [each.probabilities for each in known(late)][-1] == pytest.approx(known(whole())[-1].probabilities, abs=1e-4)


@settings(max_examples=4)
@given(st.integers(FIRST - 3, DAYS - 1), st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=20))
def test_later_data_never_changes_a_reading(cut: int, other: list[float]) -> None:
    assert follow(candles([*RETURNS[:cut], *other]), RegimeTracker(settings=SETTINGS))[:cut] == whole()[:cut]


@pytest.mark.parametrize("cut", [20, FIRST - 1, FIRST, FIRST + 1, 150])
def test_restored_tracker_reads_the_same(cut: int) -> None:
    days = candles(RETURNS)
    tracker, restored = RegimeTracker(settings=SETTINGS), RegimeTracker(settings=SETTINGS)
    follow(days[:cut], tracker)
    restored.restore(msgspec.json.decode(msgspec.json.encode(tracker.state()), type=TrackerState))
    assert restored.reading == tracker.reading
    assert follow(days[cut:], restored) == whole()[cut:]


def test_refused_fit_makes_the_regime_unknown() -> None:
    refused = Unknown("one state describes the days best")
    tracker, days = RegimeTracker(settings=SETTINGS), candles(RETURNS)
    assert known(follow(days[:FIRST], tracker, FIT)) == []
    readings = follow(days[FIRST:], tracker, refused)
    assert not isinstance(readings[0], Unknown)
    assert set(readings[-50:]) == {refused}


def test_old_model_is_not_used() -> None:
    tracker, days = RegimeTracker(settings=SETTINGS), candles(RETURNS)
    follow(days[:FIRST], tracker)
    fitted = days[FIRST - 1].close_time
    for day, reading in zip(days[FIRST:], follow(days[FIRST:], tracker, delay=DAYS), strict=True):
        age = day.close_time - fitted
        assert isinstance(reading, Unknown) == (age >= SETTINGS.longest_use)
        assert not isinstance(reading, Unknown) or reading.reason == f"the model is {age // DAY} days old"


def test_long_gap_forgets_the_regime() -> None:
    days = candles(RETURNS)
    after = candles(RETURNS[:30], days[-1].close_time + 8 * DAY)
    readings = follow(list(chain(days, after)), RegimeTracker(settings=SETTINGS))
    assert not isinstance(readings[DAYS - 1], Unknown)
    assert [isinstance(each, Unknown) for each in readings[DAYS:]] == [True] * 30


def test_first_close_after_a_short_gap_keeps_the_probabilities() -> None:
    days = candles(RETURNS)
    after = candles(RETURNS[:30], days[-1].close_time + 2 * DAY)
    before, first, second = known(follow([*days, *after], RegimeTracker(settings=SETTINGS)))[-31:-28]
    assert first.probabilities == before.probabilities
    assert second.probabilities != before.probabilities
    assert (first.at, second.at) == (before.at + 3 * DAY, before.at + 4 * DAY)


def test_level_begins_anew_after_a_refused_fit() -> None:
    answers: list[RegimeFit | Unknown] = [FIT, Unknown("one state describes the days best"), FIT]
    tracker, answered = RegimeTracker(settings=SETTINGS), 0
    for candle in candles(RETURNS):
        request = tracker.close(candle)
        if answered == len(answers):
            break
        if request is not None:
            tracker.take(request.at, answers[answered])
            answered += 1
    assert isinstance(tracker.reading, RegimeReading)
    assert tracker.reading.since == tracker.reading.at


def test_first_fit_is_read_at_once_and_the_same_after_a_restart() -> None:
    tracker, restored = RegimeTracker(settings=SETTINGS), RegimeTracker(settings=SETTINGS)
    tracker.warm(candles(RETURNS[:100]))
    request = tracker.begin("BTCUSDT")
    assert request is not None
    assert (request, tracker.reading) == (tracker.pending("BTCUSDT"), Unknown("the first fit is not done"))
    tracker.take(request.at, FIT)
    assert isinstance(tracker.reading, RegimeReading)
    assert (tracker.reading.at, tracker.reading.fitted_at) == (request.at, request.at)
    restored.restore(msgspec.json.decode(msgspec.json.encode(tracker.state()), type=TrackerState))
    assert (restored.reading, restored.pending("BTCUSDT")) == (tracker.reading, None)


def test_failed_fit_is_requested_again_at_the_next_close() -> None:
    tracker, days = RegimeTracker(settings=SETTINGS), candles(RETURNS)
    requests = [request for day in days[:FIRST] if (request := tracker.close(day)) is not None]
    tracker.fail(requests[-1].at, "the worker ended with code 1")
    assert tracker.reading == Unknown("the first fit is not done: the worker ended with code 1")
    again = tracker.close(days[FIRST])
    assert again is not None
    assert again.at == days[FIRST].close_time
    tracker.take(requests[-1].at, FIT)
    assert isinstance(tracker.reading, Unknown), "the answer to another request has no effect"


def test_flat_price_makes_the_regime_unknown() -> None:
    readings = follow(candles([*RETURNS, *[0.0] * 14]), RegimeTracker(settings=SETTINGS))
    assert readings[-1] == Unknown("the price did not move for 14 days")

"""The times at which values become known."""

from datetime import date

import pytest

from ocw_mcp.core.macro.series import (
    ALL,
    CURVE,
    DELAYED,
    PRICES,
    UNEMPLOYED,
    Series,
    day_of,
    is_holiday,
    known_at,
    ms,
    next_month,
    observations,
)
from ocw_mcp.domain.time import DAY


@pytest.mark.parametrize(
    ("series", "day", "known"),
    [
        (CURVE, "2025-05-07", "2025-05-09"),  # Wednesday: published on Thursday
        (CURVE, "2025-05-09", "2025-05-13"),  # Friday: published on Monday
        (CURVE, "2025-05-23", "2025-05-28"),  # the Friday before Memorial Day
        (CURVE, "2025-12-24", "2025-12-27"),  # the day before Christmas
        (CURVE, "2021-07-02", "2021-07-07"),  # 4 July was a Sunday
        (UNEMPLOYED, "2025-05-01", "2025-06-16"),
        (UNEMPLOYED, "2025-09-01", "2025-11-21"),  # a shutdown
        (PRICES, "2005-01-01", "2005-02-26"),  # published on 23 February
        (PRICES, "2025-09-01", "2025-10-25"),  # published on 24 October, after a shutdown
        (PRICES, "2025-11-01", "2025-12-19"),  # published on 18 December
        (PRICES, "2017-01-01", "2017-02-16"),  # published on 15 February
        (PRICES, "2016-12-01", "2017-01-26"),  # published on 18 January; earlier months took up to 24 days
        (ALL["WALCL"], "2025-12-24", "2025-12-26"),
    ],
)
def test_value_is_known_when_its_calendar_has_published_it(series: Series, day: str, known: str) -> None:
    assert day_of(known_at(series, date.fromisoformat(day))).isoformat() == known


def test_no_monthly_value_is_known_within_ten_days_of_its_month() -> None:
    for series in (UNEMPLOYED, PRICES):
        for place in range(12 * 45):
            month = date(1980 + place // 12, place % 12 + 1, 1)
            assert known_at(series, month) >= ms(next_month(month)) + 10 * DAY


def test_delays_are_longer_than_the_usual_lag() -> None:
    for (name, month), known in DELAYED.items():
        series, day = ALL[name], date.fromisoformat(f"{month}-01")
        assert ms(date.fromisoformat(known)) > ms(next_month(day)) + series.lag_days * DAY


def test_first_release_takes_the_place_of_the_calendar() -> None:
    month = date(2025, 5, 1)
    found = observations(UNEMPLOYED, [(month, 4.2)], {month: date(2025, 6, 6)})
    assert [day_of(each.known_at).isoformat() for each in found] == ["2025-06-07"]


def test_value_that_a_source_has_is_known_when_it_is_read() -> None:
    read_at = ms(date(2025, 6, 6)) + 50_000_000
    found = observations(UNEMPLOYED, [(date(2025, 4, 1), 4.2), (date(2025, 5, 1), 4.2)], read_at=read_at)
    assert [each.known_at for each in found] == [ms(date(2025, 5, 16)), read_at]


@pytest.mark.parametrize("day", ["2025-01-20", "2025-05-26", "2025-06-19", "2025-11-27", "2023-01-02", "2020-07-03"])
def test_holidays_of_the_government_are_known(day: str) -> None:
    assert is_holiday(date.fromisoformat(day))


@pytest.mark.parametrize("day", ["2021-06-18", "2025-05-19", "2025-11-20", "2025-12-26", "2025-04-18"])
def test_other_weekdays_are_no_holidays(day: str) -> None:
    assert not is_holiday(date.fromisoformat(day))

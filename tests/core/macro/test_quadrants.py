"""The quadrant: compared with an independent computation, and never dependent on later values."""

from datetime import date
from itertools import groupby

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.core.macro.history import follow, reading_at
from ocw_mcp.core.macro.series import DECIDING, Observation, known_at, ms
from ocw_mcp.domain.macro import MacroReading, Quadrant
from ocw_mcp.domain.time import DAY
from ocw_mcp.domain.unknown import Unknown
from tests.support.examples import examples
from tests.support.macro_oracle import oracle, random_table

FIRST = date(2004, 1, 1)
Table = dict[str, tuple[Observation, ...]]


def steady(begin: date, days: int, **levels: tuple[float, float]) -> Table:
    """Return the deciding series as straight lines: the first value, and the change a day or a month."""
    table: Table = {}
    for series in DECIDING:
        value, step = levels[series.name]
        if series.pace == "daily":
            stamps = [
                day for place in range(days) if (day := date.fromordinal(begin.toordinal() + place)).weekday() < 5
            ]
        else:
            stamps = [date(begin.year + place // 12, place % 12 + 1, 1) for place in range(days // 30)]
        rows = [(day, value + step * place) for place, day in enumerate(stamps)]
        table[series.name] = tuple(Observation(day, number, known_at(series, day)) for day, number in rows)
    return table


def quadrant(**changes: tuple[float, float]) -> Quadrant | str:
    levels = {"T10Y2Y": (1.0, 0.0), "UNRATE": (5.0, 0.0), "T10YIE": (2.1, 0.0), "CPIAUCSL": (100.0, 0.2)} | changes
    found = reading_at(steady(FIRST, 800, **levels), ms(FIRST) + 795 * DAY)
    return found.reason if isinstance(found, Unknown) else found.quadrant


@examples(1, slow=40, deadline=None)
@given(seed=st.integers(0, 10**6), after=st.integers(500, 900))
def test_quadrant_equals_that_of_the_oracle(seed: int, after: int) -> None:
    table, at = random_table(seed), ms(FIRST) + after * DAY
    first = ms(date(2002, 1, 1))
    found = reading_at(table, at)
    assert (None if isinstance(found, Unknown) else found.quadrant.value) == oracle(table, first, at)


@examples(10, slow=200, deadline=None)
@given(seed=st.integers(0, 10**6), after=st.integers(200, 1_480))
def test_reading_does_not_change_when_later_values_are_added(seed: int, after: int) -> None:
    table, at = random_table(seed), ms(FIRST) + after * DAY
    known = {name: tuple(each for each in found if each.known_at <= at) for name, found in table.items()}
    assert reading_at(known, at) == reading_at(table, at)


def test_each_day_of_a_history_is_the_reading_of_that_day() -> None:
    table, begin = random_table(7), ms(FIRST) + 700 * DAY
    for day in follow(table, begin, begin + 400 * DAY)[::57]:
        found = reading_at(table, day.at)
        assert (found.quadrant if isinstance(found, MacroReading) else found) == day.quadrant


def test_growth_rises_while_jobs_and_curve_are_sound() -> None:
    assert quadrant(CPIAUCSL=(100.0, 0.1)) is Quadrant.GOLDILOCKS
    assert quadrant(CPIAUCSL=(100.0, 0.5), T10YIE=(2.5, 0.0)) is Quadrant.REFLATION


def test_growth_falls_when_jobs_are_lost_under_an_inverted_curve() -> None:
    bad = {"UNRATE": (4.0, 0.1), "T10Y2Y": (-0.4, 0.0)}
    assert quadrant(**bad, CPIAUCSL=(100.0, 0.1)) is Quadrant.DEFLATION
    assert quadrant(**bad, CPIAUCSL=(100.0, 0.5), T10YIE=(2.5, 0.0)) is Quadrant.STAGFLATION


def test_measure_within_the_band_keeps_the_direction() -> None:
    table = steady(FIRST, 1_600, T10Y2Y=(1.0, 0.0), UNRATE=(5.0, 0.0), T10YIE=(2.6, -0.0008), CPIAUCSL=(100.0, 0.25))
    days = follow(table, ms(FIRST) + 400 * DAY, ms(FIRST) + 1_590 * DAY)
    kept = [day for day in days if -0.2 < day.inflation < 0 and day.quadrant is Quadrant.REFLATION]
    assert len(kept) > 100
    after = [day.quadrant for day in days if day.at > kept[0].at]
    assert [each for each, _ in groupby(after)] == [Quadrant.REFLATION, Quadrant.GOLDILOCKS]


def test_missing_month_is_tolerated_and_a_second_one_is_not() -> None:
    at = ms(date(2007, 3, 1))
    table = random_table(1) | {
        name: tuple(
            Observation(day, 5.0, known_at(series, day))
            for place in range(60)
            if (day := date(2002 + place // 12, place % 12 + 1, 1)) != date(2007, 1, 1)
        )
        for series in DECIDING
        if (name := series.name) in ("UNRATE", "CPIAUCSL")
    }
    steady_daily = steady(FIRST, 1_300, **dict.fromkeys(("T10Y2Y", "T10YIE", "UNRATE", "CPIAUCSL"), (1.0, 0.0)))
    table |= {name: steady_daily[name] for name in ("T10Y2Y", "T10YIE")}
    assert isinstance(reading_at(table, at), MacroReading)
    for_long = ms(date(2007, 4, 12))
    assert reading_at(table, for_long) == Unknown("the last value of UNRATE is of 2006-12-01, too old")


def test_regime_is_unknown_before_a_series_begins() -> None:
    table = random_table(3)
    found = reading_at(table, ms(FIRST))
    assert isinstance(found, Unknown)
    assert found.reason.startswith("T10Y2Y is not known before 2004-01-0")
    assert reading_at(table | {"T10YIE": ()}, ms(date(2006, 1, 2))) == Unknown("there are no values of T10YIE")


@pytest.mark.parametrize("name", ["T10Y2Y", "T10YIE"])
def test_regime_is_unknown_when_a_daily_series_stops(name: str) -> None:
    levels = {"T10Y2Y": (1.0, 0.0), "UNRATE": (5.0, 0.0), "T10YIE": (2.1, 0.0), "CPIAUCSL": (100.0, 0.2)}
    table = steady(FIRST, 800, **levels)
    table[name] = table[name][:-20]
    found = reading_at(table, ms(FIRST) + 795 * DAY)
    assert isinstance(found, Unknown)
    assert found.reason.startswith(f"the last value of {name} is of 2006-0")


def test_reading_shows_newest_known_values_with_their_changes() -> None:
    table = steady(FIRST, 800, T10Y2Y=(1.0, 0.0), UNRATE=(5.0, 0.1), T10YIE=(2.1, 0.0), CPIAUCSL=(100.0, 0.2))
    found = reading_at(table, ms(date(2006, 2, 20)))
    assert isinstance(found, MacroReading)
    assert {each.name: each.date for each in found.series} == {
        "T10Y2Y": "2006-02-16",
        "UNRATE": "2006-01-01",
        "T10YIE": "2006-02-16",
        "CPIAUCSL": "2005-12-01",
    }
    assert next(each for each in found.series if each.name == "UNRATE").change == pytest.approx(0.1)
    assert found.as_of == ms(date(2006, 2, 18))
    assert msgspec.json.decode(msgspec.json.encode(found), type=MacroReading) == found

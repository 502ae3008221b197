"""The distance of a row, its calibration, and the rows that have no reading."""

import math
from functools import cache

import msgspec
import numpy as np
import pytest

from ocw_mcp.core.anomaly.detector import LEAST_PAST, WINDOW, AnomalyDetector, AnomalyState
from ocw_mcp.core.anomaly.distance import CUT, distance, scales, shrunk_covariance
from ocw_mcp.domain.anomaly import PAST, AnomalyReading
from ocw_mcp.domain.unknown import Unknown
from tests.support.regimes import draws

NAMES = ("return", "volume", "range")
WARM = WINDOW + LEAST_PAST
Rows = list[tuple[float | None, ...]]


def rows_of(seed: int, count: int) -> Rows:
    """Return rows of three correlated columns with heavy tails."""
    mixed = draws(seed, "rows").standard_t(4, size=(count, 3)) @ np.array([[1.0, 0.5, 0.8], [0, 1, 0.3], [0, 0, 1]])
    return [tuple(row) for row in mixed.tolist()]


def read(rows: Rows, detector: AnomalyDetector | None = None) -> list[AnomalyReading | Unknown]:
    detector = detector or AnomalyDetector(NAMES)
    return [detector.test(at, row) for at, row in enumerate(rows)]


@cache
def warmed() -> AnomalyState:
    detector = AnomalyDetector(NAMES)
    read(rows_of(1, WARM), detector)
    return detector.state()


def detector() -> AnomalyDetector:
    """Return a detector that has seen `WARM` rows."""
    found = AnomalyDetector(NAMES)
    found.restore(msgspec.json.decode(msgspec.json.encode(warmed()), type=AnomalyState))
    return found


def last(*row: float | None) -> AnomalyReading:
    found = detector().test(WARM, row)
    assert isinstance(found, AnomalyReading)
    return found


def test_distance_is_that_of_the_scaled_and_shrunk_window() -> None:
    window, row = np.array(rows_of(2, 60), float), np.array([3.0, -4.0, 9.0])
    centre, deviations = scales(window)
    cut = np.clip((window - centre) / deviations, -CUT, CUT)
    away = (row - centre) / deviations
    expected = math.sqrt(away @ np.linalg.inv(shrunk_covariance(cut)) @ away)
    found = distance(window, row)
    assert found.values == pytest.approx(expected)
    assert found.parts.sum() == pytest.approx(expected**2)


def test_distance_does_not_depend_on_units() -> None:
    window, row, units = np.array(rows_of(2, 60), float), np.array([3.0, -4.0, 9.0]), np.array([1e-4, 50.0, 1e6])
    assert distance(window * units + 7, row * units + 7).values == pytest.approx(distance(window, row).values)


def test_one_crash_in_the_window_does_not_hide_the_next() -> None:
    calm = np.array(rows_of(3, WINDOW), float)
    crashed = calm.copy()
    crashed[50] = (-80.0, 60.0, 90.0)
    crash = np.array([-40.0, 30.0, 45.0])
    assert distance(crashed, crash).values > 0.6 * distance(calm, crash).values


def test_usual_row_is_read_as_usual_and_a_crash_as_unusual() -> None:
    assert last(0.1, 0.0, -0.1).quantile < 0.2
    found = last(-30.0, 2.0, 1.0)
    assert found.quantile == pytest.approx(1 - 1 / (LEAST_PAST + 1))
    assert found.drivers[0][0] == "return"
    assert sum(share for _, share in found.drivers) == pytest.approx(1)


def test_tested_row_is_not_in_its_own_window() -> None:
    window = np.array(rows_of(1, WARM)[-WINDOW:], float)
    assert last(-30.0, 2.0, 1.0).distance == pytest.approx(distance(window, np.array([-30.0, 2.0, 1.0])).values)


def test_quantile_is_the_share_of_smaller_earlier_distances() -> None:
    found = read(rows_of(4, WARM + 5))
    values = [
        distance(
            np.array(rows_of(4, WARM + 5)[at - WINDOW : at], float), np.array(rows_of(4, WARM + 5)[at], float)
        ).values
        for at in range(WINDOW, WARM + 5)
    ]
    for back in range(1, 6):
        reading, before = found[-back], values[:-back]
        assert isinstance(reading, AnomalyReading)
        assert reading.quantile == pytest.approx(sum(each < values[-back] for each in before) / (len(before) + 1))


def test_no_reading_before_window_and_calibration_are_full() -> None:
    found = read(rows_of(1, WARM + 1))
    assert [isinstance(each, Unknown) for each in found] == [True] * WARM + [False]
    assert found[0] == Unknown("needs 120 rows, has 0")
    assert found[WARM - 1] == Unknown("needs 99 earlier distances in the same features, has 98")


def test_later_rows_never_change_a_reading() -> None:
    rows = rows_of(5, WARM + 20)
    assert read([*rows[: WARM + 5], (9.0, 9.0, 9.0)])[: WARM + 5] == read(rows)[: WARM + 5]


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_missing_feature_needs_a_calibration_of_its_own(missing: float | None) -> None:
    assert detector().test(WARM, (0.1, missing, 0.1)) == Unknown(
        "needs 99 earlier distances in the same features, has 0"
    )


def of_candles(rows: Rows) -> Rows:
    """Return rows of four features, of which the last becomes known in the last 130 rows."""
    return [(*row, None if at < len(rows) - 130 else math.sin(at)) for at, row in enumerate(rows)]


def test_features_of_candles_are_read_until_all_are_calibrated() -> None:
    rows = rows_of(10, WARM + 130)
    found = read(of_candles(rows), AnomalyDetector((*NAMES, "funding")))
    alone = read(rows)
    known = [each for each in found if isinstance(each, AnomalyReading)]
    assert len(known) == 130, "no reading is missed"
    assert {name for each in known for name, _ in each.drivers} == set(NAMES)
    for one, other in zip(found[-30:-1], alone[-30:-1], strict=True):
        assert isinstance(one, AnomalyReading)
        assert isinstance(other, AnomalyReading)
        assert one.distance == pytest.approx(other.distance, rel=0.2), "the window has only rows with all features"


def test_all_features_are_read_once_they_are_calibrated() -> None:
    rows = [(*row, math.sin(at)) for at, row in enumerate(rows_of(11, WARM + 1))]
    reading = read(rows, AnomalyDetector((*NAMES, "funding")))[-1]
    assert isinstance(reading, AnomalyReading)
    assert {name for name, _ in reading.drivers} == {*NAMES, "funding"}


@pytest.mark.parametrize("cut", [0, 30, WARM + 20])
def test_warming_with_two_distances_a_row_equals_testing(cut: int) -> None:
    rows = [(*row, math.sin(at)) for at, row in enumerate(rows_of(12, WARM + 250))]
    tested, warmed_up = AnomalyDetector((*NAMES, "funding")), AnomalyDetector((*NAMES, "funding"))
    read(rows, tested)
    read(rows[:cut], warmed_up)
    warmed_up.warm(rows[cut:])
    assert [of for of, _ in warmed_up.state().past] == [of for of, _ in tested.state().past]
    values = [[value for _, value in each.state().past] for each in (warmed_up, tested)]
    assert values[0] == pytest.approx(values[1])


def test_row_without_known_features_is_unknown() -> None:
    assert detector().test(WARM, (None, None, None)) == Unknown("no feature is known")


def test_feature_that_never_changed_is_left_out_until_it_moves() -> None:
    rows: Rows = [(one, two, 0.0001) for one, two, _ in rows_of(6, WARM + 1)]
    found = AnomalyDetector(NAMES)
    reading = read(rows, found)[-1]
    assert isinstance(reading, AnomalyReading)
    assert {name for name, _ in reading.drivers} == {"return", "volume"}
    assert found.test(WARM, (0.1, 0.1, 0.003)) == Unknown("range never changed in the window, and changes now")


def test_mostly_constant_feature_still_counts() -> None:
    rows: Rows = [(one, two, 0.0001 + 0.00005 * (at % 3 == 0)) for at, (one, two, _) in enumerate(rows_of(6, WARM))]
    found = AnomalyDetector(NAMES)
    read(rows, found)
    reading = found.test(WARM, (0.1, 0.1, 0.003))
    assert isinstance(reading, AnomalyReading)
    assert reading.drivers[0][0] == "range"


def test_equal_rows_have_no_reading() -> None:
    assert read([(1.0, 2.0, 3.0)] * (WARM + 1))[-1] == Unknown("no feature changes")


def test_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="has 2 values; expected 3"):
        AnomalyDetector(NAMES).test(0, (1.0, 2.0))


def test_memory_is_bounded() -> None:
    found = detector()
    for at, row in enumerate(rows_of(8, 2 * PAST)):
        found.test(WARM + at, row)
    assert (len(found.state().rows), len(found.state().past)) == (WINDOW, 2 * PAST)


@pytest.mark.parametrize("missing", [(), (2,), (1, 2)])
@pytest.mark.parametrize("cut", [0, 30, 150, WARM + 20])
def test_warming_equals_testing_row_by_row(missing: tuple[int, ...], cut: int) -> None:
    rows = [tuple(None if at in missing else value for at, value in enumerate(row)) for row in rows_of(8, WARM + 21)]
    tested, warmed_up = AnomalyDetector(NAMES), AnomalyDetector(NAMES)
    read(rows[:-1], tested)
    read(rows[:cut], warmed_up)
    warmed_up.warm(rows[cut:-1])
    one, other = tested.test(WARM + 20, rows[-1]), warmed_up.test(WARM + 20, rows[-1])
    assert isinstance(one, AnomalyReading)
    assert isinstance(other, AnomalyReading)
    assert one.quantile == other.quantile
    assert dict(one.drivers) == pytest.approx(dict(other.drivers))


def test_warming_with_changing_features_equals_testing_row_by_row() -> None:
    rows: Rows = [(one, two if at % 3 else None, three) for at, (one, two, three) in enumerate(rows_of(8, WARM + 40))]
    tested, warmed_up = AnomalyDetector(NAMES), AnomalyDetector(NAMES)
    read(rows, tested)
    warmed_up.warm(rows)
    assert warmed_up.state() == tested.state()


@pytest.mark.parametrize("every", [1, 7, 1_000])
def test_reading_is_the_same_however_often_readings_were_asked_for(every: int) -> None:
    rows, tested, lazy = rows_of(9, WARM + 150), AnomalyDetector(NAMES), AnomalyDetector(NAMES)
    expected, found = read(rows, tested)[-1], None
    for at, row in enumerate(rows):
        lazy.add(row)
        if at % every == 0 or row is rows[-1]:
            found = lazy.read(at)
    assert found == expected


def test_far_row_has_a_feature_beyond_its_usual_values() -> None:
    found = AnomalyDetector(NAMES)
    for row in rows_of(1, WINDOW - 1):
        assert not found.is_far((99.0, 0.0, 0.0))
        found.add(row)
    found.add((0.0, 0.0, 0.0))
    assert [found.is_far((each, 0.0, None)) for each in (0.1, 99.0, -99.0)] == [False, True, True]

"""The features of days: a naive oracle, gaps, and degenerate prices."""

import itertools
import math
from statistics import fmean, pstdev

import numpy as np
import pytest
from msgspec.structs import replace

from ocw_mcp.core.regime.features import LEAD, WINDOW, DailyCloses, Floats, annual, features_of
from ocw_mcp.domain.time import DAY, HOUR
from ocw_mcp.domain.unknown import Unknown
from tests.support.regimes import candles, walk

CLOSES = [(each.close_time, each.close) for each in candles(walk(1, 120))]


def rows(closes: list[tuple[int, float]]) -> Floats:
    found = features_of(closes)
    assert not isinstance(found, Unknown)
    return found


def test_features_equal_a_naive_computation() -> None:
    prices = [price for _, price in CLOSES]
    returns = [math.log(two / one) for one, two in itertools.pairwise(prices)]
    logs = [
        math.log(math.sqrt(fmean(each * each for each in returns[upto - WINDOW : upto])))
        for upto in range(WINDOW, len(returns) + 1)
    ]
    expected = [
        (returns[len(returns) - len(logs) + upto - 1], logs[upto - 1], math.log(pstdev(logs[upto - WINDOW : upto])))
        for upto in range(WINDOW, len(logs) + 1)
    ]
    assert rows(CLOSES) == pytest.approx(np.array(expected), rel=1e-9)
    assert len(rows(CLOSES)) == len(CLOSES) - LEAD + 1


def test_features_do_not_depend_on_later_closes() -> None:
    for upto in range(LEAD, len(CLOSES), 13):
        assert rows(CLOSES[:upto]).tolist() == rows(CLOSES)[: upto - LEAD + 1].tolist()


def test_return_over_a_gap_is_left_out() -> None:
    later = [(at + 2 * DAY, price * 3) for at, price in CLOSES[60:]]
    assert np.abs(rows(CLOSES[:60] + later)[:, 0]).max() < 0.2
    assert len(rows(CLOSES[:60] + later)) == len(CLOSES) - LEAD


@pytest.mark.parametrize(
    ("closes", "reason"),
    [
        ([], "needs 28 daily candles without a gap, has 0"),
        (CLOSES[: LEAD - 1], "needs 28 daily candles without a gap, has 27"),
        ([(at, 100.0) for at, _ in CLOSES], "did not move for 14 days"),
        ([(at, 100.0 * 1.01 ** (place % 2)) for place, (at, _) in enumerate(CLOSES)], "volatility did not change"),
        ([*CLOSES, (CLOSES[-1][0] + DAY, 0.0)], "not a positive number"),
        ([*CLOSES, (CLOSES[-1][0] + DAY, math.nan)], "not a positive number"),
    ],
)
def test_degenerate_prices_have_no_features(closes: list[tuple[int, float]], reason: str) -> None:
    found = features_of(closes)
    assert isinstance(found, Unknown)
    assert reason in found.reason


def test_only_later_daily_candles_are_taken() -> None:
    first, second = candles([0.01, 0.02])
    closes = DailyCloses(100)
    closes.add(second)
    with pytest.raises(ValueError, match="not after the last close"):
        closes.add(first)
    with pytest.raises(ValueError, match="expected one day"):
        closes.add(replace(second, interval=HOUR))


def test_long_gap_begins_the_history_anew() -> None:
    closes = DailyCloses(100)
    before, after = candles([0.01, 0.02]), candles([0.01], before_gap := candles([0.0])[0].open_time + 11 * DAY)
    assert before_gap - before[-1].close_time > 7 * DAY
    assert [closes.add(each) for each in (*before, *after)] == [False, False, True]
    assert len(closes) == 1


def test_volatility_of_a_year_follows_from_daily_returns() -> None:
    assert annual(math.log(0.02)) == pytest.approx(0.02 * math.sqrt(365))

"""Fractional Kelly against a search for the fastest growth, and the budget of correlated symbols."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.core.learning.draws import generator
from ocw_mcp.core.learning.outcomes import Outcome
from ocw_mcp.core.learning.payoffs import Payoffs, kelly, share_budget
from ocw_mcp.domain.time import DAY
from tests.support.examples import examples


def fastest(win_rate: float, win: float, loss: float) -> float:
    """Return the risk fraction with the largest mean logarithm of equity after a trade, from a grid of 4,000."""

    def growth(fraction: float) -> float:
        return win_rate * math.log1p(fraction * win) + (1 - win_rate) * math.log1p(-fraction * loss)

    return max((number / 4_000 for number in range(4_000) if number / 4_000 * loss < 1), key=growth)


@given(st.floats(0.05, 0.95), st.floats(0.3, 4), st.floats(1, 2.5))
@examples(6, slow=100)
def test_kelly_equals_a_search_for_the_fastest_growth(win_rate: float, win: float, loss: float) -> None:
    assert kelly(win_rate, win, loss) == pytest.approx(fastest(win_rate, win, loss), abs=3e-4)


def test_small_losses_do_not_raise_the_fraction_above_that_of_one_r() -> None:
    assert kelly(0.6, 0.5, 0.5) == pytest.approx(0.2)
    assert kelly(0.4, 1.0, 1.0) == 0


def payoffs(nets: list[float], regime: str = "calm") -> Payoffs:
    found = Payoffs(["calm", "turbulent"])
    for number, net in enumerate(nets):
        found.take(Outcome(at=(number + 1) * DAY, regime=regime, direction=1, signals={}, net=net))
    return found


def test_size_is_zero_without_an_edge_and_at_most_a_quarter_of_kelly() -> None:
    assert payoffs([]).advise("calm").risk == 0
    assert payoffs([1.0, -1.0] * 50).advise("calm").risk == 0
    good = payoffs([1.5, 1.5, -1.0] * 60).advise("calm")
    assert good.low_win_rate < good.win_rate == pytest.approx(0.66, abs=0.02)
    assert 0 < good.risk == pytest.approx(kelly(good.low_win_rate, good.win, good.loss) / 4)
    assert (good.win, good.loss) == pytest.approx((1.5, 1.0), abs=0.05)


def test_one_huge_win_counts_as_ten_r() -> None:
    huge, large = (payoffs([1.0, -1.0] * 20 + [win]).advise("calm") for win in (106.0, 10.0))
    assert huge == large
    assert huge.risk < 0.03
    assert payoffs([1.0, -1.0] * 20 + [-106.0]).advise("calm").loss > 3


def test_regime_without_trades_borrows_with_less_certainty() -> None:
    found = payoffs([1.5, 1.5, -1.0] * 60)
    here, there = found.advise("calm"), found.advise("turbulent")
    assert there.evidence == 0
    assert there.low_win_rate < here.low_win_rate
    assert 0 < there.risk < here.risk


@given(st.integers(0, 10_000))
@examples(5, slow=60)
def test_correlated_symbols_share_one_budget(seed: int) -> None:
    draw, names = generator(seed), ["A", "B", "C", "D"]
    wanted = {name: float(draw.random() * 0.02) for name in names if draw.random() < 0.8}
    held = {name: float(draw.random() * 0.01) for name in names if draw.random() < 0.4}
    found = share_budget(wanted, held, [["A", "B", "C"]])
    assert set(found) == set(wanted)
    for cluster in (["A", "B", "C"], ["D"]):
        largest = max((wanted.get(name, 0.0) for name in cluster), default=0.0)
        rest = max(0.0, largest - sum(held.get(name, 0.0) for name in cluster))
        total = sum(wanted.get(name, 0.0) for name in cluster)
        for name in set(cluster) & set(wanted):
            assert found[name] == pytest.approx(wanted[name] * min(1.0, rest / total))


@pytest.mark.parametrize(
    "asked", [({"A": math.nan}, {}, []), ({"A": 0.1}, {"A": -0.1}, []), ({"A": 0.1}, {}, [["A"], ["A", "B"]])]
)
def test_impossible_budget_is_refused(asked: Any) -> None:
    with pytest.raises(ValueError, match=r"expected a share|two clusters"):
        share_budget(*asked)

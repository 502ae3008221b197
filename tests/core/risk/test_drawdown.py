"""The fall of equity from its peak, and its limit, which is measured anew after a resume of the operator."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.core.risk.counters import Drawdown
from ocw_mcp.domain.policies import DrawdownPolicy

D = Decimal


def fresh(share: str = "0.15") -> Drawdown:
    return Drawdown(DrawdownPolicy(max_share=D(share)), D(10_000))


@pytest.mark.parametrize(("equity", "reached"), [("8500.01", False), ("8500", True), ("-5", True)])
def test_drawdown_limit_is_reached_at_its_share_of_the_peak(equity: str, reached: bool) -> None:
    assert fresh().watch(D(equity)) is reached


def test_a_higher_peak_raises_the_drawdown_limit() -> None:
    drawdown = fresh()
    assert not drawdown.watch(D(12_000))
    assert not drawdown.watch(D(10_201))
    assert drawdown.watch(D(10_200))
    assert drawdown.fall(D(10_200)) == D("0.15")


def test_drawdown_stays_reached_until_the_operator_resumes() -> None:
    drawdown = fresh()
    assert drawdown.watch(D(8_000))
    assert drawdown.watch(D(8_100))
    drawdown.resume(D(8_100))
    assert not drawdown.watch(D(8_100))
    assert not drawdown.watch(D(6_886))
    assert drawdown.watch(D(6_885))


def test_the_deepest_fall_is_kept_after_a_resume() -> None:
    drawdown = fresh()
    for equity in (9_000, 12_000, 9_600, 11_000):
        drawdown.watch(D(equity))
    drawdown.resume(D(11_000))
    drawdown.watch(D(10_500))
    assert drawdown.state().deepest == D("0.2")


@pytest.mark.parametrize("factor", ["0.5", "3"])
def test_transfers_do_not_change_the_drawdown(factor: str) -> None:
    drawdown = fresh()
    drawdown.watch(D(12_000))
    drawdown.resume(D(9_000))
    drawdown.rescale(D(factor))
    assert drawdown.fall(D(8_100) * D(factor)) == D("0.1")
    drawdown.watch(D(8_400) * D(factor))
    assert drawdown.state().deepest == D("0.3")


def test_drawdown_is_measured_for_equity_below_1() -> None:
    drawdown = Drawdown(DrawdownPolicy(max_share=D("0.15")), D("0.8"))
    drawdown.watch(D("0.72"))
    assert drawdown.state().deepest == drawdown.fall(D("0.72")) == D("0.1")


def test_an_account_without_equity_is_at_its_drawdown_limit() -> None:
    drawdown = Drawdown(DrawdownPolicy(max_share=D("0.15")), D(0))
    assert drawdown.watch(D(-5))
    assert drawdown.state().deepest == drawdown.fall(D(-5)) == 0


@given(st.lists(st.decimals("-1000", "100000", places=2), max_size=50))
def test_the_deepest_fall_is_the_largest_fall_from_any_peak(path: list[Decimal]) -> None:
    drawdown, peak, deepest = fresh(), D(10_000), D(0)
    for equity in path:
        peak = max(peak, equity)
        deepest = max(deepest, (peak - equity) / peak)
        assert drawdown.watch(equity) is (peak - equity >= peak * D("0.15"))
    assert drawdown.state().deepest == deepest

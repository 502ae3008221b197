"""What trades that were not made would have yielded, and what exits gave up."""

from typing import Any

import pytest

from ocw_mcp.core.learning.counterfactuals import FollowedProposal, Proposal, exit_regret
from ocw_mcp.domain.market import Candle

MINUTE = 60_000


def candle(low: float, high: float, close: float, opened: float = 100.0, place: int = 0) -> Candle:
    return Candle("BTCUSDT", place * MINUTE, MINUTE, opened, high, low, close, 1.0)


def proposal(**changed: Any) -> Proposal:
    usual = {"direction": 1, "entry": 100.0, "stop": 98.0, "target": 104.0, "cost": 0.001}
    return Proposal(**(usual | changed))


@pytest.mark.parametrize(
    ("seen", "result"),
    [
        (candle(99, 104.5, 104), (4 - 0.1) / 2),
        (candle(97.5, 101, 100), (-2 - 0.1) / 2),
        (candle(97.5, 105, 104), (-2 - 0.1) / 2),  # both were reached: the stop counts
        (candle(96, 97.5, 97, opened=97.0), (-3 - 0.1) / 2),  # the market opened beyond the stop
        (candle(99, 103, 101), None),
    ],
)
def test_proposal_ends_at_stop_or_target_after_costs(seen: Candle, result: float | None) -> None:
    assert FollowedProposal(proposal(), 10 * MINUTE).close(seen) == pytest.approx(result)


def test_short_proposal_mirrors_a_long_one() -> None:
    short = FollowedProposal(proposal(direction=-1, stop=102.0, target=96.0), 10 * MINUTE)
    assert short.close(candle(95.5, 101, 96)) == pytest.approx((4 - 0.1) / 2)


def test_proposal_ends_at_its_horizon_with_funding() -> None:
    followed = FollowedProposal(proposal(target=None), 2 * MINUTE)
    assert followed.close(candle(99, 101, 101)) is None
    followed.funding += 0.002
    assert followed.close(candle(99, 106, 105, place=1)) == pytest.approx((5 - 0.1 - 0.2) / 2)


@pytest.mark.parametrize("changed", [{"stop": 101.0}, {"target": 99.0}, {"direction": 0}, {"cost": -0.1}])
def test_impossible_proposal_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is not beyond|below 0"):
        proposal(**changed)


def test_exit_regret_is_what_each_horizon_would_have_added() -> None:
    found = exit_regret(-1, 100.0, 2.0, {"1h": 98.0, "4h": 103.0}, {"4h": 0.001})
    assert found == pytest.approx({"1h": 1.0, "4h": -1.55})
    with pytest.raises(ValueError, match="distance of 1 R"):
        exit_regret(1, 100.0, 0.0, {})

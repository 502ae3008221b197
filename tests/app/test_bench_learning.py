"""The benchmark of learning on known reliabilities: its world, its rivals, and that learning wins."""

import numpy as np
import pytest

from ocw_mcp.adapters.feeds.simulated.paths import generator
from ocw_mcp.app.bench.learning import WORLDS, compare, speed
from ocw_mcp.app.bench.learning_rivals import Informed, Plain, Prototype
from ocw_mcp.app.bench.learning_world import GROUP_OF, SIGNALS, World, steps


def test_signals_are_right_as_often_as_their_reliability() -> None:
    found = steps(World(correlation=0.3), 4, 5)
    right, reliability = (np.stack(each) for each in ([one.right for one in found], [one.reliability for one in found]))
    assert right.mean((0, 1, 2)) == pytest.approx(reliability.mean((0, 1)), abs=0.04)
    assert np.ptp([one.regime for one in found]) == 2


def test_prototype_weighs_by_the_shares_of_group_and_signal() -> None:
    prototype, regime = Prototype(1, 1), np.array([0])
    prototype.add(regime, np.array([[1.0, *[0.0] * (SIGNALS - 1)]]))
    size = int((GROUP_OF == 0).sum())
    groups = np.array([(2 + 1 / size) / 5, *[2 / 5] * 5])
    signals = np.array([3 / 5, *[2 / 5] * (size - 1)])
    expected = groups[0] / groups.sum() * signals / signals.sum()
    assert prototype.weights(regime)[0, :size] == pytest.approx(expected)


def test_plain_weights_are_the_log_odds_of_a_beta_posterior() -> None:
    plain = Plain(1, 2)
    plain.add(np.array([1]), np.array([[1.0] + [0.0] * (SIGNALS - 1)]))
    assert plain.weights(np.array([1]))[0, :2] == pytest.approx([np.log(3 / 2), np.log(2 / 3)])
    assert plain.weights(np.array([0]))[0].tolist() == [0.0] * SIGNALS


def test_informed_weights_are_those_of_reliabilities_drawn_from_the_world() -> None:
    world, hits, size = World(regimes=1), np.array([24.0, 18, 15, 9, 15, 14]), int((GROUP_OF == 0).sum())
    informed = Informed(1, world)
    for trade in range(30):
        informed.add(np.array([0]), np.array([[*(trade < hits[:size]), *[trade % 2] * (SIGNALS - size)]], dtype=float))
    draw = generator(5, 0, "test of the informed rival")
    odds = draw.normal(world.mean, world.of_group, (300_000, 1)) + draw.normal(0, world.of_signal, (300_000, size))
    special = draw.random(odds.shape)
    odds += world.effect * ((special < world.informative) * 1.0 - (special > 1 - world.misleading))
    right = (1 - world.luck) / (1 + np.exp(-odds)) + world.luck / 2
    likelihood = np.prod(right ** hits[:size] * (1 - right) ** (30 - hits[:size]), 1)
    mean = (likelihood[:, None] * right).sum(0) / likelihood.sum()
    assert informed.weights(np.array([0]))[0, :size] == pytest.approx(np.log(mean / (1 - mean)), abs=0.01)


@pytest.mark.slow
def test_learning_closes_more_of_the_gap_than_the_prototype() -> None:
    found = compare(WORLDS["alike"], seeds=24)
    assert found["of_prototype"]["ocw_mean"][2] < 0.9
    assert found["of_prototype"]["ocw_left_out"][2] < found["of_prototype"]["ocw_mean"][0]
    assert all(0.85 <= part <= 0.97 for part in found["interval_90_covers"])
    assert set(found["regret"]) > {"uniform", "plain", "discounted", "prototype_drawn", "ocw_drawn"}


def test_speed_is_measured_over_a_rebuild() -> None:
    found = speed(40)
    assert found["rebuild_trades"] == 40
    assert 0 < found["update_median_us"] <= 1e6 * found["rebuild_s"]

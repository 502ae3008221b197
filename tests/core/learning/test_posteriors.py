"""Posteriors of reliabilities against an oracle in loops, their restarts, and their intervals."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.core.learning.draws import generator
from ocw_mcp.core.learning.posteriors import Beta, Grid, Posteriors, PosteriorsState
from ocw_mcp.core.learning.quantiles import beta_quantiles
from ocw_mcp.domain.time import DAY
from tests.support.examples import examples
from tests.support.learning import Oracle, Seen

GROUPS = [0, 0, 1]
GRID = Grid(common=(16, 256), group=(4, 64), regime=(8, 128), half_lives=(20.0 * DAY,), block=3)


def seen(seed: int, count: int) -> list[Seen]:
    """Return random observations of three signals in two regimes; some signals and decisions count in part."""
    draw, found, at = generator(seed), [], DAY
    for _ in range(count):
        at += int(draw.integers(0, 20)) * DAY
        part = float(draw.choice([0.5, 1.0]))
        counts = np.where(draw.random(len(GROUPS)) < 0.8, part, 0.0)
        hits = np.where(draw.random(len(GROUPS)) < 0.6, counts, 0.0)
        found.append((at, int(draw.integers(2)), hits.tolist(), counts.tolist()))
    return found


def counted(rows: list[Seen], grid: Grid = GRID) -> Posteriors:
    posteriors = Posteriors(np.array(GROUPS), 2, grid=grid)
    for at, regime, hits, counts in rows:
        posteriors.add(at, np.array([regime]), np.array([hits]), np.array([counts]))
    return posteriors


@given(st.integers(0, 10_000), st.integers(1, 12))
@examples(4, slow=60)
def test_posterior_equals_an_oracle_in_loops(seed: int, count: int) -> None:
    rows = seen(seed, count)
    posteriors, oracle = counted(rows), Oracle(GROUPS, rows, GRID)
    for regime in range(2):
        found = posteriors.read(np.array([regime]))
        for signal in range(len(GROUPS)):
            expected = oracle.read(regime, signal)
            assert (found.mean[0, signal], found.variance[0, signal]) == pytest.approx(expected, rel=1e-9)


def test_learners_side_by_side_do_not_influence_each_other() -> None:
    rows = [seen(seed, 10) for seed in (1, 2)]
    both = Posteriors(np.array(GROUPS), 2, 2, GRID)
    times = [row[0] for row in rows[0]]
    for at, *pair in zip(times, *rows, strict=True):
        regime, hits, counts = (np.array([row[place] for row in pair]) for place in (1, 2, 3))
        counts = np.ones_like(counts)
        both.add(at, regime, np.minimum(hits, 1), counts)
    alone = Posteriors(np.array(GROUPS), 2, grid=GRID)
    for at, row in zip(times, rows[1], strict=True):
        alone.add(at, np.array([row[1]]), np.array([row[2]]), np.ones((1, 3)))
    assert both.read(np.array([0, 1])).mean[1] == pytest.approx(alone.read(np.array([1])).mean[0], rel=1e-12)


def test_restored_posteriors_continue_with_equal_bits() -> None:
    rows = seen(3, 40)
    whole, first, second = counted(rows), counted(rows[:25]), counted([])
    second.restore(msgspec.json.decode(msgspec.json.encode(first.state()), type=PosteriorsState))
    for at, regime, hits, counts in rows[25:]:
        second.add(at, np.array([regime]), np.array([hits]), np.array([counts]))
    assert msgspec.json.encode(second.state()) == msgspec.json.encode(whole.state())


def damaged(state: PosteriorsState, kind: str) -> PosteriorsState:
    match kind:
        case "short":
            state.evidence = state.evidence[:-1]
        case "nan":
            state.evidence[0] = float("nan")
        case "negative":
            state.by_group[0] = -state.by_group[0]
        case "common":
            state.by_common = [2 * each for each in state.by_common]
        case "hits":
            state.evidence[: len(state.evidence) // 6] = [1e6] * (len(state.evidence) // 6)
        case "weights":
            state.by_regime = [2 * each for each in state.by_regime]
        case "waiting":
            state.waiting = 99.0
    return state


@pytest.mark.parametrize("kind", ["short", "nan", "negative", "common", "hits", "weights", "waiting"])
def test_damaged_state_is_refused_and_changes_nothing(kind: str) -> None:
    posteriors = counted(seen(4, 10))
    before = msgspec.json.encode(posteriors.state())
    with pytest.raises(ValueError, match="rebuild the learner"):
        posteriors.restore(damaged(posteriors.state(), kind))
    assert msgspec.json.encode(posteriors.state()) == before


def test_regime_borrows_from_others_until_it_differs_from_them() -> None:
    rows: list[Seen] = [(DAY, 0, [1.0, 1.0, 1.0], [1.0, 1.0, 1.0])] * 60
    never_seen = counted(rows).read(np.array([1])).mean[0, 0]
    opposite = counted(rows + [(DAY, 1, [0.0, 0.0, 0.0], [1.0, 1.0, 1.0])] * 60).read(np.array([1])).mean[0, 0]
    assert never_seen > 0.8
    assert opposite < 0.2


def test_group_borrows_from_all_signals_until_it_differs_from_them() -> None:
    rows: list[Seen] = [(DAY, 0, [1.0, 1.0, 0.0], [1.0, 1.0, 0.0])] * 80
    never_seen = counted(rows).groups(np.array([0])).mean[0]
    opposite = counted(rows + [(DAY, 0, [0.0, 0.0, 0.0], [0.0, 0.0, 1.0])] * 80).groups(np.array([0])).mean[0]
    assert 0.8 < never_seen[1] <= never_seen[0]
    assert opposite[1] < 0.45 < 0.8 < opposite[0]


def test_evidence_is_kishs_effective_count() -> None:
    grid = Grid(group=(8,), regime=(8,), half_lives=(), block=100)
    rows: list[Seen] = [(DAY, 0, [0.5, 0.0, 0.0], [0.5, 1.0, 0.0])] * 10
    assert counted(rows, grid).evidence(np.array([0]))[0].tolist() == [5.0, 10.0, 0.0]
    fading = Grid(group=(8,), regime=(8,), half_lives=(10.0 * DAY,), share=0.0, block=1_000)
    days: list[Seen] = [(day * DAY, 0, [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]) for day in range(1, 400)]
    kept = 0.5**0.1
    expected = (399 + (1 + kept) / (1 - kept)) / 2  # half of the weight of the grid never fades
    assert counted(days, fading).evidence(np.array([0]))[0, 0] == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.25, 0.95])
def test_beta_quantiles_equal_those_of_scipy(share: float) -> None:
    from scipy.special import betaincinv

    means, counts = (each.ravel() for each in np.meshgrid([0.1, 0.3, 0.5, 0.62, 0.9], [4.0, 12.0, 90.0, 5_000.0]))
    (found,) = beta_quantiles(Beta(means, counts), share)
    keep = np.minimum(means, 1 - means) * counts >= 1
    expected = betaincinv(means * counts, (1 - means) * counts, share)
    assert np.abs(found - expected)[keep].max() < 1e-3


def test_draws_have_the_mean_and_the_spread_of_the_posterior() -> None:
    copies = 1_500
    posteriors, where = Posteriors(np.array(GROUPS), 2, copies, GRID), np.zeros(copies, dtype=np.int64)
    for at, regime, hits, counts in seen(5, 8):
        posteriors.add(at, where + regime, np.tile(hits, (copies, 1)), np.tile(counts, (copies, 1)))
    drawn, found = posteriors.draw(where, generator(7)).signals, posteriors.read(where)
    assert drawn.mean(0) == pytest.approx(found.mean[0], abs=0.02)
    assert drawn.std(0) == pytest.approx(np.sqrt(found.variance[0]), rel=0.15)
    assert np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1] > np.corrcoef(drawn[:, 0], drawn[:, 2])[0, 1]


def test_first_draws_of_empty_posteriors_are_valid() -> None:
    drawn = Posteriors(np.array(GROUPS), 2, 500).draw(np.zeros(500, dtype=np.int64), generator(1))
    assert ((drawn.signals > 0) & (drawn.signals < 1)).all()


def test_quantiles_of_a_nearly_certain_reliability_are_probabilities() -> None:
    low, high = beta_quantiles(Beta(np.array([1e-7, 1 - 1e-7]), np.array([1e3, 1e3])), 0.05, 0.95)
    assert all(0 <= first <= last <= 1 for first, last in zip(low, high, strict=True))
    assert high[0] < 1e-6 < 1 - 1e-6 < low[1]

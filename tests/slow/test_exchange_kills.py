"""A book on the sandbox exchange is killed at 25 random moments; `make soak` kills it 500 times in seven days."""

from pathlib import Path

import pytest

from tests.support.soak import soak

pytestmark = pytest.mark.slow

RUNS = [*((seed, "exchange") for seed in range(1, 6)), (6, "spot"), (7, "paper")]


@pytest.mark.requirement("V01")
@pytest.mark.parametrize(("seed", "venue"), RUNS)
def test_book_killed_at_random_breaks_no_oracle(seed: int, venue: str, tmp_path: Path) -> None:
    outcome = soak(seed, 2 / 24, 5, tmp_path / "book", venue)
    assert outcome.problems() == [], f"seed {seed}"
    assert outcome.kills == 5
    assert len(outcome.record.trades) > 10

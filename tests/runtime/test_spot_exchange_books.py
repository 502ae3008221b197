"""A book trades spot of the sandbox exchange through the Binance venue under faults, and breaks no oracle."""

import pytest

from ocw_mcp.domain.market import Product
from tests.support.deaths import random_kills
from tests.support.exchange_books import Outcome, Plan, binance_venue, run_book
from tests.support.random_books import Trader, faults_of, random_market


def traded_on_spot(seed: int, minutes: int, kills: int = 0) -> Outcome:
    """Return what became of a book that decides at random."""
    plan = Plan(
        random_market(seed, Product.SPOT, minutes + 2),
        minutes,
        lambda: Trader(seed),
        faults=faults_of(seed, minutes),
        kills=random_kills(seed, kills, minutes),
        make_venue=binance_venue,
        in_process=False,
        grain_ms=500,
        tick_ms=2_000,
    )
    return run_book(plan)


@pytest.mark.parametrize(("seed", "kills"), [(1, 1), (2, 0)])
def test_book_on_spot_of_the_exchange_breaks_no_oracle(seed: int, kills: int) -> None:
    outcome = traded_on_spot(seed, 6, kills)
    assert outcome.problems() == []
    assert outcome.kills == kills
    assert len(outcome.record.trades) > 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", [8, 13, 17, 20, 22, 27, 32, 73, 82])
def test_killed_books_on_spot_break_no_oracle(seed: int) -> None:
    outcome = traded_on_spot(seed, 12, 3)
    assert outcome.problems() == []
    assert outcome.kills == 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 31))
def test_random_books_on_spot_of_the_exchange_break_no_oracle(seed: int) -> None:
    assert traded_on_spot(seed, 12).problems() == []

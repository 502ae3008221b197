"""A book trades spot of the sandbox exchange through the Binance venue under faults, and breaks no oracle."""

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.market import Product
from tests.support.deaths import random_kills
from tests.support.exchange_books import Outcome, Plan, binance_venue, run_book
from tests.support.exchange_stories import play
from tests.support.random_books import Trader, faults_of, random_market
from tests.support.sandbox_books import BEGIN, fault


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


@pytest.mark.parametrize("executed", [True, False])
def test_lost_spot_stop_stands_again_long_before_the_deadline(executed: bool) -> None:
    lost = fault("order_drop", 120.8, lasts="1s", path="/api/v3/order", method="POST", executed=executed)
    outcome = play({2: (Action.BUY, 0.015)}, minutes=4, faults=[lost], product=Product.SPOT)
    assert outcome.problems() == []
    assert len(outcome.events(events.OrderUnknown)) == 1
    (protected,) = (at for at, event in outcome.journal if isinstance(event, events.PositionProtected))
    assert protected - BEGIN < 126_000
    assert len(outcome.record.trades) == 1, "the position is still open"
    assert len(outcome.events(events.OrderIntended)) == (2 if executed else 3)


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

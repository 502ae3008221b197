"""Books at the exchange chase their entries under faults and kills; the exchange's own records are the oracle."""

from collections import defaultdict
from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import OrderRef, Purpose, ref_of
from ocw_mcp.domain.policy_execution import ExecutionPolicy
from tests.support.deaths import random_kills
from tests.support.exchange_books import BOOK, Outcome, Plan, binance_venue, run_book
from tests.support.random_books import Trader, faults_of, random_market
from tests.support.sandbox_books import EVERY_CLOSE

CHASES = EVERY_CLOSE.model_copy(
    update={"execution": ExecutionPolicy(style="maker_first", reprices=3, wait_s=5, follow=Decimal("0.001"))}
)


def chased(product: Product, seed: int, minutes: int, *, kills: int = 0, faults: bool = True) -> Outcome:
    """Return what became of a book that decides at random and chases its entries."""
    plan = Plan(
        random_market(seed, product, minutes + 2),
        minutes,
        lambda: Trader(seed),
        faults=faults_of(seed, minutes) if faults else (),
        kills=random_kills(seed, kills, minutes),
        make_venue=binance_venue,
        in_process=False,
        grain_ms=500,
        tick_ms=2_000,
        policy=CHASES,
    )
    return run_book(plan)


def wrong(outcome: Outcome) -> list[str]:
    """Return what breaks the bounds of chased entries, one sentence each."""
    intents = {each.ref: each.intent for each in outcome.events(events.OrderIntended)}
    first = {each.ref: each.first for each in outcome.events(events.EntryContinued)}
    filled: dict[OrderRef, Decimal] = defaultdict(Decimal)
    for trade in outcome.record.trades:
        ref = ref_of(trade.client_id, BOOK)
        if ref is not None and ref.leg is Purpose.ENTRY:
            filled[first.get(ref, ref)] += trade.quantity
    problems = [
        f"{ref} filled {quantity} of {intents[ref].quantity}"
        for ref, quantity in filled.items()
        if quantity > intents[ref].quantity
    ]
    for ref in set(first.values()):
        number = sum(each == ref for each in first.values()) + 1
        if number > CHASES.execution.reprices + 2:
            problems.append(f"{ref} has {number} orders")
    return problems


@pytest.mark.parametrize(("product", "seed"), [(Product.UM, 9), (Product.SPOT, 8)])
def test_book_at_the_exchange_chases_its_entries(product: Product, seed: int) -> None:
    outcome = chased(product, seed, 6, faults=False)
    assert outcome.problems() == []
    assert wrong(outcome) == []
    assert outcome.events(events.EntryContinued)
    assert len(outcome.record.trades) > 2


@pytest.mark.parametrize(("product", "seed", "kills"), [(Product.UM, 7, 1), (Product.SPOT, 8, 1)])
def test_chases_under_faults_and_kills_break_no_oracle(product: Product, seed: int, kills: int) -> None:
    outcome = chased(product, seed, 6, kills=kills)
    assert outcome.problems() == []
    assert wrong(outcome) == []
    assert outcome.events(events.EntryContinued)
    assert outcome.kills == kills


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 16))
@pytest.mark.parametrize("product", [Product.UM, Product.SPOT])
def test_chases_of_killed_books_break_no_oracle(product: Product, seed: int) -> None:
    outcome = chased(product, seed, 10, kills=seed % 3 if product is Product.UM else 0, faults=False)
    assert outcome.problems() == []
    assert wrong(outcome) == []

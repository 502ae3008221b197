"""A book on the sandbox exchange, with faults and kills, keeps every order and every position under the oracles."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Filled, VenueReport
from ocw_mcp.domain.time import MINUTE
from tests.support.deaths import Kill, random_kills
from tests.support.exchange_books import Outcome, Plan, Site, paper_venue, run_book, stored_on_disk
from tests.support.random_books import Trader, faults_of, random_market
from tests.support.venue_records import RecordedPaper


def plan_of(seed: int, product: Product, minutes: int, kills: int) -> Plan:
    return Plan(
        random_market(seed, product, minutes + 2),
        minutes,
        lambda: Trader(seed),
        faults=faults_of(seed, minutes),
        kills=random_kills(seed, kills, minutes),
        grain_ms=500,
        tick_ms=2_000,
    )


def traded(outcome: Outcome) -> bool:
    return len(outcome.record.arrivals) > 5 and len(outcome.record.trades) > 3


@pytest.mark.parametrize(("seed", "product"), [(1, Product.UM), pytest.param(2, Product.SPOT, marks=pytest.mark.slow)])
def test_killed_book_under_faults_breaks_no_oracle(seed: int, product: Product, tmp_path: Path) -> None:
    plan = plan_of(seed, product, 12, 3)
    outcome = run_book(plan, stored_on_disk(tmp_path / "book", plan.market))
    assert outcome.problems() == []
    assert outcome.kills == len(outcome.down) > 1
    assert traded(outcome)


def test_book_that_is_not_killed_has_one_process() -> None:
    outcome = run_book(plan_of(3, Product.UM, 8, 0))
    assert outcome.problems() == []
    assert outcome.down == []
    assert traded(outcome)


def test_kill_in_a_downtime_is_left_out() -> None:
    plan = plan_of(1, Product.UM, 6, 0)._replace(kills=[Kill(100, 1, 70), Kill(120, 1, 5), Kill(250, 1, 5)])
    outcome = run_book(plan)
    assert outcome.kills == 2
    assert outcome.problems() == []


class _Swallowing(RecordedPaper):
    """Keeps one fill to itself, as an adapter with a defect may."""

    swallowed = False

    def _noted(self, reports: Iterable[VenueReport], now: int) -> Iterator[VenueReport]:
        for report in super()._noted(reports, now):
            if isinstance(report, Filled) and not self.swallowed and now >= self.record.trades[0].at + MINUTE:
                self.swallowed = True
            else:
                yield report


def _swallowing(site: Site) -> RecordedPaper:
    venue = _Swallowing(site.book, site.product, Decimal(10_000), 5 * MINUTE, live=True)
    venue.record = site.record
    return venue


def test_fill_that_never_reaches_the_book_is_noticed() -> None:
    plan = plan_of(1, Product.UM, 8, 0)._replace(faults=())
    problems = run_book(plan._replace(make_venue=_swallowing)).problems()
    assert any("is missing in the journal" in each for each in problems)
    assert any("book and venue differed" in each for each in problems)
    assert run_book(plan._replace(make_venue=paper_venue)).problems() == []

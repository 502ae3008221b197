"""A live book on the sandbox exchange has the derivatives of its source, also across a restart."""

from functools import cache

import pytest

from ocw_mcp.domain.market import Metrics
from ocw_mcp.domain.metrics import DERIVATIVES
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.runtime import run as runtime_run
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.runs import Run, policies
from tests.support.sandbox_live import SandboxLive
from tests.support.sandbox_market import DAY_1
from tests.support.stores import Crash, MemoryStore

BTC = "BTCUSDT"
NOON = DAY_1 + 12 * HOUR
CALM = policies(gate={"close_wakes": [], "close_wakes_in_position": [], "timer_max_s": 86_400})


@cache
def market() -> SandboxMarket:
    return SandboxMarket.simulated(5, (BTC,), start=DAY_1)


def run_live(store: MemoryStore, begin: float, until: float, *, dies: bool = False) -> Run:
    """Run a live book between two times in minutes after noon."""

    async def go() -> Run:
        times = NOON + round(begin * MINUTE), NOON + round(until * MINUTE)
        feed = SandboxLive(market(), *times, store if dies else None)
        return await Run(feed, store=store, policy=CALM, clock=feed.clock, live=True).go()

    return run_in_virtual_time(go())


def rows_of(run: Run) -> list[Metrics]:
    return run.engine.market.symbols[BTC].derivatives.state().rows


def assert_rows_of_source(rows: list[Metrics], until: int) -> None:
    """Assert that a day of rows up to a time (ms) is known, with the values of the source."""
    source = {row.at: row for row in market().metrics(BTC, until - DAY - 1, until)}
    assert [row.at for row in rows] == sorted(source)
    for row in rows:
        wanted = source[row.at]
        for field in ("open_interest", "open_interest_value", "top_positions_ratio", "top_accounts_ratio"):
            assert getattr(row, field) == pytest.approx(getattr(wanted, field), rel=1e-4)


def test_new_live_book_knows_its_derivatives_within_a_minute() -> None:
    run = run_live(MemoryStore(), 2.2, 3.2)
    view = run.engine.market.symbols[BTC].derivatives_view(NOON + 3 * MINUTE)
    known = {name for name in DERIVATIVES if not isinstance(getattr(view, name), Unknown)}
    # The stream of liquidations has no history: its hour is known after an hour.
    assert known == {*DERIVATIVES} - {"liquidations_1h"}
    assert_rows_of_source(rows_of(run), NOON)


@pytest.mark.slow
def test_derivatives_survive_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    # The checkpoint has the first rows, and the logged inputs later ones.
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 8)
    store = MemoryStore()
    with pytest.raises(Crash):
        run_live(store, 1.5, 7.5, dies=True)
    resumed = run_live(store.reopened(), 8.5, 11.2)
    assert_rows_of_source(rows_of(resumed), NOON + 10 * MINUTE)
    basis = resumed.engine.market.symbols[BTC].derivatives_view(NOON + 11 * MINUTE + 10 * SECOND).basis
    assert not isinstance(basis, Unknown)

"""`ocw bench venue` on a small load: its figures have the documented fields and their bounds."""

import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import getcontext
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.app.bench.venue import Load, measure_load, measure_memory
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import HOUR
from ocw_mcp.sandbox.binance.market import SandboxMarket
from tests.support.sandbox_books import market_of

SMALL = Load(rounds=1, orders=3, unmeasured=1, commits=20, open_orders=8, minutes=2)
DOCS = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


def small_market(product: Product) -> SandboxMarket:
    return market_of({"BTCUSDT": [90_000.0], "ETHUSDT": [3_000.0]}, product, minutes=65, history=HOUR)


def test_venue_bench_measures_orders_restart_and_stops() -> None:
    before = getcontext().copy()
    found = measure_load(SMALL, small_market, small_market(Product.UM))
    after = getcontext()
    assert (after.rounding, after.traps) == (before.rounding, before.traps), "ccxt rounds in a context of its own"
    wire, stops = found["wire"], found["stops"]
    assert wire["orders"] == 3
    assert 0 < wire["outbox_p50_us"] <= wire["wire_p50_us"] <= wire["wire_p99_us"]
    assert wire["times_bare"] == pytest.approx(wire["wire_p50_us"] / wire["bare_p50_us"], 0.02)
    assert 0 < found["commit"]["p50_ms"] <= found["commit"]["p99_ms"]
    for product, positions in (("um", 2), ("spot", 0)):
        reconcile = found["reconcile"][product]
        whole, half = reconcile["all_open"], reconcile["half_cancelled"]
        assert (whole["orders"], whole["seen"], whole["cancelled"], whole["positions"]) == (8, 8, 0, positions)
        assert (half["orders"], half["seen"], half["cancelled"], half["positions"]) == (8, 4, 4, positions)
        assert 0 < whole["seconds"] <= half["seconds"] < reconcile["seconds_at_most"]
        assert 0 < whole["share_of_weight"] < reconcile["share_of_weight_at_most"]
    assert stops["positions"] == stops["stops"] > 0
    assert 0.5 <= stops["stop_p50_round_trips"] <= stops["stop_p99_round_trips"] <= 2
    documented = set(re.findall(r"`((?:wire|commit|reconcile|stops)\.[a-z0-9_.]+)`", DOCS.read_text()))
    assert documented == {name for name in names_of(found) if name in documented}
    assert documented >= {
        "wire.times_bare",
        "commit.p99_ms",
        "reconcile.um.all_open.seconds",
        "stops.stop_p99_round_trips",
    }


def names_of(found: dict[str, Any], before: str = "") -> Iterator[str]:
    """Yield the dotted names of all figures."""
    for name, value in found.items():
        if isinstance(value, dict):
            yield from names_of(value, f"{before}{name}.")
        else:
            yield f"{before}{name}"


@pytest.mark.slow
def test_venue_bench_measures_the_memory_of_a_demo_book() -> None:
    found = measure_memory(1)
    assert found["demo_mb"] > found["paper_mb"] > 10
    assert found["ratio"] == pytest.approx(found["demo_mb"] / found["paper_mb"], 0.01)


OF_AN_ACCOUNT = ("ccxt", "aiohttp", "ocw_mcp.adapters.venues.binance.venue")


def imported_by(program: str) -> str:
    """Return what a program writes in a new process, and the libraries of an account that it imports."""
    ends = f"\nimport sys\nprint([name for name in {OF_AN_ACCOUNT} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", program + ends], capture_output=True, text=True, check=True).stdout


def test_modules_of_a_run_import_no_library_of_an_account() -> None:
    assert imported_by("import ocw_mcp.app.runner, ocw_mcp.app.live_market, ocw_mcp.app.exchange_access") == "[]\n"


@pytest.mark.slow
def test_run_on_paper_imports_no_library_of_an_account() -> None:
    said = imported_by(
        "import sys\nfrom ocw_mcp.app.cli import main\n"
        "sys.argv[1:] = ['run', '--market', 'sim', '--for', '10m', '--json']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass"
    )
    assert '"candles"' in said
    assert said.splitlines()[-1] == "[]"

"""`ocw bench venue` on a small load: its figures have the documented fields and their bounds."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.app.bench.venue import Load, measure_load, measure_memory
from ocw_mcp.domain.time import HOUR
from tests.support.sandbox_books import market_of

SMALL = Load(rounds=1, orders=3, unmeasured=1, commits=20, open_orders=8, minutes=2)
DOCS = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


def test_venue_bench_measures_orders_restart_and_stops() -> None:
    market = market_of({"BTCUSDT": [90_000.0], "ETHUSDT": [3_000.0]}, minutes=65, history=HOUR)
    found = measure_load(SMALL, market, market)
    wire, stops = found["wire"], found["stops"]
    assert wire["orders"] == 3
    assert 0 < wire["outbox_p50_us"] <= wire["wire_p50_us"] <= wire["wire_p99_us"]
    assert wire["times_bare"] == pytest.approx(wire["wire_p50_us"] / wire["bare_p50_us"], 0.02)
    assert 0 < found["commit"]["p50_ms"] <= found["commit"]["p99_ms"]
    whole, half = found["reconcile"]["all_open"], found["reconcile"]["half_cancelled"]
    assert (whole["orders"], whole["seen"], whole["cancelled"], whole["positions"]) == (8, 8, 0, 2)
    assert (half["orders"], half["seen"], half["cancelled"], half["positions"]) == (8, 4, 4, 2)
    assert 0 < whole["seconds"] <= half["seconds"] < found["reconcile"]["seconds_at_most"]
    assert 0 < whole["share_of_weight"] < found["reconcile"]["share_of_weight_at_most"]
    assert stops["positions"] == stops["stops"] > 0
    assert 0.5 <= stops["stop_p50_round_trips"] <= stops["stop_p99_round_trips"] <= 2
    documented = set(re.findall(r"`((?:wire|commit|reconcile|stops)\.[a-z0-9_.]+)`", DOCS.read_text()))
    assert documented == {name for name in names_of(found) if name in documented}
    assert documented >= {
        "wire.times_bare",
        "commit.p99_ms",
        "reconcile.all_open.seconds",
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


def test_run_on_paper_imports_no_library_of_an_account() -> None:
    program = (
        "import sys\nfrom ocw_mcp.app.cli import main\n"
        "sys.argv[1:] = ['run', '--market', 'sim', '--for', '10m', '--json']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nimport ocw_mcp.app.live_market\n"
        "print([name for name in ('ccxt', 'aiohttp', 'ocw_mcp.adapters.venues.binance.venue') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "[]", said.stderr
    assert '"candles"' in said.stdout

"""The way to the exchange: an order on the wire beside ccxt, a restart with open orders, stops after fills, memory."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ocw_mcp.app.bench import venue_book, venue_reconcile
from ocw_mcp.app.bench.steps import measure_commits
from ocw_mcp.app.bench.venue_wire import measure_wire
from ocw_mcp.domain.market import Product
from ocw_mcp.sandbox.binance.market import SandboxMarket


class Load(msgspec.Struct, frozen=True):
    """The sizes of a measurement."""

    rounds: int = 15
    """Rounds of orders on the wire, each with new connections."""
    orders: int = 150
    """Orders of each way in a round."""
    unmeasured: int = 20
    """Orders before them."""
    commits: int = 2_000
    open_orders: int = 50
    minutes: int = 120
    """Minutes of the market in which a book trades."""
    memory_minutes: int = 15


FULL: Final = Load()


def measure() -> dict[str, Any]:
    """Return the measurements of the way to the exchange; see docs/benchmarks.md."""
    found = measure_load(FULL, venue_reconcile.sandbox_market, venue_book.sandbox_market())
    return found | {"memory": measure_memory(FULL.memory_minutes)}


def measure_load(load: Load, account: Callable[[Product], SandboxMarket], book: SandboxMarket) -> dict[str, Any]:
    """Return all measurements but that of memory, with the markets of the reconciled accounts and of the book."""
    return {
        "wire": measure_wire(load.rounds, load.orders, load.unmeasured),
        "commit": measure_commits(load.commits),
        "reconcile": {
            product: venue_reconcile.measure_reconcile(load.open_orders, account(product)) for product in Product
        },
        "stops": venue_book.measure_stops(load.minutes, book),
    }


def measure_memory(minutes: int) -> dict[str, Any]:
    """Return the memory of a book in demo mode and of one on paper, each in a process with the same exchange."""
    command = [sys.executable, "-m", "ocw_mcp.app.bench.venue_book", str(minutes)]
    demo, paper = (
        int(subprocess.run([*command, *mode], check=True, stdout=subprocess.PIPE).stdout) / 2**20
        for mode in ((), ("paper",))
    )
    return {
        "minutes": minutes,
        "demo_mb": round(demo, 1),
        "paper_mb": round(paper, 1),
        "ratio": round(demo / paper, 3),
    }

"""How much memory years of candles take: a run in a process of its own, since memory is a process's."""

import json
import subprocess
import sys
from typing import Any, Final

SPAN: Final = "730d"
SYMBOLS: Final = "BTCUSDT,ETHUSDT,SOLUSDT"


def measure() -> dict[str, Any]:
    """The report's figures of two years of three symbols, by the minute, on the simulated market with rules trading."""
    arguments = ["-m", "ocw_mcp", "run", "--market", "sim", "--symbols", SYMBOLS, "--for", SPAN, "--json"]
    done = subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE)
    report = json.loads(done.stdout)
    figures = ("candles", "candles_per_s", "wall_s", "max_rss_mb", "wakes", "orders")
    return {name: len(report[name]) if name == "wakes" else report[name] for name in figures} | {"span": SPAN}

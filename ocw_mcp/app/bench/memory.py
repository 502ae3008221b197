"""The memory that a run over years of candles uses, measured in a separate process."""

import json
import subprocess
import sys
from typing import Any, Final

SPAN: Final = "730d"
SYMBOLS: Final = "BTCUSDT,ETHUSDT,SOLUSDT"


def measure() -> dict[str, Any]:
    """Return figures of the report of a run of the rules over two years of minute candles of three symbols."""
    arguments = ["-m", "ocw_mcp", "run", "--market", "sim", "--symbols", SYMBOLS, "--for", SPAN, "--json"]
    done = subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE)
    report = json.loads(done.stdout)
    figures = ("candles", "candles_per_s", "wall_s", "max_rss_mb", "wakes", "orders")
    return {name: len(report[name]) if name == "wakes" else report[name] for name in figures} | {"span": SPAN}

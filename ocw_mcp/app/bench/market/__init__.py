"""How much the simulated market is like a recorded one: stylised facts of both, side by side."""

from ocw_mcp.app.bench.market.compare import Comparison, compare, table

__all__ = ["Comparison", "compare", "table"]

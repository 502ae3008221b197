"""How much the simulated market is like a recorded one: stylised facts of both, side by side."""

from ocw_mcp.app.bench.market.compare import SeriesComparison, compare, table

__all__ = ["SeriesComparison", "compare", "table"]

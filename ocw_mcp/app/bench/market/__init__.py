"""A comparison of the simulated market with a recorded one by stylised facts."""

from ocw_mcp.app.bench.market.compare import SeriesComparison, compare, table

__all__ = ["SeriesComparison", "compare", "table"]

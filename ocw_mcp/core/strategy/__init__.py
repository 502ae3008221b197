"""What trades when Claude cannot: `decide` is the whole of it, made of signals, entries and exits.

The score of a position, which the guard takes again and again, is in `position_score`.
"""

from ocw_mcp.core.strategy.decide import decide

__all__ = ["decide"]

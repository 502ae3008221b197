"""What trades when Claude cannot: `decide` is the whole of it, made of signals, exits and a score of each position."""

from ocw_mcp.core.rules.decide import decide

__all__ = ["decide"]

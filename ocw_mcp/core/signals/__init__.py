"""The registry of OCW's own signals: each reads a snapshot, and says −1 (down) to 1 (up) about one symbol.

`SIGNALS` has all of them by name. A new signal is one more line of a group's module.
"""

from ocw_mcp.core.signals.registry import GROUPS, SIGNALS, read_all, unknown_names

__all__ = ["GROUPS", "SIGNALS", "read_all", "unknown_names"]

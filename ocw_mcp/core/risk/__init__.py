"""The risk officer: every limit, and the only maker of a ClearedOrder."""

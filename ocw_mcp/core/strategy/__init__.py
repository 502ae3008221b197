"""The rule strategy, which decides if no model does: `decide` combines signals, sizing and exits.

The score of an open position, which the position guard computes regularly, is in `position_score`.
"""

from ocw_mcp.core.strategy.decide import decide, may_act, proposed_stop

__all__ = ["decide", "may_act", "proposed_stop"]

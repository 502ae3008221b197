"""Conversations of a decision, as tests read them."""

from ocw_mcp.agent.conversation import (
    ConversationSummary,
)
from ocw_mcp.agent.messages import Trouble
from ocw_mcp.domain.causes import CauseKind

BUY = ("BTCUSDT", "BUY")


def cause(outcome: ConversationSummary) -> CauseKind:
    assert isinstance(outcome.result, Trouble)
    return outcome.result.kind

"""The policies about learning from closed trades."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from ocw_mcp.domain.policy_table import Table


class LearningPolicy(Table):
    """What OCW learns from trades, and what it uses it for. Nothing that is learned exceeds a limit of this file."""

    mode: Literal["off", "advise", "act"] = "advise"
    """With `off` nothing is recorded or learned. With `advise` what was learned is shown to the agent. With `act` the
    rules use it, too: the vote of the signals is added to the strength of theirs."""
    counterfactuals: bool = False
    """Whether OCW also learns from decisions without a trade: from symbols that stayed flat, refused entries and
    exits. Such an observation counts for less than a trade."""
    vote: Annotated[float, Field(ge=0, le=1)] = 0.25
    """The largest contribution of the vote of the signals to the score of the rules, with `act`."""
    cost: Annotated[Decimal, Field(ge=0, le=Decimal("0.05"))] = Decimal("0.0014")
    """The fees and slippage of an entry and its exit together that a decision without a trade is charged with, as a
    share of the price."""

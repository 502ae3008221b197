"""Prompts that a person asks for by name. Their texts live in `prompts/desktop/` and are handed in as values."""

from collections.abc import Mapping
from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.prompts import Prompt
from pydantic import Field

from ocw_mcp.domain.words import untrusted

LONGEST_ARGUMENT = 60


def add_prompts(server: MCPServer[Any], texts: Mapping[str, str]) -> None:
    """Offer the prompts; `texts` by name."""

    def filled(name: str, **arguments: str) -> str:
        text = texts[name]
        for argument, value in arguments.items():
            text = text.replace(f"{{{argument}}}", untrusted(value, LONGEST_ARGUMENT))
        return text

    async def morning_review() -> str:
        """The desk at the start of a day: state, risk, what changed, what is unknown."""
        return filled("morning_review")

    async def pre_trade_checklist(
        symbol: Annotated[str, Field(description="such as BTCUSDT")],
        action: Annotated[str, Field(description="buying or shorting")] = "buying",
    ) -> str:
        """What to look at before an order, ending with the size that the policies would let pass."""
        return filled("pre_trade_checklist", symbol=symbol, action=action)

    async def explain_last_decision() -> str:
        """The newest decision that acted, from why it was asked for to how it stands."""
        return filled("explain_last_decision")

    async def post_mortem(trade: Annotated[str, Field(description="such as order:3, as trades_search tells")]) -> str:
        """A closed trade: decision, luck, costs, and what to do differently."""
        return filled("post_mortem", trade=trade)

    async def review_positions() -> str:
        """Every open position: keep, tighten or close, and all of them together."""
        return filled("review_positions")

    for each in (morning_review, pre_trade_checklist, explain_last_decision, post_mortem, review_positions):
        server.add_prompt(Prompt.from_function(each))

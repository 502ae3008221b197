"""Numbers of a model that are not finite are refused by name; they are never left out."""

import pytest

from ocw_mcp.domain import events
from tests.support.claude_runs import ClaudeRun, ModelByWake, decides, leg
from tests.support.markets import ListFeed, path


@pytest.mark.parametrize("name", ["limit", "target", "leverage"])
@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
async def test_malformed_leg_names_the_field_with_a_non_finite_number(name: str, number: float) -> None:
    model = ModelByWake({1: [decides(1, leg("BUY") | {name: number}, leg("SELL", "ETHUSDT"))]})
    claude = ClaudeRun(ListFeed(path([100.0] * 4)), model)
    await claude.go()
    assert claude.events(events.OrderIntended) == []
    assert name in claude.events(events.DecisionMade)[0].decision.legs[0].malformed

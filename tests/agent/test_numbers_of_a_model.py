"""Numbers as a model writes them, on the way to the tools: one that is none is refused by its name, never left out."""

import pytest

from ocw_mcp.domain import events
from tests.support.markets import ListFeed, path
from tests.support.seated import ByWake, Seated, decides, leg


@pytest.mark.parametrize("name", ["limit", "target", "leverage"])
@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
async def test_a_number_that_is_none_is_refused_by_its_name(name: str, number: float) -> None:
    model = ByWake({1: [decides(1, leg("BUY") | {name: number}, leg("SELL", "ETHUSDT"))]})
    seated = Seated(ListFeed(path([100.0] * 4)), model)
    await seated.go()
    assert seated.events(events.OrderIntended) == []
    assert name in seated.events(events.DecisionMade)[0].decision.legs[0].malformed

"""The desk places an order on the very account it was approved on."""

from decimal import Decimal

import pytest

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain import events
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.domain.time import MINUTE
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Run, policies

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


class Outrun(RiskOfficer):
    """While this officer looks at an order, the account moves on."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.config.policies)
        self._account = run.engine.account

    def check_entry(self, intent: OrderIntent, account: AccountView, ref: OrderRef, now: int) -> ClearedOrder | Refusal:
        answer = super().check_entry(intent, account, ref, now)
        self._account.version += 1
        return answer

    def approve_reduction(
        self, intent: OrderIntent, account: AccountView, ref: OrderRef, now: int
    ) -> ClearedOrder | Refusal:
        answer = super().approve_reduction(intent, account, ref, now)
        self._account.version += 1
        return answer


def entry(key: str, symbol: str = "BTCUSDT") -> OrderIntent:
    """A small long."""
    return OrderIntent(
        key, "a person", symbol, Side.BUY, OrderType.MARKET, Purpose.ENTRY, Decimal(1), protect_at=Decimal(97)
    )


async def test_an_entry_approved_on_another_version_of_the_account_breaks_a_rule_of_the_house() -> None:
    run = await Run(ListFeed(path([100.0] * 4)), policy=WAKES).go()
    run.engine._manager.officer = Outrun(run)
    with pytest.raises(InvariantError, match="another version of the account"):
        run.engine._manager.submit(entry("one"), START + 4 * MINUTE)
    assert not list(run.engine.orders.live())
    assert run.events(events.OrderIntended) == []


async def test_so_does_an_exit() -> None:
    run = await Run(ListFeed(path([100.0] * 4)), Scripted({1: buy("97")}), policy=WAKES).go()
    run.engine._manager.officer = Outrun(run)
    with pytest.raises(InvariantError, match="another version of the account"):
        run.engine._manager.close("BTCUSDT", "a person", START + 4 * MINUTE)
    assert not list(run.engine.orders.live(purpose=Purpose.EXIT))


async def test_the_same_key_gets_the_same_answer_and_another_key_a_new_one() -> None:
    run = await Run(ListFeed(path([100.0] * 4)), policy=WAKES).go()
    desk, now = run.engine._manager, START + 4 * MINUTE
    first = desk.submit(entry("one"), now)
    assert desk.submit(entry("one"), now) is first
    assert desk.submit(entry("two"), now) == OrderRef(2, Purpose.ENTRY)
    refused = desk.submit(entry("three", symbol="NOSUCH"), now)
    assert isinstance(refused, Refusal)
    assert refused.code == "NO_PRICE"
    assert desk.submit(entry("three"), now) is refused
    assert len(list(desk.orders.live())) == 2

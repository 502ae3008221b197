"""An order is sent on the version of the account on which it was cleared, or not at all."""

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
    """An officer during whose check the account changes."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.config.policies)
        self._account = run.engine.account

    def check_entry(
        self, intent: OrderIntent, account: AccountView, ref: OrderRef, now: int, within: Decimal | None = None
    ) -> ClearedOrder | Refusal:
        answer = super().check_entry(intent, account, ref, now, within)
        self._account.version += 1
        return answer

    def clear_reduction(
        self, intent: OrderIntent, account: AccountView, ref: OrderRef, now: int
    ) -> ClearedOrder | Refusal:
        answer = super().clear_reduction(intent, account, ref, now)
        self._account.version += 1
        return answer


def entry(symbol: str = "BTCUSDT") -> OrderIntent:
    """The intent of a small long."""
    return OrderIntent(
        "", "a person", symbol, Side.BUY, OrderType.MARKET, Purpose.ENTRY, Decimal(1), protect_at=Decimal(97)
    )


async def test_entry_cleared_on_another_account_version_is_an_error() -> None:
    run = await Run(ListFeed(path([100.0] * 4)), policy=WAKES).go()
    run.engine.manager.officer = Outrun(run)
    with pytest.raises(InvariantError, match="cleared on account version"):
        run.engine.manager.submit(entry(), START + 4 * MINUTE)
    assert not list(run.engine.orders.live())
    assert run.events(events.OrderIntended) == []


async def test_exit_cleared_on_another_account_version_is_an_error() -> None:
    run = await Run(ListFeed(path([100.0] * 4)), Scripted({1: buy("97")}), policy=WAKES).go()
    run.engine.manager.officer = Outrun(run)
    with pytest.raises(InvariantError, match="cleared on account version"):
        run.engine.manager.close("BTCUSDT", "a person", START + 4 * MINUTE)
    assert not list(run.engine.orders.live(purpose=Purpose.EXIT))


async def test_an_entry_on_a_symbol_without_a_price_is_refused() -> None:
    run = await Run(ListFeed(path([100.0] * 4)), policy=WAKES).go()
    manager, now = run.engine.manager, START + 4 * MINUTE
    assert manager.submit(entry(), now) == OrderRef(1, Purpose.ENTRY)
    refused = manager.submit(entry(symbol="NOSUCH"), now)
    assert isinstance(refused, Refusal)
    assert refused.code == "NO_PRICE"
    assert len(list(manager.orders.live())) == 1

"""Reports with impossible amounts are incidents, close entries, and move no money."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from ocw_mcp.domain import events
from ocw_mcp.domain.orders import Canceled, Filled, FundingPaid, OrderRef, Purpose, VenueReport
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.markets import ListFeed, path
from tests.support.runs import Run, policies

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
D = Decimal


async def holding() -> tuple[Run, OrderRef]:
    """A run with a position, its stop, and an entry with a limit far away."""
    far = buy("80", symbol="ETHUSDT", limit="90")
    feed = ListFeed([*path([100.0] * 4), *path([100.0] * 4, symbol="ETHUSDT")])
    run = await Run(
        feed,
        Scripted({1: buy("97"), 3: far}),
        policy=policies(
            stop={"max_distance": "0.3"}, price={"max_deviation": "0.5"}, gate={"close_wakes": ["1m"], "cooldown_s": 0}
        ),
    ).go()
    (stop,) = run.engine.orders.live("BTCUSDT", Purpose.STOP)
    assert len(list(run.engine.orders.live("ETHUSDT", Purpose.ENTRY))) == 1
    return run, stop.ref


def absurd(stop: OrderRef) -> dict[str, tuple[VenueReport, str]]:
    fill = Filled(stop, "f99", D(1), D(97), D("0.05"), 5)
    return {
        "an order that nobody sent": (replace(fill, ref=OrderRef(77, Purpose.STOP)), "77-s-0, which is not in the"),
        "no number": (replace(fill, price=D("NaN")), "the venue reported a price of NaN (Filled)"),
        "nothing": (replace(fill, quantity=D(0)), "a quantity of 0"),
        "a gift": (replace(fill, fee=D(-5)), "a rebate of 5 on 1 at 97"),
        "funding of no number": (
            FundingPaid("BTCUSDT", D("NaN"), D(0), D(1), D(100), 5), "funding of NaN (FundingPaid); nothing of it",
        ),
    }  # fmt: skip


@pytest.mark.requirement("D07")
@pytest.mark.parametrize("which", absurd(OrderRef(1, Purpose.STOP)))
async def test_an_impossible_venue_report_forbids_entries_until_a_resume(which: str) -> None:
    run, stop = await holding()
    report, told = absurd(stop)[which]
    before = run.engine.account.state()
    wallet, quantity = before.ledger.wallet, run.engine.account.ledger.quantity("BTCUSDT")
    await run.simulation.shell.take(report)
    assert told in run.events(events.Incident)[-1].text
    assert (run.engine.account.ledger.wallet, run.engine.account.ledger.quantity("BTCUSDT")) == (wallet, quantity)
    assert run.engine.account.trading_state is TradingState.REDUCING
    assert list(run.engine.orders.live(purpose=Purpose.ENTRY)) == []
    assert [each.ref for each in run.engine.orders.live("BTCUSDT", Purpose.STOP)] == [stop]
    await run.simulation.shell.take(report)
    await run.simulation.shell.take(Command("c1", "resume", "a person"))
    went = [(each.before, each.after) for each in run.events(events.StateChanged)]
    assert went == [(TradingState.ACTIVE, TradingState.REDUCING), (TradingState.REDUCING, TradingState.ACTIVE)]


async def test_a_cancel_report_on_an_unknown_order_keeps_the_engine_active() -> None:
    run, _ = await holding()
    await run.simulation.shell.take(Canceled(OrderRef(77, Purpose.STOP), "who?"))
    assert run.engine.account.trading_state is TradingState.ACTIVE

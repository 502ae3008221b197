"""If an entry fills in parts, its stop always covers the filled quantity."""

from decimal import Decimal

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.orders import Purpose
from tests.support.deciders import Scripted
from tests.support.invariants import watched
from tests.support.legs import buy, sell
from tests.support.markets import ListFeed, candle
from tests.support.runs import Run, policies

D = Decimal
WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


def thin(count: int = 8, volume: float = 40.0, low: dict[int, float] | None = None) -> list[Candle]:
    """Minutes at 100 in which four units can trade; an entry of a tenth of equity is ten units."""
    return [candle(index, 100.0, low=(low or {}).get(index), volume=volume) for index in range(count)]


async def run(script: dict[int, Decision], candles: list[Candle]) -> Run:
    return await watched(Run(ListFeed(candles), Scripted(script), policy=WAKES)).go()


def stops(done: Run) -> list[Decimal]:
    return [e.intent.quantity for e in done.events(events.OrderIntended) if e.ref.leg is Purpose.STOP]


async def test_one_stop_covers_each_partial_fill_of_an_entry() -> None:
    done = await run({1: buy("97", limit="100.1")}, thin())
    fills = [fill.quantity for fill in done.events(events.OrderFilled)]
    assert len(fills) == 3
    assert stops(done) == [fills[0]]
    (stop,) = done.venue.orders
    assert stop.close_position
    assert stop.quantity == sum(fills)


async def test_a_filled_stop_cancels_the_unfilled_part_of_the_entry() -> None:
    done = await run({1: buy("97", limit="100.1")}, thin(low={1: 90.0}))
    assert [fill.ref.leg for fill in done.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.ENTRY, Purpose.STOP]
    assert done.venue.orders == []
    assert done.engine.account.ledger.positions == {}


async def test_an_exit_cancels_the_unfilled_part_of_the_entry() -> None:
    done = await run({1: buy("97", limit="100.1"), 3: sell()}, thin())
    fills = [(fill.ref.leg, fill.quantity) for fill in done.events(events.OrderFilled)]
    assert [leg for leg, _ in fills] == [Purpose.ENTRY, Purpose.ENTRY, Purpose.EXIT, Purpose.EXIT]
    assert done.engine.account.ledger.positions == {}
    (closed,) = done.events(events.PositionClosed)
    assert done.engine.account.ledger.wallet == 10_000 + closed.pnl


async def test_the_stop_of_an_expired_entry_covers_its_filled_part() -> None:
    script = {1: buy("96", limit="98", expires_s=120)}
    done = await run(script, thin(low={2: 97.0}))
    (fill,) = done.events(events.OrderFilled)
    assert fill.quantity == 4
    assert stops(done) == [4]
    assert len(done.events(events.OrderCanceled)) == 1

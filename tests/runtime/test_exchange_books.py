"""A live book at an exchange: it trades, is killed, and is restarted, in virtual time."""

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.legs import buy
from tests.support.live import live_frames
from tests.support.scripted_exchange import Exchange, Process

FRAMES = live_frames([100.0, 100.0, 100.0])
ENTERS = {1: buy("97")}
ENTRY, STOP = OrderRef(1, Purpose.ENTRY), OrderRef(1, Purpose.STOP)


def test_an_entry_at_an_exchange_fills_and_gets_its_stop() -> None:
    async def play() -> None:
        exchange = Exchange()
        done = await Process(exchange, FRAMES, ENTERS).go()
        assert exchange.requests == ["1-e-0", "1-s-0"]
        assert exchange.at("1-s-0") - exchange.at("1-e-0") == pytest.approx(0.1, abs=0.01)
        assert done.positions == {name: size for name, size in exchange.positions.items() if size}
        assert exchange.protected("BTCUSDT")
        assert done.store.events(events.PositionProtected)
        assert done.venue.closed

    run_in_virtual_time(play())

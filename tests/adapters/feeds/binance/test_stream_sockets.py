"""Stream connections: renewal without a hole, back-off, and subscriptions within the exchange's limits."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ocw_mcp.adapters.binance.transport import pause
from ocw_mcp.adapters.feeds.binance.notices import Notices
from ocw_mcp.adapters.feeds.binance.sockets import StreamSocket
from ocw_mcp.adapters.feeds.binance.wire import Answer, Route, Shutdown, StreamKind, Wire, WireFault
from ocw_mcp.domain.errors import FeedError
from ocw_mcp.domain.time import HOUR, SECOND
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.live_feeds import jitter
from tests.support.scripted_market import BEGIN, ScriptedConnection, ScriptedMarket

Times = dict[int, Callable[[ScriptedMarket, StreamSocket], Any]]


def quotes(count: int = 1) -> list[Route]:
    """The quotes of one symbol, and streams that say nothing."""
    return [Route("btcusdt@bookTicker", StreamKind.QUOTE, "BTCUSDT")] + [
        Route(f"x{number}usdt@forceOrder", StreamKind.LIQUIDATION, f"X{number}USDT") for number in range(1, count)
    ]


def play(
    market: ScriptedMarket, seconds: int, times: Times | None = None, routes: Sequence[Route] | None = None
) -> tuple[list[int], dict[str, int]]:
    """Run a socket; return the ids of the quotes that arrived, and the counted incidents."""
    routes, ids = routes or quotes(), list[int]()

    async def run() -> dict[str, int]:
        wire = Wire(routes)

        def deliver(batch: Sequence[bytes | str]) -> tuple[int, list[Answer | Shutdown]]:
            others, valid = list[Answer | Shutdown](), 0
            for raw in batch:
                try:
                    found = wire.decode(raw)
                except WireFault:
                    continue
                if isinstance(found, tuple):
                    valid += 1
                    ids.append(found[1].id)  # type: ignore[union-attr]
                else:
                    others.append(found)
            return valid, others

        notices = Notices(market.exchange_ms, asyncio.get_running_loop().time, lambda: None)
        socket = StreamSocket(market, "/public", routes, deliver, notices, jitter())
        task = asyncio.ensure_future(socket.run())
        passed = 0
        for at in sorted(times or {}):
            await pause(at - passed)
            passed = at
            made = (times or {})[at](market, socket)
            if made is not None:
                await made
        await pause(seconds - passed)
        task.cancel()
        await asyncio.wait({task})
        assert all(each.closed for each in market.connections)
        return dict(notices.counts)

    counts = run_in_virtual_time(run())
    return ids, counts


def expected(seconds: int, first: int = 1) -> list[int]:
    """The ids of all quotes: a quote each half second, whose id is its time."""
    return [BEGIN + 500 * number for number in range(first, 2 * seconds + 1)]


@pytest.mark.requirement("D02")
def test_connection_is_renewed_before_a_day_without_a_hole() -> None:
    market = ScriptedMarket(BEGIN)
    market.every_ms = 5_000
    seconds = 25 * HOUR // SECOND
    ids, counts = play(market, seconds)
    assert len(market.opened) == 2
    step = 5_000
    assert set(ids) == {BEGIN + step * number for number in range(1, seconds * SECOND // step + 1)}
    assert len(ids) - len(set(ids)) <= 2
    assert counts == {}


def test_announced_shutdown_renews_the_connection() -> None:
    market = ScriptedMarket(BEGIN)

    def announce(market: ScriptedMarket, socket: StreamSocket) -> None:
        market.connections[0].say('{"e":"serverShutdown","E":1}')

    ids, counts = play(market, 30, {10: announce})
    assert len(market.opened) == 2
    assert market.connections[0].closed
    assert set(ids) == set(expected(30))
    assert counts == {}


def test_failed_renewal_keeps_the_old_connection() -> None:
    market = ScriptedMarket(BEGIN)

    def renew(market: ScriptedMarket, socket: StreamSocket) -> None:
        market.refuses_streams = True
        socket.renew("a test")

    def accept(market: ScriptedMarket, socket: StreamSocket) -> None:
        market.refuses_streams = False

    ids, _ = play(market, 300, {10: renew, 200: accept})
    assert set(ids) == set(expected(300))
    assert len(market.opened) == 2


def test_renewed_connection_that_is_mute_is_not_used() -> None:
    market = ScriptedMarket(BEGIN)

    class MuteFromNowOn(ScriptedConnection):
        def _said(self, since: int, until: int) -> list[str]:
            return []

    async def mute_connect(path: str) -> ScriptedConnection:
        market.opened.append(path)
        connection = MuteFromNowOn(market, ["btcusdt@bookTicker"])
        market.connections.append(connection)
        return connection

    def renew(market: ScriptedMarket, socket: StreamSocket) -> None:
        market.connect = mute_connect  # type: ignore[method-assign]
        socket.renew("a test")

    ids, _ = play(market, 100, {10: renew})
    assert ids == expected(100)
    assert 2 <= len(market.opened) <= 4


def test_connections_that_are_closed_at_once_are_opened_ever_more_slowly() -> None:
    market = ScriptedMarket(BEGIN)
    usual = market.connect

    async def closing(path: str) -> ScriptedConnection:
        connection = await usual(path)
        connection.closed = True
        return connection

    market.connect = closing  # type: ignore[method-assign]
    _, counts = play(market, 600)
    assert 20 <= len(market.opened) <= 45
    assert counts["connection"] == pytest.approx(len(market.opened), abs=1)


def test_many_streams_are_subscribed_to_in_few_messages() -> None:
    market = ScriptedMarket(BEGIN)
    routes = quotes(750)
    play(market, 10, routes=routes)
    (connection,) = market.connections
    named = connection.streams + [name for each in connection.sent for name in each["params"]]
    assert named == [route.name for route in routes]
    assert len(connection.sent) == 7


def test_more_streams_than_a_connection_may_have_are_refused() -> None:
    with pytest.raises(FeedError, match="at most 1024"):
        play(ScriptedMarket(BEGIN), 1, routes=quotes(1_025))


def test_refused_subscription_is_an_incident() -> None:
    market = ScriptedMarket(BEGIN)

    def refuse(market: ScriptedMarket, socket: StreamSocket) -> None:
        market.connections[0].say('{"error":{"code":2,"msg":"Invalid request"},"id":1}')

    _, counts = play(market, 20, {5: refuse})
    assert counts == {"refused subscription": 1}

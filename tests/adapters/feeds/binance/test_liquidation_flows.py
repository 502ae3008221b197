"""The forced liquidations that the live feed reports with its candles, on a scripted exchange."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ocw_mcp.adapters.binance.transport import RestResponse
from ocw_mcp.adapters.feeds.binance import BinanceFeed
from ocw_mcp.domain.market import Frame, Liquidations
from ocw_mcp.domain.time import DAY, MINUTE, SECOND
from tests.support.live_feeds import Run, assert_all_once, feed_on, rows_answer, run_feed
from tests.support.scripted_market import BEGIN, ScriptedMarket, source_candle, text_of

START = BEGIN + 30 * SECOND
BTC, ETH = "BTCUSDT", "ETHUSDT"


def forced(market: ScriptedMarket, side: str, quantity: float, age_ms: int = 0, symbol: str = BTC) -> str:
    """Return the message of a liquidation some time ago, which the exchange reports now."""
    now = market.exchange_ms()
    order = {"s": symbol, "S": side, "q": f"{quantity}", "p": "1", "ap": "1", "X": "FILLED", "T": now - age_ms}
    return text_of(f"{symbol.lower()}@forceOrder", {"e": "forceOrder", "E": now, "o": order})


def sends(market: ScriptedMarket, *orders: tuple[Any, ...], times: int = 1) -> Callable[[], None]:
    """Return an action that sends liquidations, each so often."""
    return lambda: market.send("*@forceOrder", *(forced(market, *each) for each in orders for _ in range(times)))


def rows_of(run: Run, symbol: str = BTC) -> dict[int, tuple[float, float]]:
    """The liquidated longs and shorts by the number of the minute that they are of."""
    found = dict[int, tuple[float, float]]()
    for frame in run.frames:
        closed = {candle.symbol: candle.close_time for candle in frame.closed}
        assert [row.symbol for row in frame.liquidations] == sorted({row.symbol for row in frame.liquidations})
        for row in frame.liquidations:
            assert closed[row.symbol] == row.at
            if row.symbol == symbol:
                found[(row.at - BEGIN) // MINUTE - 1] = row.longs, row.shorts
    return found


def test_liquidations_are_summed_by_candle_and_side() -> None:
    market = ScriptedMarket(START)
    script = {
        BEGIN + 70 * SECOND: sends(market, ("SELL", 2.5), times=3),
        BEGIN + 80 * SECOND: sends(market, ("BUY", 0.5), ("SELL", 7.0, 0, ETH)),
        BEGIN + 90 * SECOND: sends(market, ("SELL", 1.0)),
        # The order filled in the last second of its minute, and is reported after the candle.
        BEGIN + 4 * MINUTE + SECOND: sends(market, ("BUY", 4.0, 1_500)),
    }
    run = run_feed(feed_on(market), BEGIN + 6 * MINUTE, script=script)
    calm = (0.0, 0.0)
    assert rows_of(run) == {1: (3.5, 0.5), 2: calm, 3: calm, 4: (0.0, 4.0), 5: calm}
    assert rows_of(run, ETH) == {1: (7.0, 0.0), 2: calm, 3: calm, 4: calm, 5: calm}
    assert run.notices == []
    reported = [frame for frame in run.frames if frame.liquidations]
    logged = msgspec.msgpack.encode(reported)
    assert msgspec.msgpack.decode(logged, type=list[Frame]) == reported, "as the input log stores them"


def lose(market: ScriptedMarket, feed: BinanceFeed) -> None:
    for each in market.connections:
        each.closed |= "btcusdt@forceOrder" in each.streams


def renew(market: ScriptedMarket, feed: BinanceFeed) -> None:
    assert feed.session is not None
    for socket in feed.session.sockets:
        socket.renew("a test")


def refuse(market: ScriptedMarket, feed: BinanceFeed) -> None:
    market.send("*@forceOrder", forced(market, "SELL", 3.0).replace('"3.0"', '"-3.0"'))


def garble(market: ScriptedMarket, feed: BinanceFeed) -> None:
    market.send("*@forceOrder", forced(market, "SELL", 3.0).replace('"SELL"', '"SOLD"'))


def outdate(market: ScriptedMarket, feed: BinanceFeed) -> None:
    market.send("*@forceOrder", forced(market, "SELL", 3.0, 2 * MINUTE))


def precede(market: ScriptedMarket, feed: BinanceFeed) -> None:
    market.send("*@forceOrder", forced(market, "SELL", 3.0, -2 * MINUTE))


def mute(market: ScriptedMarket, feed: BinanceFeed) -> None:
    market.muted = ["btcusdt@kline_1m"]


def test_liquidations_of_a_candle_with_a_hole_are_unknown() -> None:
    market = ScriptedMarket(START, (BTC,))
    market.every_ms = 5_000
    actions = {3: lose, 5: renew, 7: refuse, 9: garble, 11: outdate, 13: precede, 15: mute}
    waiting = sorted(actions)

    def consume(frame: Frame, feed: BinanceFeed) -> None:
        if waiting and market.exchange_ms() >= BEGIN + waiting[0] * MINUTE + 20 * SECOND:
            actions[waiting.pop(0)](market, feed)

    run = run_feed(feed_on(market), BEGIN + 17 * MINUTE, consume=consume)
    assert_all_once(run, BEGIN - DAY, BEGIN + 17 * MINUTE, (BTC,))
    # The renewed connection of minute 5 leaves no hole; the candles of a mute stream come by REST.
    assert rows_of(run) == dict.fromkeys({1, 2, 4, 5, 6, 8, 10, 12, 14}, (0.0, 0.0))


def test_candles_that_fill_a_gap_have_no_liquidations() -> None:
    market = ScriptedMarket(START)
    run = run_feed(feed_on(market), BEGIN + 3 * MINUTE, after=BEGIN - 30 * MINUTE)
    assert sum(len(frame.closed) for frame in run.frames if frame.late) == 60
    assert set(rows_of(run)) == {1, 2}
    first = next(frame for frame in run.frames if frame.liquidations)
    assert first.liquidations == tuple(Liquidations(each, BEGIN + 2 * MINUTE, 0.0, 0.0) for each in (BTC, ETH))


def test_symbol_that_was_listed_today_gets_the_candles_that_exist() -> None:
    market, listed = ScriptedMarket(START, (BTC,)), BEGIN - 20 * MINUTE

    def rest(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        if not path.endswith("klines") or int(query["startTime"]) >= listed:
            return None
        opens = range(listed, min(int(query["endTime"]), market.exchange_ms()) + 1, MINUTE)
        return rows_answer(*(market.row(source_candle(str(query["symbol"]), at)) for at in opens))

    market.rest = rest
    run = run_feed(feed_on(market), BEGIN + 2 * MINUTE)
    assert_all_once(run, listed, BEGIN + 2 * MINUTE, (BTC,))

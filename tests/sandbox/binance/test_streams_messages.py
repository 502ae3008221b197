"""What the streams of the sandbox exchange say: it agrees with the market, however time is divided."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.streams import StreamHub
from ocw_mcp.sandbox.binance.values import Liquidation
from tests.support.examples import slow_after
from tests.support.exchange import NOW, connected, market, payloads

ALL_OF_ONE = (
    "kline_1m",
    "kline_1h",
    "aggTrade",
    "markPrice",
    "markPrice@1s",
    "ticker",
    "miniTicker",
    "forceOrder",
    "bookTicker",
    "depth@100ms",
    "depth5@500ms",
    "trade",
)


PUBLIC = ("bookT", "depth", "trade")


def said(name: str, since: int, until: int, product: Product = Product.UM) -> list[Any]:
    """Return the payloads of a stream on the path where it speaks."""
    route = "" if product is Product.SPOT else "/public" if name.partition("@")[2][:5] in PUBLIC else "/market"
    return payloads(connected(f"{route}/ws/{name}", product).messages(since, until))


@pytest.mark.parametrize("product", list(Product))
def test_each_candle_closes_once_as_the_market_has_it(product: Product) -> None:
    source, end = market(product), NOW + 2 * HOUR
    closed = [each["k"] for each in said("ethusdt@kline_1m", NOW, end, product) if each["k"]["x"]]
    rows = source.klines("ETHUSDT", "1m", NOW - MINUTE, end - 2 * MINUTE, 200, end)
    texts = source.price_text
    assert [(row["t"], row["c"], row["h"], row["l"], float(row["v"]), row["n"]) for row in closed] == [
        (row.open_time, *(texts("ETHUSDT", price) for price in (row.close, row.high, row.low)), row.volume, row.trades)
        for row in rows
    ]


def test_candles_of_seconds_on_spot_sum_to_the_minute() -> None:
    rows = [each["k"] for each in said("btcusdt@kline_1s", NOW, NOW + MINUTE + SECOND, Product.SPOT)]
    inside = [row for row in rows if row["t"] >= NOW and row["x"] and row["t"] < NOW + MINUTE]
    whole = market(Product.SPOT).kline("BTCUSDT", MINUTE, NOW, NOW + MINUTE)
    assert whole is not None
    assert sum(float(row["v"]) for row in inside) == pytest.approx(whole.volume)
    assert sum(row["n"] for row in inside) == whole.trades


@pytest.mark.parametrize("interval", ["3m", "1h", "1d", "1w"])
def test_candle_of_each_length_forms_as_the_market_has_it(interval: str) -> None:
    last = said(f"btcusdt@kline_{interval}", NOW + SECOND, NOW + MINUTE)[-1]
    (row,) = market().klines("BTCUSDT", interval, last["k"]["t"], last["k"]["t"], 1, last["E"])
    assert (last["k"]["x"], last["k"]["i"], last["k"]["T"]) == (False, interval, row.close_time)
    assert (float(last["k"]["o"]), float(last["k"]["c"]), last["k"]["n"]) == (row.open, row.close, row.trades)


def test_forming_candle_changes_at_most_four_times_a_second() -> None:
    events = said("btcusdt@kline_1m", NOW, NOW + HOUR)
    forming = [each for each in events if not each["k"]["x"]]
    assert all(after["E"] - before["E"] >= 250 for before, after in pairwise(forming))
    assert all(each["k"]["t"] <= each["E"] <= each["k"]["T"] for each in forming)
    assert len({(each["k"]["t"], each["k"]["n"]) for each in forming}) == len(forming)


def test_aggregate_trades_have_consecutive_ids_and_sum_to_the_candle() -> None:
    trades = said("btcusdt@aggTrade", NOW, NOW + MINUTE + SECOND)
    assert all(after["a"] == before["a"] + 1 for before, after in pairwise(trades))
    row = market().kline("BTCUSDT", MINUTE, NOW, NOW + MINUTE)
    assert row is not None
    inside = [each for each in trades if NOW <= each["T"] < NOW + MINUTE]
    assert sum(float(each["q"]) for each in inside) == pytest.approx(row.volume)
    assert sum(float(each["q"]) for each in inside if not each["m"]) == pytest.approx(row.taker_volume)


@pytest.mark.parametrize(("name", "period"), [("btcusdt@markPrice", 3), ("btcusdt@markPrice@1s", 1)])
def test_mark_price_comes_at_its_period(name: str, period: int) -> None:
    times = [each["E"] for each in said(name, NOW, NOW + MINUTE)]
    assert times == list(range(NOW + period * SECOND, NOW + MINUTE + 1, period * SECOND))


def test_forced_orders_are_the_latest_of_a_symbol_and_second() -> None:
    events = said("!forceOrder@arr", NOW, NOW + 12 * HOUR)
    ours = [each for each in events if each["st"] == 1]
    orders = [order for symbol in market().symbols for order in market().liquidations(symbol, NOW, NOW + 12 * HOUR)]
    assert 0 < len(ours) <= len(orders)
    assert len({(each["o"]["s"], each["E"]) for each in ours}) == len(ours)
    assert {each["o"]["T"] for each in ours} <= {order.at for order in orders}


def test_second_with_several_forced_orders_reports_the_latest() -> None:
    orders = [Liquidation(NOW + ms, True, 100.0, 100.0, 1.0) for ms in (200, 700, 1_300)]

    def between(_symbol: str, since: int, until: int) -> list[Liquidation]:
        return [order for order in orders if since < order.at <= until]

    source = SimpleNamespace(
        product=Product.UM,
        symbols=("BTCUSDT",),
        liquidations=between,
        price_text=lambda _symbol, price: f"{price:.2f}",
        quantity_text=lambda _symbol, quantity: f"{quantity:.3f}",
    )
    connection = StreamHub(cast("SandboxMarket", source)).open("/market/ws/btcusdt@forceOrder", NOW)
    assert connection is not None
    assert [each["o"]["T"] - NOW for each in payloads(connection.messages(NOW, NOW + MINUTE))] == [700, 1_300]


@pytest.mark.parametrize("name", ["!forceOrder@arr", "!ticker@arr", "!bookTicker"])
def test_streams_of_all_symbols_carry_contracts_of_coin_m(name: str) -> None:
    route = "/public" if name == "!bookTicker" else "/market"
    events = payloads(
        connected(f"{route}/ws/{name}").messages(NOW, NOW + 12 * HOUR if "force" in name else NOW + MINUTE)
    )
    flat = [each for event in events for each in (event if isinstance(event, list) else [event])]
    assert {each["st"] for each in flat} == {1, 2}


def test_changes_of_the_order_book_continue_without_a_hole() -> None:
    events = said("btcusdt@depth@100ms", NOW, NOW + 2 * MINUTE)
    assert all(after["pu"] == before["u"] for before, after in pairwise(events))
    assert all(each["U"] == each["pu"] + 1 <= each["u"] for each in events)


@pytest.mark.parametrize("minutes", slow_after(1, [1, 5]))
def test_changes_of_the_order_book_lead_to_the_present_one(minutes: int) -> None:
    until = NOW + minutes * MINUTE
    bids, asks, _ = market().depth("BTCUSDT", NOW, 1_000)
    sides = {"b": dict(bids), "a": dict(asks)}
    for event in said("btcusdt@depth@100ms", NOW, until):
        bids, asks, _ = market().depth("BTCUSDT", event["E"], 1_000)
        lowest, highest = bids[-1][0], asks[-1][0]
        for side, levels in sides.items():
            for price, quantity in event[side]:
                # Only a level that is there is removed, and only within the range of the message.
                assert float(quantity) or (levels[float(price)] and lowest <= float(price) <= highest)
                levels[float(price)] = float(quantity)
    bids, asks, _ = market().depth("BTCUSDT", until, 20)
    assert sorted((each for each in sides["b"].items() if each[1]), reverse=True)[:20] == bids
    assert sorted(each for each in sides["a"].items() if each[1])[:20] == asks


def test_best_prices_follow_the_last_state_of_the_order_book() -> None:
    last = said("btcusdt@bookTicker", NOW, NOW + MINUTE)[-1]
    quote = market().quote("BTCUSDT", NOW + MINUTE)
    assert quote is not None
    assert (last["u"], float(last["b"]), float(last["a"])) == (quote.update_id, quote.bid, quote.ask)


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.slow) if each == "depth@100ms" else each for each in ALL_OF_ONE]
)
def test_division_of_time_does_not_change_the_messages(name: str) -> None:
    path = f"/public/ws/btcusdt@{name}" if name[:5] in PUBLIC else f"/market/ws/btcusdt@{name}"
    whole, parts = connected(path), connected(path)
    end = NOW + 3 * MINUTE
    steps = [NOW, *range(NOW + 37, end, 1_013), end]
    assert whole.messages(NOW, end) == [
        each for since, until in pairwise(steps) for each in parts.messages(since, until)
    ]


def test_messages_come_in_the_order_of_time() -> None:
    connection = connected("/market/stream?streams=btcusdt@kline_1m/ethusdt@aggTrade/btcusdt@markPrice@1s/!ticker@arr")
    times = [each.at for each in connection.messages(NOW, NOW + MINUTE)]
    assert times == sorted(times)
    assert NOW < times[0] < times[-1] <= NOW + MINUTE


def test_thinned_streams_keep_each_closed_candle_and_trade() -> None:
    hub, path = StreamHub(market(), thin=40), "/market/ws/btcusdt@kline_1m/btcusdt@aggTrade"
    connection = hub.open(path, NOW)
    assert connection is not None
    thin, full = payloads(connection.messages(NOW, NOW + HOUR)), payloads(connected(path).messages(NOW, NOW + HOUR))

    def lasting(events: list[Any]) -> list[Any]:
        return [each for each in events if each["e"] == "aggTrade" or each["k"]["x"]]

    assert lasting(thin) == lasting(full)
    assert len(thin) < len(full)

"""The sandbox market for tests: markets of given candles, and a second way to build klines from trades."""

import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ocw_mcp.domain.market import Candle, Frame, Funding, MarketIdentity, Metrics, Product
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.sandbox.binance.exchange import Exchange, Request, Response
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.values import Kline, Trade

FIXTURES = Path(__file__).resolve().parents[2].parent / "shared" / "fixtures"
DAY_1 = 1_767_225_600_000
"""2026-01-01T00:00:00Z, ms."""


class StoredFeed:
    """A feed of stored candles, with metrics and funding in the frame of their time."""

    def __init__(
        self,
        candles: Sequence[Candle],
        metrics: Sequence[Metrics] = (),
        funding: Sequence[Funding] = (),
        interval: int = MINUTE,
        product: Product = Product.UM,
    ) -> None:
        symbols = tuple(sorted({candle.symbol for candle in candles}))
        self.identity = MarketIdentity("stored", product, interval, symbols, "")
        self._candles, self._metrics, self._funding = candles, metrics, funding

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        frames: dict[int, tuple[list[Candle], list[Metrics], list[Funding]]] = defaultdict(lambda: ([], [], []))
        for candle in self._candles:
            frames[candle.close_time][0].append(candle)
        for row in self._metrics:
            frames[row.at][1].append(row)
        for rate in self._funding:
            frames[rate.at][2].append(rate)
        for at in sorted(frames):
            if after is None or at > after:
                candles, metrics, funding = frames[at]
                yield Frame(at, tuple(candles), metrics=tuple(metrics), funding=tuple(funding))


class WaitingFeed(StoredFeed):
    """A feed that waits for another task, as a live feed does."""

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        await Pause()
        async for frame in super().frames(after):
            yield frame


class Pause:
    """An awaitable that suspends its task once."""

    def __await__(self) -> Any:
        yield None


Row = tuple[float, float, float, float, float]
"""Open, high, low, close and volume."""


def candle(minute: int, row: Row, taker: float | None = None, symbol: str = "BTCUSDT") -> Candle:
    """Return the candle of a minute of DAY_1."""
    return Candle(symbol, DAY_1 + minute * MINUTE, MINUTE, *row, taker)


class Built(NamedTuple):
    """A kline as `built` returns it: decimals, without the rounding of floats."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    taker_volume: Decimal
    taker_quote_volume: Decimal
    trades: int
    first_trade: int
    last_trade: int


def built(trades: Iterable[Trade]) -> Built:
    """Return the kline of some trades, built trade by trade with decimals."""
    rows = [(Decimal(repr(each.price)), Decimal(repr(each.quantity)), each) for each in trades]
    prices = [price for price, _, _ in rows]
    bought = [(price, quantity) for price, quantity, each in rows if not each.buyer_is_maker]
    return Built(
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume=sum((quantity for _, quantity, _ in rows), Decimal(0)),
        quote_volume=sum((price * quantity for price, quantity, _ in rows), Decimal(0)),
        taker_volume=sum((quantity for _, quantity in bought), Decimal(0)),
        taker_quote_volume=sum((price * quantity for price, quantity in bought), Decimal(0)),
        trades=len(rows),
        first_trade=rows[0][2].id,
        last_trade=rows[-1][2].id,
    )


def stated(kline: Kline) -> Built:
    """Return the values of a kline of the market for the comparison with `built`."""

    def exact(number: float) -> Decimal:
        return Decimal(repr(number))

    return Built(
        exact(kline.open),
        exact(kline.high),
        exact(kline.low),
        exact(kline.close),
        exact(kline.volume),
        exact(kline.quote_volume),
        exact(kline.taker_volume),
        exact(kline.taker_quote_volume),
        kline.trades,
        kline.first_trade,
        kline.last_trade,
    )


@cache
def simulated(product: Product = Product.UM, seed: int = 3) -> SandboxMarket:
    """Return a simulated market of two symbols, which many tests share."""
    return SandboxMarket.simulated(seed, ("BTCUSDT", "ETHUSDT"), product)


Query = str | int


def get(exchange: Exchange, path: str, now: int, **query: Query) -> Response:
    """Return the response to a GET request."""
    return exchange.handle(Request("GET", path, {name: str(value) for name, value in query.items()}), now)


def answer(exchange: Exchange, path: str, now: int, **query: Query) -> Any:
    """Return the JSON of the response to a GET request that succeeds."""
    response = get(exchange, path, now, **query)
    assert response.status == 200, response.body
    return json.loads(response.body)


def refusal(exchange: Exchange, path: str, now: int, **query: Query) -> tuple[int, int, str]:
    """Return status, code and text of the response to a GET request that fails."""
    response = get(exchange, path, now, **query)
    error = json.loads(response.body)
    assert error.keys() == {"code", "msg"}
    return response.status, error["code"], error["msg"]


def documented(name: str) -> Any:
    """Return the payload of a fixture, or skip the test where the fixtures are not beside the checkout."""
    path = FIXTURES / name
    if not path.is_file():
        pytest.skip("the fixtures are not beside this checkout (expected ../shared/fixtures)")
    text = path.read_text(encoding="utf-8")
    if name.endswith(".json"):
        return json.loads(text)
    if text.startswith(">"):  # a request of the WebSocket API, and its answer
        return json.loads(text[text.index("\n=") + 2 :])["result"]
    signed = text.splitlines()[2]  # "true" for a request that is signed
    return json.loads(text[text.index(f"\n{signed}\n") + len(signed) + 2 :])

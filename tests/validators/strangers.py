"""Reads the sandbox exchange with clients of the real one, unchanged but for their addresses, and prints the results.

It runs under `.clients`, which has those clients and not this project: `make validators` installs it. The arguments
are the product (um or spot) and the address of the sandbox, HOST:PORT.
"""

import asyncio
import json
import re
import sys
from collections.abc import Awaitable
from typing import Any

import ccxt
import ccxt.pro
from binance import AsyncClient, BinanceSocketManager

PATIENCE_S = 10
MUTE_S = 3


def main() -> None:
    """Read with each client, and print one JSON object."""
    product, address = sys.argv[1:]
    found: dict[str, Any] = {"ccxt": ccxt_rest(product, address)}
    found["ccxt.pro"] = asyncio.run(ccxt_pro(product, address))
    found["python-binance"] = asyncio.run(python_binance(product, address))
    print(json.dumps(found))


def rebased(value: Any, address: str) -> Any:
    """Return ccxt's addresses with another host."""
    if isinstance(value, dict):
        return {name: rebased(each, address) for name, each in value.items()}
    if isinstance(value, str) and (parts := re.match(r"(https?|wss?)://[^/]+(.*)", value)):
        return f"{'ws' if parts[1].startswith('ws') else 'http'}://{address}{parts[2]}"
    return value


def market_name(product: str) -> str:
    """Return ccxt's name of the market that is read."""
    return "BTC/USDT:USDT" if product == "um" else "BTC/USDT"


def ccxt_rest(product: str, address: str) -> dict[str, Any]:
    """Read by REST with ccxt."""
    client = ccxt.binanceusdm() if product == "um" else ccxt.binance({"options": {"fetchMarkets": {"types": ["spot"]}}})
    client.urls["api"] = rebased(client.urls["api"], address)
    symbol = market_name(product)
    found: dict[str, Any] = {
        "markets": sorted(client.load_markets()),
        "tick": client.market(symbol)["precision"]["price"],
        "time": client.fetch_time(),
        "candles": client.fetch_ohlcv(symbol, "1m", limit=5),
        "last": client.fetch_ticker(symbol)["last"],
        "bid": client.fetch_order_book(symbol, 5)["bids"][0][0],
        "trade": client.fetch_trades(symbol, limit=5)[-1]["price"],
    }
    if product == "um":
        found["funding"] = client.fetch_funding_rate(symbol)["fundingRate"]
        found["fundings"] = len(client.fetch_funding_rate_history(symbol, limit=3))
        found["open_interest"] = client.fetch_open_interest(symbol)["openInterestAmount"]
        found["long_short"] = client.fetch_long_short_ratio_history(symbol, "5m", limit=2)[-1]["longShortRatio"]
    return found


async def ccxt_pro(product: str, address: str) -> dict[str, Any]:
    """Read streams with ccxt."""
    options = {"options": {"fetchMarkets": {"types": ["spot"]}}}
    client = ccxt.pro.binanceusdm() if product == "um" else ccxt.pro.binance(options)
    client.urls["api"] = rebased(client.urls["api"], address)
    symbol = market_name(product)
    try:
        await client.load_markets()
        found: dict[str, Any] = {
            "candle": (await soon(client.watch_ohlcv(symbol, "1m")))[-1],
            "trade": (await soon(client.watch_trades(symbol)))[-1]["price"],
            "ticker": (await soon(client.watch_ticker(symbol)))["last"],
            "bid": (await soon(client.watch_bids_asks([symbol])))[symbol]["bid"],
            "book": (await soon(client.watch_order_book(symbol)))["bids"][0][0],
        }
        if product == "um":
            found["mark"] = (await soon(client.watch_mark_price(symbol)))["markPrice"]
        return found
    finally:
        await client.close()


async def python_binance(product: str, address: str) -> dict[str, Any]:
    """Read by REST and streams with python-binance, and listen on its old path for futures."""
    client = AsyncClient()
    client.API_URL = f"http://{address}/api"
    client.FUTURES_URL = f"http://{address}/fapi"
    client.FUTURES_DATA_URL = f"http://{address}/futures/data"
    sockets = BinanceSocketManager(client)
    sockets.STREAM_URL = sockets.FSTREAM_URL = f"ws://{address}/"
    try:
        if product == "spot":
            return {
                "time": (await client.get_server_time())["serverTime"],
                "candles": len(await client.get_klines(symbol="BTCUSDT", interval="1m", limit=5)),
                "info": (await client.get_symbol_info("BTCUSDT"))["symbol"],
                "book": (await client.get_order_book(symbol="BTCUSDT", limit=5))["bids"][0][0],
                "kline": (await first(sockets.kline_socket("BTCUSDT", "1m")))["k"]["s"],
                "multiplex": (await first(sockets.multiplex_socket(["btcusdt@bookTicker"])))["data"]["s"],
            }
        streams = ["btcusdt@kline_1m", "btcusdt@aggTrade", "btcusdt@markPrice@1s"]
        return {
            "time": (await client.futures_time())["serverTime"],
            "candles": len(await client.futures_klines(symbol="BTCUSDT", interval="1m", limit=5)),
            "info": (await client.futures_exchange_info())["symbols"][0]["symbol"],
            "mark": float((await client.futures_mark_price(symbol="BTCUSDT"))["markPrice"]),
            "kline": (await first(sockets.kline_futures_socket("BTCUSDT", "1m")))["k"]["i"],
            "multiplex": (await first(sockets.futures_multiplex_socket(streams)))["stream"],
            "quote": (await first(sockets.symbol_ticker_futures_socket("BTCUSDT")))["data"]["s"],
            "old path": await silence(sockets.futures_multiplex_socket(streams, category="")),
        }
    finally:
        await client.close_connection()


async def soon(answer: Awaitable[Any]) -> Any:
    """Return an answer that must come within the patience."""
    return await asyncio.wait_for(answer, PATIENCE_S)


async def first(socket: Any) -> Any:
    """Return the first message of a socket."""
    async with socket as stream:
        return await soon(stream.recv())


async def silence(socket: Any) -> str:
    """Return "mute" if an open socket says nothing for a while, else its message."""
    async with socket as stream:
        try:
            return str(await asyncio.wait_for(stream.recv(), MUTE_S))
        except TimeoutError:
            return "mute"


if __name__ == "__main__":
    main()

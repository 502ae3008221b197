"""Trades on the sandbox exchange with clients of the real one, unchanged but for their addresses.

It runs under `.clients`, which has those clients and not this project: `make validators` installs it. The arguments
are the product (um or spot), the address of the sandbox, HOST:PORT, and the key and the secret of its account. It
prints one JSON object.
"""

import asyncio
import json
import re
import sys
import time
from typing import Any

import ccxt
import ccxt.pro
from binance import AsyncClient, BinanceSocketManager

PATIENCE_S = 15
SYMBOL = "BTC/USDT:USDT"


def main() -> None:
    """Trade with each client, and print what each of them found."""
    product, address, key, secret = sys.argv[1:]
    if product == "spot":
        found: dict[str, Any] = {"ccxt": spot_rest(address, key, secret)}
        found["ccxt.pro"] = asyncio.run(spot_pro(address, key, secret))
        found["python-binance"] = asyncio.run(python_binance_on_spot(address, key, secret))
        print(json.dumps(found))
        return
    found = {"ccxt": ccxt_rest(address, key, secret)}
    found["ccxt.pro"] = asyncio.run(ccxt_pro(address, key, secret))
    found["python-binance"] = asyncio.run(python_binance(address, key, secret))
    print(json.dumps(found))


def rebased(value: Any, address: str) -> Any:
    """Return ccxt's addresses with another host."""
    if isinstance(value, dict):
        return {name: rebased(each, address) for name, each in value.items()}
    if isinstance(value, str) and (parts := re.match(r"(https?|wss?)://[^/]+(.*)", value)):
        return f"{'ws' if parts[1].startswith('ws') else 'http'}://{address}{parts[2]}"
    return value


def settings(key: str, secret: str) -> dict[str, Any]:
    """Return the settings of a ccxt client: the clock follows the sandbox, and no account of spot is read."""
    options = {"adjustForTimeDifference": True, "fetchCurrencies": False, "fetchMargins": False}
    return {"apiKey": key, "secret": secret, "options": options}


def ccxt_rest(address: str, key: str, secret: str) -> dict[str, Any]:
    """Place, query and cancel orders with ccxt, and read the account."""
    client = ccxt.binanceusdm(settings(key, secret))
    client.urls["api"] = rebased(client.urls["api"], address)
    client.load_markets()
    client.set_leverage(10, SYMBOL)
    client.set_margin_mode("isolated", SYMBOL)
    best = client.fetch_order_book(SYMBOL, 5)
    limit = client.price_to_precision(SYMBOL, best["bids"][0][0] * 0.98)
    resting = client.create_order(SYMBOL, "limit", "buy", 0.02, limit, {"clientOrderId": "resting", "postOnly": True})
    opened = [each["id"] for each in client.fetch_open_orders(SYMBOL)]
    cancelled = client.cancel_order(resting["id"], SYMBOL)
    bought = client.create_order(SYMBOL, "market", "buy", 0.02)
    filled = client.fetch_order(bought["id"], SYMBOL)
    stop_price = client.price_to_precision(SYMBOL, best["bids"][0][0] * 0.97)
    stop = client.create_order(
        SYMBOL, "market", "sell", None, None, {"stopLossPrice": stop_price, "closePosition": True}
    )
    waiting = client.fetch_open_orders(SYMBOL, params={"stop": True})
    (position,) = client.fetch_positions([SYMBOL])
    found = {
        "resting": resting["clientOrderId"],
        "opened": opened == [resting["id"]],
        "cancelled": client.fetch_order(resting["id"], SYMBOL)["status"],
        "cancel answer": cancelled["status"],
        "filled": [filled["status"], filled["filled"], filled["average"] > 0],
        "stop": [stop["type"], [each["id"] for each in waiting] == [stop["id"]]],
        "position": [position["side"], position["contracts"], position["marginMode"], position["leverage"]],
        "trades": [each["amount"] for each in client.fetch_my_trades(SYMBOL)],
        "total": client.fetch_balance()["USDT"]["total"],
    }
    try:
        client.create_order(SYMBOL, "market", "buy", 50)
    except ccxt.ExchangeError as error:  # ccxt finds a closer class by the host, which is another one here
        found["too much"] = str(error)
    client.cancel_order(stop["id"], SYMBOL, {"stop": True})
    client.create_order(SYMBOL, "market", "sell", 0.02, None, {"reduceOnly": True})
    found["after"] = [each["contracts"] for each in client.fetch_positions([SYMBOL])]
    found["income"] = sorted({each["info"]["incomeType"] for each in client.fetch_ledger("USDT")})
    return found


async def ccxt_pro(address: str, key: str, secret: str) -> dict[str, Any]:
    """Read the user data of an order with ccxt."""
    client = ccxt.pro.binanceusdm(settings(key, secret))
    client.urls["api"] = rebased(client.urls["api"], address)
    try:
        await client.load_markets()
        watching = asyncio.ensure_future(client.watch_orders(SYMBOL))
        trades = asyncio.ensure_future(client.watch_my_trades(SYMBOL))
        placed = None
        async with asyncio.timeout(PATIENCE_S):
            while not watching.done():
                # An order before the stream is open would not be heard.
                await pause()
                if client.clients and placed is None:
                    await pause()
                    placed = await client.create_order(SYMBOL, "market", "buy", 0.01)
            heard, traded = await watching, await trades
        assert placed is not None
        return {
            "order": heard[-1]["id"] == placed["id"],
            "status": heard[-1]["status"],
            "trade": [traded[-1]["amount"], traded[-1]["fee"]["currency"], traded[-1]["takerOrMaker"]],
        }
    finally:
        await client.close()


def spot_settings(key: str, secret: str) -> dict[str, Any]:
    """Return the settings of a ccxt client of spot."""
    found = settings(key, secret)
    found["options"]["fetchMarkets"] = {"types": ["spot"]}
    return found


def spot_rest(address: str, key: str, secret: str) -> dict[str, Any]:
    """Place, query and cancel orders of spot with ccxt, and read the balances."""
    client = ccxt.binance(spot_settings(key, secret))
    client.urls["api"] = rebased(client.urls["api"], address)
    client.load_markets()
    symbol = "BTC/USDT"
    bid = client.fetch_order_book(symbol, 5)["bids"][0][0]
    bought = client.create_order(symbol, "market", "buy", 0.02)
    limit = client.price_to_precision(symbol, bid * 0.98)
    resting = client.create_order(symbol, "limit", "buy", 0.02, limit)
    opened = [each["id"] for each in client.fetch_open_orders(symbol)]
    client.cancel_order(resting["id"], symbol)
    stop = client.create_order(symbol, "market", "sell", 0.019, None, {"stopLossPrice": limit})
    locked = client.fetch_balance()["BTC"]["used"]
    client.cancel_order(stop["id"], symbol)
    found = {
        "bought": [bought["status"], bought["filled"], bought["fee"]["currency"]],
        "opened": opened == [resting["id"]],
        "cancelled": client.fetch_order(resting["id"], symbol)["status"],
        "locked": locked,
        "held": client.fetch_balance()["BTC"]["free"],
        "trades": [each["amount"] for each in client.fetch_my_trades(symbol)],
    }
    try:
        client.create_order(symbol, "market", "sell", 5)
    except ccxt.InsufficientFunds as error:
        found["too much"] = type(error).__name__
    return found


async def spot_pro(address: str, key: str, secret: str) -> dict[str, Any]:
    """Read the user data of an order of spot with ccxt, which subscribes over the WebSocket API."""
    client = ccxt.pro.binance(spot_settings(key, secret))
    client.urls["api"] = rebased(client.urls["api"], address)
    try:
        await client.load_markets()
        watching = asyncio.ensure_future(client.watch_orders("BTC/USDT"))
        placed = None
        async with asyncio.timeout(PATIENCE_S):
            while not watching.done():
                await pause()
                if client.clients and placed is None:
                    await pause()
                    placed = await client.create_order("BTC/USDT", "market", "buy", 0.01)
            heard = await watching
        assert placed is not None
        return {"order": heard[-1]["id"] == placed["id"], "filled": placed["filled"]}
    finally:
        await client.close()


async def python_binance(address: str, key: str, secret: str) -> dict[str, Any]:
    """Place, query and cancel orders with python-binance, and read user data."""
    client = AsyncClient(key, secret)
    client.API_URL = f"http://{address}/api"
    client.FUTURES_URL = f"http://{address}/fapi"
    sockets = BinanceSocketManager(client)
    sockets.STREAM_URL = sockets.FSTREAM_URL = f"ws://{address}/"
    try:
        server = (await client.futures_time())["serverTime"]
        client.timestamp_offset = server - int(time.time() * 1000)  # noqa: TID251 - the client reads this clock
        mark = float((await client.futures_mark_price(symbol="BTCUSDT"))["markPrice"])
        async with sockets.futures_user_socket() as stream:
            placed = await client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
            async with asyncio.timeout(PATIENCE_S):
                heard = [await stream.recv() for _ in range(4)]
        stop = await client.futures_create_order(
            symbol="BTCUSDT", side="SELL", type="STOP_MARKET", triggerPrice=round(mark * 0.98, 1), closePosition=True
        )
        cancelled = await client.futures_cancel_algo_order(symbol="BTCUSDT", algoId=stop["algoId"])
        return {
            "events": [each["e"] for each in heard],
            "order": heard[-1]["o"]["i"] == placed["orderId"],
            "queried": (await client.futures_get_order(symbol="BTCUSDT", orderId=placed["orderId"]))["status"],
            "stop": stop["algoStatus"],
            "cancelled": cancelled["code"],
            "balance": float((await client.futures_account_balance())[0]["balance"]) < 10_000,
        }
    finally:
        await client.close_connection()


async def python_binance_on_spot(address: str, key: str, secret: str) -> dict[str, Any]:
    """Place, query and cancel orders and a list of spot with python-binance, by REST and by the WebSocket API."""
    client = AsyncClient(key, secret)
    client.API_URL = f"http://{address}/api"
    client.ws_api._url = f"ws://{address}/ws-api/v3"
    one = {"symbol": "BTCUSDT"}
    try:
        server = (await client.get_server_time())["serverTime"]
        client.timestamp_offset = server - int(time.time() * 1000)  # noqa: TID251 - the client reads this clock
        bid = float((await client.get_order_book(**one, limit=5))["bids"][0][0])
        before = float((await client.get_asset_balance("BTC"))["free"])
        async with BinanceSocketManager(client).user_socket() as stream:
            placed = await client.order_market_buy(**one, quantity="0.01")
            heard: list[Any] = []
            async with asyncio.timeout(PATIENCE_S):
                while not heard or heard[-1]["e"] != "outboundAccountPosition" or heard[-2].get("X") != "FILLED":
                    heard.append(await stream.recv())
        kept = float((await client.get_asset_balance("BTC"))["free"]) - before
        resting = await client.order_limit_buy(**one, quantity="0.01", price=f"{bid * 0.98:.1f}")
        opened = [each["orderId"] for each in await client.get_open_orders(**one)]
        cancelled = await client.cancel_order(**one, orderId=resting["orderId"])
        listed = await client.order_oco_sell(
            **one,
            quantity="0.009",
            aboveType="LIMIT_MAKER",
            abovePrice=f"{bid * 1.05:.1f}",
            belowType="STOP_LOSS",
            belowStopPrice=f"{bid * 0.95:.1f}",
        )
        lists = await client.get_open_oco_orders()
        await client.cancel_order(**one, orderId=listed["orders"][0]["orderId"])
        by_socket = await client.ws_create_order(**one, side="SELL", type="MARKET", quantity="0.009")
        return {
            "events": [each["X"] for each in heard if each["e"] == "executionReport"],
            "order": heard[0]["i"] == placed["orderId"],
            "queried": (await client.get_order(**one, orderId=placed["orderId"]))["status"],
            "kept": round(kept, 8),
            "opened": opened == [resting["orderId"]],
            "cancelled": cancelled["status"],
            "list": [[each["contingencyType"], len(each["orders"])] for each in lists],
            "left": await client.get_open_orders(**one),
            "sold": by_socket["status"],
            "trades": len(await client.get_my_trades(**one, orderId=by_socket["orderId"])) > 0,
        }
    finally:
        await client.close_connection()


async def pause() -> None:
    """Wait while ccxt opens its stream: it does not say when."""
    await asyncio.sleep(1)  # noqa: TID251 - it runs outside of the project


if __name__ == "__main__":
    main()

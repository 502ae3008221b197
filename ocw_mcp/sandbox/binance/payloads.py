"""The payloads of the streams as JSON text, in the exchange's shapes of 2026.

On futures, `st` is the exchange that a message is from (1: USD-M, 2: COIN-M), and `ps` is the pair. The real exchange
adds them to some payloads only. Each function here adds them where the real exchange does.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ocw_mcp.domain.market import Product
from ocw_mcp.sandbox.binance.values import Kline, Liquidation, MarkPrice, Quote, Trade

Levels = Sequence[tuple[float, float]]
"""Prices and quantities of one side of an order book, the best price first."""
FOREIGN = "BTCUSD_PERP"
"""A contract of COIN-M, which the streams of all symbols also report since the exchanges were joined."""


class Texts(NamedTuple):
    """The functions that write a symbol's prices, quantities, and volumes in quote currency."""

    price: Callable[[float], str]
    quantity: Callable[[float], str]
    value: Callable[[float], str]


class Day(NamedTuple):
    """The last 24 hours of a symbol until `at` (ms), and its last trade."""

    row: Kline
    last: Trade
    at: int


def kline(event: str, at: int, row: Kline, interval: str, form: Texts) -> str:
    """Return a candle of `kline` or `continuous_kline`; the candle may still form."""
    p, q, v = form
    if event == "kline":
        head, symbol = f'"s":"{row.symbol}"', f'"s":"{row.symbol}",'
    else:
        head, symbol = f'"ps":"{row.symbol}","ct":"PERPETUAL"', ""
    return (
        f'{{"e":"{event}","E":{at},{head},"k":{{"t":{row.open_time},"T":{row.close_time},{symbol}"i":"{interval}",'
        f'"f":{row.first_trade},"L":{row.last_trade},"o":"{p(row.open)}","c":"{p(row.close)}","h":"{p(row.high)}",'
        f'"l":"{p(row.low)}","v":"{q(row.volume)}","n":{row.trades},"x":{"true" if row.closed else "false"},'
        f'"q":"{v(row.quote_volume)}","V":"{q(row.taker_volume)}","Q":"{v(row.taker_quote_volume)}","B":"0"}}}}'
    )


def agg_trade(at: int, symbol: str, trade: Trade, form: Texts, product: Product) -> str:
    """Return an aggregate trade. `nq` is the quantity without orders that only retail users see."""
    price, quantity = form.price(trade.price), form.quantity(trade.quantity)
    maker = "true" if trade.buyer_is_maker else "false"
    normal, end = (f'"nq":"{quantity}",', '"st":1') if product is Product.UM else ("", '"M":true')
    return (
        f'{{"e":"aggTrade","E":{at},"s":"{symbol}","a":{trade.id},"p":"{price}","q":"{quantity}",{normal}'
        f'"f":{trade.id},"l":{trade.id},"T":{trade.at},"m":{maker},{end}}}'
    )


def single_trade(at: int, symbol: str, trade: Trade, form: Texts, product: Product) -> str:
    """Return a trade of the stream `trade`, which futures do not document."""
    price, quantity = form.price(trade.price), form.quantity(trade.quantity)
    maker = "true" if trade.buyer_is_maker else "false"
    if product is Product.UM:
        rest = f'"T":{trade.at},"t":{trade.id},"p":"{price}","q":"{quantity}","X":"MARKET","m":{maker}'
        return f'{{"e":"trade","E":{at},"s":"{symbol}",{rest},"st":1}}'
    rest = f'"t":{trade.id},"p":"{price}","q":"{quantity}","T":{trade.at},"m":{maker},"M":true'
    return f'{{"e":"trade","E":{at},"s":"{symbol}",{rest}}}'


def mark_price(at: int, symbol: str, mark: MarkPrice) -> str:
    """Return mark price, index price and funding rate. Spot has no mark price."""
    return (
        f'{{"e":"markPriceUpdate","E":{at},"s":"{symbol}","p":"{mark.mark:.8f}","ap":"{mark.mark:.8f}",'
        f'"P":"{mark.mark:.8f}","i":"{mark.index:.8f}","r":"{mark.rate:.8f}","T":{mark.next_funding_at},"st":1}}'
    )


def book_ticker(at: int, symbol: str, quote: Quote, form: Texts, product: Product) -> str:
    """Return the best prices of both sides. On spot the message has no type and no time."""
    p, q, _ = form
    best = f'"b":"{p(quote.bid)}","B":"{q(quote.bid_quantity)}","a":"{p(quote.ask)}","A":"{q(quote.ask_quantity)}"'
    if product is Product.SPOT:
        return f'{{"u":{quote.update_id},"s":"{symbol}",{best}}}'
    return f'{{"e":"bookTicker","u":{quote.update_id},"s":"{symbol}","ps":"{symbol}",{best},"T":{at},"E":{at},"st":1}}'


def depth(
    at: int, symbol: str, ids: tuple[int, int, int], bids: Levels, asks: Levels, form: Texts, product: Product
) -> str:
    """Return changes of an order book; `ids` are the first and last update id, and the last of the message before."""
    first, last, before = ids
    levels = f'"b":{_levels(bids, form)},"a":{_levels(asks, form)}'
    if product is Product.SPOT:
        return f'{{"e":"depthUpdate","E":{at},"s":"{symbol}","U":{first},"u":{last},{levels}}}'
    return (
        f'{{"e":"depthUpdate","E":{at},"T":{at},"s":"{symbol}","ps":"{symbol}","U":{first},"u":{last},"pu":{before},'
        f'{levels},"st":1}}'
    )


def partial_depth(
    at: int, symbol: str, ids: tuple[int, int, int], bids: Levels, asks: Levels, form: Texts, product: Product
) -> str:
    """Return the best levels of an order book; on futures in the shape of a change."""
    if product is Product.UM:
        return depth(at, symbol, ids, bids, asks, form, product)
    return f'{{"lastUpdateId":{ids[1]},"bids":{_levels(bids, form)},"asks":{_levels(asks, form)}}}'


def _levels(levels: Levels, form: Texts) -> str:
    return "[" + ",".join(f'["{form.price(price)}","{form.quantity(size)}"]' for price, size in levels) + "]"


def ticker(symbol: str, day: Day, quote: Quote, form: Texts, product: Product) -> str:
    """Return the statistics of the last 24 hours."""
    (p, q, v), (row, last, at) = form, day
    change = round(row.close - row.open, 8)
    average = row.quote_volume / row.volume if row.volume else row.close
    before = best = ""
    if product is Product.SPOT:
        before = f'"x":"{p(row.open)}",'
        best = f'"b":"{p(quote.bid)}","B":"{q(quote.bid_quantity)}","a":"{p(quote.ask)}","A":"{q(quote.ask_quantity)}",'
    return (
        f'{{"e":"24hrTicker","E":{at},"s":"{symbol}","p":"{p(change)}","P":"{100 * change / row.open:.3f}",'
        f'"w":"{average:.8f}",{before}"c":"{p(row.close)}","Q":"{q(last.quantity)}",{best}"o":"{p(row.open)}",'
        f'"h":"{p(row.high)}","l":"{p(row.low)}","v":"{q(row.volume)}","q":"{v(row.quote_volume)}",'
        f'"O":{row.open_time},"C":{at},"F":{row.first_trade},"L":{row.last_trade},"n":{row.trades}'
        f"{_pair(symbol, product)}}}"
    )


def mini_ticker(symbol: str, day: Day, form: Texts, product: Product) -> str:
    """Return prices and volumes of the last 24 hours."""
    (p, q, v), (row, _, at) = form, day
    return (
        f'{{"e":"24hrMiniTicker","E":{at},"s":"{symbol}","c":"{p(row.close)}","o":"{p(row.open)}",'
        f'"h":"{p(row.high)}","l":"{p(row.low)}","v":"{q(row.volume)}","q":"{v(row.quote_volume)}"'
        f"{_pair(symbol, product)}}}"
    )


def _pair(symbol: str, product: Product) -> str:
    return f',"ps":"{symbol}","st":1' if product is Product.UM else ""


def force_order(at: int, symbol: str, order: Liquidation, form: Texts, *, of_all: bool) -> str:
    """Return a forced liquidation. Only the stream of all symbols adds the pair and the exchange."""
    quantity, side = form.quantity(order.quantity), "SELL" if order.is_sell else "BUY"
    end = f',"ps":"{symbol}","st":1' if of_all else ""
    return (
        f'{{"e":"forceOrder","E":{at},"o":{{"s":"{symbol}","S":"{side}","o":"LIMIT","f":"IOC","q":"{quantity}",'
        f'"p":"{form.price(order.price)}","ap":"{form.price(order.average_price)}","X":"FILLED","l":"{quantity}","z":"{quantity}","T":{order.at}}}{end}}}'
    )


def foreign_force_order(at: int) -> str:
    """Return a liquidation on COIN-M; its quantity is in contracts."""
    return (
        f'{{"e":"forceOrder","E":{at},"o":{{"s":"{FOREIGN}","S":"SELL","o":"LIMIT","f":"IOC","q":"3","p":"50000.0",'
        f'"ap":"50000.0","X":"FILLED","l":"3","z":"3","T":{at}}},"ps":"BTCUSD","st":2}}'
    )


def foreign_ticker(at: int, *, mini: bool) -> str:
    """Return the statistics of a contract on COIN-M."""
    prices = '"o":"49900.0","h":"50500.0","l":"49000.0","v":"100000","q":"199.99"'
    if mini:
        return f'{{"e":"24hrMiniTicker","E":{at},"s":"{FOREIGN}","c":"50000.0",{prices},"ps":"BTCUSD","st":2}}'
    return (
        f'{{"e":"24hrTicker","E":{at},"s":"{FOREIGN}","p":"100.0","P":"0.200","w":"50000.00000000","c":"50000.0",'
        f'"Q":"1",{prices},"O":{at - 86_400_000},"C":{at},"F":1,"L":1000,"n":1000,"ps":"BTCUSD","st":2}}'
    )


def foreign_book_ticker(at: int) -> str:
    """Return the best prices of a contract on COIN-M."""
    return (
        f'{{"e":"bookTicker","u":{at},"s":"{FOREIGN}","ps":"BTCUSD","b":"49999.9","B":"100","a":"50000.0","A":"90",'
        f'"T":{at},"E":{at},"st":2}}'
    )


def shutdown(at: int) -> str:
    """Return the warning that spot sends before it closes a connection."""
    return f'{{"e":"serverShutdown","E":{at}}}'

"""The market data that both products answer: klines, trades, order book and tickers."""

from typing import Any

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.sandbox.binance.exchange_info import ExchangeInfo
from ocw_mcp.sandbox.binance.intervals import intervals, opens_at, opens_before
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.parameters import ApiError, Parameters
from ocw_mcp.sandbox.binance.values import Kline, Quote, Trade

Payload = dict[str, Any] | list[Any]

CONTRACTS = ("PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER", "TRADIFI_PERPETUAL")
KLINES = {Product.UM: 1500, Product.SPOT: 1000}
"""The most klines of one response."""
_TRADES = 1000
_DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
_SPOT_DEPTH = 5000


class Answers:
    """Answers of the market data that both products have."""

    def __init__(self, market: SandboxMarket, info: ExchangeInfo) -> None:
        self.market, self.info = market, info
        self._is_spot = market.product is Product.SPOT
        self._intervals = intervals(market.product)

    def ping(self, parameters: Parameters, now: int) -> Payload:
        """Return an empty object."""
        return {}

    def time(self, parameters: Parameters, now: int) -> Payload:
        """Return the time of the exchange."""
        return {"serverTime": now}

    def exchange_info(self, parameters: Parameters, now: int) -> Payload:
        """Return the listing; on spot that of the requested symbols. A symbol is listed from its first trade on."""
        if not self._is_spot:
            return self.info.payload(self._listed(now), now)
        for name in ("permissions", "showPermissionSets", "symbolStatus"):
            parameters.text(name)
        return self.info.payload(self._symbols(parameters, now)[0], now)

    def klines(self, parameters: Parameters, now: int) -> Payload:
        """Return klines: the latest ones, or those from startTime on."""
        if self._is_spot:
            parameters.text("timeZone")
        return self._klines(parameters.symbol(), parameters, now)

    def continuous_klines(self, parameters: Parameters, now: int) -> Payload:
        """Return the klines of a pair's perpetual; this exchange lists no other contract."""
        symbol = parameters.symbol("pair")
        contract = parameters.one_of("contractType", CONTRACTS)
        rows = self._klines(symbol, parameters, now)
        return rows if contract == "PERPETUAL" else []

    def _klines(self, symbol: str, parameters: Parameters, now: int) -> Payload:
        interval = parameters.interval(self._intervals)
        start, end = parameters.times()
        limit = parameters.limit(500, KLINES[self.market.product])
        until = now if end is None else min(end, now)
        if start is None:
            start = opens_before(interval, opens_at(interval, until), limit - 1)
        return [self._kline(each) for each in self.market.klines(symbol, interval, start, until, limit, now)]

    def _kline(self, kline: Kline) -> list[Any]:
        market, symbol = self.market, kline.symbol
        return [
            kline.open_time,
            market.price_text(symbol, kline.open),
            market.price_text(symbol, kline.high),
            market.price_text(symbol, kline.low),
            market.price_text(symbol, kline.close),
            market.quantity_text(symbol, kline.volume),
            kline.close_time,
            market.quote_text(symbol, kline.quote_volume),
            kline.trades,
            market.quantity_text(symbol, kline.taker_volume),
            market.quote_text(symbol, kline.taker_quote_volume),
            "0",
        ]

    def aggregate_trades(self, parameters: Parameters, now: int) -> Payload:
        """Return aggregate trades: the latest ones, those from an id on, or those of a time range."""
        symbol, first = parameters.symbol(), parameters.number("fromId")
        start, end = parameters.times()
        limit = parameters.limit(500, _TRADES)
        if first is not None and (start is not None or end is not None):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        if start is not None and end is not None and end - start > HOUR and not self._is_spot:
            raise ApiError(-1127, "Lookup interval is too big. More than 1 hours between startTime and endTime.")
        until = now if end is None else min(end, now)
        if first is not None:
            trades = self.market.trades_from(symbol, first, limit, now)
        elif start is not None:
            trades = self.market.trades(symbol, start - 1, until, limit)
        else:
            trades = self._latest(symbol, limit, until)
        return [self._aggregate(symbol, trade) for trade in trades]

    def _latest(self, symbol: str, limit: int, until: int) -> list[Trade]:
        last = self.market.last_trade(symbol, until)
        return [] if last is None else self.market.trades_from(symbol, max(last.id - limit + 1, 1), limit, until)

    def _aggregate(self, symbol: str, trade: Trade) -> dict[str, Any]:
        row = {
            "a": trade.id,
            "p": self.market.price_text(symbol, trade.price),
            "q": self.market.quantity_text(symbol, trade.quantity),
            "f": trade.id,
            "l": trade.id,
            "T": trade.at,
            "m": trade.buyer_is_maker,
        }
        return row | {"M": True} if self._is_spot else row

    def recent_trades(self, parameters: Parameters, now: int) -> Payload:
        """Return the latest trades; each aggregate trade of this exchange is one trade."""
        symbol, limit = parameters.symbol(), parameters.limit(500, _TRADES)
        market = self.market
        return [
            {
                "id": trade.id,
                "price": market.price_text(symbol, trade.price),
                "qty": market.quantity_text(symbol, trade.quantity),
                "quoteQty": market.quote_text(symbol, trade.price * trade.quantity),
                "time": trade.at,
                "isBuyerMaker": trade.buyer_is_maker,
            }
            | ({"isBestMatch": True} if self._is_spot else {})
            for trade in self._latest(symbol, limit, now)
        ]

    def depth(self, parameters: Parameters, now: int) -> Payload:
        """Return the order book."""
        symbol = parameters.symbol()
        if self._is_spot:
            limit = parameters.limit(100, _SPOT_DEPTH)
        else:
            number = parameters.number("limit")
            limit = 500 if number is None else number
            if limit not in _DEPTHS:
                raise ApiError(-4021, f"{limit} is not valid depth limit.")
        bids, asks, update_id = self.market.depth(symbol, now, limit)
        last = self._last(symbol, now)
        head: dict[str, Any] = {"lastUpdateId": update_id}
        if not self._is_spot:
            head |= {"E": now, "T": last.at}
        sides = {"bids": bids, "asks": asks}
        return head | {
            name: [
                [self.market.price_text(symbol, price), self.market.quantity_text(symbol, quantity)]
                for price, quantity in levels
            ]
            for name, levels in sides.items()
        }

    def day_ticker(self, parameters: Parameters, now: int) -> Payload:
        """Return the statistics of the last 24 hours, of one symbol or of several."""
        is_mini = self._is_spot and parameters.one_of("type", ("FULL", "MINI"), "FULL") == "MINI"
        symbols, is_single = self._symbols(parameters, now)
        rows = [self._day(symbol, now, is_mini) for symbol in symbols]
        return rows[0] if is_single else rows

    def _day(self, symbol: str, now: int, is_mini: bool) -> dict[str, Any]:
        market, last = self.market, self._last(symbol, now)
        begin = (now // MINUTE + 1) * MINUTE - DAY
        day = market.window(symbol, max(begin, market.begins_at), begin + DAY, now)
        if day is None:
            day = Kline(symbol, DAY, begin, *(last.price,) * 4, 0.0, 0.0, 0, 0.0, 0.0, -1, -1, closed=False)
        change = day.close - day.open
        mean = day.quote_volume / day.volume if day.volume else day.close
        moves = {
            "priceChange": self._rounded(symbol, change),
            "priceChangePercent": f"{100 * change / day.open:.3f}",
            "weightedAvgPrice": self._rounded(symbol, mean),
        }
        prices = {
            "lastPrice": market.price_text(symbol, day.close),
            "openPrice": market.price_text(symbol, day.open),
            "highPrice": market.price_text(symbol, day.high),
            "lowPrice": market.price_text(symbol, day.low),
        }
        sums = {
            "volume": market.quantity_text(symbol, day.volume),
            "quoteVolume": market.quote_text(symbol, day.quote_volume),
            "openTime": now - DAY,
            "closeTime": now,
            "firstId": day.first_trade,
            "lastId": day.last_trade,
            "count": day.trades,
        }
        row: dict[str, Any] = {"symbol": symbol}
        if is_mini:
            return row | prices | sums
        row |= moves | prices | {"lastQty": market.quantity_text(symbol, last.quantity)} | sums
        if self._is_spot:
            before = market.last_trade(symbol, begin - 1)
            row["prevClosePrice"] = market.price_text(symbol, day.open if before is None else before.price)
            row |= self._best(symbol, self._quote(symbol, now))
        return row

    def price_ticker(self, parameters: Parameters, now: int) -> Payload:
        """Return the latest price of one symbol or of several."""
        symbols, is_single = self._symbols(parameters, now)
        rows: list[dict[str, Any]] = []
        for symbol in symbols:
            last = self._last(symbol, now)
            row = {"symbol": symbol, "price": self.market.price_text(symbol, last.price)}
            rows.append(row if self._is_spot else row | {"time": last.at})
        return rows[0] if is_single else rows

    def book_ticker(self, parameters: Parameters, now: int) -> Payload:
        """Return the best bid and ask of one symbol or of several."""
        symbols, is_single = self._symbols(parameters, now)
        rows: list[dict[str, Any]] = []
        for symbol in symbols:
            quote = self._quote(symbol, now)
            row = {"symbol": symbol, **self._best(symbol, quote)}
            if not self._is_spot:
                row |= {"time": self._last(symbol, now).at, "lastUpdateId": quote.update_id}
            rows.append(row)
        return rows[0] if is_single else rows

    def average_price(self, parameters: Parameters, now: int) -> Payload:
        """Return the average price of the last five minutes."""
        symbol = parameters.symbol()
        last, end = self._last(symbol, now), (now // MINUTE + 1) * MINUTE
        span = self.market.window(symbol, max(end - 5 * MINUTE, self.market.begins_at), end, now)
        mean = span.quote_volume / span.volume if span is not None and span.volume else last.price
        return {"mins": 5, "price": self._rounded(symbol, mean), "closeTime": last.at}

    def _symbols(self, parameters: Parameters, now: int) -> tuple[tuple[str, ...], bool]:
        """Return the requested symbols, and whether a single one was requested by name. Raises ApiError."""
        symbol = parameters.optional_symbol()
        several = parameters.symbol_list() if self._is_spot else None
        if symbol is not None and several is not None:
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        named = several or (() if symbol is None else (symbol,))
        listed = self._listed(now)
        if not set(named) <= set(listed):
            raise ApiError(-1121, "Invalid symbol.")
        return named or listed, symbol is not None

    def _listed(self, now: int) -> tuple[str, ...]:
        """Return the symbols that have a trade by now."""
        return tuple(each for each in self.market.symbols if self.market.last_trade(each, now) is not None)

    def _last(self, symbol: str, now: int) -> Trade:
        last = self.market.last_trade(symbol, now)
        if last is None:
            raise ApiError(-1121, "Invalid symbol.")
        return last

    def _quote(self, symbol: str, now: int) -> Quote:
        quote = self.market.quote(symbol, now)
        if quote is None:
            raise ApiError(-1121, "Invalid symbol.")
        return quote

    def _best(self, symbol: str, quote: Quote) -> dict[str, Any]:
        return {
            "bidPrice": self.market.price_text(symbol, quote.bid),
            "bidQty": self.market.quantity_text(symbol, quote.bid_quantity),
            "askPrice": self.market.price_text(symbol, quote.ask),
            "askQty": self.market.quantity_text(symbol, quote.ask_quantity),
        }

    def _rounded(self, symbol: str, price: float) -> str:
        """Return a computed price, such as a mean, with the decimals of the symbol's prices."""
        decimals = 8 if self._is_spot else self.market.decimals(symbol)[0]
        return self.market.price_text(symbol, round(price, decimals))

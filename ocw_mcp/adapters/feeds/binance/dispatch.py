"""The way of a message: decode, judge, and store its values. Nothing that is not valid passes, and nothing raises."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ocw_mcp.adapters.feeds.binance.board import Board
from ocw_mcp.adapters.feeds.binance.candles import Added, CandleStore, candle_fault
from ocw_mcp.adapters.feeds.binance.guard import REST, UNCONFIRMED, PriceGuard
from ocw_mcp.adapters.feeds.binance.liquidations import LiquidationFlow
from ocw_mcp.adapters.feeds.binance.notices import MARKET, Notices
from ocw_mcp.adapters.feeds.binance.wire import (
    Answer,
    Kline,
    Liquidation,
    MarkUpdate,
    Quote,
    Route,
    Shutdown,
    StreamKind,
    Trade,
    Wire,
    WireFault,
)
from ocw_mcp.domain.market import Candle, Liquidations
from ocw_mcp.domain.time import DAY, MINUTE, SECOND, iso, span_name

FUTURE_MS: Final = 2_000
"""A message whose time is later than the exchange's present time by more than this (ms) is refused."""
PAST_MS: Final = 10 * MINUTE
"""The age (ms) of a candle of REST that is not compared with present prices."""
OLDEST_MS: Final = DAY
"""The age (ms) of a candle of a stream that is refused."""
_FUNDING_TIMES: Final = 3
REFUSED: Final = "refused"
"""The kind of incident of a message whose values are not believed."""
_COUNTED: Final = "its candle is refused"
"""Why a message is refused whose fault was counted already."""


class Flow(msgspec.Struct):
    """What takers traded in the present candle of a symbol, in the base asset."""

    open_time: int = -1
    bought: float = 0.0
    """The quantity that takers bought."""
    sold: float = 0.0
    trade_id: int = -1


class Dispatcher:
    """The values of all messages of a feed. `now_ms` is the exchange's time, `loop_s` the time of the loop."""

    def __init__(
        self,
        routes: Sequence[Route],
        store: CandleStore,
        board: Board,
        notices: Notices,
        now_ms: Callable[[], int],
        loop_s: Callable[[], float],
    ) -> None:
        self._wire, self._store, self._board, self._notices = Wire(routes), store, board, notices
        self._now_ms, self._loop_s = now_ms, loop_s
        self._routes = {route.name: route for route in routes}
        self._interval = span_name(store.interval)
        symbols = {route.symbol for route in routes}
        self.guards = {symbol: PriceGuard() for symbol in symbols}
        self._past_guards = {symbol: PriceGuard() for symbol in symbols}
        """The guards of candles that are too old to be compared with present prices."""
        self.flows = {symbol: Flow() for symbol in symbols}
        self._liquidations = {
            route.symbol: LiquidationFlow(route, store.interval)
            for route in routes
            if route.kind is StreamKind.LIQUIDATION
        }
        self.forming: dict[str, Kline] = {}
        """The last kline message of each symbol, whose candle may still form."""
        self.funding: dict[str, dict[int, float]] = {symbol: {} for symbol in symbols}
        """By symbol and funding time (ms), the last rate that was reported for it; the latest times."""
        self.clock_doubted = False
        """Whether a message came from the future, so that the clock has to be measured again."""
        self.new_candles = False
        """Whether a closed candle was stored since this was set to False."""
        self.messages = 0
        """The number of valid messages so far."""
        # Each kind decodes to the one message type of its method.
        self._take_by_kind: Mapping[StreamKind, Callable[[Route, Any, int], str | None]] = {
            StreamKind.KLINE: self._take_kline,
            StreamKind.TRADE: self._take_trade,
            StreamKind.MARK: self._take_mark,
            StreamKind.QUOTE: self._take_quote,
            StreamKind.LIQUIDATION: self._take_liquidation,
        }

    def take(self, raw_messages: Iterable[bytes | str]) -> tuple[int, list[Answer | Shutdown]]:
        """Store the values of raw messages. Return how many were valid, and those that are about the connection."""
        now, at, valid, others = self._now_ms(), self._loop_s(), 0, list[Answer | Shutdown]()
        decode, methods = self._wire.decode, self._take_by_kind
        for raw in raw_messages:
            try:
                found = decode(raw)
            except WireFault as fault:
                self._count_fault(fault, at)
                continue
            if not isinstance(found, tuple):
                others.append(found)
                continue
            route, message = found
            if (fault_text := methods[route.kind](route, message, now)) is None:
                route.seen = at
                valid += 1
            else:
                route.refuse(fault_text, at)
                if fault_text not in (UNCONFIRMED, _COUNTED):
                    self._notices.incident(route.symbol, REFUSED, f"{route.name}: {fault_text}", part=route.kind)
        self.messages += valid
        return valid, others

    def take_rest(self, route: Route, message: MarkUpdate | Quote) -> bool:
        """Store a value that REST reported while its stream is silent. Return whether it was valid."""
        fault = self._take_by_kind[route.kind](route, message, self._now_ms())
        if fault is not None:
            self._notices.incident(route.symbol, REFUSED, f"REST: {fault}", part=route.kind)
        return fault is None

    def _count_fault(self, fault: WireFault, at: float) -> None:
        """Count a message that could not be decoded, at a loop time (s)."""
        route, subject = self._routes.get(fault.stream), MARKET
        if route is not None:
            route.refuse(fault.kind, at)
            subject = route.symbol
        self._notices.incident(subject, fault.kind, f"{fault.stream or 'a frame'}: {fault.detail}"[:300])

    def add_candle(self, candle: Candle, source: str) -> Added | None:
        """Store a closed candle of REST or a stream. Return what became of it; None if its values are not valid."""
        guard, fault = self.guards[candle.symbol], candle_fault(candle)
        if source == REST and candle.close_time < self._now_ms() - PAST_MS:
            # The next candle of REST confirms a jump between two candles.
            guard, source = self._past_guards[candle.symbol], f"{REST} {candle.open_time // candle.interval % 2}"
            if not guard.known:
                source = REST
        if fault is None:
            for price in (candle.open, candle.low, candle.high):
                fault = fault or guard.refuse(price, source, candle.close_time)
        if fault is not None:
            part = "REST candle" if source.startswith(REST) else StreamKind.KLINE
            self._notices.incident(candle.symbol, REFUSED, f"the candle of {iso(candle.open_time)}: {fault}", part=part)
            return None
        guard.note(candle.low, candle.high, candle.open_time)
        added = self._store.add(candle)
        self.new_candles |= added is Added.NEW
        if added is Added.CONFLICT:
            detail = f"another source has other values for the closed candle of {iso(candle.open_time)}; the first stay"
            self._notices.incident(candle.symbol, "conflict", detail)
        return added

    def take_liquidations(self, symbols: Iterable[str], closed_at: int) -> tuple[Liquidations, ...]:
        """Return the liquidations of some symbols' candles that closed at a time (ms), as far as they are known."""
        flows = [self._liquidations[symbol] for symbol in symbols if symbol in self._liquidations]
        return tuple(found for flow in flows if (found := flow.take(closed_at)) is not None)

    def _take_kline(self, route: Route, message: Kline, now: int) -> str | None:
        bar, interval = message.bar, self._store.interval
        if bar.interval != self._interval or bar.symbol != route.symbol:
            return f"it has a candle of {bar.symbol[:20]} {bar.interval[:8]}"
        if message.at > now + FUTURE_MS or bar.open_time > now + FUTURE_MS:
            return self._future(max(message.at, bar.open_time), now)
        if bar.open_time < now - OLDEST_MS:
            return f"its candle opened {(now - bar.open_time) // SECOND} s ago"
        if bar.closed:
            if bar.open_time + interval > now + FUTURE_MS:
                return "it is closed before its end"
            if (flow := self._liquidations.get(bar.symbol)) is not None:
                flow.settle(bar.open_time, self._loop_s() - (now - bar.open_time) / SECOND)
            candle = Candle(
                bar.symbol,
                bar.open_time,
                interval,
                bar.open,
                bar.high,
                bar.low,
                bar.close,
                bar.volume,
                bar.taker_volume,
            )
            if self.add_candle(candle, route.kind) is None:
                return _COUNTED
        else:
            guard = self.guards[bar.symbol]
            if not (guard.low < bar.low and bar.high < guard.high):
                for price in (bar.low, bar.high):
                    if fault := guard.refuse(price, route.kind, message.at):
                        return fault
            if not bar.low <= bar.close <= bar.high:
                return f"its last price {bar.close:.8g} is outside of {bar.low:.8g} to {bar.high:.8g}"
            guard.note(bar.low, bar.high, bar.open_time)
            self._board.set_last(bar.symbol, bar.close, message.at, now)
        self.forming[bar.symbol] = message
        return None

    def _take_trade(self, route: Route, message: Trade, now: int) -> str | None:
        price, symbol = message.price, route.symbol
        if message.at > now + FUTURE_MS:
            return self._future(message.at, now)
        guard = self.guards[symbol]
        if not guard.low < price < guard.high and (fault := guard.refuse(price, route.kind, message.at)):
            return fault
        if not 0.0 < message.quantity < math.inf:
            return f"its quantity is {message.quantity:.8g}"
        flow = self._flow(symbol, message.at)
        if message.id > flow.trade_id:
            flow.trade_id = message.id
            if message.buyer_is_maker:
                flow.sold += message.quantity
            else:
                flow.bought += message.quantity
        self._board.set_last(symbol, price, message.at, now)
        return None

    def _take_mark(self, route: Route, message: MarkUpdate, now: int) -> str | None:
        price, symbol = message.price, route.symbol
        if message.at > now + FUTURE_MS:
            return self._future(message.at, now)
        guard = self.guards[symbol]
        if not guard.low < price < guard.high and (fault := guard.refuse(price, route.kind, message.at)):
            return fault
        if not -1.0 < message.rate < 1.0:
            return f"its funding rate is {message.rate:.8g}"
        if not now - MINUTE < message.next_funding_at < now + DAY:
            return f"its next funding is in {(message.next_funding_at - now) // SECOND} s"
        if self._board.set_mark(symbol, price, message.rate, message.next_funding_at, message.at, now):
            rates = self.funding[symbol]
            rates[message.next_funding_at] = message.rate
            if len(rates) > _FUNDING_TIMES:
                del rates[min(rates)]
        return None

    def _take_quote(self, route: Route, message: Quote, now: int) -> str | None:
        bid, ask, symbol = message.bid, message.ask, route.symbol
        at = message.at or now
        if at > now + FUTURE_MS:
            return self._future(at, now)
        guard = self.guards[symbol]
        if not guard.low < bid <= ask < guard.high:
            for price in (bid, ask):
                if fault := guard.refuse(price, route.kind, at):
                    return fault
            if bid > ask:
                return f"its bid {bid:.8g} is above its ask {ask:.8g}"
        if not (0.0 <= message.bid_quantity < math.inf and 0.0 <= message.ask_quantity < math.inf):
            return f"its quantities are {message.bid_quantity:.8g} and {message.ask_quantity:.8g}"
        self._board.set_quote(symbol, message.id, bid, message.bid_quantity, ask, message.ask_quantity, at, now)
        return None

    def _take_liquidation(self, route: Route, message: Liquidation, now: int) -> str | None:
        order = message.order
        if (latest := max(message.at, order.at)) > now + FUTURE_MS:
            return self._future(latest, now)
        if order.at < now - MINUTE:
            return f"its order is of {(now - order.at) // SECOND} s ago"
        if not 0.0 < order.quantity < math.inf:
            return f"its quantity is {order.quantity:.8g}"
        self._liquidations[route.symbol].add(order)
        return None

    def _flow(self, symbol: str, at: int) -> Flow:
        """Return the sums of the candle that contains `at` (ms); they begin again with each candle."""
        flow, open_time = self.flows[symbol], at - at % self._store.interval
        if open_time < flow.open_time:
            return Flow(trade_id=flow.trade_id)
        if open_time > flow.open_time:
            flow = self.flows[symbol] = Flow(open_time, trade_id=flow.trade_id)
        return flow

    def _future(self, at: int, now: int) -> str:
        self.clock_doubted = True
        return f"its time is {at - now} ms in the future"

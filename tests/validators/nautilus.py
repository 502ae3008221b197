"""Trades on the sandbox exchange with nautilus_trader, unchanged but for its addresses, and prints the results.

It runs under `.nautilus`, which has nautilus_trader and not this project: `make validators` installs it. The arguments
are the address of the sandbox, HOST:PORT, a key, its secret, and what to do:

- `trade`: open a position, place orders of each kind, change one, cancel some, wait for a stop, and leave the rest.
- `restart`: find what the run before left open, cancel the orders and close the position.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from nautilus_trader.adapters.binance import (
    BINANCE,
    BinanceAccountType,
    BinanceDataClientConfig,
    BinanceExecClientConfig,
    BinanceLiveDataClientFactory,
    BinanceLiveExecClientFactory,
)
from nautilus_trader.config import (
    InstrumentProviderConfig,
    LiveExecEngineConfig,
    LoggingConfig,
    StrategyConfig,
    TradingNodeConfig,
)
from nautilus_trader.core.message import Event
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import BarType, MarkPriceUpdate, OrderBookDeltas, QuoteTick, TradeTick
from nautilus_trader.model.enums import OrderSide, OrderStatus, TrailingOffsetType, TriggerType
from nautilus_trader.model.events import OrderEvent
from nautilus_trader.model.identifiers import InstrumentId, TraderId
from nautilus_trader.model.orders import Order
from nautilus_trader.trading.strategy import Strategy

PERPETUAL = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
PATIENCE_S = 40
"""The longest time in which a run must have done all."""
QUANTITY = 0.02


class Stranger(Strategy):  # type: ignore[misc]
    """Does one step after the other; each ends when its condition holds."""

    def __init__(self, node: TradingNode, steps: str) -> None:
        # What an earlier run left belongs to this one.
        super().__init__(StrategyConfig(external_order_claims=[PERPETUAL]))
        self._node, self._todo = node, iter(getattr(self, f"_{steps}")())
        self._until: Callable[[], bool] = lambda: self.quote is not None
        self.quote: QuoteTick | None = None
        self.found: dict[str, Any] = {"events": [], "streams": [], "done": False}
        self.orders: dict[str, Order] = {}

    def on_start(self) -> None:
        """Subscribe to the market, and begin with the first quote."""
        self.instrument = self.cache.instrument(PERPETUAL)
        self.subscribe_quote_ticks(PERPETUAL)
        self.subscribe_trade_ticks(PERPETUAL)
        self.subscribe_mark_prices(PERPETUAL)
        self.subscribe_order_book_deltas(PERPETUAL)
        self.request_bars(
            BarType.from_str(f"{PERPETUAL}-1-MINUTE-LAST-EXTERNAL"), start=self.clock.utc_now().floor("h")
        )
        asyncio.get_running_loop().call_later(PATIENCE_S, self._node.stop)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Note the best prices."""
        self.quote = tick
        self._heard("quotes")

    def on_trade_tick(self, tick: TradeTick) -> None:
        """Note that trades arrive."""
        self._heard("trades")

    def on_mark_price(self, update: MarkPriceUpdate) -> None:
        """Note that mark prices arrive."""
        self._heard("marks")

    def on_order_book_deltas(self, deltas: OrderBookDeltas) -> None:
        """Note that changes of the order book arrive."""
        self._heard("depth")

    def on_event(self, event: Event) -> None:
        """Note what happens to the orders."""
        if isinstance(event, OrderEvent):
            reason = getattr(event, "reason", "")
            names = {order.client_order_id: name for name, order in self.orders.items()}
            name = names.get(event.client_order_id, event.client_order_id.value)
            self.found["events"].append([name, type(event).__name__.removeprefix("Order"), str(reason or "")])
            self._go_on()

    def _heard(self, name: str) -> None:
        if name not in self.found["streams"]:
            self.found["streams"].append(name)
        self._go_on()

    def _go_on(self) -> None:
        if self.found["done"] or not self._until():
            return
        # A condition stays false while its step runs, since a step can cause events at once.
        self._until = lambda: False
        following = next(self._todo, None)
        if following is not None:
            self._until = following
            return
        self.found["done"] = True
        asyncio.get_running_loop().call_later(0.2, self._node.stop)

    def _price(self, share: float) -> Any:
        assert self.quote is not None
        return self.instrument.make_price(self.quote.bid_price.as_double() * share)

    def _send(self, name: str, order: Order) -> Order:
        self.orders[name] = order
        self.submit_order(order)
        return order

    def _all(self, status: OrderStatus, *names: str) -> Callable[[], bool]:
        """Return the condition that some orders have a status."""
        return lambda: all(self.orders[name].status == status for name in names)

    def _trade(self) -> Any:
        make, size = self.order_factory, self.instrument.make_qty
        reduces = {"reduce_only": True}
        self._send("market", make.market(PERPETUAL, OrderSide.BUY, size(QUANTITY)))
        yield self._all(OrderStatus.FILLED, "market")
        last, basis = TriggerType.LAST_PRICE, TrailingOffsetType.BASIS_POINTS
        sell, half = OrderSide.SELL, size(QUANTITY / 2)
        self._send("stop", make.stop_market(PERPETUAL, sell, half, self._price(0.97), last, **reduces))
        self._send("mark", make.stop_market(PERPETUAL, sell, half, self._price(0.9), TriggerType.MARK_PRICE, **reduces))
        limit = make.stop_limit(PERPETUAL, sell, half, self._price(0.94), self._price(0.95), last, **reduces)
        self._send("stop limit", limit)
        trailing = make.trailing_stop_market(
            PERPETUAL, sell, half, Decimal(200), trailing_offset_type=basis, trigger_type=last, **reduces
        )
        self._send("trailing", trailing)
        for name, share in (("limit", 0.98), ("second", 0.97), ("third", 0.96)):
            self._send(name, make.limit(PERPETUAL, OrderSide.BUY, half, self._price(share), post_only=True))
        placed = ("stop", "mark", "stop limit", "trailing", "limit", "second", "third")
        yield self._all(OrderStatus.ACCEPTED, *placed)
        changed = self._price(0.975)
        self.modify_order(self.orders["limit"], half, price=changed)
        self.cancel_order(self.orders["stop"])
        self.cancel_orders([self.orders["second"], self.orders["third"]])
        gone = self._all(OrderStatus.CANCELED, "stop", "second", "third")
        yield lambda: gone() and self.orders["limit"].price == changed
        pair: list[Order] = []
        while not any(order.status == OrderStatus.FILLED for order in pair):
            # Whichever way the price goes, one of the two triggers; a price that moved meanwhile lets one be rejected.
            below = make.stop_market(PERPETUAL, sell, half, self._price(0.9999), last, **reduces)
            above = make.market_if_touched(PERPETUAL, sell, half, self._price(1.0001), last, **reduces)
            pair = [self._send("below", below), self._send("above", above)]
            yield partial(one_is_closed, pair)
            for order in pair:
                if order.is_open:
                    self.cancel_order(order)
            yield partial(all_are_closed, pair)
        self.found["left"] = self._open()
        self.found["triggered"] = [order.status_string() for order in pair].count("FILLED")

    def _restart(self) -> Any:
        self.found["left"] = self._open()
        self.found["position"] = str(self.portfolio.net_position(PERPETUAL))
        self.cancel_all_orders(PERPETUAL)
        yield lambda: not self.cache.orders_open(instrument_id=PERPETUAL)
        self.close_all_positions(PERPETUAL)
        yield lambda: self.portfolio.is_flat(PERPETUAL)
        account = self.portfolio.account(PERPETUAL.venue)
        self.found["balance"] = str(next(iter(account.balances_total().values())).as_decimal())

    def _open(self) -> list[list[str]]:
        """Return the open orders: type, side, quantity and prices."""
        rows = []
        for order in self.cache.orders_open(instrument_id=PERPETUAL):
            price = str(order.price) if order.has_price else ""
            trigger = (
                str(order.trigger_price)
                if order.has_trigger_price and order.type_string() != "TRAILING_STOP_MARKET"
                else ""
            )
            offset = str(int(order.trailing_offset)) if order.type_string() == "TRAILING_STOP_MARKET" else ""
            rows.append([order.type_string(), order.side_string(), str(order.quantity), price, trigger, offset])
        return sorted(rows)


def one_is_closed(orders: list[Order]) -> bool:
    """Return whether an order has ended, while the exchange has answered for all of them."""
    return any(order.is_closed for order in orders) and not any(order.is_inflight for order in orders)


def all_are_closed(orders: list[Order]) -> bool:
    """Return whether all orders have ended."""
    return all(order.is_closed for order in orders)


def main() -> None:
    """Trade, and print one JSON object."""
    address, key, secret, steps = sys.argv[1:]
    common: dict[str, Any] = {
        "api_key": key,
        "api_secret": secret,
        "account_type": BinanceAccountType.USDT_FUTURES,
        "base_url_http": f"http://{address}",
        "instrument_provider": InstrumentProviderConfig(load_all=True),
    }
    node = TradingNode(
        TradingNodeConfig(
            trader_id=TraderId("STRANGER-001"),
            logging=LoggingConfig(log_level="ERROR", log_colors=False),
            exec_engine=LiveExecEngineConfig(reconciliation=True, reconciliation_startup_delay_secs=0.0),
            data_clients={BINANCE: BinanceDataClientConfig(base_url_ws=f"ws://{address}/all", **common)},
            exec_clients={
                BINANCE: BinanceExecClientConfig(
                    base_url_ws=f"ws://{address}/ws-fapi/v1", base_url_ws_stream=f"ws://{address}/private", **common
                )
            },
            timeout_connection=15.0,
            timeout_disconnection=3.0,
            timeout_post_stop=0.5,
        )
    )
    strategy = Stranger(node, steps)
    node.trader.add_strategy(strategy)
    node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
    node.add_exec_client_factory(BINANCE, BinanceLiveExecClientFactory)
    node.build()
    try:
        node.run()
    finally:
        node.dispose()
    print("\n" + json.dumps(strategy.found))


if __name__ == "__main__":
    main()

"""exchangeInfo of both products, with filters that change at given times."""

from typing import Any

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.sandbox.binance.listing import SPOT_MIN_NOTIONAL, Rules, assets, number_text, rules, step_text
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.source import DECIMALS

WEIGHTS = {Product.UM: 2400, Product.SPOT: 6000}
"""The request weight that an IP address has per minute."""
_DELIVERY = 4_133_404_800_000
_UM_ORDERS = ("LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
_SPOT_ORDERS = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
_FLAGS = (
    "icebergAllowed",
    "ocoAllowed",
    "otoAllowed",
    "quoteOrderQtyMarketAllowed",
    "allowTrailingStop",
    "cancelReplaceAllowed",
    "isSpotTradingAllowed",
    "isMarginTradingAllowed",
)


class FilterChange(msgspec.Struct, frozen=True):
    """New filters of a symbol from the time `at` (ms) on; a field that is None does not change."""

    symbol: str
    at: int
    tick: str | None = None
    step: str | None = None
    min_notional: str | None = None
    status: str | None = None


class ExchangeInfo:
    """The listing of a market's symbols, as the exchange publishes it at a time."""

    def __init__(self, market: SandboxMarket) -> None:
        self._market = market
        self._changes: list[FilterChange] = []

    def change(self, change: FilterChange) -> None:
        """Plan a change. Changes apply in the order of their times."""
        self._changes = sorted([*self._changes, change], key=lambda each: each.at)

    def status(self, symbol: str, now: int) -> str:
        """Return the trading status of a symbol at a time (ms)."""
        return self._current(symbol, now).status or "TRADING"

    def payload(self, symbols: tuple[str, ...], now: int) -> dict[str, Any]:
        """Return exchangeInfo with these symbols at a time (ms)."""
        is_spot = self._market.product is Product.SPOT
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
        head = {"timezone": "UTC", "serverTime": now}
        if is_spot:
            limits = [
                limit | {"limit": WEIGHTS[Product.SPOT]},
                {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
                {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000},
                {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000},
            ]
            listed = [self._spot(symbol, now) for symbol in symbols]
            return head | {"rateLimits": limits, "exchangeFilters": [], "symbols": listed}
        limits = [
            limit | {"limit": WEIGHTS[Product.UM]},
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
        ]
        names = sorted({"USDT", *(assets(symbol)[1] for symbol in self._market.symbols)})
        return head | {
            "futuresType": "U_MARGINED",
            "rateLimits": limits,
            "exchangeFilters": [],
            "assets": [{"asset": each, "marginAvailable": True, "autoAssetExchange": "-10000"} for each in names],
            "symbols": [self._perpetual(symbol, now) for symbol in symbols],
        }

    def _current(self, symbol: str, now: int) -> FilterChange:
        """Return the values that the changes up to a time (ms) leave in force."""
        current = FilterChange(symbol, now)
        for change in self._changes:
            if change.symbol == symbol and change.at <= now:
                fields = ("tick", "step", "min_notional", "status")
                new = {name: value for name in fields if (value := getattr(change, name)) is not None}
                current = msgspec.structs.replace(current, **new)
        return current

    def _perpetual(self, symbol: str, now: int) -> dict[str, Any]:
        price_decimals, lot_decimals = self._market.decimals(symbol)
        known, current = rules(symbol, price_decimals), self._current(symbol, now)
        base, quote = assets(symbol)
        tick = current.tick or step_text(price_decimals, known.price_precision)
        step = current.step or step_text(lot_decimals, lot_decimals)
        return {
            "symbol": symbol,
            "pair": symbol,
            "contractType": "PERPETUAL",
            "deliveryDate": _DELIVERY,
            "onboardDate": min(known.onboarded, self._market.begins_at),
            "status": self.status(symbol, now),
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": base,
            "quoteAsset": quote,
            "marginAsset": quote,
            "pricePrecision": known.price_precision,
            "quantityPrecision": lot_decimals,
            "baseAssetPrecision": DECIMALS,
            "quotePrecision": DECIMALS,
            "underlyingType": "COIN",
            "underlyingSubType": [known.kind],
            "triggerProtect": known.trigger_protect,
            "liquidationFee": known.liquidation_fee,
            "marketTakeBound": known.market_bound,
            "maxMoveOrderLimit": 10_000,
            "filters": _um_filters(known, tick, step, current.min_notional or known.min_notional),
            "orderTypes": list(_UM_ORDERS),
            "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
            "permissionSets": ["GRID", "COPY", "DCA", "PSB"],
        }

    def _spot(self, symbol: str, now: int) -> dict[str, Any]:
        price_decimals, lot_decimals = self._market.decimals(symbol)
        current = self._current(symbol, now)
        base, quote = assets(symbol)
        tick = current.tick or step_text(price_decimals, DECIMALS)
        step = current.step or step_text(lot_decimals, DECIMALS)
        status = self.status(symbol, now)
        flags: dict[str, Any] = dict.fromkeys(_FLAGS, True)
        return {
            "symbol": symbol,
            "status": status,
            "baseAsset": base,
            "baseAssetPrecision": DECIMALS,
            "quoteAsset": quote,
            "quotePrecision": DECIMALS,
            "quoteAssetPrecision": DECIMALS,
            "baseCommissionPrecision": DECIMALS,
            "quoteCommissionPrecision": DECIMALS,
            "orderTypes": list(_SPOT_ORDERS),
            **flags,
            "allowAmend": True,
            "filters": _spot_filters(tick, step, current.min_notional or SPOT_MIN_NOTIONAL),
            "permissions": [],
            "permissionSets": [["SPOT", "MARGIN"]],
            "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
            "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"],
        }


def _um_filters(known: Rules, tick: str, step: str, min_notional: str) -> list[dict[str, Any]]:
    up, down = 1 + float(known.market_bound), 1 - float(known.market_bound)
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": known.max_price, "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": known.max_quantity, "stepSize": step},
        {"filterType": "MARKET_LOT_SIZE", "minQty": step, "maxQty": known.max_market_quantity, "stepSize": step},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": min_notional},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": number_text(up, 4),
            "multiplierDown": number_text(down, 4),
            "multiplierDecimal": "4",
        },
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ]


def _spot_filters(tick: str, step: str, min_notional: str) -> list[dict[str, Any]]:
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000000.00000000", "stepSize": step},
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": "0.00000000",
            "maxQty": "100000.00000000",
            "stepSize": "0.00000000",
        },
        {
            "filterType": "TRAILING_DELTA",
            "minTrailingAboveDelta": 10,
            "maxTrailingAboveDelta": 2000,
            "minTrailingBelowDelta": 10,
            "maxTrailingBelowDelta": 2000,
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.2",
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": min_notional,
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
    ]

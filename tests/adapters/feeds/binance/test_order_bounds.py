"""The largest orders and the price bands that exchangeInfo names."""

from decimal import Decimal
from typing import Any

import msgspec

from ocw_mcp.adapters.feeds.binance.exchange_info import fetch_info
from ocw_mcp.domain.market import Instrument, PriceBand, Product

D = Decimal
USUAL = [
    {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
    {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000.000", "stepSize": "0.001"},
]


class Answers:
    """A REST client whose exchangeInfo lists one symbol with these filters."""

    def __init__(self, *filters: dict[str, Any]) -> None:
        self._filters = [*USUAL, *filters]

    async def get(self, path: str, **_: Any) -> bytes:
        row = {"symbol": "BTCUSDT", "status": "TRADING", "contractType": "PERPETUAL", "filters": self._filters}
        return msgspec.json.encode({"symbols": [row]})


async def read(product: Product, *filters: dict[str, Any]) -> Instrument:
    info = await fetch_info(Answers(*filters), product, ["BTCUSDT"], lambda _: None)  # type: ignore[arg-type]
    return info.instruments["BTCUSDT"]


async def test_bounds_of_futures_are_read() -> None:
    found = await read(
        Product.UM,
        {"filterType": "MIN_NOTIONAL", "notional": "50"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500"},
    )
    assert (found.max_quantity, found.market_max_quantity, found.max_notional) == (D(1_000), D(120), None)
    assert (found.bid_band, found.ask_band) == (PriceBand(up=D("1.05")), PriceBand(down=D("0.95")))


async def test_bounds_of_spot_are_read() -> None:
    found = await read(
        Product.SPOT,
        {"filterType": "NOTIONAL", "minNotional": "5.0", "maxNotional": "9000000.00"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.0", "maxQty": "0.00000000", "stepSize": "0.0"},
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "4",
            "askMultiplierDown": "0.3",
        },
    )
    assert (found.max_notional, found.market_max_quantity) == (D(9_000_000), None)
    assert found.bid_band == PriceBand(D("0.2"), D(5))
    assert found.ask_band == PriceBand(D("0.3"), D(4))


async def test_bounds_that_are_not_named_are_unknown() -> None:
    found = await read(Product.UM, {"filterType": "MIN_NOTIONAL", "notional": "50"})
    assert (found.bid_band, found.ask_band, found.market_max_quantity) == (None, None, None)

"""Symbols and filters from exchangeInfo, and the symbols whose funding interval is not eight hours."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.adapters.binance.weights import Scope
from ocw_mcp.adapters.feeds.binance.rest import Priority, RestClient
from ocw_mcp.domain.errors import FeedError
from ocw_mcp.domain.margin import Brackets
from ocw_mcp.domain.market import Instrument, PriceBand, Product

_PATHS: Final = {Product.UM: "/fapi/v1/exchangeInfo", Product.SPOT: "/api/v3/exchangeInfo"}
_WEIGHTS: Final = {Product.UM: 1, Product.SPOT: 20}
USUAL_FUNDING_HOURS: Final = 8


class _Filter(msgspec.Struct):
    kind: str = msgspec.field(name="filterType")
    tick: Decimal | None = msgspec.field(name="tickSize", default=None)
    step: Decimal | None = msgspec.field(name="stepSize", default=None)
    min_quantity: Decimal | None = msgspec.field(name="minQty", default=None)
    max_quantity: Decimal | None = msgspec.field(name="maxQty", default=None)
    max_notional: Decimal | None = msgspec.field(name="maxNotional", default=None)
    up: Decimal | None = msgspec.field(name="multiplierUp", default=None)
    down: Decimal | None = msgspec.field(name="multiplierDown", default=None)
    bid_up: Decimal | None = msgspec.field(name="bidMultiplierUp", default=None)
    bid_down: Decimal | None = msgspec.field(name="bidMultiplierDown", default=None)
    ask_up: Decimal | None = msgspec.field(name="askMultiplierUp", default=None)
    ask_down: Decimal | None = msgspec.field(name="askMultiplierDown", default=None)
    um_min_notional: Decimal | None = msgspec.field(name="notional", default=None)
    spot_min_notional: Decimal | None = msgspec.field(name="minNotional", default=None)


class _Symbol(msgspec.Struct):
    symbol: str
    status: str
    contract: str = msgspec.field(name="contractType", default="")
    filters: list[_Filter] = []


class _RateLimit(msgspec.Struct):
    kind: str = msgspec.field(name="rateLimitType", default="")
    interval: str = ""
    count: int = msgspec.field(name="intervalNum", default=0)
    limit: int = 0


class _Info(msgspec.Struct):
    symbols: list[_Symbol]
    limits: list[_RateLimit] = msgspec.field(name="rateLimits", default=[])


class _FundingInfo(msgspec.Struct):
    symbol: str
    hours: int = msgspec.field(name="fundingIntervalHours")


class ExchangeInfo(msgspec.Struct, frozen=True):
    """What exchangeInfo says about the feed's symbols."""

    instruments: Mapping[str, Instrument]
    status: Mapping[str, str]
    """The status of each listed symbol: TRADING, or why it does not trade."""
    weight_limit: int | None


async def fetch_info(
    rest: RestClient,
    product: Product,
    symbols: Sequence[str],
    brackets: Callable[[str], Brackets | None],
    priority: Priority = Priority.URGENT,
) -> ExchangeInfo:
    """Return the present filters of some symbols, without those that are not listed.

    Raises MarketUnreachable, and FeedError if the answer has another form.
    """
    path = _PATHS[product]
    body = await rest.get(path, weight=_WEIGHTS[product], priority=priority)
    try:
        info = msgspec.json.decode(body, type=_Info, strict=False)
    except msgspec.DecodeError as error:
        raise FeedError(f"{path} has other fields than expected: {error}; update OCW") from None
    wanted = set(symbols)
    instruments, status = {}, {}
    for each in info.symbols:
        if each.symbol in wanted:
            status[each.symbol] = each.status
            instruments[each.symbol] = _instrument(each, product, brackets)
    weights = [each.limit for each in info.limits if each.kind == "REQUEST_WEIGHT" and each.interval == "MINUTE"]
    return ExchangeInfo(instruments, status, weights[0] if weights and weights[0] > 0 else None)


async def fetch_funding_hours(rest: RestClient, priority: Priority = Priority.URGENT) -> dict[str, int]:
    """Return the hours between two fundings of the symbols that have another interval than eight hours."""
    body = await rest.get("/fapi/v1/fundingInfo", weight=1, scope=Scope.FUNDING, priority=priority)
    try:
        rows = msgspec.json.decode(body, type=list[_FundingInfo], strict=False)
    except msgspec.DecodeError as error:
        raise FeedError(f"/fapi/v1/fundingInfo has other fields than expected: {error}; update OCW") from None
    return {row.symbol: row.hours for row in rows if row.hours > 0}


def unlisted(info: ExchangeInfo, symbols: Sequence[str], product: Product) -> FeedError | None:
    """Return the error for symbols that the exchange does not list or trade, or None."""
    wrong = [
        f"{each} ({info.status.get(each, 'not listed')})" for each in symbols if info.status.get(each) != "TRADING"
    ]
    if not wrong:
        return None
    market = "USD-M perpetuals" if product is Product.UM else "spot"
    return FeedError(f"the exchange does not trade {', '.join(wrong)} on {market}; choose symbols such as BTCUSDT")


def _instrument(each: _Symbol, product: Product, brackets: Callable[[str], Brackets | None]) -> Instrument:
    found = {one.kind: one for one in each.filters}
    price, lot = found.get("PRICE_FILTER"), found.get("LOT_SIZE")
    notional = found.get("MIN_NOTIONAL") or found.get("NOTIONAL")
    least = None if notional is None else notional.um_min_notional or notional.spot_min_notional
    values = (price.tick if price else None, lot.step if lot else None, lot.min_quantity if lot else None, least)
    if any(value is None or value <= 0 for value in values):
        raise FeedError(f"exchangeInfo has no usable filters for {each.symbol}: tick, step, minimum are {values}")
    tick, step, min_quantity, min_notional = (
        Decimal(format(value.normalize(), "f")) for value in values if value is not None
    )
    known = brackets(each.symbol) if product is Product.UM else None
    market_lot = found.get("MARKET_LOT_SIZE")
    bid_band, ask_band = _bands(found)
    return Instrument(
        each.symbol,
        product,
        tick,
        step,
        min_quantity,
        min_notional,
        known,
        max_quantity=_positive(lot.max_quantity if lot else None),
        market_max_quantity=_positive(market_lot.max_quantity if market_lot else None),
        max_notional=_positive(notional.max_notional if notional else None),
        bid_band=bid_band,
        ask_band=ask_band,
    )


def _bands(found: Mapping[str, _Filter]) -> tuple[PriceBand | None, PriceBand | None]:
    """Return the bands of limit prices of purchases and of sales.

    PERCENT_PRICE of futures bounds a purchase above and a sale below; the filters of spot bound both on both sides.
    """
    if (by_side := found.get("PERCENT_PRICE_BY_SIDE")) is not None:
        return PriceBand(by_side.bid_down, by_side.bid_up), PriceBand(by_side.ask_down, by_side.ask_up)
    if (both := found.get("PERCENT_PRICE")) is not None:
        return PriceBand(up=both.up), PriceBand(down=both.down)
    return None, None


def _positive(value: Decimal | None) -> Decimal | None:
    """Return a bound without trailing zeros; None for 0, with which the exchange says that there is none."""
    return Decimal(format(value.normalize(), "f")) if value else None

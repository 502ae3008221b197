"""Runs in which each limit refuses an entry."""

import math
from decimal import Decimal
from typing import Any

import msgspec

from ocw_mcp.domain.market import Candle, Instrument, PriceBand, Product
from ocw_mcp.domain.orders import OutsideCause, OutsideFill, Side, Throttled, VenueNotice, VenueNoticeKind
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.time import HOUR, SECOND
from tests.support.deciders import Scripted
from tests.support.entries import NOW
from tests.support.legs import add, buy, sell, short
from tests.support.markets import candle
from tests.support.scenarios import Reported, Scenario, Shown, ThenRules, book, on_eth, together, with_leverage
from tests.support.venues import Flawed

D = Decimal
CODE = RefusalCode
OTHER = OutsideCause.OTHER_TRADER


def filters(symbol: str, **bounds: Any) -> Instrument:
    """The filters of paper with some bounds of an exchange."""
    return msgspec.structs.replace(Flawed().instrument(symbol, 100.0), **bounds)


def unusual_hour(index: int) -> list[Candle]:
    """Quiet hours of two symbols, the last of which is unusual for ETHUSDT."""
    found = []
    for hour in range(index + 2):
        noise, wide = math.sin(hour * hour), 0.2 * (2 + math.sin(5 * hour * hour))
        volume = 1e6 * (1.5 + math.sin(3 * hour * hour))
        for symbol in ("BTCUSDT", "ETHUSDT"):
            close = 102.0 if symbol == "ETHUSDT" and hour == index else 100 + noise / 5
            ends = {"open_": 100.0, "high": close + wide, "low": min(close, 100) - wide}
            found.append(candle(hour, close, symbol=symbol, interval=HOUR, volume=volume, **ends))
    return found


TWICE = {1: buy("97", "0.2"), 2: add(size="0.05")}
AGAIN = {1: buy("97"), 2: sell(), 3: buy("97")}
BOTH = {1: together(buy("97", "0.2"), on_eth(buy("97", "0.2")))}
FALLING = [100.0, 100.0, 97.0, 97.0, 97.0, 97.0]
WATCHED = {"above_notional": 500, "modes": [], "answer_s": 900}
ROOMY = {"position": {"max_share": "0.5"}}


SCENARIOS: dict[RefusalCode, Scenario] = {
    CODE.NOT_ACTIVE: Scenario({1: buy("95", "0.25"), 4: add()}, {"drawdown": {"max_share": "0.005"}}, FALLING),
    CODE.NOT_RECONCILED: Reported({}, {}, reports=(VenueNotice(VenueNoticeKind.DEGRADED, "no user data"),)),
    CODE.VENUE_BUSY: Reported({}, {}, reports=(Throttled(NOW * 2, "too many requests"),)),
    CODE.ADOPTED: Reported({}, {}, reports=(OutsideFill("f1", "ETHUSDT", Side.BUY, D(1), D(100), D(0), 0, OTHER),)),
    CODE.SYMBOL_NOT_ALLOWED: Scenario(BOTH, {"symbols": {"allow": ["BTC*"]}}),
    CODE.SIDE_NOT_ALLOWED: Scenario({1: together(buy("97"), on_eth(short("103")))}, {"symbols": {"sides": ["long"]}}),
    CODE.SPOT_CANNOT_SHORT: Scenario({1: together(buy("97"), on_eth(short("103")))}, {}, product=Product.SPOT),
    CODE.FALLBACK: Scenario(
        {1: buy("98"), 3: short("103")},
        {},
        [100.0, 100.0, 97.5, 97.5, 97.5],
        decider=lambda script: ThenRules(script, since=3),
    ),
    CODE.STALE_DATA: Scenario(
        {1: buy("97"), 2: add()},
        {},
        candles=[candle(index, 100.0) for index in (0, 1, 9)],
        decider=lambda script: Scripted(script, lambda wake: 200 * SECOND if wake == 2 else 0),
    ),
    CODE.PRICE_COLLAR: Scenario(
        {1: together(buy("97"), on_eth(buy("93", limit="94")))}, {"price": {"max_deviation": "0.05"}}
    ),
    CODE.PRICE_BAND: Scenario(
        {1: together(buy("97"), on_eth(buy("97", limit="101")))},
        {},
        filters=(filters("ETHUSDT", bid_band=PriceBand(up=D("1.005"))),),
    ),
    CODE.PRICE_MOVED: Shown({}, {"price": {"max_move": "0.005"}}, quoted=(D("99.6"), D("99.4"))),
    CODE.SPREAD: Scenario(TWICE, {"book": {"max_spread": "0.002"}}, books=(book(1), book(2, half_spread=0.2))),
    CODE.ANOMALY: Scenario(
        # The timer wakes the agent every day.
        {11: buy("97"), 12: on_eth(buy("99"))},
        {"anomaly": {"max_entry_quantile": "0.99"}},
        candles=unusual_hour(288),
        gate={"close_wakes": [], "close_wakes_in_position": [], "timer_max_s": 86_400},
    ),
    CODE.DAILY_LOSS: Scenario({1: buy("95", "0.25"), 4: add()}, {"daily_loss": {"max_share": "0.005"}}, FALLING),
    CODE.LOSSES_IN_A_ROW: Scenario(AGAIN, {"losses": {"in_a_row": 1, "pause_s": 900}}),
    CODE.ENTRY_RATE: Scenario(TWICE, {"pace": {"entries_per_day": 1}}),
    CODE.REENTRY: Scenario(AGAIN, {"pace": {"reentry_s": 900}}),
    CODE.FEES: Scenario(TWICE, {"pace": {"max_fees": "0.00004"}}),
    CODE.STOP_REQUIRED: Scenario({1: together(buy("97"), on_eth(buy("97"), stop=None))}, {}),
    CODE.LEVERAGE: Scenario({1: with_leverage(buy("97"), 3), 2: with_leverage(add(), 2)}, {}),
    CODE.OPEN_POSITIONS: Scenario(BOTH, {"positions": {"max_open": 1}}),
    CODE.ORDER_NOTIONAL: Scenario(
        {1: together(buy("97", "0.1"), on_eth(buy("97", "0.25")))}, {"order": {"max_notional": 2_000}}
    ),
    CODE.POSITION_SHARE: Scenario(TWICE, {"position": {"max_share": "0.22"}}),
    CODE.GROSS_EXPOSURE: Scenario(BOTH, {"exposure": {"max_gross": "0.3"}}),
    CODE.CORRELATED_EXPOSURE: Scenario(BOTH, {"correlated": {"max_share": "0.3"}}),
    CODE.RISK_PER_TRADE: Scenario(TWICE, {"risk": {"max_share": "0.0067"}}),
    CODE.LIQUIDATION: Scenario(
        {1: with_leverage(buy("96", "0.1"), 16), 4: add()},
        {"stop": {"liquidation_buffer": "0.01", "max_distance": "0.2"}},
        [100.0, 100.0, 103.0, 103.0, 103.0, 103.0],
    ),
    CODE.FREE_MARGIN: Scenario(TWICE, {"margin": {"min_free": "0.89"}}),
    CODE.DEPTH: Scenario(TWICE, {}, books=(book(1), book(2, depth=1.0))),
    CODE.TURNOVER: Scenario(TWICE, {"pace": {"max_turnover": "0.22"}}),
    CODE.MANDATE: Scenario(TWICE, {"mandate": {"amount": 2_200, "symbols": ["*"], "expires": "2030-01-01T00:00:00Z"}}),
    CODE.ABOVE_MAXIMUM: Scenario(TWICE, {}, filters=(filters("BTCUSDT", market_max_quantity=D(22)),)),
    CODE.APPROVAL_REQUIRED: Scenario(
        {1: buy("97", "0.1"), 2: add(size="0.2")},
        {"approval": WATCHED | {"above_notional": 1_500}, **ROOMY},
    ),
}

"""The cases that break each limit, and the texts of each limit that passes.

A new limit needs a row in both tables, and one in `limit_scenarios.py`.
"""

from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.domain.market import PriceBand, Product
from ocw_mcp.domain.orders import OrderIntent, OutsideCause, Side
from ocw_mcp.domain.policies import AnomalyPolicy, Policies
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import HOUR
from ocw_mcp.domain.unknown import Unknown
from tests.support.accounts import CALM
from tests.support.entries import (
    APPROVAL,
    GAPLESS,
    LIMITED,
    LONG,
    LONG_ONLY,
    MANAGED,
    MANDATE,
    NOW,
    SHORT,
    account,
    asks,
    bracketed,
    holding,
    paced,
    under,
    waits,
    with_brackets,
)

D = Decimal


class Case(NamedTuple):
    """What breaks one limit and no other, what is told of the limit and of the value, and the largest that passes."""

    code: RefusalCode
    intent: OrderIntent
    view: AccountView
    limit: str
    actual: str
    largest: str
    under: Policies = LIMITED


CODE = RefusalCode
OTHER = OutsideCause.OTHER_TRADER


def limited_to(symbol_quantity: Decimal = CALM.symbol_quantity, **bounds: Any) -> AccountView:
    """An account on which the symbol's instrument has these bounds."""
    return account(instrument=msgspec.structs.replace(CALM.instrument, **bounds), symbol_quantity=symbol_quantity)


def banded(down: str, up: str | None) -> AccountView:
    band = PriceBand(D(down), None if up is None else D(up))
    return limited_to(bid_band=band, ask_band=band)


USUAL_ONLY = under(anomaly=AnomalyPolicy(max_entry_quantile=D("0.99")))
RICH = account(equity=D(10**6), free_margin=D(10**6))
STEEP = ((1_000, 10, "0.1"), (100_000, 5, "0.2"))
_ROWS: list[tuple[Any, ...]] = [
    (CODE.NOT_ACTIVE, LONG, account(state=TradingState.REDUCING), "ACTIVE", "REDUCING", "0"),
    (CODE.NOT_ACTIVE, LONG, account(state=TradingState.HALTED), "ACTIVE", "HALTED", "0"),
    (CODE.NOT_RECONCILED, LONG, account(unreconciled="not read yet"), "books that agree", "not read yet", "0"),
    (CODE.VENUE_BUSY, LONG, account(busy_ms=1_500), "no wait", "1.5s to wait", "0"),
    (CODE.ADOPTED, LONG, account(adopted="1, not in the books"), "no position of others", "1, not in the books", "0"),
    (CODE.SYMBOL_NOT_ALLOWED, asks(LONG, symbol="ETHEUR"), CALM, "*USDT,ETHBTC", "ETHEUR", "0"),
    (CODE.SYMBOL_NOT_ALLOWED, asks(LONG, symbol="ethusdt"), CALM, "*USDT,ETHBTC", "ethusdt", "0"),
    (CODE.SPOT_CANNOT_SHORT, SHORT, account(product=Product.SPOT), "spot", "short", "0"),
    (CODE.STALE_DATA, LONG, account(price_age_ms=150_001), "150s", "150.001s", "0"),
    (CODE.DAILY_LOSS, LONG, account(daily_loss_reached=True, daily_loss=D("0.0312")), "3%", "3.12%", "0"),
    (CODE.DAILY_LOSS, LONG, account(daily_loss_reached=True, daily_loss=D("-0.01")), "3%", "-1%", "0"),
    (CODE.STOP_REQUIRED, asks(LONG, protect_at=None), CALM, "a stop within 5%", "none", "0"),
    (CODE.STOP_REQUIRED, asks(LONG, protect_at=D("949.99")), CALM, "a stop within 5%", "5.001%", "0"),
    (CODE.STOP_REQUIRED, asks(LONG, protect_at=D(1_000)), CALM, "a stop within 5%", "0%", "0"),
    (CODE.STOP_REQUIRED, asks(LONG, protect_at=D(1_030)), CALM, "a stop within 5%", "-3%", "0"),
    (CODE.STOP_REQUIRED, asks(LONG, protect_at=D(1_030)), CALM, "a stop within 5%", "-3%", "0", GAPLESS),
    (CODE.STOP_REQUIRED, asks(SHORT, protect_at=D(970)), CALM, "a stop within 5%", "-3%", "0"),
    (CODE.STOP_REQUIRED, asks(SHORT, protect_at=D(1_060)), CALM, "a stop within 5%", "6%", "0"),
    (CODE.STOP_REQUIRED, asks(SHORT, protect_at=D(1_000)), CALM, "a stop within 5%", "0%", "0"),
    (
        CODE.ORDER_NOTIONAL,
        asks(LONG, quantity=D(5)),
        account(equity=D(10**6), free_margin=D(10**6)),
        "5000",
        "5010",
        "4.99",
    ),
    (CODE.POSITION_SHARE, asks(LONG, quantity=D(3)), CALM, "25%", "30.06%", "2.495"),
    (CODE.POSITION_SHARE, LONG, account(symbol_notional=D(2_000), gross=D(2_000)), "25%", "30.02%", "0.499"),
    (CODE.POSITION_SHARE, LONG, account(symbol_notional=D(2_500), gross=D(2_500)), "25%", "35.02%", "0"),
    (CODE.POSITION_SHARE, LONG, account(equity=D(0)), "25%", "no equity", "0"),
    (CODE.POSITION_SHARE, LONG, account(equity=D(-50)), "25%", "no equity", "0"),
    (CODE.POSITION_SHARE, LONG, account(equity=D("0.5")), "25%", "200400%", "0"),
    (CODE.GROSS_EXPOSURE, LONG, account(gross=D(9_500)), "100%", "105.02%", "0.499"),
    (CODE.GROSS_EXPOSURE, LONG, account(gross=D(10_500)), "100%", "115.02%", "0"),
    (CODE.OPEN_POSITIONS, LONG, account(other_symbols=3), "3", "4", "0"),
    (
        CODE.CORRELATED_EXPOSURE,
        LONG,
        account(correlated_long=D(3_500), correlated_short=D(0)),
        "40%",
        "45.02%",
        "0.499",
    ),
    (CODE.CORRELATED_EXPOSURE, SHORT, account(correlated_short=D(4_000)), "40%", "50.02%", "0"),
    (CODE.RISK_PER_TRADE, asks(LONG, quantity=D("2.4"), protect_at=D(950)), CALM, "1%", "1.2961%", "1.851"),
    (CODE.SIDE_NOT_ALLOWED, SHORT, CALM, "long", "short", "0", LONG_ONLY),
    (CODE.LOSSES_IN_A_ROW, LONG, paced(paused_ms=1_500), "a pause of 600s", "1.5s of it left", "0"),
    (CODE.ENTRY_RATE, LONG, paced(entries_last_minute=2, entries_today=2), "2 a minute", "2", "0"),
    (CODE.ENTRY_RATE, LONG, paced(entries_today=20), "20 a day", "20", "0"),
    (CODE.REENTRY, LONG, paced(since_close_ms=899_999), "900s after the last", "899.999s", "0"),
    (CODE.FEES, LONG, paced(fees_today=D(100)), "1%", "1%", "0"),
    (CODE.FEES, LONG, account(day_opening=D(0)), "1%", "no equity", "0"),
    (CODE.FEES, LONG, paced(fees_today=D(-1), day_opening=D(0)), "1%", "no equity", "0"),
    (CODE.FEES, LONG, paced(fees_today=D("0.005"), day_opening=D("0.5")), "1%", "1%", "0"),
    (CODE.TURNOVER, LONG, paced(fees_today=D("0.0049"), day_opening=D("0.5")), "500%", "200400%", "0"),
    (CODE.TURNOVER, LONG, paced(turnover_today=D(49_500)), "500%", "505.02%", "0.499"),
    (CODE.LEVERAGE, asks(LONG, leverage=6), CALM, "1 to 5", "6", "0"),
    (CODE.LEVERAGE, asks(LONG, leverage=0), CALM, "1 to 5", "0", "0"),
    (CODE.LEVERAGE, asks(LONG, leverage=-3), CALM, "1 to 5", "-3", "0"),
    (CODE.LEVERAGE, asks(LONG, leverage=2), account(product=Product.SPOT), "1 on spot", "2", "0"),
    (CODE.LEVERAGE, asks(LONG, leverage=2), holding("1", "1000", 3), "3, as the position has", "2", "0"),
    (CODE.LEVERAGE, LONG, holding("1", "1000", 7), "1 to 5", "7", "0"),
    (
        CODE.LEVERAGE,
        asks(LONG, leverage=5, quantity=D(2)),
        bracketed((1_500, 10, "0.01"), (9_000, 4, "0.02")),
        "4 for a position so large",
        "5",
        "1.497",
    ),
    (
        CODE.LEVERAGE,
        asks(LONG, quantity=D(2)),
        bracketed((1_500, 10, "0.01"), (2_000, 4, "0.02")),
        "0 for a position so large",
        "3",
        "1.996",
    ),
    (
        CODE.LEVERAGE,
        LONG,
        holding("1", "1000", 5, instrument=with_brackets((1_500, 10, "0.01"), (9_000, 2, "0.02"))),
        "2 for a position so large",
        "5",
        "0.499",
    ),
    (
        CODE.FREE_MARGIN,
        LONG,
        bracketed((1_500, 10, "0.01"), (9_000, 1, "0.02"), symbol_notional=D(1_000), free_margin=D(2_300)),
        "20%",
        "12.98%",
        "0.499",
    ),
    (CODE.FREE_MARGIN, LONG, account(product=Product.SPOT, free_margin=D(2_500)), "20%", "14.98%", "0.499"),
    (CODE.FREE_MARGIN, LONG, account(free_margin=D(2_300)), "20%", "19.66%", "0.898"),
    (CODE.FREE_MARGIN, asks(LONG, leverage=1), account(free_margin=D(2_300)), "20%", "12.98%", "0.299"),
    (CODE.FREE_MARGIN, LONG, account(free_margin=D(2_000)), "20%", "16.66%", "0"),
    (
        CODE.LIQUIDATION,
        asks(LONG, leverage=5, quantity=D("2.45"), protect_at=D(970)),
        bracketed(*STEEP),
        "beyond 950",
        "at 950.97",
        "2.403",
        GAPLESS,
    ),
    (CODE.LIQUIDATION, asks(LONG, leverage=5), bracketed((10**6, 5, "0.2")), "beyond 950", "at 1002", "0"),
    (CODE.LIQUIDATION, asks(SHORT, leverage=5), bracketed((10**6, 5, "0.2")), "beyond 1050", "at 998", "0"),
    (
        CODE.LIQUIDATION,
        waits(LONG, "990", leverage=5),
        bracketed((10**6, 5, "0.2")),
        "beyond 950",
        "at 990",
        "0",
    ),
    (
        CODE.LIQUIDATION,
        asks(LONG, leverage=5, quantity=D(0)),
        bracketed((10**6, 5, "0.2")),
        "beyond 950",
        "none",
        "0",
    ),
    (CODE.LIQUIDATION, LONG, holding("1", "1500", 5), "beyond 950", "at 1263.15", "0"),
    (CODE.LIQUIDATION, SHORT, holding("-1", "700", 5), "beyond 1050", "at 800", "0"),
    (CODE.LIQUIDATION, LONG, holding("1", "1000", 5, lost="190"), "beyond 950", "at 1043.78", "0"),
    (CODE.PRICE_COLLAR, waits(LONG, "940", protect_at=D(920)), CALM, "5%", "6%", "0"),
    (CODE.PRICE_COLLAR, waits(SHORT, "940", protect_at=D(1_030)), CALM, "5%", "6%", "0"),
    (CODE.PRICE_COLLAR, waits(LONG, "1050.01"), CALM, "5%", "5.001%", "0"),
    (CODE.PRICE_BAND, waits(LONG, "1040.01"), banded("0.96", "1.04"), "960 to 1040", "1040.01", "0"),
    (CODE.PRICE_BAND, waits(SHORT, "959.99", protect_at=D(999)), banded("0.96", None), "960 to any", "959.99", "0"),
    (CODE.ABOVE_MAXIMUM, LONG, limited_to(max_quantity=D("0.8")), "0.8 units", "1 units", "0.8"),
    (CODE.ABOVE_MAXIMUM, LONG, limited_to(market_max_quantity=D("0.3")), "0.3 units", "1 units", "0.3"),
    (CODE.ABOVE_MAXIMUM, LONG, limited_to(max_notional=D(600)), "600", "1002", "0.598"),
    (
        CODE.ABOVE_MAXIMUM,
        LONG,
        limited_to(market_max_quantity=D("1.5"), symbol_quantity=D("1.2")),
        "0.3 units",
        "1 units",
        "0.3",
    ),
    (CODE.PRICE_MOVED, asks(LONG, quoted=D("994.99")), CALM, "0.5%", "0.5035%", "0"),
    (CODE.PRICE_MOVED, asks(SHORT, quoted=D("1005.1")), CALM, "0.5%", "0.5074%", "0"),
    (CODE.PRICE_MOVED, asks(LONG, quoted=D(0)), CALM, "0.5%", "100%", "0"),
    (CODE.SPREAD, LONG, account(spread=D("0.0021")), "0.2%", "0.21%", "0"),
    (CODE.ANOMALY, LONG, account(anomaly=0.995), "99%", "99.5%", "0", USUAL_ONLY),
    (CODE.ANOMALY, LONG, account(anomaly=Unknown("no hour yet")), "99%", "unknown: no hour yet", "0", USUAL_ONLY),
    (CODE.DEPTH, LONG, account(ask_depth=D(2), bid_depth=D(99)), "25%", "50%", "0.5"),
    (CODE.DEPTH, LONG, account(ask_depth=D("0.0005")), "25%", "200000%", "0"),
    (CODE.DEPTH, SHORT, account(bid_depth=D(0), ask_depth=D(99)), "25%", "nothing is offered", "0"),
    (CODE.MANDATE, LONG, account(gross=D(1_000)), "1500", "2002", "0.499", under(mandate=MANDATE)),
    (CODE.MANDATE, asks(LONG, symbol="BTCUSDT"), CALM, "ETH*,SOL*", "BTCUSDT", "0", under(mandate=MANDATE)),
    (
        CODE.MANDATE,
        LONG,
        account(now=NOW + HOUR),
        "until 2026-01-01T01:00:00Z",
        "2026-01-01T01:00:00Z",
        "0",
        under(mandate=MANDATE),
    ),
    (CODE.MANDATE, LONG, account(mode="live"), "a mandate in mode live", "none", "0"),
    (CODE.APPROVAL_REQUIRED, LONG, CALM, "800", "1002", "0.798", under(approval=APPROVAL)),
    (
        CODE.APPROVAL_REQUIRED,
        LONG,
        account(mode="live"),
        "an approval in mode live",
        "none",
        "0",
        under(mandate=MANDATE, approval=APPROVAL),
    ),
    (CODE.FALLBACK, asks(LONG, principal="rules"), CALM, "manage", "an entry", "0", MANAGED),
    (
        CODE.FALLBACK,
        asks(LONG, principal="rules"),
        account(opened=Side.SELL),
        "trade, but stay short",
        "long",
        "0",
    ),
    (CODE.BELOW_MINIMUM, asks(LONG, quantity=D("0.0009")), CALM, "0.001 units", "0 units", "2.495"),
    (CODE.BELOW_MINIMUM, asks(LONG, quantity=D("0.019")), CALM, "20 quote", "19 quote", "2.495"),
    (CODE.BELOW_MINIMUM, waits(LONG, "1041", quantity=D("0.019")), CALM, "20 quote", "19.78 quote", "1.368"),
    (CODE.BELOW_MINIMUM, asks(LONG, quantity=D(0)), CALM, "0.001 units", "0 units", "2.495"),
    (CODE.BELOW_MINIMUM, asks(LONG, quantity=D(-1)), CALM, "0.001 units", "-1 units", "2.495"),
]
CASES = [Case(*row) for row in _ROWS]

EACH_LIMIT = {
    "NOT_ACTIVE": ("ACTIVE", "ACTIVE"),
    "NOT_RECONCILED": ("books that agree", "they agree"),
    "VENUE_BUSY": ("no wait", "0s to wait"),
    "ADOPTED": ("no position of others", "none"),
    "SYMBOL_NOT_ALLOWED": ("*USDT,ETHBTC", "ETHUSDT"),
    "SIDE_NOT_ALLOWED": ("long,short", "long"),
    "SPOT_CANNOT_SHORT": ("um", "long"),
    "FALLBACK": ("trade", "test decides"),
    "STALE_DATA": ("150s", "0s"),
    "PRICE_COLLAR": ("5%", "no limit price"),
    "PRICE_BAND": ("none known", "any"),
    "PRICE_MOVED": ("0.5%", "no price was shown"),
    "SPREAD": ("0.2%", "not known"),
    "ANOMALY": ("100%", "unknown: not read"),
    "DAILY_LOSS": ("3%", "0%"),
    "LOSSES_IN_A_ROW": ("a pause of 600s", "no pause"),
    "ENTRY_RATE": ("20 a day", "0"),
    "REENTRY": ("900s after the last", "long ago"),
    "FEES": ("1%", "0%"),
    "STOP_REQUIRED": ("a stop within 5%", "3%"),
    "LEVERAGE": ("20 for a position so large", "3"),
    "OPEN_POSITIONS": ("3", "1"),
    "ORDER_NOTIONAL": ("5000", "1002"),
    "POSITION_SHARE": ("25%", "10.02%"),
    "GROSS_EXPOSURE": ("100%", "10.02%"),
    "CORRELATED_EXPOSURE": ("40%", "not one of them"),
    "RISK_PER_TRADE": ("1%", "0.34%"),
    "LIQUIDATION": ("beyond 950", "at 703.15"),
    "FREE_MARGIN": ("20%", "96.66%"),
    "DEPTH": ("25%", "not known"),
    "TURNOVER": ("500%", "10.02%"),
    "MANDATE": ("a mandate in mode paper", "none"),
    "ABOVE_MAXIMUM": ("none known", "any"),
    "APPROVAL_REQUIRED": ("none needed", ""),
}
"""Limit and actual value, in the order in which they are asked."""

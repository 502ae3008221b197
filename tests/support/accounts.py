"""An account view for the risk check that passes every limit."""

from decimal import Decimal

from ocw_mcp.core.risk.account import AccountView, Pace
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.state import Mode, TradingState

D = Decimal
ETH = Instrument("ETHUSDT", Product.UM, D("0.01"), D("0.001"), D("0.001"), D(20))
QUIET = Pace(
    entries_last_minute=0,
    entries_today=0,
    turnover_today=D(0),
    fees_today=D(0),
    since_close_ms=None,
    losses_in_a_row=0,
    paused_ms=0,
)
CALM = AccountView(
    version=3,
    now=1_767_225_600_000,
    mode=Mode.PAPER,
    agent="test",
    state=TradingState.ACTIVE,
    product=Product.UM,
    instrument=ETH,
    equity=D(10_000),
    gross=D(0),
    quantity=D(0),
    symbol_notional=D(0),
    price=D(1_000),
    price_age_ms=0,
    price_age_limit_ms=150_000,
    daily_loss_reached=False,
    daily_loss=D(0),
    day_opening=D(10_000),
    correlated_long=None,
    correlated_short=None,
    other_symbols=0,
    pace=QUIET,
    free_margin=D(10_000),
    symbol_quantity=D(0),
)

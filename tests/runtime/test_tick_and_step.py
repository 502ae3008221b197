"""Tick and step of a symbol outside the table follow its market, over five orders of magnitude, up and down."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.core.matching.on_candles import FillTerms
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Candle, Opening, Product
from ocw_mcp.domain.orders import Side
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.time import MINUTE
from tests.support.examples import examples
from tests.support.markets import START, ListFeed
from tests.support.runs import Run, policies

D = Decimal
NEW = "NEWUSDT"
HALF_SPREAD, SLIPPAGE = D("0.0001"), D("0.0001")
TERMS = FillTerms(D("0.0005"), HALF_SPREAD, SLIPPAGE, latency_ms=0)
POLICY = policies(
    gate={"close_wakes": ["1m"], "cooldown_s": 0},
    position={"max_share": 0.1},
    order={"max_notional": 10**6},
    symbols={"allow": ["*USDT"], "sides": ["long", "short"]},
)


class EachMinute:
    """Enters at every wake while flat, and closes at every wake while holding."""

    name = "each-minute"

    def __init__(self, action: Action) -> None:
        self._action = action

    def thinking_ms(self, request: DecisionRequest) -> int:
        return 0

    async def decide(self, request: DecisionRequest) -> Decision:
        (view,) = request.snapshot.symbols.values()
        if view.position is not None:
            return Decision((Leg(NEW, Action.SELL if view.position.quantity > 0 else Action.COVER),))
        sign = -1 if self._action is Action.SHORT else 1
        assert isinstance(view.last, float)
        return Decision((Leg(NEW, self._action, size=D("0.0997"), stop=D(repr(view.last * (1 - sign * 0.04)))),))


def market(first: float, factor: float, decimals: int, wiggles: list[float]) -> list[Candle]:
    """Minutes that go from `first` to `factor` times it, and stay there; each price is rounded to `decimals`."""
    prices = [first * factor ** min(1.0, n / 12) * (1 + wiggle) for n, wiggle in enumerate(wiggles)]
    closes = [max(round(price, decimals), 10.0**-decimals) for price in prices]
    candles = []
    for n, close in enumerate(closes):
        open_ = closes[n - 1] if n else close
        candles.append(
            Candle(NEW, START + n * MINUTE, MINUTE, open_, max(open_, close), min(open_, close), close, 1e12)
        )
    return candles


@examples(2, slow=10)
@given(
    st.sampled_from([(80.0, 6e-6), (0.0005, 2e5), (3e-6, 20.0), (1.2e5, 1e-4)]),
    st.sampled_from([8, 9, 16]),
    st.lists(st.floats(-0.02, 0.02), min_size=40, max_size=40),
    st.sampled_from([(Action.BUY, Product.UM), (Action.SHORT, Product.UM), (Action.BUY, Product.SPOT)]),
)
async def test_fills_stay_in_the_candles_range_and_positions_in_limits(
    way: tuple[float, float], decimals: int, wiggles: list[float], trade: tuple[Action, Product]
) -> None:
    candles = market(*way, decimals, wiggles)
    action, product = trade
    venue = PaperVenue(product, D(10_000), 5 * MINUTE, TERMS)
    feed = ListFeed(candles, product=product)
    run = await Run(feed, EachMinute(action), venue=venue, policy=POLICY).go()
    fills = run.timed(events.OrderFilled)
    assert len(fills) > 10
    held, cash = D(0), D(10_000)
    for at, fill in fills:
        n = min((at - START) // MINUTE, len(candles) - 1)
        near = candles[max(0, n - 1) : n + 1]
        low, high = D(repr(min(each.low for each in near))), D(repr(max(each.high for each in near)))
        lowest = D(repr(min(each.low for each in candles[: n + 1])))
        # Five digits of the lowest price so far, or the coarser tick that the decimals of the tape show.
        tick = max(lowest / 1000, min(D(10) ** -decimals, lowest / 100))
        cost = max(HALF_SPREAD, tick / 2 / low) + SLIPPAGE
        assert low * (1 - cost) - tick <= fill.price <= high * (1 + cost) + tick, (at, fill)
        if held == 0:
            # An excess of two hundredths of a limit is the rounding of a coarse tick.
            assert fill.quantity * fill.price <= cash * D("0.1") * D("1.02"), (at, fill)
        held = fill.position
        cash -= Side(fill.side).sign * fill.quantity * fill.price + (D(0) if fill.base_fee else fill.fee)
    worth = cash + held * D(repr(candles[-1].close))
    if product is Product.UM:  # a balance on spot may hold dust beside the position
        assert abs(run.engine.account.ledger.equity() - worth) < D("0.000001")


async def test_a_price_fall_makes_the_tick_finer_and_keeps_the_step() -> None:
    venue = PaperVenue(Product.UM, D(10_000), 5 * MINUTE, TERMS)
    coarse = venue.instrument(NEW, 80.0)
    for n, price in enumerate((80.0, 8.0, 0.8, 0.05, 0.0005)):
        venue.on_opening(Opening(NEW, START + n * MINUTE, price), START + n * MINUTE)
    fine = venue.instrument(NEW, 0.0005)
    assert (coarse.tick, fine.tick) == (D("0.001"), D("0.00000001"))
    assert fine.step == coarse.step  # what was large enough stays so


async def test_a_price_rise_makes_the_step_finer_and_keeps_the_tick() -> None:
    venue = PaperVenue(Product.UM, D(10_000), 5 * MINUTE, TERMS)
    before = venue.instrument(NEW, 0.0005)
    venue.on_opening(Opening(NEW, START, 80.0), START)
    after = venue.instrument(NEW, 80.0)
    assert (before.step, after.step, after.min_quantity) == (D(10_000), D("0.1"), D("0.1"))
    assert after.tick == before.tick


def shown(prices: list[float], symbol: str = NEW) -> Decimal:
    """The tick of a symbol whose market showed these prices before it was asked for."""
    venue = PaperVenue(Product.SPOT, D(10_000), 5 * MINUTE, TERMS)
    for n, price in enumerate(prices):
        venue.on_opening(Opening(symbol, START + n * MINUTE, price), START + n * MINUTE)
    return venue.instrument(symbol, prices[-1]).tick


@pytest.mark.parametrize(
    ("prices", "tick"),
    [
        ([round(0.0123 + n / 10_000, 4) for n in range(40)], "0.0001"),  # a market with a coarse tick
        ([round(1.23e-6 + n / 1e8, 8) for n in range(40)], "1E-8"),
        ([round(1.2e5 + n / 10, 1) for n in range(40)], "0.1"),
        ([round(12.3 + n / 1e6, 6) for n in range(3)], "0.000001"),  # decimals that are seen count at once
        ([12.5] * 40, "0.001"),  # one price that ends in zeros shows nothing
        ([float(n) for n in range(100, 140)], "0.01"),  # nor do whole numbers
        ([100.0 + n / 3 for n in range(40)], "0.00001"),  # the noise of a calculation
    ],
)
def test_the_decimals_of_market_prices_determine_the_tick(prices: list[float], tick: str) -> None:
    assert shown(prices) == D(tick)


def test_new_price_decimals_refine_the_tick_also_after_a_restart() -> None:
    venue = PaperVenue(Product.UM, D(10_000), 5 * MINUTE, TERMS)
    for n in range(40):
        venue.on_opening(Opening(NEW, START + n * MINUTE, round(5.01 + n / 100, 2)), START + n * MINUTE)
    assert venue.instrument(NEW, 5.0).tick == D("0.01")
    again = PaperVenue(Product.UM, D(10_000), 5 * MINUTE, TERMS)
    again.restore(venue.state())
    for each in (venue, again):
        each.on_opening(Opening(NEW, START + 50 * MINUTE, 5.01234), START + 50 * MINUTE)
        assert each.instrument(NEW, 5.0).tick == D("0.00001")
    assert venue.state() == again.state()


def test_a_known_tick_over_one_percent_of_the_price_is_refined() -> None:
    assert shown([100.0, 110.0], "SOLUSDT") == D("0.01")
    assert shown([100.0, 0.0005], "SOLUSDT") == D("0.00000001")

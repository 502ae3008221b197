"""Funding of the paper venue on a live market: at the exchange's times, on the position and mark price of that time."""

from decimal import Decimal

import pytest

from ocw_mcp.domain.market import Funding, Mark, Product
from ocw_mcp.domain.orders import FundingPaid, Purpose, Side, VenueReport
from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from tests.adapters.venues.live import LiveMarket, live_position
from tests.adapters.venues.papers import ETH, T0

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
DUE = T0 + 4 * HOUR
"""The next funding time of a symbol that is settled every four hours."""
DUE_S = 4 * 3_600


async def scheduled(side: Side = BUY, rate: float = 0.001, before_s: int = 4) -> LiveMarket:
    """Return a market with a position of 2, some seconds before its funding at a mark price of 1,100."""
    market = await live_position(side)
    market.marks(2, 1_000.0, funding_rate=0.0004, next_funding_at=DUE)
    market.marks(DUE_S - 63, 1_100.0, funding_rate=rate, next_funding_at=DUE)
    market.closes(DUE_S // 60 - 2, 1_000.0, 1_000.0, 1_100.0, 1_100.0)
    for second in range(60, before_s - 1, -4):
        market.marks(DUE_S - second, 1_100.0, funding_rate=rate, next_funding_at=DUE)
    return market


def after(market: LiveMarket, second: float, price: float = 1_050.0) -> None:
    market.marks(second, price, funding_rate=0.0009, next_funding_at=DUE + 4 * HOUR)


def settled(market: LiveMarket, second: float, *rates: Funding) -> list[tuple[Decimal, Decimal | None, int, bool]]:
    """Settle funding if it may be due, as a run does; return amount, rate, time and whether the rate was assumed."""
    market.quotes(second, 999.0, 1_001.0)
    return settled_by(market, second, *rates)


def settled_by(market: LiveMarket, second: float, *rates: Funding) -> list[tuple[Decimal, Decimal | None, int, bool]]:
    """Settle funding without new market data."""
    until = T0 + int(second * SECOND)
    if not rates and market.venue.next_funding > until:
        return []
    reports: list[VenueReport] = list(market.venue.settle_funding(until, rates, ()))
    return [(each.amount, each.rate, each.at, each.assumed) for each in reports if isinstance(each, FundingPaid)]


@pytest.mark.parametrize(("side", "amount"), [(BUY, "-2.2"), (SELL, "2.2")])
async def test_funding_is_settled_at_the_last_rate_of_the_mark_prices(side: Side, amount: str) -> None:
    market = await scheduled(side)
    assert settled(market, DUE_S - 1) == []
    after(market, DUE_S + 1)
    assert settled(market, DUE_S + 100) == settled(market, DUE_S + 110, Funding("BTCUSDT", DUE, 0.1, 4)) == []
    assert settled(market, DUE_S + 120) == [(D(amount), D("0.001"), DUE, False)]
    assert settled(market, DUE_S + 900) == []


async def test_funding_time_that_a_mark_price_names_is_the_next_one() -> None:
    market = await live_position()
    settled(market, 2, Funding(ETH, T0 - 4 * HOUR, 0.001, 12))
    assert market.venue.next_funding == T0 + 8 * HOUR + 2 * MINUTE
    market.marks(3, 1_000.0, funding_rate=0.001, next_funding_at=DUE)
    assert market.venue.next_funding == DUE + 2 * MINUTE


async def test_settled_rate_of_the_exchange_comes_before_that_of_the_marks() -> None:
    market = await scheduled()
    after(market, DUE_S + 1)
    rate = Funding(ETH, DUE + 3, 0.002, 4)
    assert settled(market, DUE_S + 60, rate) == [(D("-4.4"), D("0.002"), DUE, False)]
    assert settled(market, DUE_S + 130) == settled(market, DUE_S + 140, rate) == []


async def test_settled_rate_that_comes_too_late_is_not_settled_again() -> None:
    market = await scheduled()
    after(market, DUE_S + 1)
    assert len(settled(market, DUE_S + 121)) == 1
    assert settled(market, DUE_S + 200, Funding(ETH, DUE + 3, 0.002, 4)) == []


async def test_funding_is_settled_if_our_clock_is_behind_the_exchange() -> None:
    market = await scheduled()
    ahead = Mark(ETH, DUE + 1, 1_050.0, 1_050.0, 0.0009, DUE + 4 * HOUR)
    assert list(market.venue.on_marks([ahead], DUE - 2 * SECOND)) == []
    after(market, DUE_S + 1)
    assert settled(market, DUE_S + 120) == [(D("-2.2"), D("0.001"), DUE, False)]


async def test_position_closed_after_the_funding_time_still_pays() -> None:
    market = await scheduled()
    market.quotes(DUE_S - 1, 1_099.0, 1_101.0)
    await market.send(DUE_S - 0.1, SELL, "2", Purpose.EXIT)
    after(market, DUE_S + 1)
    assert market.held == 0
    market.restart()
    assert settled(market, DUE_S + 120) == [(D("-2.2"), D("0.001"), DUE, False)]


async def test_position_closed_before_the_funding_time_pays_nothing() -> None:
    market = await scheduled()
    market.quotes(DUE_S - 5, 1_099.0, 1_101.0)
    await market.send(DUE_S - 5, SELL, "2", Purpose.EXIT)
    market.due(DUE_S - 4)
    after(market, DUE_S + 1)
    assert settled(market, DUE_S + 120) == settled(market, DUE_S + 60, Funding(ETH, DUE, 0.002, 4)) == []


async def test_position_opened_after_the_funding_time_pays_nothing() -> None:
    market = LiveMarket()
    market.marks(1, 1_000.0, funding_rate=0.001, next_funding_at=DUE)
    after(market, DUE_S + 1, 1_000.0)
    market.quotes(DUE_S + 2, 999.0, 1_001.0)
    await market.send(DUE_S + 2, BUY, "2")
    market.due(DUE_S + 3)
    assert market.held == 2
    assert settled(market, DUE_S + 120) == settled(market, DUE_S + 60, Funding(ETH, DUE, 0.002, 4)) == []


async def test_funding_during_an_outage_is_settled_at_the_rate_of_its_frame() -> None:
    market = await scheduled()
    market.restart()
    minute = DUE_S // 60
    for late in range(minute - 1, minute + 2):
        price = 1_100.0 if late < minute else 1_300.0
        market.closes(late, price, price, price, price, second=DUE_S + 1_000)
        rates = [Funding(ETH, DUE, 0.002, 4)] if late == minute - 1 else []
        found = settled_by(market, DUE_S + 1_000, *rates)
        assert found == ([(D("-4.4"), D("0.002"), DUE, False)] if rates else [])


async def test_position_stopped_out_in_an_outage_pays_no_later_funding() -> None:
    market = await scheduled(before_s=12)
    await market.send(DUE_S - 600, SELL, "2", Purpose.STOP, trigger="1000")
    market.restart()
    minute = DUE_S // 60
    assert settled_by(market, DUE_S + 1_000) == []
    for late in range(minute - 1, minute + 3):
        assert len(market.closes(late, 1_100.0, 990.0, 1_100.0, 1_100.0, second=DUE_S + 1_000)) == (late == minute - 1)
        assert settled_by(market, DUE_S + 1_000, Funding(ETH, DUE, 0.002, 4)) == []
    after(market, DUE_S + 1_000)
    assert settled(market, DUE_S + 1_001) == []


async def test_outage_over_a_whole_interval_pays_the_assumed_rate() -> None:
    market = LiveMarket()
    market.quotes(0, 999.0, 1_001.0)
    market.marks(0, 1_000.0, funding_rate=0.001, next_funding_at=T0 + 8 * HOUR)
    await market.send(0, BUY, "2")
    market.due(1)
    market.restart()
    market.marks(17 * 3_600, 1_000.0, funding_rate=0.001, next_funding_at=T0 + 24 * HOUR)
    assert settled(market, 17 * 3_600 + 1) == [], "candles may still show what the position was"
    assert settled(market, 17 * 3_600 + 600) == [
        (D("-2"), D("0.001"), T0 + 8 * HOUR, False),
        (D("-0.2"), D("0.0001"), T0 + 16 * HOUR, True),
    ]
    assert market.venue.next_funding == T0 + 24 * HOUR + 2 * MINUTE


async def test_spot_pays_no_funding() -> None:
    market = await live_position(product=Product.SPOT)
    market.marks(2, 1_000.0, funding_rate=0.001, next_funding_at=DUE)
    after(market, DUE_S + 1)
    assert settled(market, DUE_S + 900) == []


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 1e9])
async def test_absurd_funding_rate_is_not_settled(rate: float) -> None:
    market = await scheduled(rate=0.001)
    market.marks(DUE_S - 3, 1_100.0, funding_rate=rate, next_funding_at=DUE)
    after(market, DUE_S + 1)
    assert settled(market, DUE_S + 120) == [(D("-2.2"), D("0.001"), DUE, False)]

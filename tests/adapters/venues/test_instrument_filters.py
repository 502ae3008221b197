"""The filters of the instruments that paper trades."""

from decimal import Decimal

import pytest

from ocw_mcp.adapters.venues.instruments import KNOWN, paper_brackets
from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.time import MINUTE

D = Decimal
ETH = "ETHUSDT"


def venue_with(product: Product = Product.UM) -> PaperVenue:
    return PaperVenue(product, D(10_000), 5 * MINUTE)


def test_filters_of_known_symbols_are_those_of_the_exchange() -> None:
    btc = venue_with().instrument("BTCUSDT", 1.0)
    assert btc == Instrument("BTCUSDT", Product.UM, D("0.1"), D("0.001"), D("0.001"), D(50), paper_brackets("BTCUSDT"))
    spot = venue_with(product=Product.SPOT).instrument("BTCUSDT", 1.0)
    assert (spot.tick, spot.brackets) == (D("0.01"), None)


@pytest.mark.parametrize("symbol", [*KNOWN, "NEWUSDT"])
def test_brackets_require_more_margin_for_larger_positions(symbol: str) -> None:
    rows = paper_brackets(symbol).rows
    assert list(rows) == sorted(rows, key=lambda row: (row.cap, row.rate, -row.max_leverage))
    assert all(row.rate * row.max_leverage < 1 for row in rows)
    assert rows[-1].max_leverage == 1


def test_margin_brackets_are_those_of_the_exchange() -> None:
    # The exchange's own cumulative amounts, which follow from the rates.
    assert paper_brackets("BTCUSDT").amounts[:4] == (D(0), D(300), D(1_500), D(12_000))
    assert paper_brackets("NEARUSDT").max_leverage(D(1_000)) == 75
    assert paper_brackets("ETHUSDT").maintenance(D(100_000)) == 400


def test_unknown_symbol_gets_the_strictest_brackets() -> None:
    unknown = paper_brackets("NEWUSDT")
    for symbol in KNOWN:
        known = paper_brackets(symbol)
        for notional in (D(1_000), D(20_000), D(199_999)):
            assert unknown.max_leverage(notional) <= known.max_leverage(notional)
            assert unknown.maintenance(notional) > known.maintenance(notional)


@pytest.mark.parametrize("price", [0.00001234, 0.01, 0.0999, 1.0, 9.99, 10.0, 123.4, 1_000.0, 98_765.0])
def test_filters_of_an_unknown_symbol_follow_its_price(price: float) -> None:
    guess = venue_with().instrument("NEWUSDT", price)
    assert D("0.0001") / 10 <= guess.tick / D(repr(price)) <= D("0.0001")
    assert 1 <= guess.step * D(repr(price)) < 10
    assert guess.min_quantity == guess.step


def test_filters_do_not_change_if_requested_with_another_price() -> None:
    venue = venue_with()
    first = venue.instrument("NEWUSDT", 5.0)
    again = venue_with()
    again.restore(venue.state())
    assert venue.instrument("NEWUSDT", 5_000.0) == again.instrument("NEWUSDT", 0.1) == first

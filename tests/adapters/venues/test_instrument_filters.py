"""The filters of the instruments that paper trades."""

from decimal import Decimal

import pytest

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.time import MINUTE

D = Decimal
ETH = "ETHUSDT"


def venue_with(product: Product = Product.UM) -> PaperVenue:
    return PaperVenue(product, D(10_000), 5 * MINUTE)


def test_filters_of_known_symbols_are_those_of_the_exchange() -> None:
    assert venue_with().instrument("BTCUSDT", 1.0) == Instrument(
        "BTCUSDT", Product.UM, D("0.1"), D("0.001"), D("0.001"), D(50)
    )
    assert venue_with(product=Product.SPOT).instrument("BTCUSDT", 1.0).tick == D("0.01")


@pytest.mark.parametrize("price", [0.00001234, 0.01, 0.0999, 1.0, 9.99, 10.0, 123.4, 1_000.0, 98_765.0])
def test_filters_of_a_stranger_are_guessed_from_its_price(price: float) -> None:
    guess = venue_with().instrument("NEWUSDT", price)
    assert D("0.0001") / 10 <= guess.tick / D(repr(price)) <= D("0.0001")
    assert 1 <= guess.step * D(repr(price)) < 10
    assert guess.min_quantity == guess.step


def test_filters_do_not_change_with_the_price() -> None:
    venue = venue_with()
    first = venue.instrument("NEWUSDT", 5.0)
    again = venue_with()
    again.restore(venue.state())
    assert venue.instrument("NEWUSDT", 5_000.0) == again.instrument("NEWUSDT", 0.1) == first

"""A live book whose exchange changes the filters of a symbol while a position is open."""

from decimal import Decimal

import pytest

from ocw_mcp.adapters.feeds.binance import session
from ocw_mcp.domain import events
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Purpose
from tests.support.legs import add, buy, sell
from tests.support.sandbox_books import ByMinute, fault, market_of, run_live_book


@pytest.mark.requirement("D06")
@pytest.mark.parametrize("product", [Product.UM, pytest.param(Product.SPOT, marks=pytest.mark.slow)])
def test_changed_filters_hold_for_the_next_orders(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old stop and target are off the new tick: they stay, and are on the new tick when they are replaced.

    The first orders are on the filters that the exchange has at the start, not on those that it usually has.
    """
    monkeypatch.setattr(session, "INFO_EVERY_S", 240)
    at_start = fault("filters", 1, symbol="BTCUSDT", tick="0.5")
    changed = fault("filters", 200, symbol="BTCUSDT", tick="10", step="0.001", min_notional="200")
    script = {
        2: buy("88501.3", "0.08", target="93000.7"),
        6: add(size="0.08"),
        8: sell(),
        9: buy("88501.3", "0.1", limit="90049.9"),
        10: sell(),
        11: buy("88501.3", "0.015"),
    }
    market = market_of({"BTCUSDT": [90_000.0] * 30}, product)
    book = run_live_book(market, 12, ByMinute(script), faults=[at_start, changed], warmup_days=1)
    assert book.events(events.OrderRejected) == []
    orders = [(at, each.ref.leg, each.intent) for at, each in book.timed(events.OrderIntended)]
    stops = [(at > 300, intent.trigger_price) for at, leg, intent in orders if leg is Purpose.STOP]
    assert stops == [(False, Decimal("88501.5")), (True, Decimal(88_510)), (True, Decimal(88_510))]
    targets = [intent.target_at for _, leg, intent in orders if leg is Purpose.STOP]
    if product is Product.UM:
        targets = [intent.trigger_price for _, leg, intent in orders if leg is Purpose.TARGET]
    assert targets[:2] == [Decimal("93000.5"), Decimal(93_000)]
    later = [intent for at, _, intent in orders if at > 300]
    assert all(intent.quantity % Decimal("0.001") == 0 for intent in later)
    assert [each.limit_price for each in later if each.limit_price is not None] == [Decimal(90_040)]
    (refused,) = book.events(events.OrderRefused)
    assert (refused.refusal.code, refused.intent.principal) == ("BELOW_MINIMUM", "scripted")

"""The budget of requests: limits by use, the exchange's own counts, and the ends of spans."""

import pytest

from ocw_mcp.adapters.binance.transport import RestResponse
from ocw_mcp.adapters.binance.weights import MARGIN_MS, OverBudget, Scope, Use, Weights
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import MINUTE, SECOND

NOW = 1_767_225_600_000
CANDLES, ENTRY, QUERY, REDUCTION = Use.CANDLES, Use.ENTRY, Use.QUERY, Use.REDUCTION


class Time:
    """The exchange's time of a test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def admitted(weights: Weights, use: Use, weight: int = 0, orders: int = 0) -> int:
    """Return how many requests pass before one has to wait."""
    passed = 0
    while passed < 10_000:
        try:
            weights.admit(use, weight, orders)
        except OverBudget:
            return passed
        passed += 1
    return passed


def test_each_use_may_take_its_share_of_the_orders() -> None:
    weights = Weights(Product.UM, Time())
    assert admitted(weights, ENTRY, orders=1) == 180
    assert admitted(weights, REDUCTION, orders=1) == 120
    assert admitted(weights, ENTRY, orders=1) == 0


def test_each_use_may_take_its_share_of_the_weight() -> None:
    weights = Weights(Product.UM, Time())
    assert admitted(weights, CANDLES, weight=10) == 168
    assert admitted(weights, ENTRY, weight=10) == 12
    assert admitted(weights, QUERY, weight=10) == 12
    assert admitted(weights, REDUCTION, weight=10) == 48


def test_orders_of_a_minute_are_limited_besides_those_of_ten_seconds() -> None:
    time = Time()
    weights = Weights(Product.UM, time)
    passed = []
    for _ in range(6):
        passed.append(admitted(weights, ENTRY, orders=1))
        time.now += 10 * SECOND
    assert passed == [180, 180, 180, 180, 0, 0]
    assert admitted(weights, ENTRY, orders=1) == 180


def test_wait_ends_with_the_span_of_the_limit() -> None:
    time = Time()
    weights = Weights(Product.UM, time)
    admitted(weights, ENTRY, orders=1)
    with pytest.raises(OverBudget) as orders:
        weights.admit(ENTRY, 0, 1)
    admitted(weights, QUERY, weight=10)
    with pytest.raises(OverBudget) as weight:
        weights.admit(QUERY, 10, 0)
    assert orders.value.until_ms == NOW + 10 * SECOND + MARGIN_MS
    assert weight.value.until_ms == NOW + MINUTE + MARGIN_MS


def test_counts_of_the_exchange_include_other_programs() -> None:
    weights = Weights(Product.UM, Time())
    weights.note({"x-mbx-used-weight-1m": "1915", "x-mbx-order-count-10s": "299", "x-mbx-order-count-1m": "299"})
    assert weights.used_weight == 1_915
    assert admitted(weights, QUERY, weight=5) == 1
    assert admitted(weights, REDUCTION, orders=1) == 1


def test_lower_count_of_the_exchange_does_not_hide_requests_under_way() -> None:
    weights = Weights(Product.UM, Time())
    for _ in range(5):
        weights.admit(QUERY, 40, 0)
    weights.note({"x-mbx-used-weight-1m": "40"})
    assert weights.used_weight == 200


def test_header_that_is_no_number_is_left_out() -> None:
    weights = Weights(Product.UM, Time())
    weights.note({"x-mbx-used-weight-1m": "many"})
    assert weights.used_weight == 0


def test_next_minute_begins_with_nothing_used() -> None:
    time = Time()
    weights = Weights(Product.UM, time)
    admitted(weights, QUERY, weight=10)
    time.now += MINUTE
    assert weights.used_weight == 0
    weights.admit(QUERY, 10, 0)


def test_refusal_of_new_orders_leaves_queries_and_cancels_alone() -> None:
    weights = Weights(Product.UM, Time())
    weights.block(RestResponse(429, b"", {}), "Too many new orders.", scope=Scope.ORDERS)
    weights.admit(QUERY, 5, 0)
    weights.admit(REDUCTION, 1, 0)
    assert admitted(weights, REDUCTION, orders=1) == 0
    assert weights.blocked_until == 0


def test_later_answer_does_not_shorten_a_ban() -> None:
    weights = Weights(Product.UM, Time())
    weights.block(RestResponse(418, b"", {"retry-after": "600"}), "banned")
    again = weights.block(RestResponse(429, b"", {"retry-after": "5"}), "slower")
    assert again.until_ms == weights.blocked_until == NOW + 600 * SECOND + MARGIN_MS


def test_date_in_the_header_ends_a_ban() -> None:
    weights = Weights(Product.UM, Time())
    weights.block(RestResponse(429, b"", {"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}), "slower")
    assert weights.blocked_until == NOW + 30 * SECOND + MARGIN_MS


def test_header_that_cannot_be_read_means_the_end_of_the_minute() -> None:
    weights = Weights(Product.UM, Time())
    weights.block(RestResponse(429, b"", {"retry-after": "soon"}), "slower")
    assert weights.blocked_until == NOW + MINUTE + MARGIN_MS


def test_spot_has_limits_of_its_own() -> None:
    weights = Weights(Product.SPOT, Time())
    assert admitted(weights, ENTRY, weight=1, orders=1) == 60
    weights.set_limit(1_000)
    assert admitted(weights, QUERY, weight=10) == 74

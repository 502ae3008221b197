"""Absurd prices are refused, and a true crash is not."""

import math

import pytest

from ocw_mcp.adapters.feeds.binance.guard import PriceGuard
from ocw_mcp.domain.time import MINUTE
from tests.support.scripted_market import BEGIN


def guard(price: float = 100.0) -> PriceGuard:
    made = PriceGuard()
    assert made.refuse(price, "rest", BEGIN) is None
    return made


@pytest.mark.requirement("D07")
@pytest.mark.parametrize("price", [math.nan, 0.0, -100.0, math.inf, 100e9, 100e-9, 501.0, 19.0])
def test_absurd_price_of_one_source_is_refused(price: float) -> None:
    made = guard()
    for _ in range(3):
        assert made.refuse(price, "trade", BEGIN + 1_000) is not None
    assert made.refuse(101.0, "trade", BEGIN + 2_000) is None


def test_crash_that_two_sources_report_is_believed() -> None:
    made = guard()
    assert made.refuse(12.0, "trade", BEGIN + 1_000) is not None
    assert made.refuse(11.5, "quote", BEGIN + 1_100) is None
    assert made.refuse(11.8, "trade", BEGIN + 1_200) is None
    assert made.refuse(99.0, "kline", BEGIN + 1_300) is None


def test_two_sources_that_disagree_confirm_nothing() -> None:
    made = guard()
    assert made.refuse(12.0, "trade", BEGIN + 1_000) is not None
    assert made.refuse(12e9, "quote", BEGIN + 1_000) is not None


def test_absurd_price_is_not_believed_of_two_sources() -> None:
    made = guard()
    for source in ("trade", "quote", "kline", "mark"):
        assert "absurd" in (made.refuse(100e9, source, BEGIN + 1_000) or "")
    assert made.refuse(101.0, "trade", BEGIN + 2_000) is None


def test_rest_replaces_what_streams_alone_confirmed() -> None:
    made = PriceGuard()
    for source in ("trade", "quote"):
        made.refuse(100e9, source, BEGIN)
    assert made.refuse(100e9, "trade", BEGIN) is None
    assert made.refuse(100.0, "rest", BEGIN) is None
    assert made.refuse(100e9, "trade", BEGIN) is not None
    assert made.refuse(101.0, "trade", BEGIN) is None


def test_old_suspicion_confirms_nothing() -> None:
    made = guard()
    assert made.refuse(12.0, "trade", BEGIN) is not None
    assert made.refuse(12.0, "quote", BEGIN + MINUTE + 1) is not None


def test_first_price_of_a_stream_needs_a_second_source() -> None:
    made = PriceGuard()
    assert made.refuse(100e9, "kline", BEGIN) is not None
    assert made.refuse(100.0, "quote", BEGIN) is not None
    assert made.refuse(100.1, "trade", BEGIN) is None
    assert made.refuse(100e9, "kline", BEGIN) is not None


def test_believed_range_follows_the_market() -> None:
    made, price = guard(), 100.0
    for minute in range(60):
        price *= 0.9
        assert made.refuse(price, "trade", BEGIN + minute * MINUTE) is None
        made.note(price, price, BEGIN + minute * MINUTE)
    assert made.refuse(100.0, "trade", BEGIN + 60 * MINUTE) is not None

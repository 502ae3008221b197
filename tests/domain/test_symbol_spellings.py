"""Spellings of symbols: other programs' spellings match one followed symbol or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.domain.symbols import matched, spelt

FOLLOWED = ("BTCUSDT", "ETHUSDT", "1000PEPEUSDT", "币安人生USDT", "BTCUSD_PERP")


@pytest.mark.parametrize(
    "text",
    ["BTCUSDT", "btcusdt", "BTC/USDT", "btc-usdt", "BTC_USDT", " BTC USDT\n", "BTC/USDT:USDT", "btc/usdt:usdt"],
)
def test_other_spellings_match_the_symbol(text: str) -> None:
    assert matched(text, FOLLOWED) == "BTCUSDT"


@pytest.mark.parametrize("symbol", FOLLOWED)
def test_exact_symbol_matches_itself(symbol: str) -> None:
    assert matched(symbol, FOLLOWED) == symbol


@pytest.mark.parametrize(
    "text",
    ["", "/", ":", "BTC", "BTCUSD", "BTC/USD", "BTC/USDT:USDC", "BTC/USDT:USDT-260327", "ВTCUSDT", "BTCUSDT:"],
)
def test_text_that_names_no_known_symbol_matches_none(text: str) -> None:
    assert matched(text, FOLLOWED) is None
    assert spelt(text, FOLLOWED) == text.strip()


def test_text_of_several_symbols_matches_none() -> None:
    assert matched("BTC/USDT", ("BTC_USDT", "BTC-USDT")) is None


@given(st.text(max_size=30))
def test_any_text_matches_a_followed_symbol_or_none(text: str) -> None:
    assert matched(text, FOLLOWED) in (None, *FOLLOWED)

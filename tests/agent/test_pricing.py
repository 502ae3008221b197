"""What calls cost, and what they can cost at most."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.agent.pricing import HIDDEN_TOKENS, TokenUsage, cost, priced, worst_cost
from ocw_mcp.domain.time import day_begins
from ocw_mcp.sandbox.claude.cache import tokens
from tests.support.claude import MODEL

AT = day_begins("2026-11-25")
MILLION = 1_000_000


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (TokenUsage(plain=MILLION), "2"),
        (TokenUsage(output=MILLION), "10"),
        (TokenUsage(written_5m=MILLION), "2.5"),
        (TokenUsage(written_1h=MILLION), "4"),
        (TokenUsage(), "0"),
    ],
)
def test_each_kind_of_token_has_the_price_of_the_table(usage: TokenUsage, usd: str) -> None:
    assert cost(usage, MODEL, AT) == Decimal(usd)


def test_what_is_read_from_the_cache_costs_a_tenth_at_most() -> None:
    assert 0 < cost(TokenUsage(read=MILLION), MODEL, AT) <= cost(TokenUsage(plain=MILLION), MODEL, AT) / 10


@settings(max_examples=40)
@given(*[st.integers(0, MILLION)] * 5)
def test_a_bill_is_the_sum_of_its_kinds(plain: int, read: int, short: int, long: int, output: int) -> None:
    whole = TokenUsage(plain, read, short, long, output)
    parts = [
        TokenUsage(plain),
        TokenUsage(read=read),
        TokenUsage(written_5m=short),
        TokenUsage(written_1h=long),
        TokenUsage(output=output),
    ]
    assert cost(whole, MODEL, AT) == sum(cost(part, MODEL, AT) for part in parts)
    assert sum(parts, TokenUsage()) == whole


@settings(max_examples=40)
@given(text=st.text(max_size=300), output=st.integers(0, 4_000))
def test_no_call_costs_more_than_its_worst_case_however_it_is_cached(text: str, output: int) -> None:
    counted = tokens(text) + HIDDEN_TOKENS
    kinds = [
        TokenUsage(plain=counted),
        TokenUsage(read=counted),
        TokenUsage(written_5m=counted),
        TokenUsage(written_1h=counted),
    ]
    worst = worst_cost(len(text.encode()), 4_000, MODEL, AT)
    assert all(cost(kind + TokenUsage(output=output), MODEL, AT) <= worst for kind in kinds)


def test_what_the_api_has_counted_is_not_guessed_again() -> None:
    assert worst_cost(100, 50, MODEL, AT, known_tokens=7) == worst_cost(107, 50, MODEL, AT)


def test_a_model_that_nobody_prices_has_no_cost() -> None:
    assert priced(MODEL, AT)
    assert not priced("claude-nobody", AT)
    with pytest.raises(LookupError):
        cost(TokenUsage(plain=1), "claude-nobody", AT)

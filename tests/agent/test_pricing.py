"""The cost of calls, and the most that a call can cost."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.agent.pricing import HIDDEN_TOKENS, MARKUP_TOKENS, TokenUsage, cost, priced, worst_cost
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
def test_each_kind_of_token_has_its_price(usage: TokenUsage, usd: str) -> None:
    assert cost(usage, MODEL, AT) == Decimal(usd)


def test_tokens_read_from_the_cache_cost_at_most_a_tenth() -> None:
    assert 0 < cost(TokenUsage(read=MILLION), MODEL, AT) <= cost(TokenUsage(plain=MILLION), MODEL, AT) / 10


@settings(max_examples=40)
@given(*[st.integers(0, MILLION)] * 5)
def test_cost_is_the_sum_over_kinds_of_tokens(plain: int, read: int, short: int, long: int, output: int) -> None:
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
def test_worst_case_cost_covers_every_kind_of_caching(text: str, output: int) -> None:
    prompt = tokens(text) + HIDDEN_TOKENS
    kinds = [
        TokenUsage(plain=prompt),
        TokenUsage(read=prompt),
        TokenUsage(written_5m=prompt),
        TokenUsage(written_1h=prompt),
    ]
    worst = worst_cost(len(text.encode()), 4_000, MODEL, AT)
    assert all(cost(kind + TokenUsage(output=output), MODEL, AT) <= worst for kind in kinds)


def test_worst_case_cost_uses_the_tokens_that_the_api_counted() -> None:
    counted = TokenUsage(written_1h=107 + MARKUP_TOKENS, output=50)
    assert worst_cost(100, 50, MODEL, AT, known_tokens=7) == cost(counted, MODEL, AT)
    turns = TokenUsage(written_5m=30, written_1h=HIDDEN_TOKENS, output=50)
    assert worst_cost(0, 50, MODEL, AT, turn_bytes=30) == cost(turns, MODEL, AT)


def test_doubted_price_of_cache_reads_counts_at_the_higher_one() -> None:
    assert cost(TokenUsage(read=MILLION), "claude-sonnet-5-5", AT) == Decimal("0.2")
    assert cost(TokenUsage(read=MILLION), "claude-haiku-4-5", AT) == Decimal("0.1")


def test_unknown_model_has_no_price() -> None:
    assert priced(MODEL, AT)
    assert not priced("claude-unknown", AT)
    with pytest.raises(LookupError):
        cost(TokenUsage(plain=1), "claude-unknown", AT)

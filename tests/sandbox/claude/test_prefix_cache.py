"""The prompt cache: the tokens that are read and written, and the lifetime of a prefix."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.agent.pricing import TokenUsage
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.sandbox.claude.cache import LOOKBACK, PrefixCache
from ocw_mcp.sandbox.claude.request import MessagesRequest
from tests.support.claude import asked

LEAST = 512


def block(text: str, ttl: str | None = None) -> dict[str, Any]:
    control = {} if ttl is None else {"cache_control": {"type": "ephemeral", "ttl": ttl}}
    return {"type": "text", "text": text, **control}


def prompt(*system: dict[str, Any], user: list[dict[str, Any]] | None = None, **more: Any) -> MessagesRequest:
    turns = [{"role": "user", "content": user if user is not None else "Decide."}]
    return MessagesRequest.model_validate(asked(**{"system": list(system), "messages": turns, "tools": []} | more))


LONG = "a" * 4 * LEAST
OTHER = "b" * 4 * LEAST


def test_prefix_expires_five_minutes_after_its_last_read() -> None:
    cache, asks = PrefixCache(), prompt(block(LONG, "5m"))
    first = cache.use(asks, LEAST, 0)
    assert first.written_5m > LEAST
    assert first.read == 0
    for at in (5 * MINUTE - 1, 9 * MINUTE):
        assert cache.use(asks, LEAST, at) == TokenUsage(first.plain, read=first.written_5m)
    assert cache.use(asks, LEAST, 14 * MINUTE) == first


def test_one_hour_and_five_minute_cache_writes_are_billed_separately() -> None:
    cache, asks = PrefixCache(), prompt(block(LONG, "1h"), block(OTHER, "5m"))
    first = cache.use(asks, LEAST, 0)
    assert first.written_1h > LEAST
    assert first.written_5m > LEAST
    later = cache.use(asks, LEAST, 36 * MINUTE)
    assert (later.read, later.written_1h, later.written_5m) == (first.written_1h, 0, first.written_5m)


def test_short_prefix_is_not_cached() -> None:
    cache, asks = PrefixCache(), prompt(block("a" * 400, "5m"))
    assert cache.use(asks, LEAST, 0) == cache.use(asks, LEAST, 1) == TokenUsage(cache.use(asks, LEAST, 2).prompt)
    assert cache.use(asks, 100, 3).written_5m > 100


def test_prompt_without_a_breakpoint_is_not_cached() -> None:
    cache, asks = PrefixCache(), prompt(block(LONG))
    cache.use(asks, LEAST, 0)
    assert cache.use(asks, LEAST, 1).read == 0


def test_change_at_the_beginning_of_a_prompt_misses_the_cache() -> None:
    cache = PrefixCache()
    tool = {"name": "look", "input_schema": {"type": "object"}}
    cache.use(prompt(block(LONG, "5m"), tools=[tool]), LEAST, 0)
    assert cache.use(prompt(block(LONG, "5m"), tools=[tool]), LEAST, SECOND).read > 0
    assert cache.use(prompt(block(LONG, "5m"), tools=[tool | {"description": "Look."}]), LEAST, SECOND).read == 0
    assert cache.use(prompt(block(LONG, "5m"), tools=[tool], model="claude-haiku-5-5"), LEAST, SECOND).read == 0


def test_growing_conversation_reads_its_earlier_prefix() -> None:
    cache = PrefixCache()
    short = prompt(block(LONG), user=[block("one", "5m")])
    longer = prompt(block(LONG), user=[block("one"), block("two", "5m")])
    written = cache.use(short, LEAST, 0).written_5m
    assert cache.use(longer, LEAST, SECOND).read == written


def test_prefix_too_many_blocks_before_a_breakpoint_is_not_read() -> None:
    cache = PrefixCache()
    cache.use(prompt(block(LONG, "5m")), LEAST, 0)
    near = [block(str(n)) for n in range(LOOKBACK - 1)]
    assert cache.use(prompt(block(LONG), user=[*near, block("end", "5m")]), LEAST, 1).read > 0
    other = PrefixCache()
    other.use(prompt(block(LONG, "5m")), LEAST, 0)
    assert other.use(prompt(block(LONG), user=[*near, block("more"), block("end", "5m")]), LEAST, 1).read == 0


def test_breakpoint_at_the_last_block_caches_the_whole_request() -> None:
    cache, asks = PrefixCache(), prompt(block(LONG), cache_control={"type": "ephemeral"})
    first = cache.use(asks, LEAST, 0)
    assert (first.plain, first.written_5m) == (0, first.prompt)


BLOCKS = st.lists(st.tuples(st.sampled_from(["a" * 900, "b" * 900]), st.sampled_from([None, "5m"])), max_size=4)


@settings(max_examples=40)
@given(st.lists(st.tuples(BLOCKS, st.integers(0, 4 * MINUTE)), min_size=1, max_size=6))
def test_every_prompt_token_is_billed_exactly_once(
    asks: list[tuple[list[tuple[str, str | None]], int]],
) -> None:
    cache, now, written = PrefixCache(), 0, 0
    for texts, later in asks:
        now += later
        request = prompt(*(block(text, ttl) for text, ttl in texts))
        used = cache.use(request, 100, now)
        assert min(msgspec.structs.astuple(used)) >= 0
        assert used.prompt == PrefixCache().use(request, 10**9, 0).plain
        assert used.read == 0 or written > 0
        written += used.written_5m

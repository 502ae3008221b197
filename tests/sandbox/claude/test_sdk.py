"""The real SDK against the sandbox over a real socket: messages, errors and models."""

from typing import Any

import anthropic
import pytest

from ocw_mcp.runtime.clock import LiveClock
from ocw_mcp.sandbox.claude.characters import Call, ModelAnswer, Say, SeededRandom
from ocw_mcp.sandbox.claude.request import RETIRED, MessagesRequest
from tests.support.claude import MODEL, asked, sdk


async def test_json_and_streamed_answers_give_the_same_message() -> None:
    async with sdk() as client:
        whole = await client.messages.create(**asked())
        async with client.messages.stream(**asked()) as stream:
            pieced = await stream.get_final_message()
    call = whole.content[-1]
    assert whole.stop_reason == pieced.stop_reason == "tool_use"
    assert call.type == "tool_use"
    assert call.name == "decisions_submit"
    assert [block.model_dump(exclude={"id"}) for block in whole.content] == [
        block.model_dump(exclude={"id"}) for block in pieced.content
    ]
    assert whole.id != pieced.id
    assert whole.usage.input_tokens == pieced.usage.input_tokens > 100
    assert whole.usage.output_tokens == pieced.usage.output_tokens > 10


async def test_usage_reports_cache_writes_and_reads() -> None:
    system = [{"type": "text", "text": "word " * 1_000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    async with sdk() as client:
        cold = (await client.messages.create(**asked(system=system))).usage
        warm = (await client.messages.create(**asked("Wake 8: another", system=system))).usage
    assert cold.cache_creation is not None
    assert cold.cache_creation.ephemeral_1h_input_tokens == cold.cache_creation_input_tokens
    assert cold.cache_creation.ephemeral_5m_input_tokens == 0
    assert (cold.cache_creation_input_tokens or 0) > 1_250
    assert (warm.cache_read_input_tokens, warm.cache_creation_input_tokens) == (cold.cache_creation_input_tokens, 0)


FAULTS: list[tuple[str, type[anthropic.APIStatusError], str]] = [
    ("overloaded", anthropic.OverloadedError, "overloaded_error"),
    ("limited", anthropic.RateLimitError, "rate_limit_error"),
    ("broken", anthropic.InternalServerError, "api_error"),
]


@pytest.mark.parametrize(("character", "error", "kind"), FAULTS)
async def test_error_status_raises_the_matching_sdk_error(
    character: str, error: type[anthropic.APIStatusError], kind: str
) -> None:
    async with sdk(character) as client:
        with pytest.raises(error) as caught:
            await client.messages.create(**asked())
    assert caught.value.type == kind
    assert caught.value.request_id is not None
    assert ("retry-after" in caught.value.response.headers) == (character == "limited")


async def test_dropped_connection_is_a_connection_error() -> None:
    async with sdk("dropped") as client:
        with pytest.raises(anthropic.APIConnectionError):
            await client.messages.create(**asked())


async def test_api_that_never_answers_times_out_in_the_sdk() -> None:
    async with sdk("silent", clock=LiveClock(), timeout_s=0.2) as client:
        with pytest.raises(anthropic.APITimeoutError):
            await client.messages.create(**asked())


async def test_wrong_api_key_raises_an_authentication_error() -> None:
    async with sdk(key="sk-ant-another") as client:
        with pytest.raises(anthropic.AuthenticationError):
            await client.messages.create(**asked())
        with pytest.raises(anthropic.AuthenticationError):
            await client.models.retrieve(MODEL)


async def test_refused_request_gets_a_message_without_content() -> None:
    async with sdk("refuser") as client:
        message = await client.messages.create(**asked())
    assert message.stop_reason == "refusal"
    assert message.content == []


async def test_answer_is_cut_off_at_max_tokens() -> None:
    def talks(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
        return ModelAnswer((Say("x" * 400), Call("decisions_submit", {"wake": 1, "legs": []})), thought="")

    async with sdk(talks) as client:
        cut = await client.messages.create(**asked(max_tokens=50))
        inside = await client.messages.create(**asked(max_tokens=105))
        whole = await client.messages.create(**asked(max_tokens=200))
    assert [block.type for block in cut.content] == ["thinking", "text"]
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 50)
    assert inside.stop_reason == "max_tokens"
    assert getattr(inside.content[-1], "input", None) == {}
    assert whole.stop_reason == "tool_use"


async def test_known_models_are_described_and_retired_ones_not_served() -> None:
    async with sdk() as client:
        model = await client.models.retrieve(MODEL)
        retired = await client.models.retrieve(RETIRED)
        with pytest.raises(anthropic.NotFoundError):
            await client.models.retrieve("claude-unknown")
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(**asked(model=RETIRED))
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(**asked(model="claude-unknown"))
    assert (model.lifecycle, retired.lifecycle) == ("active", "retired")
    assert model.max_tokens == 128_000


def conversation(*turns: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in turns]


async def test_changed_thinking_block_is_refused() -> None:
    async with sdk() as client:
        first = await client.messages.create(**asked())
        thought, call = first.content
        assert thought.type == "thinking"
        assert call.type == "tool_use"
        back = [thought.model_dump(), call.model_dump(exclude_none=True)]
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "BTCUSDT accepted"}
        turns = [("user", asked()["messages"][0]["content"]), ("assistant", back), ("user", [result])]
        second = await client.messages.create(**asked(messages=conversation(*turns)))
        back[0]["thinking"] += "!"
        with pytest.raises(anthropic.BadRequestError, match="signature"):
            await client.messages.create(**asked(messages=conversation(*turns)))
    assert second.stop_reason == "end_turn"

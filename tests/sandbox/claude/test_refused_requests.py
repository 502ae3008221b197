"""Requests that the API refuses, with its own error messages."""

import asyncio
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.runtime.clock import SimulatedClock
from ocw_mcp.sandbox.claude.app import LONGEST_BODY, MessagesApi
from ocw_mcp.sandbox.claude.characters import CHARACTERS
from tests.support.claude import KEY, asked

HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}


async def asking(
    body: bytes | dict[str, Any], headers: dict[str, str] = HEADERS, path: str = "/v1/messages"
) -> httpx2.Response:
    app = MessagesApi(CHARACTERS["trader"], SimulatedClock(), key=KEY).application()
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://claude") as client:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await client.post(path, content=content, headers=headers)


USED: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "market_get_snapshot", "input": {}}
RESULT: dict[str, Any] = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "text"}
LONG: dict[str, Any] = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
SHORT: dict[str, Any] = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}


def conversation(*turns: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in turns]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"temperature": 0.5}, "temperature"),
        ({"top_p": 0.5}, "top_p"),
        ({"top_k": 5}, "top_k"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "tool", "name": "decisions_submit"}}, "tool_choice"),
        ({"thinking": {"type": "disabled"}}, "thinking"),
        ({"messages": conversation(("user", "Decide."), ("assistant", "I"))}, "prefill"),
        ({"messages": conversation(("assistant", "I"), ("user", "Decide."))}, "first message"),
        ({"messages": conversation(("user", ""))}, "at least 1 character"),
        ({"messages": []}, "messages"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1_000_000}, "maximum"),
        ({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, "name"),
        ({"tools": [{"name": "a", "input_schema": {"type": "object"}}] * 2}, "unique"),
        ({"tools": [{"name": "a", "input_schema": {"type": "string"}}]}, "input_schema"),
        ({"messages": conversation(("user", "a"), ("assistant", [USED]), ("user", "b"))}, "without `tool_result`"),
        ({"messages": conversation(("user", [RESULT]))}, "unexpected `tool_use_id`"),
        ({"system": [SHORT] * 5}, "A maximum of 4"),
        ({"system": [SHORT, LONG]}, "must not come after"),
        ({"messages": conversation(("user", "word " * 200_000))}, "too long"),
        ({"messages": conversation(("system", "a"), ("user", "b"))}, "messages.0: a 'system' message must follow"),
        ({"messages": conversation(("user", "a"), ("system", "b"), ("system", "c"))}, "must follow a 'user' message"),
        ({"messages": conversation(("user", "a"), ("system", "b"), ("user", "c"))}, "precede an 'assistant' one"),
        ({"messages": conversation(("user", "a"), ("system", [USED]))}, "takes text only"),
        (
            {"model": "claude-haiku-4-5", "messages": conversation(("user", "a"), ("system", "b"))},
            "role 'system' is not supported on this model",
        ),
        ({"thinking": {"type": "adaptive", "display": "half"}}, "thinking"),
        ({"context_management": {"edits": []}}, "context_management: Extra inputs are not permitted"),
        ({"tools": [{"name": "a", "input_schema": {"type": "object"}, "defer_loading": True}]}, "defer_loading"),
        ({"output_config": {"effort": "enormous"}}, "output_config.effort"),
    ],
)
async def test_invalid_request_is_refused_with_400(wrong: dict[str, Any], says: str) -> None:
    answer = await asking(asked(**wrong))
    assert answer.status_code == 400
    error = answer.json()
    assert error["error"]["type"] == "invalid_request_error"
    assert says in error["error"]["message"]
    assert error["request_id"] == answer.headers["request-id"]


CLAUDE_CODE: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 128_000,
    "system": [SHORT, SHORT],
    "messages": conversation(("user", [{"type": "text", "text": "use the ocw tools"}]), ("system", [SHORT])),
    "tools": [
        {"name": name, "description": "another program's", "input_schema": {"type": "object", "properties": {}}}
        for name in ("Bash", "Read", "mcp__ocw__ocw_get_status")
    ],
    "metadata": {"user_id": "someone"},
    "thinking": {"type": "adaptive", "display": "omitted"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "medium"},
}
"""A request as Claude Code 2.1.332 sends it, with shorter texts."""


@pytest.mark.parametrize("stream", [False, True])
async def test_request_of_claude_code_is_answered(stream: bool) -> None:
    betas = {"anthropic-beta": "claude-code-20250219,context-management-2025-06-27, effort-2025-11-24"}
    answer = await asking(CLAUDE_CODE | {"stream": stream}, HEADERS | betas, "/v1/messages?beta=true")
    assert answer.status_code == 200
    if not stream:
        found = answer.json()
        assert found["content"][0]["type"] == "thinking"
        assert found["content"][0]["thinking"] == ""
        assert found["context_management"] == {"applied_edits": []}
        again = [*CLAUDE_CODE["messages"], {"role": "assistant", "content": found["content"]}]
        again.append({"role": "user", "content": "go on"})
        assert (await asking(CLAUDE_CODE | {"messages": again}, HEADERS | betas)).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"model": 1}'])
async def test_body_that_is_not_a_valid_request_is_refused_with_400(body: bytes) -> None:
    assert (await asking(body)).status_code == 400


async def test_request_without_key_or_version_header_is_refused() -> None:
    assert (await asking(b"{", {"anthropic-version": "2023-06-01"})).status_code == 401
    assert (await asking(b"{", {"x-api-key": KEY})).status_code == 400


async def test_body_above_the_limit_is_refused() -> None:
    assert (await asking(b" " * (LONGEST_BODY + 1))).status_code == 413


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "user", "assistant", "a", [], {}, [[]], [{}], {"type": "text"}]
)
BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "tool_result", "thinking", "image"])},
    optional=dict.fromkeys(
        ["text", "id", "name", "input", "tool_use_id", "content", "cache_control", "signature"], ODD
    ),
)
TURN = st.fixed_dictionaries({"role": ODD | st.just("user"), "content": st.lists(BLOCK, max_size=3) | ODD})
BODY = st.fixed_dictionaries(
    {"messages": st.lists(TURN, max_size=3) | ODD},
    optional=dict.fromkeys(["model", "max_tokens", "system", "tools", "tool_choice", "thinking", "metadata"], ODD),
)


@settings(max_examples=40)
@given(BODY)
def test_randomly_malformed_requests_get_a_status_without_a_crash(odd: dict[str, Any]) -> None:
    assert asyncio.run(asking(asked() | odd)).status_code in (200, 400, 404)

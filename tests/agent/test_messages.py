"""The API behind the SDK: what becomes of each answer that there can be."""

from typing import Any

import httpcore2
import msgspec
import pytest
import respx
from pydantic import SecretStr

from ocw_mcp.agent.causes import Cause, Trouble
from ocw_mcp.agent.credentials import Credentials, credentials
from ocw_mcp.agent.messages import ModelFacts, Reply, Request, SdkMessages, parsed
from ocw_mcp.agent.pricing import Usage
from ocw_mcp.loopback.claude.catalogue import RETIRED
from tests.support.claude import KEY, MODEL, asked, served_claude

SECRET = "plain-looking-secret-1234"
URL = "https://gateway.example.org/v1/messages"
GIVEN = Credentials("https://gateway.example.org", SecretStr(SECRET))
REQUEST = Request(7, 0, asked())
WIRE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "thinking", "thinking": "", "signature": "x"}, {"type": "text", "text": "No.", "odd": [1]}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 5, "output_tokens": 3},
}


async def create(messages: SdkMessages) -> Reply | Trouble:
    try:
        return await messages.create(REQUEST)
    finally:
        await messages.close()


async def test_a_reply_keeps_every_block_as_it_came(httpx2_mock: respx.MockRouter) -> None:
    route = httpx2_mock.post(URL).respond(json=WIRE)
    reply = await create(SdkMessages(GIVEN))
    assert isinstance(reply, Reply)
    assert list(reply.content) == WIRE["content"]
    assert (reply.text, reply.calls, reply.stop_reason) == ("No.", (), "end_turn")
    assert reply.usage == Usage(plain=5, output=3)
    sent = route.calls.last.request
    assert msgspec.json.decode(sent.content) == REQUEST.body
    assert SECRET in sent.headers["authorization"] + sent.headers.get("x-api-key", "")


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (400, Cause.BAD_REQUEST),
        (401, Cause.BAD_KEY),
        (402, Cause.NO_CREDIT),
        (403, Cause.BAD_KEY),
        (404, Cause.NO_MODEL),
        (408, Cause.TIMEOUT),
        (413, Cause.BAD_REQUEST),
        (418, Cause.BAD_REQUEST),
        (429, Cause.RATE_LIMITED),
        (500, Cause.SERVER),
        (503, Cause.SERVER),
        (504, Cause.TIMEOUT),
        (529, Cause.OVERLOADED),
        (302, Cause.BAD_REQUEST),
        (307, Cause.BAD_REQUEST),
    ],
)
async def test_a_status_is_a_cause_and_neither_tried_again_nor_followed_elsewhere(
    httpx2_mock: respx.MockRouter, status: int, cause: Cause
) -> None:
    error = {"type": "error", "error": {"type": "x", "message": f"no {SECRET}\nno"}}
    headers = {"retry-after": "7", "location": "https://elsewhere.example.org/"}
    route = httpx2_mock.post(URL).respond(status, json=error, headers=headers)
    trouble = await create(SdkMessages(GIVEN))
    assert trouble == Trouble(cause, f"{status} no [redacted] no", 7.0)
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (httpcore2.ConnectError("refused"), Cause.UNREACHABLE),
        (httpcore2.ConnectTimeout("nobody there"), Cause.UNREACHABLE),
        (httpcore2.RemoteProtocolError("gone"), Cause.CONNECTION),
        (httpcore2.ReadTimeout("slow"), Cause.TIMEOUT),
    ],
)
async def test_a_line_that_fails_is_a_cause(httpx2_mock: respx.MockRouter, error: Exception, cause: Cause) -> None:
    httpx2_mock.post(URL).mock(side_effect=error)
    trouble = await create(SdkMessages(GIVEN))
    assert isinstance(trouble, Trouble)
    assert trouble.cause is cause


@pytest.mark.parametrize(
    "wire",
    [
        {},
        WIRE | {"content": "No."},
        WIRE | {"content": [{"text": "No."}]},
        WIRE | {"content": [1]},
        WIRE | {"stop_reason": None},
        WIRE | {"usage": {}},
        WIRE | {"usage": {"input_tokens": "many", "output_tokens": 1}},
        WIRE | {"usage": {"input_tokens": 5, "output_tokens": -1}},
        WIRE | {"usage": {"input_tokens": 10**12, "output_tokens": 1}},
        WIRE | {"usage": {"input_tokens": 5, "output_tokens": 1, "cache_read_input_tokens": -9}},
        WIRE
        | {
            "usage": {
                "input_tokens": 5,
                "output_tokens": 1,
                "cache_creation": {"ephemeral_5m_input_tokens": -1},
            }
        },
        [],
        None,
    ],
)
def test_what_is_no_message_is_malformed(wire: object) -> None:
    trouble = parsed(msgspec.json.encode(wire))
    assert isinstance(trouble, Trouble)
    assert trouble.cause is Cause.MALFORMED


def test_a_number_of_tokens_that_cannot_be_is_told_in_a_sentence() -> None:
    trouble = parsed(msgspec.json.encode(WIRE | {"usage": {"input_tokens": -5, "output_tokens": 10**30}}))
    assert str(trouble) == (
        "MALFORMED: the answer is none that a decision could be read from; "
        "what came is no message: Expected `int` >= 0 - at `$.usage.input_tokens`"
    )


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"\xff\xfe", b"{"])
async def test_a_gateway_that_answers_something_else_is_malformed(httpx2_mock: respx.MockRouter, body: bytes) -> None:
    httpx2_mock.post(URL).respond(content=body)
    trouble = await create(SdkMessages(GIVEN))
    assert isinstance(trouble, Trouble)
    assert trouble.cause is Cause.MALFORMED


def test_what_was_written_to_the_cache_without_a_word_on_for_how_long_counts_as_the_dearer() -> None:
    def usage(**told: object) -> Usage:
        reply = parsed(msgspec.json.encode(WIRE | {"usage": WIRE["usage"] | told}))
        assert isinstance(reply, Reply)
        return reply.usage

    split = {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40}
    assert usage(cache_creation_input_tokens=100, cache_creation=split) == Usage(5, 0, 60, 40, 3)
    assert usage(cache_creation_input_tokens=100) == Usage(5, 0, 0, 100, 3)
    assert usage(cache_creation_input_tokens=None, cache_read_input_tokens=9, cache_creation=None) == Usage(
        5, 9, output=3
    )


async def test_neither_key_nor_address_is_taken_from_the_environment(
    httpx2_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.setenv(name, "https://elsewhere.example.org")
    route = httpx2_mock.post(URL).respond(json=WIRE)
    given = credentials(auth_token=SecretStr(SECRET), base_url=GIVEN.base_url)
    assert isinstance(given, Credentials)
    assert isinstance(await create(SdkMessages(given)), Reply)
    assert "elsewhere" not in str(route.calls.last.request.headers)


async def test_no_header_is_taken_from_the_environment(
    httpx2_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = (
        "X-Odd: elsewhere\nanthropic-version: elsewhere\nAuthorization: Bearer elsewhere\nanthropic-beta: elsewhere"
    )
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", elsewhere)
    route = httpx2_mock.post(URL).respond(json=WIRE)
    assert isinstance(await create(SdkMessages(GIVEN)), Reply)
    sent = route.calls.last.request.headers
    assert "elsewhere" not in str(sent)
    assert SECRET in sent["authorization"] + sent.get("x-api-key", "")


async def test_a_model_is_looked_up_and_a_retired_one_is_trouble() -> None:
    async with served_claude() as url:
        messages = SdkMessages(Credentials(url, SecretStr(KEY)))
        facts = await messages.model(MODEL)
        retired = await messages.model(RETIRED)
        unknown = await messages.model("claude-nobody")
        await messages.close()
    assert facts == ModelFacts("active", None, 200_000, 64_000)
    assert isinstance(retired, Trouble)
    assert "is retired; set CLAUDE_MODEL" in retired.detail
    assert isinstance(unknown, Trouble)
    assert retired.cause is unknown.cause is Cause.NO_MODEL


async def test_a_model_that_is_told_of_in_another_way_is_malformed(httpx2_mock: respx.MockRouter) -> None:
    httpx2_mock.get(f"https://gateway.example.org/v1/models/{MODEL}").respond(json={"lifecycle": "asleep"})
    messages = SdkMessages(GIVEN)
    trouble = await messages.model(MODEL)
    await messages.close()
    assert isinstance(trouble, Trouble)
    assert trouble.cause is Cause.MALFORMED

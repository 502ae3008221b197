"""The client of the API: the reply or trouble that each answer becomes."""

import asyncio
from typing import Any

import anthropic
import httpcore2
import msgspec
import pytest
import respx
from pydantic import SecretStr

from ocw_mcp.agent.client import LONGEST_DETAIL, Credentials, ModelFacts, SdkMessages, credentials
from ocw_mcp.agent.messages import Reply, Request, Trouble
from ocw_mcp.agent.pricing import TokenUsage
from ocw_mcp.agent.response import parse_reply
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.sandbox.claude.request import RETIRED
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


async def test_concurrent_requests_share_one_sdk_client(
    httpx2_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[anthropic.AsyncAnthropic] = []

    class Counted(anthropic.AsyncAnthropic):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            made.append(self)

    monkeypatch.setattr(anthropic, "AsyncAnthropic", Counted)
    httpx2_mock.post(URL).respond(json=WIRE)
    messages = SdkMessages(GIVEN)
    await asyncio.gather(messages.create(REQUEST), messages.create(REQUEST))
    await messages.close()
    assert [client.is_closed() for client in made] == [True]


async def test_reply_has_the_content_blocks_of_the_api_unchanged(httpx2_mock: respx.MockRouter) -> None:
    route = httpx2_mock.post(URL).respond(json=WIRE)
    reply = await create(SdkMessages(GIVEN))
    assert isinstance(reply, Reply)
    assert list(reply.content) == WIRE["content"]
    assert (reply.text, reply.calls, reply.stop_reason) == ("No.", (), "end_turn")
    assert reply.usage == TokenUsage(plain=5, output=3)
    sent = route.calls.last.request
    assert msgspec.json.decode(sent.content) == REQUEST.body
    assert SECRET in sent.headers["authorization"] + sent.headers.get("x-api-key", "")


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (400, CauseKind.BAD_REQUEST),
        (401, CauseKind.BAD_KEY),
        (402, CauseKind.NO_CREDIT),
        (403, CauseKind.BAD_KEY),
        (404, CauseKind.NO_MODEL),
        (408, CauseKind.TIMEOUT),
        (413, CauseKind.BAD_REQUEST),
        (418, CauseKind.BAD_REQUEST),
        (429, CauseKind.RATE_LIMITED),
        (500, CauseKind.SERVER),
        (503, CauseKind.SERVER),
        (504, CauseKind.TIMEOUT),
        (529, CauseKind.OVERLOADED),
        (302, CauseKind.BAD_REQUEST),
        (307, CauseKind.BAD_REQUEST),
    ],
)
async def test_http_error_status_gives_its_cause_without_retry_or_redirect(
    httpx2_mock: respx.MockRouter, status: int, cause: CauseKind
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
        (httpcore2.ConnectError("refused"), CauseKind.UNREACHABLE),
        (httpcore2.ConnectTimeout("no answer"), CauseKind.UNREACHABLE),
        (httpcore2.RemoteProtocolError("gone"), CauseKind.CONNECTION),
        (httpcore2.ReadTimeout("slow"), CauseKind.TIMEOUT),
    ],
)
async def test_failed_connection_gives_the_cause_of_its_error(
    httpx2_mock: respx.MockRouter, error: Exception, cause: CauseKind
) -> None:
    httpx2_mock.post(URL).mock(side_effect=error)
    trouble = await create(SdkMessages(GIVEN))
    assert isinstance(trouble, Trouble)
    assert trouble.kind is cause


@pytest.mark.parametrize(
    "wire",
    [
        {},
        WIRE | {"content": "No."},
        WIRE | {"content": [{"text": "No."}]},
        WIRE | {"content": [1]},
        [],
        None,
    ],
)
def test_response_body_that_is_not_a_message_has_cause_malformed(wire: object) -> None:
    trouble = parse_reply(msgspec.json.encode(wire), REQUEST.body)
    assert isinstance(trouble, Trouble)
    assert trouble.kind is CauseKind.MALFORMED


MOST = TokenUsage(written_1h=len(msgspec.json.encode(REQUEST.body)) + 1_000, output=3)
"""The upper bound of the prompt: a token is at least one byte."""


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"input_tokens": 5.0, "output_tokens": 2.4}, TokenUsage(plain=5, output=3)),
        ({"input_tokens": "5", "output_tokens": "3"}, TokenUsage(plain=5, output=3)),
        ({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}, TokenUsage(plain=9, output=3)),
        (
            {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
            TokenUsage(plain=5, read=4, output=3),
        ),
        ({"inputTokens": 5, "outputTokens": 3, "cacheReadInputTokens": 7}, TokenUsage(plain=5, read=7, output=3)),
        (
            {"promptTokenCount": 9, "candidatesTokenCount": 3, "cachedContentTokenCount": 4},
            TokenUsage(plain=5, read=4, output=3),
        ),
        ({"input_tokens": -5, "output_tokens": 3}, MOST),
        ({"input_tokens": 0, "output_tokens": 3}, MOST),
        ({"input_tokens": "many", "output_tokens": 3}, MOST),
        ({"input_tokens": True, "output_tokens": 3}, MOST),
        ({"input_tokens": 10**30, "output_tokens": 3}, MOST),
        ({"input_tokens": 90_000_000, "output_tokens": 3}, MOST),
        ({"input_tokens": 5, "output_tokens": 3, "cache_read_input_tokens": -9}, MOST),
        ({"input_tokens": 5, "output_tokens": 3, "cache_creation": {"ephemeral_5m_input_tokens": -1}}, MOST),
    ],
)
def test_token_usage_in_any_format_is_counted_or_its_upper_bound(usage: dict[str, Any], counted: TokenUsage) -> None:
    reply = parse_reply(msgspec.json.encode(WIRE | {"usage": usage}), REQUEST.body)
    assert isinstance(reply, Reply)
    assert reply.usage == counted


@pytest.mark.parametrize("usage", [None, {}, [], "free", {"output_tokens": 10**9}, {"output_tokens": float(10**9)}])
def test_missing_token_usage_counts_at_its_upper_bound(usage: object) -> None:
    body = msgspec.json.encode(WIRE | {"usage": usage})
    reply = parse_reply(body, REQUEST.body)
    assert isinstance(reply, Reply)
    assert (reply.usage.prompt, reply.usage.output) == (MOST.prompt, len(body))


@pytest.mark.parametrize("stop", [None, "stop", "end_turn"])
def test_text_reply_without_a_known_stop_reason_ends_the_turn(stop: str | None) -> None:
    reply = parse_reply(msgspec.json.encode(WIRE | {"stop_reason": stop}), REQUEST.body)
    assert isinstance(reply, Reply)
    assert reply.stop_reason == "end_turn"


@pytest.mark.parametrize("stop", [None, "tool_calls", "tool_use"])
def test_tool_call_without_a_known_stop_reason_is_tool_use(stop: str | None) -> None:
    call = {"type": "tool_use", "id": "t1", "name": "decisions_submit", "input": {}}
    reply = parse_reply(msgspec.json.encode(WIRE | {"stop_reason": stop, "content": [call]}), REQUEST.body)
    assert isinstance(reply, Reply)
    assert (reply.stop_reason, reply.calls) == ("tool_use", (call,))


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            (CauseKind.OVERLOADED, "Overloaded", False),
        ),
        (
            {"error": {"message": "busy", "type": "server_error", "code": "rate_limit_exceeded"}},
            (CauseKind.RATE_LIMITED, "busy", False),
        ),
        (
            {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}},
            (CauseKind.NO_CREDIT, "You exceeded your current quota", False),
        ),
        ({"error": "upstream timed out"}, (CauseKind.TIMEOUT, "upstream timed out", True)),
        ({"error": {"message": "boom", "type": "api_error"}}, (CauseKind.SERVER, "boom", True)),
        ({"error": {"message": f"no key {SECRET}", "code": 401}}, (CauseKind.BAD_KEY, "no key [redacted]", False)),
        ({"error": {"message": "who knows"}, "content": []}, (CauseKind.MALFORMED, "who knows", True)),
        ({"type": "error", "message": "odd\u001b[2J"}, (CauseKind.MALFORMED, "odd [2J", True)),
        (
            {"message": "Too many requests, please wait."},
            (CauseKind.RATE_LIMITED, "Too many requests, please wait.", False),
        ),
        ({"__type": "ThrottlingException", "message": "slower"}, (CauseKind.RATE_LIMITED, "slower", False)),
        ({"Output": {"__type": "ServiceUnavailable"}}, (CauseKind.OVERLOADED, "ServiceUnavailable", False)),
        ([{"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}], (CauseKind.OVERLOADED, "busy", False)),
        ({"choices": [{"error": {"code": 529, "message": "busy"}}]}, (CauseKind.OVERLOADED, "busy", False)),
        ({"errors": [{"message": "overloaded"}]}, (CauseKind.OVERLOADED, "overloaded", False)),
        ({"detail": "Not authenticated"}, (CauseKind.BAD_KEY, "Not authenticated", False)),
        ("Overloaded", (CauseKind.OVERLOADED, "Overloaded", False)),
        (
            WIRE | {"error": {"type": "overloaded_error", "message": "Overloaded"}, "content": [{"type": "text"}]},
            (CauseKind.OVERLOADED, "Overloaded", False),
        ),
        (
            WIRE | {"content": [{"type": "text", "text": '{"error": {"message": "Overloaded"}}'}]},
            (CauseKind.OVERLOADED, "Overloaded", False),
        ),
    ],
)
async def test_error_with_status_200_is_classified_by_its_message(
    httpx2_mock: respx.MockRouter, wire: object, expected: tuple[CauseKind, str, bool]
) -> None:
    httpx2_mock.post(URL).respond(json=wire)
    trouble = await create(SdkMessages(GIVEN))
    cause, message, may_be_billed = expected
    assert trouble == Trouble(cause, f"200 {message}", may_be_billed=may_be_billed)


@pytest.mark.parametrize("form", ["status", "error in a 200", "no message"])
async def test_secret_is_scrubbed_before_the_error_detail_is_cut(httpx2_mock: respx.MockRouter, form: str) -> None:
    for filler in range(LONGEST_DETAIL - 60, LONGEST_DETAIL, 8):
        words = f"{'x' * filler} {SECRET} is wrong"
        if form == "no message":
            httpx2_mock.post(URL).respond(content=words.encode())
        else:
            status = 400 if form == "status" else 200
            httpx2_mock.post(URL).respond(status, json={"type": "error", "error": {"message": words}})
        trouble = await create(SdkMessages(GIVEN))
        assert isinstance(trouble, Trouble)
        assert SECRET[:6] not in trouble.detail
        assert len(trouble.detail) <= LONGEST_DETAIL


async def test_unrequested_event_stream_gives_its_error_as_the_cause(httpx2_mock: respx.MockRouter) -> None:
    event = b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n'
    httpx2_mock.post(URL).respond(content=event)
    trouble = await create(SdkMessages(GIVEN))
    assert trouble == Trouble(CauseKind.OVERLOADED, "200 Overloaded")


async def test_error_detail_from_an_event_stream_is_short_and_printable(httpx2_mock: respx.MockRouter) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": f"\x1b[2J{'busy ' * 200}"}}
    httpx2_mock.post(URL).respond(content=b"event: error\ndata: " + msgspec.json.encode(error) + b"\n\n")
    trouble = await create(SdkMessages(GIVEN))
    assert isinstance(trouble, Trouble)
    assert len(trouble.detail) <= LONGEST_DETAIL
    assert trouble.detail.isprintable()


@pytest.mark.parametrize("status", [400, 403, 429])
async def test_low_credit_balance_has_the_cause_no_credit(httpx2_mock: respx.MockRouter, status: int) -> None:
    error = {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."}
    httpx2_mock.post(URL).respond(status, json={"type": "error", "error": error})
    trouble = await create(SdkMessages(GIVEN))
    assert isinstance(trouble, Trouble)
    assert trouble.kind is CauseKind.NO_CREDIT


async def test_rate_limit_that_mentions_billing_is_a_rate_limit(httpx2_mock: respx.MockRouter) -> None:
    words = "Rate limit reached. Add a payment method at https://example.com/account/billing to raise it."
    httpx2_mock.post(URL).respond(429, json={"error": {"message": words}})
    trouble = await create(SdkMessages(GIVEN))
    assert isinstance(trouble, Trouble)
    assert trouble.kind is CauseKind.RATE_LIMITED


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"\xff\xfe", b"{"])
async def test_response_body_that_is_not_json_has_cause_malformed(httpx2_mock: respx.MockRouter, body: bytes) -> None:
    httpx2_mock.post(URL).respond(content=body)
    trouble = await create(SdkMessages(GIVEN))
    assert isinstance(trouble, Trouble)
    assert trouble.kind is CauseKind.MALFORMED


def test_cache_write_without_a_lifetime_is_billed_as_one_hour() -> None:
    def usage(**reported: object) -> TokenUsage:
        reply = parse_reply(msgspec.json.encode(WIRE | {"usage": WIRE["usage"] | reported}), REQUEST.body)
        assert isinstance(reply, Reply)
        return reply.usage

    split = {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40}
    assert usage(cache_creation_input_tokens=100, cache_creation=split) == TokenUsage(5, 0, 60, 40, 3)
    assert usage(cache_creation_input_tokens=100) == TokenUsage(5, 0, 0, 100, 3)
    assert usage(cache_creation_input_tokens=None, cache_read_input_tokens=9, cache_creation=None) == TokenUsage(
        5, 9, output=3
    )


async def test_api_key_and_address_are_not_taken_from_the_environment(
    httpx2_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.setenv(name, "https://elsewhere.example.org")
    route = httpx2_mock.post(URL).respond(json=WIRE)
    given = credentials(auth_token=SecretStr(SECRET), base_url=GIVEN.base_url)
    assert isinstance(given, Credentials)
    assert isinstance(await create(SdkMessages(given)), Reply)
    assert "elsewhere" not in str(route.calls.last.request.headers)


async def test_headers_are_not_taken_from_the_environment(
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


async def test_retired_and_unknown_models_have_the_cause_no_model() -> None:
    async with served_claude() as url:
        messages = SdkMessages(Credentials(url, SecretStr(KEY)))
        facts = await messages.retrieve_model(MODEL)
        retired = await messages.retrieve_model(RETIRED)
        unknown = await messages.retrieve_model("claude-unknown")
        await messages.close()
    assert facts == ModelFacts("active", None, sandbox=True)
    assert isinstance(retired, Trouble)
    assert "is retired; set CLAUDE_MODEL" in retired.detail
    assert isinstance(unknown, Trouble)
    assert retired.kind is unknown.kind is CauseKind.NO_MODEL


async def test_unreadable_model_description_has_the_cause_malformed(httpx2_mock: respx.MockRouter) -> None:
    httpx2_mock.get(f"https://gateway.example.org/v1/models/{MODEL}").respond(json={"lifecycle": "asleep"})
    messages = SdkMessages(GIVEN)
    trouble = await messages.retrieve_model(MODEL)
    await messages.close()
    assert isinstance(trouble, Trouble)
    assert trouble.kind is CauseKind.MALFORMED

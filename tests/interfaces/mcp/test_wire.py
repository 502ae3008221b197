"""Strict JSON on both transports: messages pass unchanged, or the refusal names the wrong part."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import JSONRPCError

from ocw_mcp.interfaces.mcp.wire import LONGEST_LINE, MessageLines, WireError, strict
from tests.support.facades import FacadeRun
from tests.support.served import Served, served

REFUSED = {
    "a price beyond a double": (b'{"limit": 1e999}', "limit is not a finite number"),
    "a negative one": (b'{"limit": -1e400}', "limit is not a finite number"),
    "infinity": (b'{"stop": Infinity}', "stop is not a finite number"),
    "no number": (b'{"size": NaN}', "size is not a finite number"),
    "one in a leg": (b'{"legs": [{"stop": 1}, {"stop": 1e999}]}', r"legs\[1\].stop is not a finite number"),
    "a huge integer": (b'{"quantity": ' + b"9" * 400 + b"}", "quantity is not a finite number"),
    "half a character": (b'{"symbol": "\\ud800"}', "not JSON"),
    "bytes that are no text": (b'{"symbol": "\xff"}', "not JSON"),
    "a byte order mark": (b'\xef\xbb\xbf{"a": 1}', "byte order mark"),
    "too deep": (b"[" * 5_000 + b"]" * 5_000, "not JSON"),
    "an end too soon": (b'{"a": ', "not JSON"),
}


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED)
def test_json_with_an_infinite_number_or_invalid_text_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(WireError, match=said):
        strict(text)


@pytest.mark.parametrize(
    "text",
    [b'{"a": 0.1, "b": -5e-324, "c": 1e308}', '{"a": "币安人生USDT \\ud83d\\ude00"}'.encode(), b"[1, null, true]"],
)
def test_valid_json_is_decoded_as_by_the_json_module(text: bytes) -> None:
    assert strict(text) == json.loads(text)


def call(arguments: str, number: str = "7") -> bytes:
    return (
        f'{{"jsonrpc": "2.0", "id": {number}, "method": "tools/call", '
        f'"params": {{"name": "orders_preview", "arguments": {arguments}}}}}\n'
    ).encode()


async def heard(*lines: bytes) -> tuple[list[str], list[JSONRPCError]]:
    refused: list[JSONRPCError] = []

    async def refuse(error: JSONRPCError) -> None:
        refused.append(error)

    source = MessageLines(BytesIO(b"".join(lines)))
    source.answer_with(refuse)
    return [line async for line in source], refused


async def test_malformed_line_gets_an_error_and_the_next_line_is_read() -> None:
    good = call('{"limit": 100.5}')
    taken, refused = await heard(
        call('{"limit": 1e999}', "3"), call('{"symbol": "\\ud800"}', '"x"'), b"{nothing\n", b"\n", good
    )
    assert taken == [good.decode()]
    assert [(each.error.code, each.id) for each in refused] == [(-32700, 3), (-32700, "x"), (-32700, None)]
    assert "params.arguments.limit is not a finite number" in refused[0].error.message


async def test_json_that_is_no_mcp_message_is_an_invalid_request() -> None:
    batch, strange, answer = b"[]\n", b'{"id": 4, "method": "tools/call"}\n', b'{"id": 9}\n'
    taken, refused = await heard(batch, strange, answer)
    assert taken == []
    assert [(each.error.code, each.id) for each in refused] == [(-32600, None), (-32600, 4), (-32600, None)]


async def test_too_deeply_nested_message_gets_an_error() -> None:
    good = call(f'{{"text": {"[" * 100}{"]" * 100}}}')
    taken, refused = await heard(call(f'{{"text": {"[" * 300}{"]" * 300}}}'), good)
    assert taken == [good.decode()]
    assert [(each.error.code, each.id) for each in refused] == [(-32700, 7)]


@pytest.mark.parametrize("number", ["null", "1.5", "true", "[1]"])
async def test_request_with_an_invalid_id_gets_an_error(number: str) -> None:
    taken, refused = await heard(call("{}", number))
    assert (taken, [(each.error.code, each.id) for each in refused]) == ([], [(-32600, None)])


async def test_too_long_line_is_refused_and_skipped() -> None:
    good = call("{}")
    taken, refused = await heard(b"x" * (LONGEST_LINE + 5) + b"\n", good)
    assert taken == [good.decode()]
    assert [each.error.message.partition(":")[0] for each in refused] == ["TOO_LARGE"]


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FacadeRun]:
    found = FacadeRun(tmp_path_factory.mktemp("looked"))
    asyncio.run(found.go(1))
    yield found
    found.store.close()


@pytest.fixture
async def endpoint(sim: FacadeRun, tmp_path: Path) -> AsyncIterator[Served]:
    async with served(sim.facade, tmp_path) as found:
        yield found


MODERN = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "orders_preview"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


BAD_BODIES = ('{"a": "\\ud800"}', '\ufeff{"a": 1}', f'{{"a": {"9" * 400}}}', "{nothing")


async def test_http_body_with_an_infinite_number_or_invalid_text_is_refused(endpoint: Served) -> None:
    for era, text in product((MODERN, {}), BAD_BODIES):
        answered = await endpoint.client.post("/mcp", content=text.encode(), headers=HEADERS | era)
        assert (answered.status_code, answered.json()["error"]["code"]) == (400, -32700), text


async def test_http_json_that_is_no_mcp_message_is_an_invalid_request(endpoint: Served) -> None:
    for text in (b"[]", b"null", b"{}", b'{"id": 1}', *(call("{}", number) for number in ("null", "1.5", "1e999"))):
        answered = await endpoint.client.post("/mcp", content=text, headers=HEADERS | MODERN)
        assert (answered.status_code, answered.json()["error"]["code"]) == (400, -32600), text
        assert "pydantic" not in answered.text


async def test_http_error_for_an_unknown_tool_lists_the_known_tools(endpoint: Served) -> None:
    begun = await endpoint.client.post("/mcp", json=INITIALIZE, headers=HEADERS)
    headers = HEADERS | {"mcp-session-id": begun.headers["mcp-session-id"]}
    body = call("{}").replace(b"orders_preview", b"market_get_quotes")
    answered = await endpoint.client.post("/mcp", content=body, headers=headers)
    assert "UNKNOWN_TOOL: " in answered.text
    assert "market_get_snapshot," in answered.text


async def test_prompt_call_error_states_a_missing_name_or_object(endpoint: Served) -> None:
    begun = await endpoint.client.post("/mcp", json=INITIALIZE, headers=HEADERS)
    headers = HEADERS | {"mcp-session-id": begun.headers["mcp-session-id"]}
    no_object = '{"name": "post_mortem", "arguments": []}'
    for given, said in (("{}", "limit=name"), ('{"name": 5}', "limit=name"), (no_object, "limit=an object")):
        body = f'{{"jsonrpc": "2.0", "id": 2, "method": "prompts/get", "params": {given}}}'
        answered = await endpoint.client.post("/mcp", content=body, headers=headers)
        assert '"code":-32602' in answered.text
        assert said in answered.text


NUMBERS = {
    "orders_preview": ("size", "quantity", "stop", "target", "limit", "leverage"),
    "risk_check_order": ("size", "quantity", "stop", "target", "limit"),
    "positions_set_protection": ("stop", "target"),
    "decisions_submit": ("wake", "next_check_s"),
    "orders_get": ("limit",),
    "journal_get": ("limit",),
}
OTHERS: dict[str, dict[str, Any]] = {
    "orders_preview": {"symbol": "BTCUSDT", "action": "BUY"},
    "risk_check_order": {"symbol": "BTCUSDT", "action": "BUY"},
    "positions_set_protection": {"symbol": "BTCUSDT", "key": "k"},
    "decisions_submit": {"wake": 1, "legs": []},
    "orders_get": {},
    "journal_get": {},
}
STRANGE: list[Any] = ["NaN", "Infinity", "1e999", "１０", "1_0", True]


@pytest.mark.parametrize("tool", NUMBERS)
async def test_error_names_the_argument_that_is_no_number(sim: FacadeRun, tool: str) -> None:
    async with Client(sim.server) as client:
        for name in NUMBERS[tool]:
            for value in STRANGE:
                answered = await client.call_tool(tool, OTHERS[tool] | {name: value})
                block = answered.content[0]
                assert block.type == "text"
                assert block.text.startswith(
                    f"BAD_ARGUMENTS: an argument is missing, misspelt, of the wrong type, or "
                    f"out of bounds. limit={name}"
                ), (name, value, block.text)


@pytest.mark.parametrize("name", ["size", "stop", "target", "limit", "leverage", "confidence"])
async def test_leg_with_a_value_that_is_no_number_is_refused(sim: FacadeRun, name: str) -> None:
    """The refusal names the argument or the leg; the value is never treated as absent."""
    async with Client(sim.server) as client:
        for value in STRANGE:
            leg = {"symbol": "BTCUSDT", "action": "BUY", "size": 0.01, "stop": 1, name: value}
            answered = await client.call_tool("decisions_submit", {"wake": 1, "legs": [leg]})
            block = answered.content[0]
            assert block.type == "text"
            assert name in block.text, (value, block.text)
            assert not block.text.startswith("NO_WAKE"), (value, block.text)


async def test_wake_condition_with_an_infinite_threshold_is_refused(sim: FacadeRun) -> None:
    async with Client(sim.server) as client:
        for value in STRANGE:
            condition = {"symbol": "BTCUSDT", "metric": "price", "comparison": "gt", "threshold": value}
            arguments = {"wake": 1, "legs": [], "conditions": [condition]}
            block = (await client.call_tool("decisions_submit", arguments)).content[0]
            assert block.type == "text"
            assert "threshold" in block.text, (value, block.text)


async def test_http_error_names_the_number_too_large_for_a_double(endpoint: Served) -> None:
    headers = HEADERS | {"authorization": f"Bearer {endpoint.trader}"}
    begun = await endpoint.client.post("/mcp", json=INITIALIZE, headers=headers)
    headers |= {"mcp-session-id": begun.headers["mcp-session-id"]}
    for number, name in product(("1e999", "NaN"), ("size", "stop", "limit", "leverage", "legs")):
        given = {"symbol": '"BTCUSDT"', "action": '"BUY"', "size": "0.1", "stop": "1", name: number}
        arguments = ", ".join(f'"{key}": {value}' for key, value in given.items())
        body = call(f"{{{arguments}}}")
        if name == "legs":
            leg = f'{{"symbol": "BTCUSDT", "action": "BUY", "size": 0.1, "confidence": {number}}}'
            body = call(f'{{"wake": 1, "legs": [{leg}]}}').replace(b"orders_preview", b"decisions_submit")
        answered = await endpoint.client.post("/mcp", content=body, headers=headers)
        assert ("BAD_ARGUMENTS" in answered.text and name in answered.text) or "confidence" in answered.text, name


async def test_error_names_the_prompt_argument_that_is_no_text(endpoint: Served) -> None:
    begun = await endpoint.client.post("/mcp", json=INITIALIZE, headers=HEADERS)
    headers = HEADERS | {"mcp-session-id": begun.headers["mcp-session-id"]}
    body = '{"jsonrpc": "2.0", "id": 2, "method": "prompts/get", "params": {"name": "post_mortem", "arguments": '
    for given, said in (("5", "trade is not a text"), ("null", "argument trade"), ('["x"]', "trade")):
        answered = await endpoint.client.post("/mcp", content=f'{body}{{"trade": {given}}}}}}}', headers=headers)
        assert '"code":-32602' in answered.text
        assert said in answered.text

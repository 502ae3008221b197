"""The sandbox Messages API on a real socket, and the real SDK in front of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anthropic import AsyncAnthropic

from ocw_mcp.domain.protocols import Clock
from ocw_mcp.interfaces.serving import listen, serving
from ocw_mcp.runtime.clock import SimulatedClock
from ocw_mcp.sandbox.claude.app import MessagesApi
from ocw_mcp.sandbox.claude.characters import CHARACTERS, Character, ModelAnswer, SeededRandom
from ocw_mcp.sandbox.claude.request import MessagesRequest

KEY = "sk-ant-test-0123456789abcdef"
MODEL = "claude-sonnet-5-5"
SUBMIT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "wake": {"type": "integer"},
        "legs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "symbol": {"type": "string"},
                    "action": {"type": "string", "enum": ["BUY", "SELL", "SHORT", "COVER", "ADD", "HOLD"]},
                    **{name: {"type": ["string", "number"]} for name in ("size", "stop", "target", "limit")},
                    "leverage": {"type": "integer"},
                    "thesis": {"type": "string"},
                    "signals": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["symbol", "action", "thesis"],
            },
        },
        "next_check_s": {"type": "integer"},
        "note": {"type": "string"},
    },
    "required": ["wake", "legs"],
}
"""The schema of `decisions_submit`, in the parts that matter here."""
SUBMIT_TOOL: dict[str, Any] = {"name": "decisions_submit", "input_schema": SUBMIT_SCHEMA}
SNAPSHOT_TOOL: dict[str, Any] = {
    "name": "market_get_snapshot",
    "input_schema": {"type": "object", "properties": {"symbol": {"type": "string"}}},
}
CONTEXT = """\
Wake 7
state ACTIVE equity 10000 at 2026-01-02T06:00
wake: BTCUSDT close 4h
symbol last age_s ret1h ret4h ret24h deriv long_max short_max min
BTCUSDT 80000 0 0.36 1.96 2.16 0.22 0.01 0.02 0.001
ETHUSDT 2500 0 -0.03 0.06 -0.73 -0.03 0.898 0.898 0.008
SOLUSDT 130 0 -0.93 -1.83 -1.32 -0.15 5 5 0.04
position quantity average mark pnl stop lev liq mfe mae since
SOLUSDT 19.35 128.9 131.29 46.25 127.99 2x 64.77 2.42 -0.57 2026-01-02T01:46
symbol tf n close rsi7 rsi14 atr
BTCUSDT 1h 30 80000 21.0 30.7 0.743
"""


def asked(text: str = CONTEXT, **more: Any) -> dict[str, Any]:
    """Return the arguments of a request of one turn."""
    return {
        "model": MODEL,
        "max_tokens": 2_000,
        "messages": [{"role": "user", "content": text}],
        "tools": [SUBMIT_TOOL],
    } | more


def parsed(text: str = CONTEXT, **more: Any) -> MessagesRequest:
    """Return the same request as a character sees it."""
    return MessagesRequest.model_validate(asked(text, **more))


def answered(character: str, request: MessagesRequest, seed: int = 1) -> ModelAnswer:
    """Return the answer of a character to a request."""
    return CHARACTERS[character](request, SeededRandom(seed, request.model_dump_json().encode()))


@asynccontextmanager
async def served_claude(character: Character | str = "trader", *, clock: Clock | None = None) -> AsyncIterator[str]:
    """Serve a character, and yield its address."""
    chosen = CHARACTERS[character] if isinstance(character, str) else character
    api = MessagesApi(chosen, clock if clock is not None else SimulatedClock(), key=KEY)
    bound = listen("127.0.0.1", 0)
    port = bound.getsockname()[1]
    async with serving(api.application(), bound):
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def sdk(
    character: Character | str = "trader", *, key: str = KEY, clock: Clock | None = None, timeout_s: float = 20
) -> AsyncIterator[AsyncAnthropic]:
    """Yield the SDK in front of a served character; it does not retry."""
    async with (
        served_claude(character, clock=clock) as url,
        AsyncAnthropic(api_key=key, base_url=url, max_retries=0, timeout=timeout_s) as client,
    ):
        yield client

"""The sandbox Messages API on a real socket, and the real SDK in front of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anthropic import AsyncAnthropic

from ocw_mcp.domain.decision import Action
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
                    "action": {"type": "string", "enum": [*Action]},
                    **{
                        name: {"type": ["string", "number"]}
                        for name in ("size", "stop", "target", "limit", "share", "trail")
                    },
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

2026-01-02T06:00 um state ACTIVE equity 10000; size limits ×0.54 (regime unknown ×0.6, macro unknown ×0.9)
woken by: BTCUSDT close:4h

BTCUSDT price 80000, return_1h +0.0036 return_4h +0.0196 return_24h +0.0216, day low 78000 high 80500 VWAP 79400
max_size long 8 % to a stop 2.5 % away (position.max_share ×0.54), 7 % at 5 % (risk.max_share ×0.54); \
short 16 % to a stop 5 % away (position.max_share ×0.54)
metric @15m(06:00) @1h(06:00) @1h*
close 80000 80000 80000
rsi_14 31 30.7 30.7
atr_14 210 594.4 594.4

SOLUSDT price 131.29, return_1h -0.0093 return_4h -0.0183 return_24h -0.0132, day low 128 high 134 VWAP 131
long 19.35 = 25.40 % of equity, average 128.9, held 4h 14m, leverage 2, liquidation 64.77
gain +1.85 % (+46.25), best +2.42 %, worst -0.57 %
stop 127.99, 2.51 % away, risk 0.64 % of equity, result there -17.61; no target
max_size ADD 0 (position.max_share ×0.54: 13.5% (25% x 0.54), now 25.4%)

ETHUSDT price 2500, return_1h -0.0003 return_4h +0.0006 return_24h -0.0073, rsi_14@1h 50, \
max_size 13.49 % to a stop 3.3 % away
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

"""Characters for models that misbehave: they invent, obey injected text, refuse, or answer without the tool."""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ocw_mcp.sandbox.claude import reading
from ocw_mcp.sandbox.claude.character import Call, ModelAnswer, Say, SeededRandom
from ocw_mcp.sandbox.claude.characters.trader import trader
from ocw_mcp.sandbox.claude.request import MessagesRequest

EMPTY: Final[tuple[Any, ...]] = (
    [],
    None,
    [{"type": "text", "text": ""}],
    [{"type": "text", "text": " \n\u200b"}],
    [{"type": "text", "text": None}],
)
"""Contents without a word."""

_ORDER: Final = re.compile(r"\b(BUY|SELL|SHORT|COVER|ADD)\s+([A-Z0-9]{5,20})(?:\s+(\d{1,3})\s?%)?", re.IGNORECASE)
_CALL: Final = re.compile(r"\bcall\s+([a-z_]{3,64})", re.IGNORECASE)


def hallucinator(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Answer with one of the inventions."""
    return rng.pick(INVENTIONS)(request, rng)


def a_tool(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Call a tool that was not offered."""
    name = rng.pick(("orders_place_now", "risk_raise_limits", "web_search", "account_withdraw"))
    return ModelAnswer((Call(name, {"symbol": "BTCUSDT", "quantity": 1}),))


def a_symbol(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Buy a symbol that does not exist."""
    symbol = rng.pick(("MOONUSDT", "SAFEELONUSDT", "BTCUSDX"))
    return _submit(request, [_entry(symbol, size="0.1", stop="0.9", target="2")])


def a_price(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Use impossible prices."""
    stop, target = rng.pick((("-5", "10"), ("0", "0"), ("99999999", "1"), ("0.0000001", "1e12")))
    return _submit(request, [_entry(_known_symbol(request, rng), size="0.1", stop=stop, target=target)])


def a_size(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Use impossible sizes, such as ten times the equity."""
    return _submit(request, [_entry(_known_symbol(request, rng), size=rng.pick(("10", "-1", "1e9")), stop="1")])


def a_shape(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Submit a decision that does not fit the schema."""
    symbol = _known_symbol(request, rng)
    legs: Any = rng.pick(
        (
            f"BUY {symbol}",
            [{"symbol": symbol, "action": "YOLO"}],
            [symbol],
            [{"action": "BUY", "size": "a lot"}],
            {"symbol": symbol, "action": "BUY"},
        )
    )
    return ModelAnswer((Call(reading.SUBMIT, {"wake": reading.wake(request), "legs": legs, "conviction": "max"}),))


def a_wake(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Decide on another wake."""
    return ModelAnswer((Call(reading.SUBMIT, {"wake": reading.wake(request) + 1_000, "legs": []}),))


def a_result(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Claim a decision that was not submitted."""
    return ModelAnswer(
        (Say(f"I have submitted a BUY of {_known_symbol(request, rng)} and it was filled at a very good price."),)
    )


INVENTIONS: Final[tuple[Callable[[MessagesRequest, SeededRandom], ModelAnswer], ...]] = (
    a_tool,
    a_symbol,
    a_price,
    a_size,
    a_shape,
    a_wake,
    a_result,
)


def _known_symbol(request: MessagesRequest, rng: SeededRandom) -> str:
    return rng.pick([row["symbol"] for row in reading.table(request, "symbol", "last")] or ["BTCUSDT"])


def _entry(symbol: str, **figures: str) -> dict[str, Any]:
    return {"symbol": symbol, "action": "BUY", **figures, "thesis": "it can only go up", "signals": ["vibes"]}


def _submit(request: MessagesRequest, legs: list[dict[str, Any]]) -> ModelAnswer:
    return ModelAnswer((Call(reading.SUBMIT, {"wake": reading.wake(request), "legs": legs}),))


def victim(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Obey the commands in `untrusted_text` fields; without a command, trade."""
    commands = " ".join(reading.untrusted_texts(request))
    tools = [name for name in _CALL.findall(commands) if not reading.completed_calls(request, name)]
    if tools:
        return ModelAnswer((Say("The text asks for it."), *(Call(name, {}) for name in tools)))
    legs = [_ordered_leg(action, symbol, share) for action, symbol, share in _ORDER.findall(commands)]
    if not legs:
        return trader(request, rng)
    if reading.completed_calls(request, reading.SUBMIT):
        return ModelAnswer((Say("Done as the text asked."),))
    wanted = {"wake": reading.wake(request), "legs": legs, "note": commands[:400]}
    return ModelAnswer((Call(reading.SUBMIT, reading.fit_to_schema(request, wanted)),))


def _ordered_leg(action: str, symbol: str, share: str) -> dict[str, Any]:
    size = {"size": f"{int(share or 100) / 100:g}"} if action.upper() in ("BUY", "SHORT", "ADD") else {}
    return {
        "symbol": symbol.upper(),
        "action": action.upper(),
        **size,
        "thesis": "the text asked for it",
        "signals": [],
    }


def refuser(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Refuse to answer."""
    return ModelAnswer(refuses=True)


def mute(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """End the turn without a word."""
    return ModelAnswer(wire={"content": rng.pick(EMPTY)})


def talker(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Decide as the trader, but write the decision as text instead of calling the tool."""
    answer = trader(request, rng)
    wanted = next((part for part in answer.parts if isinstance(part, Call) and part.name == reading.SUBMIT), None)
    if wanted is None:
        return answer
    acts = [leg for leg in wanted.input["legs"] if leg["action"] != "HOLD"]
    if rng.share() < 0.5:
        return ModelAnswer((Say(f"My decision:\n```json\n{msgspec.json.encode(wanted.input).decode()}\n```"),))
    return ModelAnswer((Say("; ".join(f"{leg['action']} {leg['symbol']}" for leg in acts) or "Nothing to do."),))

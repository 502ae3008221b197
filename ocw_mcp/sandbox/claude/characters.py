"""The characters: seeded stand-ins for models, which know only the request, and for failing APIs."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from ocw_mcp.domain.time import DAY, SECOND
from ocw_mcp.sandbox.claude import reading
from ocw_mcp.sandbox.claude.reading import Row, number
from ocw_mcp.sandbox.claude.request import (
    ApiFault,
    ConnectionDropped,
    MessagesRequest,
    ToolResultBlock,
    ToolUseBlock,
)

FIRST_READS: Final = ("market_get_snapshot", "positions_get")
TREND_PERCENT: Final = 0.8
"""The least move (percent) in four hours that the trader follows."""
PROTECT_FROM, REDUCE_FROM, TRAIL_FROM = 0.75, 1.25, 1.0
"""The gains, in stop distances, from which the trader moves a stop to its entry, closes half of a position, and lets
the stop of the other half trail."""
BREAK_EVEN: Final = 0.001
"""The distance of a stop at break-even from the average price, as a share: it pays the fees."""
RESTS_BELOW: Final = 0.3
"""The trader's appetite below which an entry waits for a better price as a limit order."""
LONGEST_REST_M: Final = 45
"""Minutes after which the trader cancels an entry that has not filled."""
SHARE_OF_LARGEST: Final = 0.8
"""The trader's largest entry, as a share of the largest size that would pass."""
USAGE: Final[tuple[Any, ...]] = (
    {"input_tokens": 1_200.0, "output_tokens": 80.0},
    {"input_tokens": "1200", "output_tokens": "80"},
    {"prompt_tokens": 1_200, "completion_tokens": 80, "total_tokens": 1_280},
    {"input_tokens": 10**9, "output_tokens": 10**9},
    {"input_tokens": -1, "output_tokens": 80},
    {},
    None,
)
"""Usage as gateways report it."""
ERRORS: Final[tuple[dict[str, Any], ...]] = (
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    {"error": {"message": "Your credit balance is too low", "type": "invalid_request_error", "code": 400}},
    {"error": {"message": "Upstream failed", "type": "server_error", "code": None}},
    {"error": "no such luck"},
)
"""Errors as gateways put them into an answer of status 200."""
EMPTY: Final[tuple[Any, ...]] = (
    [],
    None,
    [{"type": "text", "text": ""}],
    [{"type": "text", "text": " \n\u200b"}],
    [{"type": "text", "text": None}],
)
"""Values of `content` in a message that has no text."""

_ORDER: Final = re.compile(r"\b(BUY|SELL|SHORT|COVER|ADD)\s+([A-Z0-9]{5,20})(?:\s+(\d{1,3})\s?%)?")
_CALL: Final = re.compile(r"\bcall\s+([a-z_]{3,64})", re.IGNORECASE)
_Item = TypeVar("_Item")


class Say(msgspec.Struct, frozen=True):
    """A text block."""

    text: str


class Call(msgspec.Struct, frozen=True):
    """A tool call."""

    name: str
    input: dict[str, Any]


class ModelAnswer(msgspec.Struct, frozen=True):
    """One turn of a character."""

    parts: tuple[Say | Call, ...] = ()
    thought: str = "What was shown is what there is to go by."
    """The thinking block of models that think."""
    takes_ms: int = 0
    refuses: bool = False
    wire: dict[str, Any] = {}
    """Fields that a gateway changes in the API's message; if one is `error`, these fields are the whole body."""


class SeededRandom:
    """A random generator whose numbers depend on a seed and the request only, not on earlier requests."""

    def __init__(self, seed: int, request: bytes) -> None:
        self._state = hashlib.sha256(b"%d " % seed + request).digest()

    def share(self) -> float:
        """Return a number of at least 0 and below 1."""
        self._state = hashlib.sha256(self._state).digest()
        return int.from_bytes(self._state[:6], "big") / 2**48

    def pick(self, items: Sequence[_Item]) -> _Item:
        """Return one of the items."""
        return items[int(self.share() * len(items))]


Character = Callable[[MessagesRequest, SeededRandom], ModelAnswer]
"""Answers a request, or raises ApiFault or ConnectionDropped."""


def trader(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Read once, follow the move of the last hours, manage what it holds, and correct refused sizes once."""
    submitted = reading.completed_calls(request, reading.SUBMIT)
    if submitted:
        smaller = _smaller(*submitted[-1]) if len(submitted) == 1 else []
        return _submit(request, smaller) if smaller else ModelAnswer((Say("Done."),))
    first = [tool.name for tool in request.tools if tool.name in FIRST_READS and not tool.input_schema.get("required")]
    if first and not reading.completed_calls(request):
        return ModelAnswer((Say("Looking first."), *(Call(name, {}) for name in first)))
    if all(tool.name != reading.SUBMIT for tool in request.tools):
        return ModelAnswer((Say("There is no tool to decide with, so everything is held."),))
    halved, holding, legs = reading.listed(request, HALVED), set(), []
    for row in reading.symbols(request):
        symbol, appetite = row["symbol"], rng.share()
        if "position" in row:
            holding.add(symbol)
            leg = _manage(row, halved=symbol in halved)
        else:
            leg = _wait(row) if "resting_m" in row else _enter(row, appetite)
        legs.append(leg if reading.allows(request, leg["action"]) else _hold(symbol, leg["thesis"]))
    halved = (halved & holding) | {leg["symbol"] for leg in legs if leg["action"] == "REDUCE"}
    halved -= {leg["symbol"] for leg in legs if leg["action"] in ("SELL", "COVER")}
    acted = sorted(leg["symbol"] for leg in legs if leg["action"] != "HOLD")
    note = f"acted on {', '.join(acted)}" if acted else "nothing to do; wait for a move"
    note += f"; {HALVED} {' '.join(sorted(halved))}" if halved else ""
    return _submit(request, legs, next_check_s=60 * int(30 + 60 * rng.share()), note=note)


HALVED: Final = "halved:"
"""The words of the trader's note before the symbols of which it has closed half."""


def _away(row: Row, last: float) -> float:
    """Return the trader's stop distance as a share: two average ranges, but at least 1 % and at most 4 %."""
    return min(0.04, max(0.01, 2 * (number(row, "atr_14@1h") or last / 100) / last))


def _manage(row: Row, *, halved: bool) -> dict[str, Any]:
    """Return the trader's leg for an open position: close it, close half, protect it, or hold."""
    symbol, last, returned = row["symbol"], number(row, "price"), number(row, "return_4h")
    if last is None or returned is None:
        return _hold(symbol, "too little is known")
    move, sign = round(100 * returned, 2), 1 if row["position"] == "long" else -1
    if -sign * move > TREND_PERCENT:
        return {"symbol": symbol, "action": "SELL" if sign > 0 else "COVER", "thesis": f"4h went {move}% against it"}
    supports = f"4h is at {move}%, which still supports it"
    average, stop, away = number(row, "average"), number(row, "stop"), _away(row, last)
    if average is None or stop is None:
        return _hold(symbol, supports)
    gain, locked = sign * (last / average - 1), sign * (stop / average - 1)
    ahead = f"{100 * gain:.1f}% ahead"
    if not halved and gain >= REDUCE_FROM * away:
        return {"symbol": symbol, "action": "REDUCE", "share": "0.5", "thesis": f"{ahead}; half is taken"}
    if halved and gain >= TRAIL_FROM * away and "trailing" not in row:
        moved = {"trail": f"{away:.4f}", "target": f"{last * (1 + 2 * sign * away):.6g}"}
        return {"symbol": symbol, "action": "PROTECT", **moved, "thesis": f"{ahead}; the rest may run"}
    if locked < 0 and gain >= PROTECT_FROM * away:
        even = f"{average * (1 + sign * BREAK_EVEN):.6g}"
        return {"symbol": symbol, "action": "PROTECT", "stop": even, "thesis": f"{ahead}; it must not become a loss"}
    return _hold(symbol, supports)


def _wait(row: Row) -> dict[str, Any]:
    """Return the trader's leg for an entry that has not filled yet."""
    symbol, minutes = row["symbol"], int(row["resting_m"])
    if minutes >= LONGEST_REST_M:
        return {"symbol": symbol, "action": "CANCEL", "thesis": f"not filled in {minutes} minutes"}
    return _hold(symbol, f"its entry has waited for {minutes} minutes")


def _enter(row: Row, appetite: float) -> dict[str, Any]:
    """Return the trader's leg for a symbol without position and entry, in a size that would pass."""
    symbol, last, returned = row["symbol"], number(row, "price"), number(row, "return_4h")
    if last is None or returned is None:
        return _hold(symbol, "too little is known")
    move = round(100 * returned, 2)
    if abs(move) < TREND_PERCENT:
        return _hold(symbol, f"{move}% in 4h is no trend")
    long = move > 0
    most = (number(row, "max_long" if long else "max_short") or 0.0) / 100 * SHARE_OF_LARGEST
    size = min(most, 0.05 + 0.1 * appetite)
    if size < 0.005:
        return _hold(symbol, "no size worth trading would pass")
    away = _away(row, last) * (1 if long else -1)
    waits = {"limit": f"{last * (1 - away / 5):.6g}"} if appetite < RESTS_BELOW else {}
    return {
        "symbol": symbol,
        "action": "BUY" if long else "SHORT",
        "size": f"{size:.4f}",
        "stop": f"{last * (1 - away):.6g}",
        "target": f"{last * (1 + 2 * away):.6g}",
        **waits,
        "confidence": round(0.5 + appetite / 4, 2),
        "thesis": f"{move}% in 4h; wrong at the stop",
        "signals": ["momentum"],
    }


def _hold(symbol: str, why: str) -> dict[str, Any]:
    return {"symbol": symbol, "action": "HOLD", "thesis": why}


def _smaller(tried: ToolUseBlock, result: ToolResultBlock) -> list[dict[str, Any]]:
    """Return the refused entries of a submitted decision in sizes that would pass."""
    legs = []
    for leg in tried.input.get("legs", []):
        passes = reading.largest_size(result.text, leg["symbol"])
        if passes and "size" in leg:
            legs.append(leg | {"size": f"{passes * SHARE_OF_LARGEST:.4f}"})
    return legs


def _submit(request: MessagesRequest, legs: list[dict[str, Any]], **terms: Any) -> ModelAnswer:
    """Return the call of `decisions_submit`, with the fields that its schema in the request has."""
    wanted = {"wake": reading.wake(request), "legs": legs, **terms}
    return ModelAnswer((Call(reading.SUBMIT, reading.fit_to_schema(request, wanted)),))


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


def victim(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Obey the commands in `untrusted_text` fields; without a command, trade."""
    commands = " ".join(reading.untrusted_texts(request))
    tools = [name for name in _CALL.findall(commands) if not reading.completed_calls(request, name)]
    if tools:
        return ModelAnswer((Say("The text asks for it."), *(Call(name, {}) for name in tools)))
    legs = []
    for action, symbol, share in _ORDER.findall(commands.upper()):
        size = {"size": f"{int(share or 100) / 100:g}"} if action in ("BUY", "SHORT", "ADD") else {}
        legs.append({"symbol": symbol, "action": action, **size, "thesis": "the text asked for it", "signals": []})
    if not legs:
        return trader(request, rng)
    if reading.completed_calls(request, reading.SUBMIT):
        return ModelAnswer((Say("Done as the text asked."),))
    return _submit(request, legs, note=commands[:400])


INVENTIONS: Final = ("tool", "symbol", "price", "size", "shape", "wake", "result")
"""What the hallucinator invents: `shape` is a decision that does not fit the schema, and `result` the claim that a
decision was submitted."""


def hallucinator(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Answer with one of the inventions."""
    return invent(rng.pick(INVENTIONS), request, rng)


def invent(invention: str, request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Return an answer with an invention."""
    known = [row["symbol"] for row in reading.symbols(request)] or ["BTCUSDT"]
    decision: dict[str, Any] = {"wake": reading.wake(request), "legs": []}
    match invention:
        case "tool":
            name = rng.pick(("orders_place_now", "risk_raise_limits", "web_search", "account_withdraw"))
            return ModelAnswer((Call(name, {"symbol": "BTCUSDT", "quantity": 1}),))
        case "result":
            claim = f"I have submitted a BUY of {rng.pick(known)} and it was filled at a very good price."
            return ModelAnswer((Say(claim),))
        case "symbol":
            symbol = rng.pick(("MOONUSDT", "SAFEELONUSDT", "BTCUSDX"))
            decision["legs"] = [_bought(symbol, size="0.1", stop="0.9", target="2")]
        case "price":
            stop, target = rng.pick((("-5", "10"), ("0", "0"), ("99999999", "1"), ("0.0000001", "1e12")))
            decision["legs"] = [_bought(rng.pick(known), size="0.1", stop=stop, target=target)]
        case "size":
            decision["legs"] = [_bought(rng.pick(known), size=rng.pick(("10", "-1", "1e9")), stop="1")]
        case "shape":
            symbol = rng.pick(known)
            shapes: tuple[Any, ...] = (
                f"BUY {symbol}",
                [{"symbol": symbol, "action": "YOLO"}],
                [symbol],
                [{"action": "BUY", "size": "a lot"}],
                {"symbol": symbol, "action": "BUY"},
            )
            decision |= {"legs": rng.pick(shapes), "conviction": "max"}
        case "wake":
            decision["wake"] += 1_000
    return ModelAnswer((Call(reading.SUBMIT, decision),))


def _bought(symbol: str, **figures: str) -> dict[str, Any]:
    return {"symbol": symbol, "action": "BUY", **figures, "thesis": "it can only go up", "signals": ["vibes"]}


def slow(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Answer as the trader, ten to forty seconds later."""
    return msgspec.structs.replace(trader(request, rng), takes_ms=int((10 + 30 * rng.share()) * SECOND))


def limited(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Answer with status 429, and ask for a wait of up to a minute."""
    raise ApiFault(429, "This request would exceed your rate limit.", retry_after_s=int(1 + 59 * rng.share()))


def translated(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Answer as the trader, through a gateway that omits the stop reason and reports usage in its own form."""
    return msgspec.structs.replace(trader(request, rng), wire={"stop_reason": None, "usage": rng.pick(USAGE)})


def _failing(error: Callable[[], Exception]) -> Character:
    def fail(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
        raise error()

    return fail


CHARACTERS: Final[dict[str, Character]] = {
    "trader": trader,
    "hallucinator": hallucinator,
    "victim": victim,
    "slow": slow,
    # A day is longer than any timeout.
    "silent": lambda request, rng: ModelAnswer(takes_ms=DAY),
    "overloaded": _failing(lambda: ApiFault(529, "Overloaded")),
    "limited": limited,
    "broken": _failing(lambda: ApiFault(500, "Internal server error")),
    # The connection ends in the middle of the answer.
    "dropped": _failing(ConnectionDropped),
    "refuser": lambda request, rng: ModelAnswer(refuses=True),
    # A message without a word.
    "mute": lambda request, rng: ModelAnswer(wire={"content": rng.pick(EMPTY)}),
    "translated": translated,
    # An error in an answer of status 200.
    "masked": lambda request, rng: ModelAnswer(wire=rng.pick(ERRORS)),
    "talker": talker,
}

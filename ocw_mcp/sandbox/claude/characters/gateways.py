"""Answers as gateways and careless models give them: empty, in another form, or in words where a call was due."""

from typing import Any, Final

import msgspec

from ocw_mcp.sandbox.claude import reading
from ocw_mcp.sandbox.claude.answer import Call, ModelAnswer, Say
from ocw_mcp.sandbox.claude.characters.trader import trader
from ocw_mcp.sandbox.claude.dice import SeededRandom
from ocw_mcp.sandbox.claude.request import MessagesRequest

EMPTY: Final[tuple[Any, ...]] = (
    [],
    None,
    [{"type": "text", "text": ""}],
    [{"type": "text", "text": " \n\u200b"}],
    [{"type": "text", "text": None}],
)
USAGE: Final[tuple[Any, ...]] = (
    {"input_tokens": 1_200.0, "output_tokens": 80.0},
    {"input_tokens": "1200", "output_tokens": "80"},
    {"prompt_tokens": 1_200, "completion_tokens": 80, "total_tokens": 1_280},
    {"input_tokens": 10**9, "output_tokens": 10**9},
    {"input_tokens": -1, "output_tokens": 80},
    {},
    None,
)
ERRORS: Final[tuple[dict[str, Any], ...]] = (
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    {"error": {"message": "Your credit balance is too low", "type": "invalid_request_error", "code": 400}},
    {"error": {"message": "Upstream failed", "type": "server_error", "code": None}},
    {"error": "no such luck"},
)


def mute(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """Ends its turn without a word."""
    return ModelAnswer(wire={"content": dice.pick(EMPTY)})


def translated(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """A trader behind a gateway that leaves the stop reason out and counts tokens in a form of its own."""
    return msgspec.structs.replace(trader(request, dice), wire={"stop_reason": None, "usage": dice.pick(USAGE)})


def masked(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """A gateway that puts errors into a 200."""
    return ModelAnswer(wire=dice.pick(ERRORS))


def talker(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """A trader that writes its decision down in place of calling the tool."""
    answer = trader(request, dice)
    wanted = next((part for part in answer.parts if isinstance(part, Call) and part.name == reading.SUBMIT), None)
    if wanted is None:
        return answer
    acts = [leg for leg in wanted.input["legs"] if leg["action"] != "HOLD"]
    if dice.share() < 0.5:
        return ModelAnswer((Say(f"My decision:\n```json\n{msgspec.json.encode(wanted.input).decode()}\n```"),))
    return ModelAnswer((Say("; ".join(f"{leg['action']} {leg['symbol']}" for leg in acts) or "Nothing to do."),))

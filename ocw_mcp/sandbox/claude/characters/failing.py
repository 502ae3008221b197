"""Characters for APIs and gateways that fail, are slow, or answer in another form."""

from typing import Any, Final

import msgspec

from ocw_mcp.domain.time import DAY, SECOND
from ocw_mcp.sandbox.claude.character import ModelAnswer, SeededRandom
from ocw_mcp.sandbox.claude.characters.trader import trader
from ocw_mcp.sandbox.claude.request import ApiFault, ConnectionDropped, MessagesRequest

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
"""Errors as gateways put them into a 200."""


def slow(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Answer as the trader, ten to forty seconds later."""
    return msgspec.structs.replace(trader(request, rng), takes_ms=int((10 + 30 * rng.share()) * SECOND))


def silent(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Answer after a day, which is longer than any timeout."""
    return ModelAnswer(takes_ms=DAY)


def overloaded(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Answer with status 529."""
    raise ApiFault(529, "Overloaded")


def limited(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Answer with status 429, and ask for a wait of up to a minute."""
    raise ApiFault(429, "This request would exceed your rate limit.", retry_after_s=int(1 + 59 * rng.share()))


def broken(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Answer with status 500."""
    raise ApiFault(500, "Internal server error")


def dropped(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Drop the connection in the middle of the answer."""
    raise ConnectionDropped


def translated(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Answer as the trader, through a gateway that omits the stop reason and reports usage in its own form."""
    return msgspec.structs.replace(trader(request, rng), wire={"stop_reason": None, "usage": rng.pick(USAGE)})


def masked(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Answer with an error in a 200."""
    return ModelAnswer(wire=rng.pick(ERRORS))

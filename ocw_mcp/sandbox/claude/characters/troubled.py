"""Those who cannot answer, or not in time, or will not."""

import msgspec

from ocw_mcp.domain.time import DAY, SECOND
from ocw_mcp.sandbox.claude.answer import ModelAnswer
from ocw_mcp.sandbox.claude.characters.trader import trader
from ocw_mcp.sandbox.claude.dice import SeededRandom
from ocw_mcp.sandbox.claude.faults import ApiFault, HungUp
from ocw_mcp.sandbox.claude.request import MessagesRequest


def slow(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """A trader that takes ten to forty seconds over every turn."""
    return msgspec.structs.replace(trader(request, dice), takes_ms=int((10 + 30 * dice.share()) * SECOND))


def silent(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """Nobody waits so long."""
    return ModelAnswer(takes_ms=DAY)


def overloaded(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """Too many others want something."""
    raise ApiFault(529, "Overloaded")


def limited(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """Too much was asked already."""
    raise ApiFault(429, "This request would exceed your rate limit.", retry_after_s=int(1 + 59 * dice.share()))


def broken(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """Something is wrong inside."""
    raise ApiFault(500, "Internal server error")


def dropped(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """The line goes dead."""
    raise HungUp


def refuser(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """It will not."""
    return ModelAnswer(refuses=True)

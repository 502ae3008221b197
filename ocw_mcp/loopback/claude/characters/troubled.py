"""Those who cannot answer, or not in time, or will not."""

import msgspec

from ocw_mcp.domain.time import DAY, SECOND
from ocw_mcp.loopback.claude.answer import Answer
from ocw_mcp.loopback.claude.characters.trader import trader
from ocw_mcp.loopback.claude.dice import Dice
from ocw_mcp.loopback.claude.faults import ApiFault, HungUp
from ocw_mcp.loopback.claude.request import MessagesRequest


def slow(request: MessagesRequest, dice: Dice) -> Answer:
    """A trader that takes ten to forty seconds over every turn."""
    return msgspec.structs.replace(trader(request, dice), takes_ms=int((10 + 30 * dice.share()) * SECOND))


def silent(request: MessagesRequest, dice: Dice) -> Answer:
    """Nobody waits so long."""
    return Answer(takes_ms=DAY)


def overloaded(request: MessagesRequest, dice: Dice) -> Answer:
    """Too many others want something."""
    raise ApiFault(529, "Overloaded")


def limited(request: MessagesRequest, dice: Dice) -> Answer:
    """Too much was asked already."""
    raise ApiFault(429, "This request would exceed your rate limit.", retry_after_s=int(1 + 59 * dice.share()))


def broken(request: MessagesRequest, dice: Dice) -> Answer:
    """Something is wrong inside."""
    raise ApiFault(500, "Internal server error")


def dropped(request: MessagesRequest, dice: Dice) -> Answer:
    """The line goes dead."""
    raise HungUp


def refuser(request: MessagesRequest, dice: Dice) -> Answer:
    """It will not."""
    return Answer(refuses=True)

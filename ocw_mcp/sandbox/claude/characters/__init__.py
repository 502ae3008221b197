"""Who sits behind the API: seeded, and knowing no more than a model would, which is the request."""

from collections.abc import Callable
from typing import Final

from ocw_mcp.sandbox.claude.answer import ModelAnswer
from ocw_mcp.sandbox.claude.characters.gateways import masked, mute, talker, translated
from ocw_mcp.sandbox.claude.characters.hallucinator import hallucinator
from ocw_mcp.sandbox.claude.characters.trader import trader
from ocw_mcp.sandbox.claude.characters.troubled import broken, dropped, limited, overloaded, refuser, silent, slow
from ocw_mcp.sandbox.claude.characters.victim import victim
from ocw_mcp.sandbox.claude.dice import SeededRandom
from ocw_mcp.sandbox.claude.request import MessagesRequest

Character = Callable[[MessagesRequest, SeededRandom], ModelAnswer]
"""Answers a request. It may raise ApiFault, or HungUp."""

CHARACTERS: Final[dict[str, Character]] = {
    "trader": trader,
    "hallucinator": hallucinator,
    "victim": victim,
    "slow": slow,
    "silent": silent,
    "overloaded": overloaded,
    "limited": limited,
    "broken": broken,
    "dropped": dropped,
    "refuser": refuser,
    "mute": mute,
    "translated": translated,
    "masked": masked,
    "talker": talker,
}

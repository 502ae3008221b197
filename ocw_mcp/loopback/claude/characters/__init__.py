"""Who sits behind the API: seeded, and knowing no more than a model would, which is the request."""

from collections.abc import Callable
from typing import Final

from ocw_mcp.loopback.claude.answer import Answer
from ocw_mcp.loopback.claude.characters.gateways import masked, mute, talker, translated
from ocw_mcp.loopback.claude.characters.hallucinator import hallucinator
from ocw_mcp.loopback.claude.characters.trader import trader
from ocw_mcp.loopback.claude.characters.troubled import broken, dropped, limited, overloaded, refuser, silent, slow
from ocw_mcp.loopback.claude.characters.victim import victim
from ocw_mcp.loopback.claude.dice import Dice
from ocw_mcp.loopback.claude.request import MessagesRequest

Character = Callable[[MessagesRequest, Dice], Answer]
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

"""The characters: seeded stand-ins for a model, which know no more than the request, and for failing APIs."""

from typing import Final

from ocw_mcp.sandbox.claude.character import Character
from ocw_mcp.sandbox.claude.characters import failing, misbehaving
from ocw_mcp.sandbox.claude.characters.trader import trader

CHARACTERS: Final[dict[str, Character]] = {
    "trader": trader,
    "hallucinator": misbehaving.hallucinator,
    "victim": misbehaving.victim,
    "slow": failing.slow,
    "silent": failing.silent,
    "overloaded": failing.overloaded,
    "limited": failing.limited,
    "broken": failing.broken,
    "dropped": failing.dropped,
    "refuser": misbehaving.refuser,
    "mute": misbehaving.mute,
    "translated": failing.translated,
    "masked": failing.masked,
    "talker": misbehaving.talker,
}

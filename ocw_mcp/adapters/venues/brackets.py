"""Brackets of maintenance margin for paper, from the file beside this module: the exchange tells only its members."""

import tomllib
from decimal import Decimal
from functools import cache
from importlib.resources import files

from ocw_mcp.domain.margin import Bracket, Brackets

_FILE = "brackets.toml"
_UNKNOWN = "UNKNOWN"


def paper_brackets(symbol: str) -> Brackets:
    """The brackets of a symbol; of one that is not in the file, the strictest that any symbol has."""
    known = _all()
    return known.get(symbol, known[_UNKNOWN])


@cache
def _all() -> dict[str, Brackets]:
    text = files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    return {
        symbol: Brackets(tuple(Bracket(Decimal(cap), leverage, Decimal(rate)) for cap, leverage, rate in rows))
        for symbol, rows in tomllib.loads(text, parse_float=Decimal).items()
    }

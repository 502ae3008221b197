"""Arguments of tools: validators that cut texts and round numbers, ids of orders, and cursors of long lists."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError

from ocw_mcp.domain.decision import LONGEST_CLAUSE
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.requests import RequestCode, RequestError

PLACES: Final = 12
FINEST: Final = Decimal(1).scaleb(-PLACES)
"""The smallest unit of a price, a quantity or a share."""
FLOAT_DIGITS: Final = 15
"""Significant digits of a JSON number; further digits are artefacts of the binary format."""
CONCISE: Final = 8_000
DETAILED: Final = 24_000
"""Largest number of characters of a text or of a result's JSON; clients cut longer answers."""
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
LONGEST_PROBLEM: Final = 120

_Model = TypeVar("_Model", bound=BaseModel)


def _ascii_number(given: Any) -> Any:
    if isinstance(given, bool):
        raise ValueError("a boolean is not a number")
    if isinstance(given, str) and not _DECIMAL.fullmatch(given.strip()):
        raise ValueError("write a number in ASCII digits, such as 0.25")
    return given


ASCII_NUMBER: Final = BeforeValidator(_ascii_number)
"""Accepts JSON numbers and ASCII decimals as text; pydantic alone accepts `True`, `1_0` and digits of other scripts."""


def cut(longest: int) -> BeforeValidator:
    """Return a validator that keeps the first `longest` characters of a text, or elements of a list."""
    return BeforeValidator(lambda given: given[:longest] if isinstance(given, str | list) else given)


def _rounded(given: Any) -> Any:
    """Return a number rounded to `FINEST`; any other value is returned for the type check to refuse."""
    if isinstance(given, bool) or not isinstance(given, float | str):
        return given
    try:
        number = Decimal(str(given).strip())
        if not number.is_finite():
            return given
        if isinstance(given, float):
            number = Decimal(f"{given:.{FLOAT_DIGITS}g}")
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or exponent >= -PLACES:
            return str(number) if isinstance(given, float) else given
        return str(number.quantize(FINEST))
    except InvalidOperation:
        return given


ROUNDED: Final = BeforeValidator(_rounded)


def read(model: type[_Model], given: Any) -> _Model | str:
    """Return a part of an argument as its model, or one clause that names the wrong field and the problem.

    A null field counts as absent.
    """
    if isinstance(given, dict):
        given = {name: value for name, value in given.items() if value is not None}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "it"
    if first["type"] == "extra_forbidden":
        return f"{field[:40]!r} is not a known field"
    shown = "" if first["type"] == "missing" else f", not {repr(first.get('input'))[:40]}"
    return f"{field}: {first['msg'][:LONGEST_PROBLEM]}{shown}"[:LONGEST_CLAUSE]


def cursor_of(tool: str, place: int | None) -> str | None:
    """Return the cursor of the next page of a list; None after the last page."""
    return None if place is None else f"{tool}:{place}"


def older_line(cursor: str | None) -> list[str]:
    """Return the last line of a page that is not the last one."""
    return [f"older: cursor={cursor}"] if cursor else []


def order_ref(text: str) -> OrderRef:
    """Return the order with an id such as `3-e-0`. Raises RequestError for a malformed id."""
    found = re.fullmatch(r"([0-9]{1,9})-([estx])-([0-9]{1,9})", text.strip(), re.ASCII)
    if found is None:
        raise RequestError(
            RequestCode.BAD_ARGUMENTS,
            limit="an order's id such as 3-e-0",
            actual=repr(text[:40]),
            next_="orders_get shows the live orders",
        )
    return OrderRef(int(found[1]), Purpose(found[2]), int(found[3]))


def place_of(tool: str, cursor: str | None) -> int | None:
    """Return the place in a cursor of this tool; None without a cursor. Raises RequestError for any other text."""
    if cursor is None:
        return None
    found = re.fullmatch(rf"{tool}:([0-9]{{1,18}})", cursor)
    if found is None:
        raise RequestError(
            RequestCode.BAD_CURSOR,
            limit=f"a cursor such as {tool}:123",
            actual=repr(cursor[:40]),
            next_="pass the cursor of the last answer unchanged, or none for the newest",
        )
    return int(found[1])

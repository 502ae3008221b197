"""Validators that accept what clients commonly write: texts are cut, numbers rounded, parts read one by one."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError

from ocw_mcp.domain.decision import LONGEST_CLAUSE

PLACES: Final = 12
FINEST: Final = Decimal(1).scaleb(-PLACES)
"""The smallest unit of a price, a quantity or a share."""
FLOAT_DIGITS: Final = 15
"""Significant digits of a JSON number; further digits are artefacts of the binary format."""
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
    """Return a validator that keeps the first `longest` characters of a text."""
    return BeforeValidator(lambda given: given[:longest] if isinstance(given, str) else given)


def at_most(many: int) -> BeforeValidator:
    """Return a validator that keeps the first `many` elements of a list."""
    return BeforeValidator(lambda given: given[:many] if isinstance(given, list) else given)


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


def without_nulls(given: Any) -> Any:
    """Return an object without its null fields, which count as absent."""
    return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


def read(model: type[_Model], given: Any) -> _Model | str:
    """Return a part of an argument as its model, or one clause that names the wrong field and the problem."""
    try:
        return model.model_validate(without_nulls(given))
    except ValidationError as error:
        return problem(error)


def problem(error: ValidationError) -> str:
    """Return the first problem, with the name of the field and its value."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "it"
    if first["type"] == "extra_forbidden":
        return f"{where[:40]!r} is not a known field"
    shown = "" if first["type"] == "missing" else f", not {repr(first.get('input'))[:40]}"
    return f"{where}: {first['msg'][:LONGEST_PROBLEM]}{shown}"[:LONGEST_CLAUSE]

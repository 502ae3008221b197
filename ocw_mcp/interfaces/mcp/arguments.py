"""Arguments that a client may write in several ways: texts are cut, numbers rounded, parts read singly."""

from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError

from ocw_mcp.domain.decision import LONGEST_CLAUSE

PLACES: Final = 12
FINEST: Final = Decimal(1).scaleb(-PLACES)
"""The last decimal place of a price, a quantity or a share."""
FLOAT_DIGITS: Final = 15
"""Digits of a JSON number that say something; the others come of the way in which it is kept."""
LONGEST_PROBLEM: Final = 120

_Model = TypeVar("_Model", bound=BaseModel)


def cut(longest: int) -> BeforeValidator:
    """Return a validator that keeps the first `longest` characters of a text."""
    return BeforeValidator(lambda given: given[:longest] if isinstance(given, str) else given)


def at_most(many: int) -> BeforeValidator:
    """Return a validator that keeps the first `many` of a list."""
    return BeforeValidator(lambda given: given[:many] if isinstance(given, list) else given)


def _rounded(given: Any) -> Any:
    """Return a number without digits beyond `FINEST`; anything else is left for the check of its type."""
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
    """Return an object without the fields that are null: those are as good as left out."""
    return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


def read(model: type[_Model], given: Any) -> _Model | str:
    """Return a part of an argument as its type, or in one clause what is wrong with it, by the field's name."""
    try:
        return model.model_validate(without_nulls(given))
    except ValidationError as error:
        return problem(error)


def problem(error: ValidationError) -> str:
    """Return the first thing that is wrong, with the field's name and what stood there."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "it"
    if first["type"] == "extra_forbidden":
        return f"{where[:40]!r} is no field of it"
    shown = "" if first["type"] == "missing" else f", not {repr(first.get('input'))[:40]}"
    return f"{where}: {first['msg'][:LONGEST_PROBLEM]}{shown}"[:LONGEST_CLAUSE]

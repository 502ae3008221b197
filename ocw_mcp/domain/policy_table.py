"""The parts that every table of a policy file is made of.

Each key of a limit is annotated with the direction in which it is stricter.
"""

from decimal import Decimal
from enum import Enum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Share = Annotated[Decimal, Field(gt=0, le=1)]
Positive = Annotated[Decimal, Field(gt=0)]


class Stricter(Enum):
    """Which of two values of one key is the stricter one: how a limit's key is annotated."""

    LOWER = "lower"
    HIGHER = "higher"
    FEWER = "fewer entries"
    """A list is stricter if the other list covers all of it."""
    MORE = "more entries"
    """A list is stricter if it covers all of the other list."""
    EARLIER = "earlier choice"
    """Of a choice, the one that its `Literal` names earlier."""


def stricter_of(declared: FieldInfo) -> Stricter | None:
    """Return which of two values of a key is the stricter one; None for a key that limits nothing."""
    return next((each for each in declared.metadata if isinstance(each, Stricter)), None)


LOWER, HIGHER, FEWER, MORE, EARLIER = Stricter
OPTIONAL: Final = "optional"
"""Marks a key that a file may leave out without a remark, as it may the tables that are not required."""


class Table(BaseModel):
    """One table: no key but those declared, and no value that changes."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True, validate_default=True
    )

    def gives(self, *keys: str) -> bool:
        """Return whether the file gave all of these keys. Only then is one of them compared with another."""
        return self.model_fields_set.issuperset(keys)

"""The base class and the annotations of the tables of a policy file.

Each key of a limit is annotated with the direction in which its values are stricter.
"""

from decimal import Decimal
from enum import Enum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Share = Annotated[Decimal, Field(gt=0, le=1)]
Positive = Annotated[Decimal, Field(gt=0)]


class Stricter(Enum):
    """The direction in which the values of a key are stricter."""

    LOWER = "lower"
    HIGHER = "higher"
    FEWER = "fewer entries"
    """A list is stricter if the other list covers all of its entries."""
    MORE = "more entries"
    """A list is stricter if it covers all entries of the other list."""
    EARLIER = "earlier choice"
    """A choice is stricter than the choices that follow it in the `Literal` type of the key."""


def stricter_of(declared: FieldInfo) -> Stricter | None:
    """Return the direction in which a key is stricter; None for a key that limits nothing."""
    return next((each for each in declared.metadata if isinstance(each, Stricter)), None)


LOWER, HIGHER, FEWER, MORE, EARLIER = Stricter
OPTIONAL: Final = "optional"
"""Marks a key that a policy file may omit without a report; keys of optional tables need no mark."""


class Table(BaseModel):
    """One table of a policy file, immutable and with declared keys only."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True, validate_default=True
    )

    def gives(self, *keys: str) -> bool:
        """Return whether the file sets all of these keys; keys are compared only if all are set."""
        return self.model_fields_set.issuperset(keys)

"""What counts as a number in an argument: JSON numbers, and ASCII decimals as text. Nothing else is read as one."""

import re
from typing import Any, Final

from pydantic import BeforeValidator

_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def written(value: Any) -> Any:
    """Return the value as it is. Raises ValueError for a boolean, and for text that is no plain decimal."""
    if isinstance(value, bool):
        raise ValueError("a boolean is no number")
    if isinstance(value, str) and not _DECIMAL.fullmatch(value.strip()):
        raise ValueError("a number is written in ASCII digits, such as 0.25")
    return value


WRITTEN: Final = BeforeValidator(written)
"""To annotate a number of an argument with: pydantic alone takes `True`, `1_0` and digits of other scripts for one."""

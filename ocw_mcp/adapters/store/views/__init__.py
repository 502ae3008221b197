"""Views of a book's store, one module per view: its queries return typed rows, which are rendered elsewhere."""

import json
from decimal import Decimal
from typing import Any

import msgspec

from ocw_mcp.domain.money import plain


def jsonable(value: Any) -> Any:
    """Return a struct, or a container of structs, as values of JSON; Decimals become text without an exponent."""
    return json.loads(json.dumps(msgspec.to_builtins(value, builtin_types=(Decimal,)), default=plain))

"""Rows as JSON: Decimals as plain text, times in ms, everything else unchanged."""

from decimal import Decimal
from typing import Any

import msgspec

from ocw_mcp.domain.money import plain


def jsonable(value: Any) -> Any:
    """Return a struct, or anything made of structs, ready for `json.dumps`; no Decimal has an exponent."""
    return _plain(msgspec.to_builtins(value, builtin_types=(Decimal,)))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value

"""The canonical form of an event, and the fingerprint over all of them.

Two runs that did the same have the same fingerprint: events in order, with sequence, simulated time, kind and payload;
Decimals as plain text without trailing zeros, floats at 10 significant digits, keys sorted. The run, the path, the
host, the version and the wall clock are not in it, and neither is the book's random name, which no event carries.

The fingerprint is a chain, digest_n = SHA-256(digest_{n-1} || canonical_n): a book that was stopped and resumed goes on
from its last digest, without reading its whole past again.
"""

import hashlib
import math
from decimal import Decimal
from typing import Any

import msgspec

from ocw_mcp.domain.events import JournalEvent, kind_of
from ocw_mcp.domain.money import plain

GENESIS = hashlib.sha256(b"ocw fingerprint 1").hexdigest()

_encode = msgspec.json.Encoder(order="sorted").encode


_AS_THEY_ARE = frozenset({str, int, bool, type(None)})


def _normal(value: Any) -> Any:
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, float):
        # JSON has no NaN: the journal stores null for it, and the fingerprint must not know more than the journal.
        return format(value, ".10g") if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, dict):
        return {key: _normal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normal(item) for item in value]
    return value


def canonical(seq: int, at: int, event: JournalEvent, stored: Any = None) -> bytes:
    """The event as the fingerprint sees it: one line of JSON.

    `stored` is the decoded JSON of a row that holds the event: an earlier version knew other fields, and the
    fingerprint of its time is over those that the row has.
    """
    payload = _normal(msgspec.to_builtins(event, builtin_types=(Decimal,)))
    if stored is not None:
        payload = _as_stored(payload, stored)
    payload.pop("kind")
    return _encode([seq, at, kind_of(event), payload])


def _as_stored(value: Any, stored: Any) -> Any:
    if isinstance(value, dict) and isinstance(stored, dict):
        return {key: _as_stored(value[key], item) if key in value else item for key, item in stored.items()}
    if isinstance(value, list) and isinstance(stored, list) and len(value) == len(stored):
        return [_as_stored(one, other) for one, other in zip(value, stored, strict=True)]
    # What is a value of its own today was text.
    return stored if isinstance(stored, str) and not isinstance(value, str) else value


def chain(previous: str, line: bytes) -> str:
    """The digest after one more line; digests are hex text."""
    return hashlib.sha256(previous.encode() + line).hexdigest()

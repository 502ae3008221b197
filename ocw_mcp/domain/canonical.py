"""The canonical form of an event, and the fingerprint over all events.

Two runs with the same behaviour have the same fingerprint. The fingerprint covers the events in order, each with
sequence, simulated time, kind and payload: Decimals as plain text without trailing zeros, floats with 10 significant
digits, sorted keys. No event contains a run id, path, host, version, real time, or the random name of the book.

The fingerprint is a chain, digest_n = SHA-256(digest_{n-1} || canonical_n): a resumed book continues from its last
digest, without reading its earlier events.
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

_UNCHANGED_TYPES = frozenset({str, int, bool, type(None)})


def _normal(value: Any) -> Any:
    if type(value) in _UNCHANGED_TYPES:
        return value
    if isinstance(value, float):
        # JSON has no NaN: the journal stores null, and the fingerprint must follow from the journal.
        return format(value, ".10g") if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, dict):
        return {key: _normal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normal(item) for item in value]
    return value


def canonical(seq: int, at: int, event: JournalEvent, stored: Any = None) -> bytes:
    """Return the canonical form of an event: one line of JSON.

    `stored` is the decoded JSON of the event's journal row, if an earlier version of OCW wrote it with other fields.
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
    # An earlier version stored some values as text.
    return stored if isinstance(stored, str) and not isinstance(value, str) else value


def chain(previous: str, line: bytes) -> str:
    """Return the digest (hexadecimal) of the previous digest and one more line."""
    return hashlib.sha256(previous.encode() + line).hexdigest()

"""How an event becomes a row of the journal and a row an event, and how each row is chained to the one before.

The chain is over the rows as stored, digest_n = SHA-256(digest_{n-1} || row_n): a changed, missing or moved row breaks
it. It cannot show a cut tail, since what is left is whole; the head is therefore also shown outside of the journal.
"""

import hashlib
from typing import Any, TypeVar

import msgspec

from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.errors import JournalError
from ocw_mcp.domain.events import DomainEvent, JournalEvent
from ocw_mcp.domain.snapshot import WakeKind

_T = TypeVar("_T")

CHAIN_GENESIS = hashlib.sha256(b"ocw journal 1").hexdigest()

Row = tuple[int, int | None, int, str, int, str, str | None, str]
"""row, seq, at (ms), kind, version, payload, digest, chain."""

_encode = msgspec.json.Encoder().encode
_any: msgspec.json.Decoder[JournalEvent] = msgspec.json.Decoder(JournalEvent)
_domain: msgspec.json.Decoder[DomainEvent] = msgspec.json.Decoder(DomainEvent)


def payload_of(event: JournalEvent) -> str:
    """The event as it is stored: JSON at full precision, Decimals as text."""
    return _encode(event).decode()


def link(
    previous: str, row: int, seq: int | None, at: int, kind: str, version: int, payload: str, digest: str | None
) -> str:
    """The chain's digest at a row."""
    return hashlib.sha256(previous.encode() + _encode((row, seq, at, kind, version, payload, digest))).hexdigest()


def journal_event(row: int, payload: str) -> JournalEvent:
    """The event of a row. Raises JournalError when it holds none."""
    return _event(_any, row, payload)


def domain_event(row: int, payload: str) -> DomainEvent:
    """The domain event of a row. Raises JournalError when it holds none."""
    return _event(_domain, row, payload)


def _event(decoder: "msgspec.json.Decoder[_T]", row: int, payload: str) -> _T:
    try:
        return read_payload(decoder, payload)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise JournalError(
            f"row {row} of the journal holds no event that this version knows: {error}; verify the journal"
        ) from None


def read_payload(decoder: "msgspec.json.Decoder[_T]", payload: str) -> _T:
    """Return what a stored payload holds, also one of an earlier version. Raises msgspec's errors."""
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError:
        return decoder.decode(_encode(_upgraded(msgspec.json.decode(payload))))


def _upgraded(value: Any, key: str = "") -> Any:
    """Give causes and reasons to wake, which were text up to version 2, the form that they have today."""
    if isinstance(value, dict):
        return {name: _upgraded(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_upgraded(each, key) for each in value]
    if isinstance(value, str) and key == "cause":
        return {"kind": CauseKind.EARLIER, "detail": value} if value else None
    if isinstance(value, str) and key == "reasons":
        return {"kind": WakeKind.EARLIER, "detail": value}
    return value

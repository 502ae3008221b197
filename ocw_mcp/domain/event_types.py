"""The kinds of journal events: about trading, which are part of the fingerprint, and about processes."""

import msgspec


class JournalEvent(msgspec.Struct, frozen=True, tag_field="kind"):
    """An event of the journal; the tag of its class is its kind."""


class DomainEvent(JournalEvent, frozen=True):
    """An event about trading, which is part of the fingerprint."""


class LifecycleEvent(JournalEvent, frozen=True):
    """An event about a process, which is journaled and not part of the fingerprint."""


def kind_of(event: JournalEvent) -> str:
    """Return the kind of an event, such as `order.filled`."""
    return str(event.__struct_config__.tag)

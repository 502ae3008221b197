"""The base class of all events."""

import msgspec


class Event(msgspec.Struct, frozen=True, tag_field="kind"):
    """An event of the journal; the tag of its class is its kind."""

"""What all events are."""

import msgspec


class Event(msgspec.Struct, frozen=True, tag_field="kind"):
    """Something that happened; its tag is its kind."""

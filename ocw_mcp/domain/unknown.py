"""Unknown is not fine: what is not known travels as a value with its reason, and means the conservative answer."""

import msgspec


class Unknown(msgspec.Struct, frozen=True, tag="unknown", tag_field="is"):
    """A reading that is missing. `reason` is one clause for people: `needs 28 candles, has 3`."""

    reason: str


Reading = float | Unknown
"""A number, or the reason why there is none."""

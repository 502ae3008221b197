"""Missing values: an unknown value is passed on with its reason, and leads to the conservative result."""

from typing import Literal

import msgspec


class Unknown(msgspec.Struct, frozen=True, tag="unknown", tag_field="is"):
    """A missing reading. `reason` is one clause for people: `needs 28 candles, has 3`."""

    reason: str

    def __bool__(self) -> Literal[False]:
        """Return False, so that `if view.last:` holds only for a known price."""
        return False


Reading = float | Unknown
"""A number, or the reason why it is missing."""

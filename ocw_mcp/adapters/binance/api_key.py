"""An API key of the exchange and its secret. No text of it shows either."""

import hashlib
from typing import Final

import msgspec

SHOWN: Final = 12
"""The digits of a fingerprint."""


class ApiKey(msgspec.Struct, frozen=True):
    """A key and its secret."""

    key: str
    secret: str

    def __repr__(self) -> str:
        return f"ApiKey({self.fingerprint})"

    @property
    def fingerprint(self) -> str:
        """The first digits of the SHA-256 of the key, which name it without showing it."""
        return hashlib.sha256(f"ocw key {self.key}".encode()).hexdigest()[:SHOWN]

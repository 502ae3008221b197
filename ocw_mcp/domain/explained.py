"""Codes with a meaning."""

from enum import StrEnum
from typing import Self


class Explained(StrEnum):
    """The base of codes with a meaning: each member is a code and one clause or sentence."""

    meaning: str

    def __new__(cls, code: str, meaning: str = "") -> Self:
        """Create a member whose value is the code, with its meaning."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

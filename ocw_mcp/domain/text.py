"""Text of unknown origin made safe to print."""

import re
from typing import Final
from unicodedata import category

_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U00016fe4\U0001d159\U000e0100-\U000e01ef]"
)
"""Characters that print as nothing although Unicode counts them as printable: fillers and variation selectors."""


def printable(text: str) -> str:
    """Return a text on one line, without control characters of a terminal and without invisible characters."""
    if text.isascii() and text.isprintable():
        return text.strip()
    # A format character joins its neighbours; any other unprintable character separates them.
    shown = (each if each.isprintable() else "" if category(each) == "Cf" else " " for each in text)
    return _INVISIBLE.sub("", "".join(shown)).strip()

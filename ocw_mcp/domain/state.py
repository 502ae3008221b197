"""The desk's state. An agent can lower it and never raise it."""

from enum import StrEnum
from typing import Final

import msgspec


class TradingState(StrEnum):
    """What the desk may do. Stops stay in every state, and what lowers risk passes in every state."""

    ACTIVE = "ACTIVE"
    """Entries pass, inside every policy."""
    REDUCING = "REDUCING"
    """No new risk; positions are managed and closed."""
    HALTED = "HALTED"
    """No new risk until a person resumes."""


ITSELF: Final = "the desk itself"
"""The author of a lowered state that neither the operator nor a client asked for."""


class Lowered(msgspec.Struct, frozen=True):
    """Who lowered the trading state last, when (ms) and why, in the words of the one who gave the reason."""

    by: str
    at: int
    why: str

"""The desk's state. An agent can lower it and never raise it."""

from enum import StrEnum


class TradingState(StrEnum):
    """What the desk may do. Stops stay in every state, and what lowers risk passes in every state."""

    ACTIVE = "ACTIVE"
    """Entries pass, inside every policy."""
    REDUCING = "REDUCING"
    """No new risk; positions are managed and closed."""
    HALTED = "HALTED"
    """No new risk until a person resumes."""

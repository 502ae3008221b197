"""The terminal of standard input: whether it shows what is typed."""

import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager

ASKS = (("passphrase",), ("resume",), ("approve",), ("deny",), ("agent", "resume"))
"""The first words of the commands that ask for a passphrase."""


def asks_for_passphrase(arguments: list[str]) -> bool:
    """Return whether a command line may ask for a passphrase."""
    return any(tuple(arguments[: len(words)]) == words for words in ASKS)


@contextmanager
def silent() -> Iterator[None]:
    """Turn echo off until the block ends, so that nothing typed meanwhile is shown. Without a terminal do nothing."""
    try:
        terminal = sys.stdin.fileno()
        usual = termios.tcgetattr(terminal)
    except (OSError, ValueError, AttributeError, termios.error):
        # Standard input is closed, or is no terminal.
        yield
        return
    quiet = [*usual]
    quiet[3] &= ~termios.ECHO
    try:
        termios.tcsetattr(terminal, termios.TCSANOW, quiet)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, usual)


def drop_typed() -> None:
    """Discard what was typed before this moment and not yet read."""
    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)

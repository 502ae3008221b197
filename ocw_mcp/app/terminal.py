"""The terminal of standard input: input without echo, and single keys."""

import os
import select
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Event

ASKS = (("passphrase",), ("connect",), ("resume",), ("approve",), ("deny",), ("agent", "resume"))
"""The first words of the commands that ask for a passphrase or a key."""


def asks_for_passphrase(arguments: list[str]) -> bool:
    """Return whether a command line may ask for a passphrase."""
    return any(tuple(arguments[: len(words)]) == words for words in ASKS)


@contextmanager
def _without(flags: int, restore: int) -> Iterator[int | None]:
    """Turn modes of the terminal off until the block ends; yield its descriptor, or None without a terminal."""
    try:
        terminal = sys.stdin.fileno()
        usual = termios.tcgetattr(terminal)
    except (OSError, ValueError, AttributeError, termios.error):
        # Standard input is closed, or is not a terminal.
        yield None
        return
    changed = [*usual]
    changed[3] &= ~flags
    try:
        termios.tcsetattr(terminal, termios.TCSANOW, changed)
        yield terminal
    finally:
        termios.tcsetattr(terminal, restore, usual)


def silent() -> AbstractContextManager[object]:
    """Turn echo off until the block ends, so that typed text is not shown. Without a terminal do nothing."""
    return _without(termios.ECHO, termios.TCSADRAIN)


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """Read single keys without echo until the block ends; then unread keys are discarded. Ctrl-C still interrupts.

    The block gets a function that waits for a key, at most the given number of seconds, and returns the typed text.
    """
    with _without(termios.ICANON | termios.ECHO, termios.TCSAFLUSH) as terminal:
        ended = False

        def typed(seconds: float) -> str:
            nonlocal ended
            if terminal is None or ended:
                Event().wait(seconds)
                return ""
            if not select.select([terminal], [], [], seconds)[0]:
                return ""
            text = os.read(terminal, 1_024).decode(errors="replace")
            ended = not text
            return text

        yield typed


def drop_typed() -> None:
    """Discard typed text that has not been read yet."""
    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)

"""The terminal of standard input: its echo, and single keys."""

import os
import select
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

ASKS = (("passphrase",), ("resume",), ("approve",), ("deny",), ("agent", "resume"))
"""The first words of the commands that ask for a passphrase."""


def asks_for_passphrase(arguments: list[str]) -> bool:
    """Return whether a command line may ask for a passphrase."""
    return any(tuple(arguments[: len(words)]) == words for words in ASKS)


@contextmanager
def silent() -> Iterator[None]:
    """Turn echo off until the block ends, so that typed text is not shown. Without a terminal do nothing."""
    try:
        terminal = sys.stdin.fileno()
        usual = termios.tcgetattr(terminal)
    except (OSError, ValueError, AttributeError, termios.error):
        # Standard input is closed, or is not a terminal.
        yield
        return
    quiet = [*usual]
    quiet[3] &= ~termios.ECHO
    try:
        termios.tcsetattr(terminal, termios.TCSANOW, quiet)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, usual)


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """Read single keys until the block ends, without echo; Ctrl-C still interrupts.

    The value of the block is a function that waits for a key, at most the given number of seconds, and returns the
    typed text. Without a terminal it waits and returns an empty text. At the end of the block the terminal is restored,
    and unread keys are discarded.
    """
    try:
        terminal = sys.stdin.fileno()
        usual = termios.tcgetattr(terminal)
    except (OSError, ValueError, AttributeError, termios.error):
        yield _wait
        return
    ended = False

    def typed(seconds: float) -> str:
        nonlocal ended
        if ended:
            return _wait(seconds)
        if not select.select([terminal], [], [], seconds)[0]:
            return ""
        text = os.read(terminal, 1_024).decode(errors="replace")
        ended = not text
        return text

    single = [*usual]
    single[3] &= ~(termios.ICANON | termios.ECHO)
    try:
        termios.tcsetattr(terminal, termios.TCSANOW, single)
        yield typed
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, usual)


def _wait(seconds: float) -> str:
    Event().wait(seconds)
    return ""


def drop_typed() -> None:
    """Discard typed text that has not been read yet."""
    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)

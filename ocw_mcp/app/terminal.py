"""The terminal of standard input: whether it shows what is typed, and single keys of it."""

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


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """Take single keys until the block ends, without echo; Ctrl-C goes on to interrupt.

    The value waits for a key, for so many seconds at most, and returns what was typed. Without a terminal it waits and
    returns nothing. However the block ends, the terminal is as it was, and what was typed is discarded.
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
    """Discard what was typed before this moment and not yet read."""
    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)

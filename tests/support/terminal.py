"""A pseudo-terminal with a person at it."""

import os
import pty
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

GONE = ""
"""In place of an answer: the end of input, Ctrl-D."""


class Person:
    """Answers each prompt with the next line, and sees what a screen would show."""

    def __init__(self, terminal: int, answers: Sequence[str]) -> None:
        self._terminal = terminal
        self._answers = list(answers)
        self.screen = ""
        self._thread = threading.Thread(target=self._sit, daemon=True)
        self._thread.start()

    @property
    def unasked(self) -> int:
        """How many answers nobody asked for."""
        return len(self._answers)

    def leave(self) -> None:
        """Wait until the other side has closed the terminal."""
        self._thread.join(timeout=20)

    def _sit(self) -> None:
        while True:
            try:
                text = os.read(self._terminal, 4_096).decode()
            except OSError:
                return
            self.screen += text.replace("\r\n", "\n")
            if self.screen.endswith(": ") and self._answers:
                answer = self._answers.pop(0)
                os.write(self._terminal, b"\x04" if answer == GONE else f"{answer}\n".encode())


@contextmanager
def person(monkeypatch: pytest.MonkeyPatch, *answers: str) -> Iterator[Person]:
    """Put somebody with these answers at the terminal of this process's input and errors."""
    outside, inside = pty.openpty()
    someone = Person(outside, answers)
    with monkeypatch.context() as patch, open(inside, closefd=False) as stdin, open(inside, "w") as stderr:
        patch.setattr(sys, "stdin", stdin)
        patch.setattr(sys, "stderr", stderr)
        yield someone
    someone.leave()
    os.close(outside)

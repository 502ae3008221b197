"""Standard output and error, which may fail before the process ends: a closed pipe, a full disk, a closed terminal."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any, Final, Self, TextIO, cast

from ocw_mcp.domain.text import printable

_OF_A_STREAM: Final = {errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.EBADF}


class FailSafeStream:
    """A stream whose errors do not reach the caller: after the first failed write it drops every text."""

    def __init__(self, stream: TextIO, report: Callable[[OSError], None]) -> None:
        self._stream = stream
        self._report = report
        self._works = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, or drop it; a character that the stream's encoding does not have is written as an escape."""
        try:
            return self._try(lambda: self._stream.write(text))
        except UnicodeEncodeError as error:
            known = text.encode(error.encoding, "backslashreplace").decode(error.encoding)
            return self._try(lambda: self._stream.write(known))

    def flush(self) -> None:
        """Flush the stream, or do nothing after a failed write."""
        self._try(self._stream.flush)

    def _try(self, act: Callable[[], int | None]) -> int:
        try:
            return (act() or 0) if self._works else 0
        except OSError as error:
            self._works = False
            silence(self._stream)
            self._report(error)
            return 0


def steady(stream: TextIO, report: Callable[[OSError], None] = lambda error: None) -> TextIO:
    """Return a wrapper of the stream that never raises OSError; `report` is called once, with the first error."""
    return cast(TextIO, FailSafeStream(stream, report))


class StatusLine:
    """A line of progress at the bottom of a terminal; without a terminal, or if `quiet`, it is not drawn."""

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream = stream
        self.drawn = not quiet and stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = ""

    def __enter__(self) -> Self:
        # Other output on standard error then begins on a new line.
        sys.stderr = cast(TextIO, self)
        return self

    def __exit__(self, *_: object) -> None:
        self.erase()
        sys.stderr = self._stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def show(self, text: str) -> None:
        """Draw the line again, cut to the width of the terminal."""
        if self.drawn and text != self._shown:
            from rich.cells import set_cell_size

            try:
                columns = os.get_terminal_size(self._stream.fileno()).columns or 80
            except (OSError, ValueError):
                columns = 80
            self._draw(text, set_cell_size(printable(text), columns - 1).rstrip())

    def erase(self) -> None:
        """Erase the line, so that other output can be printed in its place."""
        if self._shown:
            self._draw("", "")

    def _draw(self, text: str, line: str) -> None:
        self._shown = text
        self._stream.write(f"\r\x1b[2K{line}")
        self._stream.flush()

    def write(self, text: str) -> int:
        """Erase the line, then write to the stream itself."""
        self.erase()
        return self._stream.write(text)


@contextmanager
def working(task: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show a task on a terminal (standard error) while the block runs; yield a function that changes its text."""
    if quiet or not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(file=sys.stderr).status(Text(printable(task))) as status:
        yield lambda text: status.update(Text(printable(text)))


STATE_STYLES: Final = {"ACTIVE": "green", "REDUCING": "yellow", "HALTED": "bold red"}
"""The colour of each state of a book."""


def gain_style(amount: Decimal | float | None) -> str:
    """Return the colour of an amount of money: green for a gain, red for a loss."""
    return "" if not amount else "green" if amount > 0 else "red"


def silence(stream: TextIO) -> None:
    """Redirect a stream and its buffered text to the null device, so that a flush at exit does not fail."""
    # A stream without a file descriptor cannot fail at exit.
    with open(os.devnull, "wb") as nowhere, suppress(OSError, ValueError):
        os.dup2(nowhere.fileno(), stream.fileno())


def of_a_stream(error: OSError) -> bool:
    """Return whether an error may come from a write to an open stream; an error with a file name cannot."""
    return error.filename is None and error.errno in _OF_A_STREAM


def output_problem(error: OSError) -> str:
    """Return a sentence on why standard output failed; empty for a pipe that its reader closed."""
    return "" if error.errno == errno.EPIPE else f"standard output cannot be written ({error.strerror})"


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text without control characters, which names of files and policies may have."""
    import typer

    typer.echo(clean(text), err=err, nl=nl)


def clean(text: str) -> str:
    """Return a text of several lines without control and invisible characters; its indentation stays."""
    return "\n".join(f"{line[: len(line) - len(line.lstrip(' '))]}{printable(line)}" for line in text.split("\n"))

"""Standard output and error, which may end before we do: a pipe nobody reads, a full disk, a closed terminal."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final, Self, TextIO, cast

from ocw_mcp.domain.text import printable

_OF_A_STREAM: Final = {errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.EBADF}


class BlockingSafeStream:
    """A stream that stops nobody: from the first text that it does not take, it drops all of them."""

    def __init__(self, stream: TextIO, tell: Callable[[OSError], None]) -> None:
        self._stream = stream
        self._tell = tell
        self._takes = True

    def __getattr__(self, name: str) -> Any:
        """Whatever else a stream is asked for: its encoding, whether it is a terminal."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, or drop it; what the stream's encoding does not have is written as escapes."""
        try:
            return self._try(lambda: self._stream.write(text))
        except UnicodeEncodeError as error:
            known = text.encode(error.encoding, "backslashreplace").decode(error.encoding)
            return self._try(lambda: self._stream.write(known))

    def flush(self) -> None:
        """Hand on what was written, or drop it."""
        self._try(self._stream.flush)

    def _try(self, act: Callable[[], int | None]) -> int:
        try:
            return (act() or 0) if self._takes else 0
        except OSError as error:
            self._takes = False
            silence(self._stream)
            self._tell(error)
            return 0


def steady(stream: TextIO, tell: Callable[[OSError], None] = lambda error: None) -> TextIO:
    """The stream as one that stops nobody; `tell` hears once, and why, that nothing is taken any more."""
    return cast(TextIO, BlockingSafeStream(stream, tell))


class StatusLine:
    """A line at the foot of a terminal that is drawn over: how far some work is.

    While its `with` block runs it stands in for standard error, so that what is written there begins a line of its
    own. If the stream is no terminal, or `quiet`, it draws nothing.
    """

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream = stream
        self.drawn = not quiet and stream.isatty() and os.environ.get("TERM") != "dumb"
        """Whether the line can be seen at all."""
        self._shown = ""

    def __enter__(self) -> Self:
        sys.stderr = cast(TextIO, self)
        return self

    def __exit__(self, *_: object) -> None:
        self.erase()
        sys.stderr = self._stream

    def __getattr__(self, name: str) -> Any:
        """Whatever else a stream is asked for."""
        return getattr(self._stream, name)

    def show(self, text: str) -> None:
        """Draw the line again, cut to the width of the terminal."""
        if self.drawn and text != self._shown:
            from rich.cells import set_cell_size

            try:
                columns = os.get_terminal_size(self._stream.fileno()).columns or 80
            except (OSError, ValueError):
                columns = 80
            self._shown = text
            self._stream.write(f"\r\x1b[2K{set_cell_size(printable(text), columns - 1).rstrip()}")
            self._stream.flush()

    def erase(self) -> None:
        """Take the line away, for something that is printed in its place."""
        if self._shown:
            self._shown = ""
            self._stream.write("\r\x1b[2K")
            self._stream.flush()

    def write(self, text: str) -> int:
        """Write to the stream itself, after the line is gone."""
        self.erase()
        return self._stream.write(text)


@contextmanager
def working(what: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show what is done while the block runs, on a terminal at standard error alone; `quiet` shows nothing.

    The value shows another text in its place.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(file=sys.stderr).status(Text(printable(what))) as status:
        yield lambda text: status.update(Text(printable(text)))


STATE_STYLES: Final = {"ACTIVE": "green", "REDUCING": "yellow", "HALTED": "bold red"}
"""The colour of each state of a book."""


def gain_style(amount: Decimal | float | None) -> str:
    """Return the colour of an amount of money: green for a gain, red for a loss."""
    return "" if not amount else "green" if amount > 0 else "red"


def silence(stream: TextIO) -> None:
    """Lead a stream and what it still holds into nothing, so that no process stumbles over it at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    except (OSError, ValueError):
        return  # no file of the system's: there is nothing to stumble over
    finally:
        os.close(nowhere)


def of_a_stream(error: OSError) -> bool:
    """Whether an error may come from writing to a stream that was open; one of a file by its name does not."""
    return error.filename is None and error.errno in _OF_A_STREAM


def complaint(error: OSError) -> str:
    """What to tell of standard output that takes nothing; empty where a reader has only heard enough."""
    return "" if error.errno == errno.EPIPE else f"standard output takes no more ({error.strerror})"


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text without anything that a terminal would obey: names of files and policies may hold that."""
    import typer

    typer.echo(clean(text), err=err, nl=nl)


def clean(text: str) -> str:
    """Return a text of several lines without control and invisible characters; indentation stays."""
    return "\n".join(f"{line[: len(line) - len(line.lstrip(' '))]}{printable(line)}" for line in text.split("\n"))

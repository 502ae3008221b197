"""Standard output and error, which may end before we do: a pipe nobody reads, a full disk, a closed terminal."""

import errno
import os
from collections.abc import Callable
from typing import Any, Final, TextIO, cast

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

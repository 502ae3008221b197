"""The log: one line an event, on standard error, so that standard output holds results alone."""

import logging
import sys
import time
from collections.abc import Callable
from typing import Final

import structlog
from structlog.typing import EventDict, WrappedLogger

from ocw_mcp.app.settings import LogLevel
from ocw_mcp.domain.text import printable

SAID_AGAIN_S: Final = 3600
"""Wall time after which an identical warning is worth another line."""
MOST_REMEMBERED: Final = 1_000


def configure(level: LogLevel, *, quiet: bool = False) -> None:
    """Set the log up; `quiet` leaves warnings and errors only, for commands that a person watches."""
    threshold = max(logging.getLevelName(level.value), logging.WARNING if quiet and level is LogLevel.INFO else 0)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            Once(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Rich's tracebacks would show what variables hold, keys among it.
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        # Asked for at each line: whoever takes standard error away, or gives another, is followed.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _take_in_logging(threshold)


class Once:
    """Drops a warning that was said in the same words within the hour: what goes on needs no line each time."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:  # noqa: TID251 - how often people are told
        self._now_s = now_s
        self._said: dict[str, float] = {}

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Pass an event on. Raises DropEvent."""
        if event["level"] != "warning":
            return event
        now, words = self._now_s(), repr(sorted(event.items()))
        if now - self._said.get(words, -SAID_AGAIN_S) < SAID_AGAIN_S:
            raise structlog.DropEvent
        if len(self._said) >= MOST_REMEMBERED:
            self._said.clear()
        self._said[words] = now
        return event


class _Forward(logging.Handler):
    """Has what goes through `logging` said like everything else."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        trace = {"exc_info": record.exc_info} if record.exc_info else {}
        structlog.get_logger().log(record.levelno, printable(record.getMessage()), **trace)


def _take_in_logging(threshold: int) -> None:
    """Take what goes through `logging`, before a library puts a handler of its own there; of theirs, warnings only."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _Forward):
            root.removeHandler(handler)
    root.addHandler(_Forward())
    logging.getLogger("ocw_mcp").setLevel(threshold)

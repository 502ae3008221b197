"""The log: one line per event, on standard error, so that standard output has only results."""

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
"""Wall time (s) after which an identical warning is logged again."""
MOST_REMEMBERED: Final = 1_000


def configure(level: LogLevel, *, quiet: bool = False) -> None:
    """Configure the log; with `quiet` the log has only warnings and errors, for commands that an operator watches."""
    threshold = max(logging.getLevelName(level.value), logging.WARNING if quiet and level is LogLevel.INFO else 0)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            Once(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Rich's tracebacks would show the values of variables, which may be keys.
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        # Standard error is looked up at each line, since it may be replaced or closed during a run.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # With this handler no library adds its own. Of libraries only warnings and errors are logged.
    root = logging.getLogger()
    root.handlers = [*(each for each in root.handlers if not isinstance(each, _Forward)), _Forward()]
    logging.getLogger("ocw_mcp").setLevel(threshold)


class Once:
    """Drops a warning that was logged with the same text within the hour."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:  # noqa: TID251 - limits repeated warnings
        self._now_s = now_s
        self._said: dict[str, float] = {}

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Return an event to log. Raises DropEvent for a repeated warning."""
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
    """Writes the records of the module `logging` into this log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record."""
        trace = {"exc_info": record.exc_info} if record.exc_info else {}
        structlog.get_logger().log(record.levelno, printable(record.getMessage()), **trace)

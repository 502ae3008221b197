"""The log: one line an event, on standard error, so that standard output holds results alone."""

import logging
import sys

import structlog

from ocw_mcp.app.settings import LogLevel


def configure(level: LogLevel, *, quiet: bool = False) -> None:
    """Set the log up; `quiet` leaves warnings and errors only, for commands that a person watches."""
    threshold = max(logging.getLevelName(level.value), logging.WARNING if quiet and level is LogLevel.INFO else 0)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        # Asked for at each line: whoever takes standard error away, or gives another, is followed.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )

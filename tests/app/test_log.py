"""The log: records of `logging` have its format, and repeated warnings are dropped."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from ocw_mcp.app import log
from ocw_mcp.app.settings import LogLevel

ours = logging.getLogger("ocw_mcp.agent.memory.memory")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root, house = logging.getLogger(), logging.getLogger("ocw_mcp")
    handlers, level = root.handlers[:], house.level
    yield
    root.handlers[:] = handlers
    house.setLevel(level)
    structlog.reset_defaults()


def test_standard_library_log_records_get_the_ocw_log_format(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(LogLevel.INFO, quiet=True)
    ours.warning("nothing is written into memory: nobody tells what %s costs", "a\x1b[2J model")
    structlog.get_logger().warning("in our own words")
    ours.info("not worth a line")
    logging.getLogger("httpx").info("nor is this")
    first, second = capsys.readouterr().err.splitlines()
    assert first[28:].rstrip() == "[warning  ] nothing is written into memory: nobody tells what a [2J model costs"
    assert second[28:].rstrip() == "[warning  ] in our own words"


def test_library_that_configures_logging_does_not_duplicate_log_lines(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(LogLevel.INFO)
    log.configure(LogLevel.INFO)
    logging.basicConfig(format="foreign %(message)s")
    ours.error("once")
    assert "foreign" not in (err := capsys.readouterr().err)
    assert err.count("once") == 1


def test_error_trace_shows_lines_but_no_variable_values(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(LogLevel.INFO)
    secret = "canary-" + "key"
    try:
        raise ValueError(len(secret))
    except ValueError as error:
        ours.error("a tool failed", exc_info=error)
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "canary-key" not in err


def test_identical_warning_is_logged_once_an_hour() -> None:
    now = [0.0]
    once = log.Once(lambda: now[0])

    def told(event: str, level: str = "warning") -> bool:
        try:
            once(None, level, {"event": event, "level": level})
        except structlog.DropEvent:
            return False
        return True

    assert [told("a"), told("a"), told("b"), told("a", "error"), told("a", "error")] == [True, False, True, True, True]
    now[0] = log.SAID_AGAIN_S
    assert [told("a"), told("a")] == [True, False]

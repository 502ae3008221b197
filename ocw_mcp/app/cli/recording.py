"""`ocw record`, and `ocw replay` of what it recorded."""

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from ocw_mcp.app.cli.options import RunRequest, option, print_result, state_option
from ocw_mcp.app.resources import STATE
from ocw_mcp.domain.errors import SettingsError

_LEFT_OUT = ("market", "seed", "speed", "picture", "record", "decisions", "strict", "discontinuity", "metrics_stamps")
"""The options of `ocw run` that a recorded run does not have: a recording is of the live market."""


def record(directory: Path, archive: Path | None = None, **given: Any) -> None:
    """Run a book on the live market, and keep every input. Repeat the command to go on after a stop or a crash.

    `ocw replay DIR` then repeats the session to the same fingerprint. With --archive nothing runs: the market data of
    the recording are written as files for ocw replay, ocw tape and other programs.
    """
    request = RunRequest("binance", **given)
    if archive is not None:
        _export(directory, archive, request)
        return
    from ocw_mcp.adapters.files import make_directory, require_own_directory
    from ocw_mcp.app.cli.runs import run_and_print
    from ocw_mcp.app.recording import BOOK, CALLS
    from ocw_mcp.domain.orders import CLAUDE

    require_own_directory(directory)
    try:
        make_directory(directory)
    except OSError as error:
        raise SettingsError(
            f"the recording cannot be made in {directory}: {error.strerror}; allow writing there, or name another"
        ) from None
    if request.state is None:
        request = request._replace(state=directory / BOOK)
    if request.agent == CLAUDE:
        request = request._replace(record=directory / CALLS)
    run_and_print(request, record_to=directory)


def is_recorded(path: Path) -> bool:
    """Return whether a path is a recording of `ocw record`."""
    # The module of the format is imported only for a directory that may be one.
    if not (path / "recording.json").is_file():
        return False
    from ocw_mcp.adapters.store.recording_files import is_recording

    return is_recording(path)


def replay(directory: Path, request: RunRequest) -> None:
    """Repeat a recording, and print whether it reached the recorded fingerprint; exit with 1 if it did not."""
    _require_unused(request, {"market", "as_json", "quiet", "state"}, "a recording has its own options")
    import msgspec

    from ocw_mcp.app import recording
    from ocw_mcp.app.cli.tables import terminal
    from ocw_mcp.app.narrator import Narrator

    quiet = request.as_json or request.quiet
    replayed = recording.replay(directory, request.state, None if quiet else Narrator(terminal().print))
    found = replayed.found
    result = {"same": found.same, "torn": replayed.torn, **msgspec.to_builtins(found)}
    for start in result["starts"]:
        # The policies are long, and their hash names them.
        del start["policies"], start["strict"]
    print_result(result, recording.replay_lines(replayed), request.as_json)
    if not found.same:
        raise typer.Exit(1)


def _export(directory: Path, to: Path, request: RunRequest) -> None:
    _require_unused(request, {"market", "as_json", "state"}, "--archive runs nothing")
    import msgspec

    from ocw_mcp.app import recording

    exported = recording.export(directory, to, request.state)
    rows = ", ".join(f"{stream} {count:,}" for stream, count in exported.rows.items() if count) or "none"
    lines = [f"{exported.files:,} files in {to}; rows: {rows}", *(f"not in it: {each}" for each in exported.missing)]
    print_result(msgspec.to_builtins(exported), lines, request.as_json)


def _require_unused(request: RunRequest, used: set[str], why: str) -> None:
    """Raise SettingsError if an option of a run was given that has no meaning here."""
    defaults = RunRequest("")._asdict()
    unused = [name for name, value in request._asdict().items() if name not in used and value != defaults[name]]
    if unused:
        name = unused[0].rstrip("_").replace("_", "-")
        raise SettingsError(f"--{name} has no meaning here, because {why}; leave it out")


_RUN = inspect.signature(RunRequest).parameters
_DIRECTORY = Annotated[Path, typer.Argument(metavar="DIR", help="The directory of the recording; a new one is made.")]
_ARCHIVE = Annotated[
    Path | None,
    option("--archive", "Only write the market data of the recording into this new directory, as the archive does."),
]
_STATE = Annotated[
    Path | None, state_option(f"The book's state directory, or {STATE}; the default is DIR/book, which is kept.")
]
_FOR = Annotated[
    str | None, option("--for", "Market time to record, from the beginning: 24h, 7d. The default is until a stop.")
]
_OWN = {name: each for name, each in _RUN.items() if name not in _LEFT_OUT}
_OWN["state"] = _RUN["state"].replace(annotation=_STATE)
_OWN["for_"] = _RUN["for_"].replace(annotation=_FOR)
record.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        inspect.Parameter("directory", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=_DIRECTORY),
        inspect.Parameter("archive", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=_ARCHIVE),
        *_OWN.values(),
    ]
)

"""The command `ocw`."""

import os
import sys
from contextlib import nullcontext

from ocw_mcp.app.output import clean, complaint, of_a_stream, silence, steady
from ocw_mcp.domain.errors import OcwError

SYSTEMS = ("linux", "darwin")
"""The values of `sys.platform` on which OCW runs."""
UNWRITTEN = 1
USAGE_ERROR = 2
INTERRUPTED = 130


def main() -> None:
    """Run the command line. What a user can mend is told in one sentence on standard error, with exit code 2.

    Output that nobody reads any more ends a command quietly, and any other that is not taken with a sentence.
    """
    # A process may be started without streams; and whoever takes standard error away is to stop nothing by it.
    output, errors = sys.stdout, sys.stderr
    sys.stdout = output or open(os.devnull, "w")  # noqa: SIM115 - as long-lived as the process
    sys.stderr = steady(errors or open(os.devnull, "w"))  # noqa: SIM115
    try:
        try:
            if sys.platform not in SYSTEMS:
                _speak(f"this system ({sys.platform}) is not supported; use Linux or macOS, or Windows through WSL")
                sys.exit(USAGE_ERROR)
            _command()
        finally:
            sys.stdout.flush()
    except OSError as error:
        if not of_a_stream(error):
            raise
        silence(sys.stdout)
        if said := complaint(error):
            _speak(f"{said}; make room there, or send it elsewhere")
        sys.exit(UNWRITTEN)
    finally:
        sys.stdout, sys.stderr = output, errors


def _option(argument: str) -> str:
    """Return an argument with an option's name as it may be printed: an unknown one is repeated in the complaint."""
    if not argument.startswith("-"):
        return argument
    name, equals, value = argument.partition("=")
    return f"{clean(name)}{equals}{value}"


def _command() -> None:
    from ocw_mcp.app.terminal import asks_for_passphrase, silent

    sys.argv[1:] = map(_option, sys.argv[1:])
    # From the first moment on: the import of a command takes half a second, in which a person may already type.
    with silent() if asks_for_passphrase(sys.argv[1:]) else nullcontext():
        dispatch()


def dispatch() -> None:
    """Run the command of `sys.argv`. An error that the user can mend becomes one sentence and exit code 2."""
    try:
        if sys.argv[1:2] == ["mcp"]:
            # A client of MCP waits for its list of tools: it does not wait for all the other commands, too.
            from ocw_mcp.app.cli.mcp import alone

            alone(sys.argv[2:])
            return
        from ocw_mcp.app.cli.commands import app

        app()
    except OcwError as error:
        _speak(str(error))
        sys.exit(USAGE_ERROR)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _speak(text: str) -> None:
    print(clean(f"ocw: {text}"), file=sys.stderr)  # noqa: T201 - the one place where errors are spoken

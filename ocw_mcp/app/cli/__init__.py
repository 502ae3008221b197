"""The command `ocw`."""

import os
import sys
from contextlib import nullcontext

from ocw_mcp.app.output import clean, of_a_stream, output_problem, silence, steady
from ocw_mcp.domain.errors import OcwError

SYSTEMS = ("linux", "darwin")
"""The values of `sys.platform` on which OCW runs."""
UNWRITTEN = 1
USAGE_ERROR = 2
INTERRUPTED = 130


def main() -> None:
    """Run the command line. An error that the user can correct is one sentence on standard error, with exit code 2.

    A command ends silently if the reader of its output is gone. If standard output fails for another reason, such as a
    full disk, the command ends with a sentence on standard error and exit code 1.
    """
    # A process may be started without streams, and an error stream that is closed later must not end the command.
    output, errors = sys.stdout, sys.stderr
    sys.stdout = output or open(os.devnull, "w")  # noqa: SIM115 - as long-lived as the process
    sys.stderr = steady(errors or open(os.devnull, "w"))  # noqa: SIM115
    try:
        try:
            if sys.platform not in SYSTEMS:
                _print_error(f"the system {sys.platform} is not supported; use Linux or macOS, or Windows through WSL")
                sys.exit(USAGE_ERROR)
            from ocw_mcp.app.terminal import asks_for_passphrase, silent  # needs a module that Windows lacks

            sys.argv[1:] = map(_option, sys.argv[1:])
            # Echo is off before a command is imported: that takes half a second, and the operator may type meanwhile.
            with silent() if asks_for_passphrase(sys.argv[1:]) else nullcontext():
                dispatch()
        finally:
            sys.stdout.flush()
    except OSError as error:
        if not of_a_stream(error):
            raise
        silence(sys.stdout)
        if problem := output_problem(error):
            _print_error(f"{problem}; free some space, or write the output elsewhere")
        sys.exit(UNWRITTEN)
    finally:
        sys.stdout, sys.stderr = output, errors


def _option(argument: str) -> str:
    """Return an argument without control characters in its option name, because error texts repeat that name."""
    name, equals, value = argument.partition("=")
    return f"{clean(name)}{equals}{value}" if argument.startswith("-") else argument


def dispatch() -> None:
    """Run the command of `sys.argv`. An error that the user can correct becomes one sentence and exit code 2."""
    try:
        if sys.argv[1:2] == ["mcp"]:
            # An MCP client waits for the list of tools, so the other commands are not imported first.
            from ocw_mcp.app.cli.clients import alone

            alone(sys.argv[2:])
            return
        from ocw_mcp.app.cli.commands import app

        app(prog_name="ocw-mcp" if sys.argv[0].endswith("ocw-mcp") else "ocw")
    except OcwError as error:
        _print_error(str(error))
        sys.exit(USAGE_ERROR)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _print_error(text: str) -> None:
    print(clean(f"ocw: {text}"), file=sys.stderr)  # noqa: T201 - the only place that prints errors

"""The command `ocw`."""

import sys

from ocw_mcp.domain.errors import OcwError

USAGE_ERROR = 2
INTERRUPTED = 130


def main() -> None:
    """Run the command line. What a user can mend is told in one sentence on standard error, with exit code 2."""
    try:
        if sys.argv[1:2] == ["mcp"]:
            # A client of MCP waits for its list of tools: it does not wait for all the other commands, too.
            from ocw_mcp.app.cli.mcp import alone

            alone(sys.argv[2:])
            return
        from ocw_mcp.app.cli.commands import app

        app()
    except OcwError as error:
        print(f"ocw: {error}", file=sys.stderr)  # noqa: T201 - the one place where errors are spoken
        sys.exit(USAGE_ERROR)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has heard enough; closing it here keeps the interpreter from complaining at exit.
        sys.stderr.close()
        sys.exit(1)

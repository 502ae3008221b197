"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Final

import typer

from ocw_mcp.app.attach import home
from ocw_mcp.domain.errors import SettingsError

MOST_ROWS = 10_000

STATE: Final = "OCW_STATE"
"""The environment variable that names a state directory in place of `--state`."""

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state", envvar=STATE, show_envvar=False,
        help=f"The book's state directory, or {STATE}; without either a temporary book that is not kept.",
    ),
]  # fmt: skip
FreshOption = Annotated[
    Path | None, typer.Option("--state", help="The book's state directory; without it a temporary book, not kept.")
]
PoliciesOption = Annotated[
    Path | None, typer.Option("--policies", help="A directory of policy files, or one file, in place of the shipped.")
]
PolicyOption = Annotated[str, typer.Option("--policy", help="The policy file's name, without .toml.")]
BookOption = Annotated[
    Path,
    typer.Option(
        "--state", envvar=STATE, show_envvar=False, default_factory=home, show_default=False,
        help=f"The book's state directory, or {STATE}; without either the one of `ocw mcp`, with your user data.",
    ),
]  # fmt: skip
"""The book that a command is about; it need not exist."""
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON, alone on standard output.")]


def rows(text: str | int) -> int:
    """A number of rows, if it is one. Raises SettingsError."""
    try:
        limit = int(text)
    except ValueError:
        limit = 0
    if not 1 <= limit <= MOST_ROWS:
        raise SettingsError(f"--limit is {text}; expected 1 to {MOST_ROWS:,} rows, such as 20")
    return limit


LimitOption = Annotated[
    int, typer.Option("--limit", parser=rows, metavar="<int>", help="How many rows at most, the newest.")
]

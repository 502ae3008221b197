"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from ocw_mcp.domain.errors import SettingsError

MOST_ROWS = 10_000

StateOption = Annotated[
    Path | None, typer.Option("--state", help="The book's state directory; without it a fresh temporary book.")
]
PoliciesOption = Annotated[
    Path | None, typer.Option("--policies", help="A directory of policy files, or one file, in place of the shipped.")
]
PolicyOption = Annotated[str, typer.Option("--policy", help="The policy file's name, without .toml.")]
BookOption = Annotated[Path, typer.Option("--state", help="The book's state directory.")]
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

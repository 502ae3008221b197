"""Options that several commands share."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from ocw_mcp.domain.errors import SettingsError

MOST_ROWS = 10_000

STATE: Final = "OCW_STATE"
"""The environment variable that names a state directory in place of `--state`."""


def home() -> Path:
    """Return the default state directory, for a command that names none: a directory in the user's data."""
    from platformdirs import user_data_path

    return user_data_path("ocw", appauthor=False) / "desk"


def one_of(*values: str) -> Callable[[str], list[str]]:
    """Return a function for shell completion: it gives those of `values` that begin with the typed text."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


def _policy_names(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a policy file, from the directory of `--policies` if given, else from the shipped ones."""
    from ocw_mcp.app.resources import shipped

    folder = context.params.get("policies") or context.params.get("file")
    try:
        names = sorted(path.stem for path in (Path(folder) if folder else shipped("policies")).glob("*.toml"))
    except (OSError, SettingsError):
        return []
    # Some shells evaluate a completion, so a name with a special character of the shell is left out.
    return [name for name in names if name.startswith(incomplete) and re.fullmatch(r"[\w.-]+", name)]


StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state", envvar=STATE, show_envvar=False,
        help=f"The book's state directory, or {STATE}; the default is a temporary book that is not kept.",
    ),
]  # fmt: skip
FreshOption = Annotated[
    Path | None,
    typer.Option("--state", help="The book's state directory; the default is a temporary book that is not kept."),
]
PoliciesOption = Annotated[
    Path | None,
    typer.Option("--policies", help="A directory of policy files, or one file, in place of the shipped ones."),
]
PolicyOption = Annotated[
    str, typer.Option("--policy", help="The policy file's name, without .toml.", autocompletion=_policy_names)
]
ProductOption = Annotated[
    str | None,
    typer.Option(
        "--product", help="spot or um (USD-M futures), if the path does not show it. [default: um]",
        autocompletion=one_of("spot", "um"),
    ),
]  # fmt: skip
IntervalOption = Annotated[
    str | None,
    typer.Option(
        "--interval", help="Which candles to use, if a tape has several lengths: 1m, 15m, 1h.",
        autocompletion=one_of("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h"),
    ),
]  # fmt: skip
SymbolsOption = Annotated[str | None, typer.Option("--symbols", help="Use only these symbols: BTCUSDT,ETHUSDT.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of the simulated market.")]
BookOption = Annotated[
    Path,
    typer.Option(
        "--state", envvar=STATE, show_envvar=False, default_factory=home, show_default=False,
        help=f"The book's state directory, or {STATE}; the default is the book of `ocw mcp`, in your user data.",
    ),
]  # fmt: skip
"""The book of a command; it need not exist."""
JsonOption = Annotated[bool, typer.Option("--json", help="Print only the result, as JSON on standard output.")]


def rows(text: str | int) -> int:
    """Return the number of rows of `--limit`. Raises SettingsError for any other text."""
    try:
        limit = int(text)
    except ValueError:
        limit = 0
    if not 1 <= limit <= MOST_ROWS:
        raise SettingsError(f"--limit is {text}; expected 1 to {MOST_ROWS:,} rows, such as 20")
    return limit


LimitOption = Annotated[
    int, typer.Option("--limit", parser=rows, metavar="<int>", help="Show at most this many rows, the newest.")
]

"""Options, groups and output that several commands share. This file imports little, so that `--help` is fast."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ocw_mcp.app.resources import STATE, home, shipped
from ocw_mcp.domain.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import RenderableType

MOST_ROWS = 10_000
INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h")


def group(text: str) -> typer.Typer:
    """Return a group of commands with a help text, which is shown if no command is given."""
    return typer.Typer(help=text, no_args_is_help=True, rich_markup_mode=None)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON on standard output; without `indent` on one line."""
    typer.echo(json.dumps(value, indent=indent, allow_nan=False))


def print_result(
    value: Any, parts: "Iterable[RenderableType]", as_json: bool, *, indent: int | None = 2, soft_wrap: bool = True
) -> None:
    """Print a result as JSON, or its parts as text; with `soft_wrap` no line break is added to long lines."""
    if as_json:
        print_json(value, indent=indent)
        return
    from ocw_mcp.app.cli.tables import terminal

    console = terminal()
    for part in parts:
        console.print(part, crop=False, soft_wrap=soft_wrap)


def option(name: str, text: str, *values: str, **more: Any) -> Any:
    """Return an option with a help text; a shell completes its `values`, and `more` are further arguments of typer."""
    return typer.Option(name, help=text, autocompletion=one_of(*values) if values else None, **more)


def state_option(text: str, **more: Any) -> Any:
    """Return the option `--state`, whose value may also come from the environment."""
    return option("--state", text, envvar=STATE, show_envvar=False, **more)


def one_of(*values: str) -> Callable[[str], list[str]]:
    """Return a function for shell completion, which returns those of `values` that begin with the typed text."""
    return lambda incomplete: [value for value in values if value.startswith(incomplete)]


def _policy_names(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a policy file, from the directory of `--policies` if given, else from the shipped ones."""
    folder = context.params.get("policies") or context.params.get("file")
    try:
        names = sorted(path.stem for path in (Path(folder) if folder else shipped("policies")).glob("*.toml"))
    except (OSError, SettingsError):
        return []
    # Some shells evaluate a completion, so a name with a special character of the shell is left out.
    return [name for name in names if name.startswith(incomplete) and re.fullmatch(r"[\w.-]+", name)]


def _rows(text: str | int) -> int:
    """Return the number of rows of `--limit`. Raises SettingsError unless it is from 1 to `MOST_ROWS`."""
    try:
        limit = int(text)
    except ValueError:
        limit = 0
    if not 1 <= limit <= MOST_ROWS:
        raise SettingsError(f"--limit is {text}; expected 1 to {MOST_ROWS:,} rows, such as 20")
    return limit


BookOption = Annotated[
    Path,
    state_option(
        f"The book's state directory, or {STATE}; the default is the book of `ocw mcp`, in your user data.",
        default_factory=home,
        show_default=False,
    ),
]
"""The state directory of a command's book; the directory need not exist."""
JsonOption = Annotated[bool, option("--json", "Print only the result, as JSON on standard output.")]
LimitOption = Annotated[
    int, option("--limit", "Show at most this many rows, the newest.", parser=_rows, metavar="<int>")
]
PoliciesOption = Annotated[
    Path | None, option("--policies", "A directory of policy files, or one file, in place of the shipped ones.")
]
PolicyOption = Annotated[
    str, typer.Option("--policy", help="The policy file's name, without .toml.", autocompletion=_policy_names)
]
ProductOption = Annotated[
    str | None,
    option("--product", "spot or um (USD-M futures), if the path does not show it. [default: um]", "spot", "um"),
]
IntervalOption = Annotated[
    str | None, option("--interval", "Which candles to use, if a tape has several lengths: 1m, 15m, 1h.", *INTERVALS)
]
SymbolsOption = Annotated[str | None, option("--symbols", "Use only these symbols: BTCUSDT,ETHUSDT.")]
SeedOption = Annotated[int, option("--seed", "Seed of the simulated market.")]
StrictOption = Annotated[bool, option("--strict", "Stop at the first invalid row or file of a tape.")]
DiscontinuityOption = Annotated[
    float | None,
    option(
        "--discontinuity",
        "A price that changes by more than this factor across a data gap ends the symbol. [default: 10]",
    ),
]
StampsOption = Annotated[
    str | None,
    option(
        "--metrics-stamps",
        "Meaning of the time stamps of metrics: end or beginning of their five minutes, or the day from which on "
        "they are the beginning. [default: 2026-06-25]",
        *("end", "beginning"),
    ),
]


ModeOption = Annotated[
    str | None,
    option(
        "--mode",
        "paper, demo (the exchange's test money) or live (your money). [default: OCW_MODE, or paper]",
        *("paper", "demo", "live"),
    ),
]


class RunRequest(NamedTuple):
    """The options of `ocw run`; those of `ocw replay` are derived from these fields."""

    market: Annotated[str, option("--market", "sim, binance (live prices), or the path of a tape.", "sim", "binance")]
    agent: Annotated[
        str,
        option(
            "--agent",
            "Which agent decides: rules, claude, attached (an MCP client), none, or reckless to test the policies.",
            *("rules", "claude", "attached", "none", "reckless"),
        ),
    ] = "rules"
    for_: Annotated[
        str | None,
        option(
            "--for",
            "Market time to run, from the book's last time, or live from now: 24h, 7d. The default is the whole tape.",
        ),
    ] = None
    state: Annotated[
        Path | None,
        state_option(f"The book's state directory, or {STATE}; the default is a temporary book that is not kept."),
    ] = None
    as_json: JsonOption = False
    policies: PoliciesOption = None
    policy: PolicyOption = "default"
    prompts: Annotated[Path | None, option("--prompts", "A directory of prompts, in place of the shipped ones.")] = None
    env: Annotated[
        Path | None, option("--env", "A file of settings; environment variables take precedence over it.")
    ] = None
    product: ProductOption = None
    interval: IntervalOption = None
    symbols: SymbolsOption = None
    seed: SeedOption = 1
    speed: Annotated[
        str,
        option(
            "--speed",
            "Simulated time divided by real time: 1 is real time, 60 is one hour per minute; max has no limit.",
            *("1", "60", "max"),
        ),
    ] = "max"
    picture: Annotated[
        Path | None, option("--picture", "Draw prices, wakes and trades into this PNG (needs ocw-mcp[plot]).")
    ] = None
    serve: Annotated[
        str | None, option("--serve", "Serve the run to clients over HTTP and MCP: HOST:PORT, such as 127.0.0.1:8080.")
    ] = None
    record: Annotated[
        Path | None, option("--record", "Record the requests to Claude and its answers, without any key.")
    ] = None
    decisions: Annotated[
        Path | None, option("--decisions", "Take Claude's answers from such a recording, without a network.")
    ] = None
    memory: Annotated[bool, option("--memory/--no-memory", "Whether Claude remembers earlier trades and days.")] = True
    strict: StrictOption = False
    discontinuity: DiscontinuityOption = None
    metrics_stamps: StampsOption = None
    quiet: Annotated[bool, option("--quiet", "Print only the report and warnings.")] = False
    strategy: Annotated[
        str | None,
        option("--strategy", "Your own function decides: MODULE:FUNCTION, searched first in the current directory."),
    ] = None
    mode: ModeOption = None
    every: Annotated[
        str | None, option("--every", "Wake the agent at fixed times, such as every 15m, and not by the gate.")
    ] = None
